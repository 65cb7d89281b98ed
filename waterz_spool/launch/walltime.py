"""The end of the allotted time: a worker takes no segment that it cannot finish before it.

How long a segment takes is what this job's own segments took. Limit: the next one may take longer than the others;
then the scheduler's warning ends it at a window, and it is handed back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from statistics import median

from waterz_spool.spool import Job, JobState, Task

log = logging.getLogger(__name__)

FACTOR = 1.3
"""Segments differ: one may take so much longer than the median."""
MARGIN_S = 60.0
_MARGIN_SHARE = 0.1
_SAMPLE = 16
_FRESH_S = 10.0


class Pace:
    """How long a job's segments take, from the newest that are done; looked up at most every ten seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, tuple[float, float | None]] = {}

    def seconds(self, job: Job) -> float | None:
        """Median seconds of a segment; None before the first is done."""
        now = self._clock()
        asked, known = self._known.get(job.id, (float("-inf"), None))
        if now - asked >= _FRESH_S:
            known = measured_s(job, job.state())
            self._known[job.id] = now, known
        return known


def measured_s(job: Job, state: JobState) -> float | None:
    """Median seconds that the newest finished segments took, claim to outcome; None without any."""
    done = [task for task in state.tasks if task.kind == "done" and isinstance(task.task, int)]
    ends = [job.log.end(task.task, task.attempt) for task in done[-_SAMPLE:]]
    seconds = [end.seconds for end in ends if end is not None and end.seconds > 0]
    return median(seconds) if seconds else None


class Walltime:
    """Whether a task still fits before the end.

    Args:
        left_s: Seconds until the end, from now.
        pace: What segments take.
        when_late: Called when a task is left to others for lack of time.
        clock: Seconds, for tests.
    """

    def __init__(
        self,
        left_s: float,
        pace: Callable[[Job], float | None],
        *,
        when_late: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._end = clock() + left_s
        self._margin_s = min(MARGIN_S, left_s * _MARGIN_SHARE)
        self._pace = pace
        self._when_late = when_late

    @property
    def left_s(self) -> float:
        """Seconds that may still be worked."""
        return self._end - self._margin_s - self._clock()

    def accept(self, job: Job, task: Task, attempt: int) -> bool:
        """Whether to claim this task: the session asks before each claim."""
        needed_s = FACTOR * ((self._pace(job) if isinstance(task, int) else None) or 0.0)
        if needed_s <= self.left_s:
            return True
        log.info("attempt %d of %s needs about %.0f s, %.0f s are left", attempt, task, needed_s, max(0, self.left_s))
        self._when_late()
        return False
