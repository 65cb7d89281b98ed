"""As many workers as the backlog asks for: wanted = backlog x seconds per segment / target time.

Guarantee: never more than the limit, counting what is queued already; when Slurm or the spool cannot be read, nothing
is launched. Limit: two scalers of one spool may both launch in the same moment; run one.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from waterz_spool.config import SlurmConfig
from waterz_spool.errors import UsageError, WaterzError
from waterz_spool.launch.launcher import Launched, Launcher, W
from waterz_spool.report.pace import pace
from waterz_spool.spool import JobState, Spool

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ScaleLimits:
    """Bounds of the number of workers.

    Attributes:
        least: While there is work.
        most: Ever.
        target_s: Time within which to finish the backlog.
        segment_s: Seconds per segment before any was measured.
    """

    least: int
    most: int
    target_s: float
    segment_s: float


def limits_of(config: SlurmConfig, *, least: int | None, most: int | None, target_s: float | None) -> ScaleLimits:
    """The configured bounds with what the command line says instead.

    Raises:
        UsageError: The least is more than the most, or the target is nothing.
    """
    limits = ScaleLimits(
        least=config.min_workers if least is None else least,
        most=config.max_workers if most is None else most,
        target_s=config.target_s if target_s is None else target_s,
        segment_s=config.segment_s,
    )
    if limits.least > limits.most or limits.target_s <= 0:
        raise UsageError(
            "no such number of workers", where=f"--min {limits.least} --max {limits.most}", todo="--min <= --max"
        )
    return limits


class Backlog(msgspec.Struct, frozen=True):
    """What is left to do in the whole spool.

    ``segments`` are open ones, running or not; ``work_s`` the seconds one worker would need for them; ``singles``
    prepare and final tasks, which ask for one worker each.
    """

    segments: int = 0
    work_s: float = 0.0
    singles: int = 0

    def __add__(self, other: Backlog) -> Backlog:
        return Backlog(self.segments + other.segments, self.work_s + other.work_s, self.singles + other.singles)

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return self.segments == self.singles == 0


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What one look found and led to."""

    segments: int
    segment_s: float
    wanted: int
    queued: int
    launched: int = 0
    cancelled: int = 0
    note: str = ""

    def __str__(self) -> str:
        done = f"launched {self.launched}" if self.launched else f"cancelled {self.cancelled}" if self.cancelled else ""
        parts = [
            f"backlog {self.segments} segments of about {self.segment_s:.0f} s",
            f"wanted {self.wanted} workers, queued or running {self.queued}",
            *filter(None, (done, self.note)),
        ]
        return "; ".join(parts)


def wanted(backlog: Backlog, limits: ScaleLimits) -> int:
    """How many workers there should be; never more than there are tasks, nor than the limit."""
    if backlog.empty:
        return 0
    count = math.ceil(backlog.work_s / limits.target_s)
    count = max(count, limits.least, 1)
    return min(count, max(backlog.segments, 1) + backlog.singles, limits.most)


class Scaler:
    """Looks, decides, launches and cancels.

    Args:
        spool: Whose backlog.
        launcher: Launches its workers.
        limits: How many.
        poll_s: Seconds between two looks.
    """

    def __init__(self, spool: Spool, launcher: Launcher[W], limits: ScaleLimits, *, poll_s: float) -> None:
        self._spool = spool
        self._launcher: Launcher[Any] = launcher
        self._limits = limits
        self._poll_s = poll_s
        self._due = float("-inf")

    def look_if_due(self) -> None:
        """One look per polling time, for a caller that comes by more often; what it led to is logged."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + self._poll_s
        decision = self.look()
        if decision.launched or decision.cancelled or decision.note:
            log.info("%s", decision)

    def look(self, *, dry_run: bool = False) -> Decision:
        """One look: the decision, carried out unless it is a dry run."""
        try:
            backlog = backlog_of(self._spool, self._limits.segment_s)
            present = self._launcher.present()
        except (WaterzError, OSError) as error:
            return Decision(segments=0, segment_s=0, wanted=0, queued=0, note=f"cannot tell: {error}")
        decision = Decision(
            segments=backlog.segments,
            segment_s=backlog.work_s / backlog.segments if backlog.segments else 0.0,
            wanted=wanted(backlog, self._limits),
            queued=len(present),
        )
        surplus = _surplus(present, decision.wanted, everything=backlog.empty)
        missing = max(0, decision.wanted - decision.queued)
        if dry_run:
            note = f"would launch {missing}" if missing else f"would cancel {len(surplus)}" if surplus else "enough"
            return msgspec.structs.replace(decision, note=note)
        return self._carry_out(decision, missing, surplus)

    def _carry_out(self, decision: Decision, missing: int, surplus: Sequence[Launched]) -> Decision:
        self._launcher.stop(surplus)
        launched, note = 0, ""
        if missing:
            try:
                launched = self._launcher.start(missing)
            except WaterzError as error:
                note = str(error)
        return msgspec.structs.replace(decision, launched=launched, cancelled=len(surplus), note=note)


def backlog_of(spool: Spool, segment_s: float) -> Backlog:
    """What is left to do in all jobs that may be worked on."""
    total = Backlog()
    for job in spool.jobs():
        state = job.state()
        if state.paused or state.state in ("failed", "cancelled") or (state.state == "done" and state.published):
            continue
        left = state.counts.get("ready", 0) + state.counts.get("waiting", 0) + state.counts.get("running", 0)
        measured = pace(job, state)
        seconds = measured.segment_s if measured else segment_s
        total += Backlog(left, left * seconds, _singles(state))
    return total


def _singles(state: JobState) -> int:
    """One worker beside those of the segments: for prepare while it runs, or for final."""
    return int(state.state in ("preparing", "finalizing", "done") or state.tasks[0].kind in ("ready", "running"))


def _surplus(present: Sequence[W], wanted_: int, *, everything: bool) -> Sequence[W]:
    """Workers to stop: waiting ones above the wanted number, all of them when there is nothing to do.

    What runs is left alone otherwise: it has a segment in hand, and ends by its idle timeout.
    """
    if everything:
        return present
    waiting = [worker for worker in present if not worker.begun]
    return waiting[: max(0, len(present) - wanted_)]
