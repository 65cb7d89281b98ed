"""The loop that claims tasks and works on them, one at a time, until it is told to stop or nothing is left.

With a restorer that works on a GPU it is at two segments: one is composited and encoded in a second thread while the
next one is restored. It claims the next one only when the GPU is free for it, so that no worker hoards segments.

Guarantee: whatever ends this process, no work is lost but the tasks it was on, and these are done again by others.
A signal ends it within one window: claims are handed back, which costs no attempt.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from waterz_spool import restore
from waterz_spool.errors import WaterzError
from waterz_spool.report.words import task_name
from waterz_spool.restore import Restorer, Stop
from waterz_spool.spool import Claim, FinalClaim, PrepClaim, SegmentClaim, Session
from waterz_spool.stages.loop.failing import Failing
from waterz_spool.stages.loop.tasklog import task_log

if TYPE_CHECKING:
    from waterz_spool.stages.segment import SegmentWork

log = logging.getLogger(__name__)


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
        idle_timeout_s: Exit after so long without work; 0 is never.
    """

    drain: bool = False
    max_segments: int | None = None
    idle_timeout_s: float = 0.0


@dataclass
class Worker:
    """Claims and works.

    Attributes:
        session: This worker's place in the spool.
        stop: Asks it to end.
        limits: When it ends by itself.
        threads: Threads of a restorer.
        finished: Tasks it has done.
        published: Ids of jobs whose results it has published.
    """

    session: Session
    stop: StopFlag
    limits: Limits
    threads: int = 1
    _restorers: dict[str, Restorer] = field(default_factory=dict)
    _segments: int = 0
    finished: int = 0
    published: list[str] = field(default_factory=list)
    _encoding: Future[None] | None = None
    _unpublished: dict[str, str] = field(default_factory=dict)
    _stopped: bool = False

    def __post_init__(self) -> None:
        self._failing = Failing(self.session)

    def run(self) -> None:
        """Work until told to stop or a limit is reached."""
        idle_since = time.monotonic()
        while not self.stop and not self._at_limit():
            if self.work_off() or self.session.trouble.name:
                idle_since = time.monotonic()
            self._say_if_stopped()
            if self.limits.drain and self.session.drained():
                return
            if 0 < self.limits.idle_timeout_s <= time.monotonic() - idle_since:
                log.info("idle for %.0f s, exiting", self.limits.idle_timeout_s)
                return
            self.stop.wait(self.session.idle_s())

    def _say_if_stopped(self) -> None:
        host = self.session.me.host
        if self.session.stopped and not self._stopped:
            log.warning(
                "%s keeps failing tasks that succeed on other hosts; it stopped: waterz-spool resume --host %s",
                host,
                host,
            )
        self._stopped = self.session.stopped

    def work_off(self) -> int:
        """Work on everything that can be claimed right now, publish what is due; returns how many tasks it took."""
        taken = 0
        try:
            while not self.stop and not self._at_limit():
                claim = self.session.next()
                if claim is not None:
                    self._attempt(claim, self._stage)
                    taken += 1
                elif not self._finish_encoding():
                    break  # else what was done meanwhile may have made more work
        finally:
            self._finish_encoding()
        self._publish_pending()
        return taken

    def _at_limit(self) -> bool:
        most = self.limits.max_segments
        return most is not None and self._segments >= most

    def _attempt(self, claim: Claim, action: Callable[[Claim], None]) -> None:
        """Do something for a claim; what stops it becomes the claim's outcome."""
        with task_log(claim):
            try:
                action(claim)
            except Exception as error:  # the one broad catch: any failure of a task becomes its recorded outcome
                self._failing.settle(claim, error)

    def _stage(self, claim: Claim) -> None:
        what, job_id = task_name(claim.task), claim.job.id
        log.info("attempt %d of %s of job %s by %s", claim.attempt, what, job_id, self.session.title)
        check = self._check(claim)
        match claim:
            case PrepClaim():
                from waterz_spool.stages.prepare.prepare import prepare

                claim.done([], prepare(claim, check))
                self.finished += 1
            case SegmentClaim():
                self._segment(claim)
            case FinalClaim():
                from waterz_spool.stages.finalize import finalize

                if made := finalize(claim, check):
                    claim.done(*made)
                    self.finished += 1
                    self._publish_pending()

    def _segment(self, claim: SegmentClaim) -> None:
        from waterz_spool.stages.segment import SegmentWork

        work = SegmentWork(claim)
        self._segments += 1
        if work.job.segment.copy:  # finalize takes its packets from the source
            claim.done([], work.copied())
            self.finished += 1
            return
        if claim.passing():
            log.warning("segment %d: every attempt failed, its pixels are left as they are", work.job.segment.index)
            self._encode(work, passed=True)
            return
        careful = self._failing.works_carefully(claim)
        if careful:
            self._finish_encoding()
        restorer = self._restorer(work.job.engine, work.job.engine_options, careful=careful)
        work.restore(restorer, self._check(claim))
        if careful or not restorer.streams:
            self._encode(work)
            return
        self._finish_encoding()  # the frames of at most two segments are in memory
        pool = ThreadPoolExecutor(1, thread_name_prefix="waterz-encode")
        self._encoding = pool.submit(self._attempt, claim, lambda _: self._encode(work))
        pool.shutdown(wait=False)

    def _encode(self, work: SegmentWork, *, passed: bool = False) -> None:
        out, info = work.encode(self._check(work.claim))
        work.claim.done([out], info, passed=passed)
        self.finished += 1

    def _finish_encoding(self) -> bool:
        """Wait for the segment that is being encoded; False when there is none."""
        if self._encoding is None:
            return False
        encoding, self._encoding = self._encoding, None
        encoding.result()
        return True

    def _check(self, claim: Claim) -> Callable[[], None]:
        def check() -> None:
            if self.stop:
                raise Stop("stopped by a signal" if self.stop.signal else "stopped")
            if reason := claim.must_stop():
                raise Stop(reason)

        return check

    def _restorer(self, name: str, options: dict[str, Any], *, careful: bool) -> Restorer:
        """The back end, kept across segments: weights are loaded once. A careful one is at one frame at a time."""
        threads = 1 if careful else self.threads
        key = f"{name} {threads} {sorted(options.items())}"
        if key not in self._restorers:
            self._restorers.clear()  # a network must leave its GPU before another one comes
            self._restorers[key] = restore.create(name, {"threads": threads, **options})
        return self._restorers[key]

    def _publish_pending(self) -> None:
        for job in self.session.unpublished():
            from waterz_spool.stages.finalize import publish

            try:
                publish(job, foreign=self.session.owners.foreign(job))
                self.published.append(job.id)
            except (OSError, WaterzError) as error:
                if self._unpublished.get(job.id) != str(error):  # once, not at every look
                    self._unpublished[job.id] = str(error)
                    log.warning("cannot publish %s yet: %s", job.id, error)
