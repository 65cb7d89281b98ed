"""The loop that claims tasks and works on them, one at a time, until it is told to stop or nothing is left.

Guarantee: whatever ends this process, no work is lost but the task it was on, and that task is done again by another.
A signal ends it within one window: the claim is handed back, which costs no attempt.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from waterz_spool import restore
from waterz_spool.errors import JobFailedError, SetupError, TryAgainError, WaterzError
from waterz_spool.restore import Restorer, Stop
from waterz_spool.spool import Claim, DamagedRecordError, Session

log = logging.getLogger(__name__)

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_SPACE_WAIT_S = 15.0


class StopFlag:
    """Asks the loop to end; set by signal handlers and time limits."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signal: int | None = None

    def set(self, signal: int | None = None) -> None:
        """Ask to stop; the first signal is remembered for the exit code."""
        if not self._event.is_set():
            self.signal = signal
        self._event.set()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep until asked to stop or the time is over; True when asked."""
        return self._event.wait(seconds)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a worker ends by itself.

    Attributes:
        drain: Exit when nothing is left that this worker could do.
        max_segments: Exit after this many segments; None is no limit.
        until_s: Take no task after this time of ``time.monotonic()``; None is no limit.
        idle_timeout_s: Exit after so long without work; 0 is never.
    """

    drain: bool = False
    max_segments: int | None = None
    until_s: float | None = None
    idle_timeout_s: float = 0.0


@dataclass
class Worker:
    """Claims and works.

    Attributes:
        session: This worker's place in the spool.
        stop: Asks it to end.
        limits: When it ends by itself.
        threads: Threads of a restorer.
        finished: Tasks it has worked on to their end.
    """

    session: Session
    stop: StopFlag
    limits: Limits
    threads: int = 1
    _restorers: dict[str, Restorer] = field(default_factory=dict)
    _segments: int = 0
    finished: int = 0

    def run(self) -> None:
        """Work until told to stop or a limit is reached."""
        idle_since = time.monotonic()
        while not self.stop and not self._at_limit():
            if self.work_off():
                idle_since = time.monotonic()
            if self.limits.drain and self.session.drained():
                return
            if 0 < self.limits.idle_timeout_s <= time.monotonic() - idle_since:
                log.info("idle for %.0f s, exiting", self.limits.idle_timeout_s)
                return
            self.stop.wait(self.session.idle_s())

    def work_off(self) -> int:
        """Work on everything that can be claimed right now, publish what is due; returns how many tasks it took."""
        taken = 0
        while not self.stop and not self._at_limit() and (claim := self.session.next()) is not None:
            self._work(claim)
            taken += 1
        self._publish_pending()
        return taken

    def _at_limit(self) -> bool:
        limits = self.limits
        enough = limits.max_segments is not None and self._segments >= limits.max_segments
        late = limits.until_s is not None and time.monotonic() >= limits.until_s
        return enough or late

    def _work(self, claim: Claim) -> None:
        with _task_log(claim):
            log.info("attempt %d of %s of job %s by %s", claim.attempt, claim.task, claim.job.id, self.session.title)
            try:
                self._stage(claim)
                self.finished += 1
            except Stop as stop:
                _hand_back(claim, str(stop))
            except TryAgainError as error:
                claim.released(error.what)
            except WaterzError as error:
                log.error("%s", error)
                claim.failed(
                    str(error),
                    rc=error.exit_code,
                    retry=isinstance(error, SetupError | DamagedRecordError | JobFailedError),
                )
            except Exception as error:  # the one broad catch: any failure of a task becomes its recorded outcome
                self._unexpected(claim, error)

    def _unexpected(self, claim: Claim, error: Exception) -> None:
        if getattr(error, "errno", None) in _NO_SPACE:
            log.warning("no space left in %s: trying again in %.0f s", claim.job.path, _NO_SPACE_WAIT_S)
            claim.released("no space left in the spool")
            self.stop.wait(_NO_SPACE_WAIT_S)
        else:
            log.error("%s", traceback.format_exc())
            claim.failed(f"{type(error).__name__}: {error}", rc=1)

    def _stage(self, claim: Claim) -> None:
        check = self._check(claim)
        if claim.task == "prep":
            from waterz_spool.stages.prepare import prepare

            claim.done([], prepare(claim, check))
        elif claim.task == "final":
            from waterz_spool.stages.finalize import finalize

            if made := finalize(claim, check):
                claim.done([made[0]], made[1])
                self._publish_pending()
        else:
            from waterz_spool.stages.segment import process_segment

            out, info = process_segment(claim, check, restorer_of=self._restorer)
            claim.done([out], info)
            self._segments += 1

    def _check(self, claim: Claim) -> Callable[[], None]:
        def check() -> None:
            if self.stop:
                raise Stop("stopped by a signal" if self.stop.signal else "stopped")
            if reason := claim.must_stop():
                raise Stop(reason)

        return check

    def _restorer(self, name: str, options: dict[str, Any]) -> Restorer:
        """The back end, kept across segments: weights are loaded once."""
        key = f"{name} {sorted(options.items())}"
        if key not in self._restorers:
            self._restorers.clear()  # a network must leave its GPU before another one comes
            self._restorers[key] = restore.create(name, {"threads": self.threads, **options})
        return self._restorers[key]

    def _publish_pending(self) -> None:
        for job in self.session.unpublished():
            from waterz_spool.stages.finalize import publish

            try:
                publish(job)
            except (OSError, WaterzError) as error:
                log.warning("cannot publish %s yet: %s", job.id, error)


@contextmanager
def _task_log(claim: Claim) -> Iterator[None]:
    """Write what is logged meanwhile to the attempt's own file in the job, beside the worker's own output."""
    path = claim.job.layout.log_file(claim.task, claim.tag)
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(_Head())
    root = logging.getLogger("waterz_spool")
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


class _Head(logging.Filter):
    """Lets the first lines pass: a task's log stays small, whatever repeats."""

    def __init__(self, lines: int = 2000) -> None:
        super().__init__()
        self._left = lines

    def filter(self, record: logging.LogRecord) -> bool:
        self._left -= 1
        return self._left >= 0


def _hand_back(claim: Claim, reason: str) -> None:
    log.info("handing back %s: %s", claim.task, reason)
    claim.released(reason)
