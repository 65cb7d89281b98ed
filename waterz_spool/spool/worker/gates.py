"""May this worker claim, and if not, why: every condition but the claim itself, in the order in which they are asked.

1. Nothing at all: storage refuses, the spool is paused (`Gates.closed`), or the host has stopped (`Gates.stopped`).
2. Nothing of a job: it is another user's (`Gates.left_alone`), or not one of those that the worker was started for.
3. Not an attempt: it is of a stage that the worker does not take, or its program leaves it to others (`Gates.lets_in`).

What follows from a job's own records (paused, cancelled, inputs missing, budget spent) is `Snapshot.claimable`; the
wait after a failure is with `Candidates`. Limit: all of this is policy and may be late. One link alone decides who has
an attempt.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from waterz_spool.spool.hosts import Streak
from waterz_spool.spool.job.attempt import Attempt
from waterz_spool.spool.job.jobs import Job
from waterz_spool.spool.log.formats import WorkerRecord
from waterz_spool.spool.log.layout import Task
from waterz_spool.spool.root import Spool
from waterz_spool.spool.worker.owners import Owners
from waterz_spool.spool.worker.trouble import Trouble

Accept = Callable[[Job, Task, int], bool]


class Gates:
    """One worker's.

    Args:
        spool: The spool.
        trouble: What storage refuses at present.
        owners: Whose jobs are whose.
        host: The worker's name for its machine.
        stages: What it takes.
        accept: Asked before each claim with job, task and attempt; False leaves it to others.

    Attributes:
        streak: Failures in a row.
        stopped: Whether the host claims nothing, as of the last look.
    """

    def __init__(
        self, spool: Spool, trouble: Trouble, owners: Owners, *, host: str, stages: frozenset[str], accept: Accept
    ) -> None:
        self.streak = Streak(host)
        self.stopped = False
        self.left_alone = owners.left_alone
        self._spool = spool
        self._trouble = trouble
        self._host = host
        self._stages = stages
        self._accept = accept
        self._paused = False
        self._paused_at = float("-inf")

    def closed(self, before: Callable[[], None]) -> str:
        """Why this worker claims nothing at all for now: storage, or a pause (asked at most once a poll); "" if it may.

        Args:
            before: Done when it is asked; what storage refuses there counts, too.
        """
        if self._trouble.holding():
            return f"storage: {self._trouble.name}"
        now = self._spool.world.clock.monotonic()
        if self._paused or now - self._paused_at >= self._spool.settings.poll_s:
            try:
                before()
                self._paused, self._paused_at = self._spool.paused, now
            except OSError as error:
                self._trouble.note(error)
                return f"storage: {self._trouble.name}"
        return "the spool is paused" if self._paused else ""

    def look_at_host(self) -> bool:
        """Whether this host leaves work to others, because it fails at what works elsewhere."""
        why = self.streak.verdict()
        if why:
            with contextlib.suppress(OSError):
                self._spool.hosts.stop(self._host, why)
                self.streak.broken()
        self.stopped = self._spool.hosts.is_stopped(self._host)
        return self.stopped

    def lets_in(self, job: Job, what: Attempt) -> bool:
        """Whether this worker takes that attempt, if nobody else has it."""
        return what.stage in self._stages and self._accept(job, what.task, what.number)


def refusal(spool: Spool, worker: WorkerRecord, job: Job, stages: set[str]) -> str:
    """Why a worker, by what it says of itself, would not take tasks of these stages of a job; "" if it would."""
    if not stages & set(worker.tasks):
        return f"takes only {', '.join(worker.tasks)}"
    jobs = worker.info.get("jobs")
    if jobs and job.id not in jobs:
        return "works on other jobs only"
    if worker.info.get("serve_group"):
        return ""
    with contextlib.suppress(OSError):  # the server may show a user under another number
        shown = spool.world.ops.look(spool.layout.heartbeat(worker.w)).uid
        if job.owner() not in (worker.uid, shown):
            return "takes only the jobs of its own user"
    return ""
