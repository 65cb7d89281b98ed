"""Which attempts a worker could claim next: cached, in an order of its own, delayed after failures; hints only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from waterz_spool.spool.job.attempt import Attempt
from waterz_spool.spool.job.jobs import Job
from waterz_spool.spool.log.formats import DamagedRecordError, SpoolSettings
from waterz_spool.spool.log.layout import Task
from waterz_spool.spool.log.snapshot import Snapshot
from waterz_spool.spool.log.states import TaskLog, backoff_exponent

LetsIn = Callable[[Job, Attempt], bool]

_TASKS_PER_MISS = 2000  # a miss costs the same everywhere, a listing grows with the job
_OWN_FAILURE_FACTOR = 3.0  # a segment that failed on this host is left to others for so much longer,
_OWN_FAILURE_MOST_S = 60.0  # but not more than this: there may be no others


@dataclass(frozen=True)
class Candidate:
    """An attempt that was open at the last look."""

    job: Job
    what: Attempt
    not_before: float  # monotonic


def _stretches(found: list[Candidate], random: Random) -> Iterator[Candidate]:
    """All of them, neighbours in a row, from one random starting point after the other."""
    left = {candidate.what.task: candidate for candidate in found if isinstance(candidate.what.task, int)}
    starts = list(left)
    random.shuffle(starts)
    for index in starts:
        while (candidate := left.pop(index, None)) is not None:
            yield candidate
            index += 1


class Candidates:
    """The cache. Final and prepare of a job come first, then its segments in stretches.

    A stretch is a row of neighbours from a random starting point. Workers that begin apart work apart, and meet only
    where one comes to the place where another one began: then the rest of the stretch is somebody else's, and the
    next stretch is tried. Nothing but the number of operations depends on it.

    Attributes:
        contested: Whether somebody else had a segment that was open at the last look: another look may show more.
    """

    def __init__(self, host: str, settings: SpoolSettings, random: Random) -> None:
        self._host = host
        self._settings = settings
        self._random = random
        self._open: list[Candidate] = []  # the last one is the next one
        self._late: list[Candidate] = []
        self._first_seen: dict[Attempt, float] = {}
        self._misses = 0
        self.contested = False
        self._misses_max = 1  # then the cache is too old to be worth another try

    def refill(self) -> None:
        """Forget all: a fresh look follows."""
        self._open.clear()
        self._late.clear()
        self._misses = 0
        self._misses_max = 1
        self.contested = False

    def add(self, job: Job, snapshot: Snapshot, now: float, lets_in: LetsIn) -> None:
        """Take up what a look at a job shows."""
        found = [
            Candidate(job, what, self._not_before(job, snapshot, what, now))
            for task, number in snapshot.claimable()
            if lets_in(job, what := Attempt(job.id, task, number))
        ]
        first = [candidate for candidate in found if isinstance(candidate.what.task, str)]
        rest = [candidate for candidate in found if isinstance(candidate.what.task, int)]
        ordered = [*first, *_stretches(rest, self._random)]
        self._late += [candidate for candidate in ordered if candidate.not_before > now]
        self._open[:0] = reversed([candidate for candidate in ordered if candidate.not_before <= now])
        self._misses_max += (len(snapshot.view.tasks) + len(snapshot.view.ready)) // _TASKS_PER_MISS

    def forget(self, job: Job) -> None:
        """A job was paused or cancelled: its candidates are none."""
        self._open = [candidate for candidate in self._open if candidate.job is not job]
        self._late = [candidate for candidate in self._late if candidate.job is not job]

    def over(self, job_id: str) -> None:
        """Nothing of this job will ever be tried again."""
        self._first_seen = {what: at for what, at in self._first_seen.items() if what.job != job_id}

    def __iter__(self) -> Iterator[Candidate]:
        """Candidates one by one, until there are none or too many were taken by others."""
        while self._open and self._misses < self._misses_max:
            yield self._open.pop()

    @property
    def ready(self) -> bool:
        """Whether there is one to try now."""
        return bool(self._open)

    def missed(self, candidate: Candidate) -> None:
        """Somebody else had it, and probably goes on from there."""
        self._misses += 1
        if not isinstance(candidate.what.task, int):
            return
        self.contested = True
        index = candidate.what.task + 1
        while self._open and self._open[-1].job is candidate.job and self._open[-1].what.task == index:
            self._open.pop()
            index += 1

    def next_late(self) -> Candidate | None:
        """The delayed candidate that is due first."""
        return min(self._late, key=lambda candidate: candidate.not_before, default=None)

    def next_due_s(self, now: float) -> float | None:
        """When the first delayed candidate is due, in seconds from now."""
        late = self.next_late()
        return late.not_before - now if late else None

    def _not_before(self, job: Job, snapshot: Snapshot, what: Attempt, now: float) -> float:
        """Backoff from this observer's first sight of the open attempt; a fresh observer starts anew."""
        task, log = what.task, snapshot.task(what.task)
        doubled = backoff_exponent(log)
        if doubled is None or (log.kinds.get(what.number - 1) == "released" and not self._failed_here(job, task, log)):
            return now
        if what not in self._first_seen:
            wait_s = min(self._settings.backoff_s * 2.0**doubled, self._settings.backoff_max_s)
            wait_s *= 1.0 + self._random.random()
            if self._failed_here(job, task, log):
                wait_s = min(wait_s * _OWN_FAILURE_FACTOR, wait_s + _OWN_FAILURE_MOST_S)
            self._first_seen[what] = now + wait_s
        return self._first_seen[what]

    def _failed_here(self, job: Job, task: Task, log: TaskLog) -> bool:
        """Whether any attempt failed on this host; failures are few, and each is read once."""
        with contextlib.suppress(OSError, DamagedRecordError):
            ends = (job.log.end(task, k) for k, kind in log.kinds.items() if kind == "failed")
            return any(end is not None and end.host == self._host for end in ends)
        return False
