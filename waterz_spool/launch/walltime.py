"""The end of the allotted time: a worker takes no segment that it cannot finish before it.

How long a segment takes is what this job's own segments took. Limit: the next one may take longer than the others;
then the scheduler's warning ends it at a window, and it is handed back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from waterz_spool.report.pace import pace
from waterz_spool.report.words import task_name
from waterz_spool.spool import Job, Task

log = logging.getLogger(__name__)

FACTOR = 1.3
"""Segments differ: one may take so much longer than the median."""
MARGIN_S = 60.0
_MARGIN_SHARE = 0.1
_FRESH_S = 10.0


class Paces:
    """How long jobs' segments take; looked up at most every ten seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, tuple[float, float | None]] = {}

    def seconds(self, job: Job) -> float | None:
        """Seconds from claim to outcome, or from outcome to outcome where that is more; None before the first."""
        now = self._clock()
        asked, known = self._known.get(job.id, (float("-inf"), None))
        if now - asked >= _FRESH_S:
            found = pace(job, job.state())
            known = max(found.work_s, found.segment_s) if found else None
            self._known[job.id] = now, known
        return known


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
        left_s = max(0, self.left_s)
        log.info("attempt %d of %s needs about %.0f s, %.0f s are left", attempt, task_name(task), needed_s, left_s)
        self._when_late()
        return False
