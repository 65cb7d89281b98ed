"""One consistent look at a job: the listings of log/ and control/ and the few reads that they make necessary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal

import msgspec

from waterz_spool.spool.log.control import ControlFolder
from waterz_spool.spool.log.formats import Budget, EndRecord
from waterz_spool.spool.log.joblog import JobLog
from waterz_spool.spool.log.layout import FINAL, PREP, Outcome, Task, label
from waterz_spool.spool.log.states import (
    Allowance,
    Course,
    Standing,
    TaskLog,
    TaskState,
    allow,
    spent_at,
    task_kind,
)

REASONS_MAX = 20

State = Literal["preparing", "running", "finalizing", "done", "failed", "cancelled", "paused"]
"""Of a job."""


class Reason(msgspec.Struct, frozen=True):
    """Why an attempt of a dead task ended."""

    task: Task
    attempt: int
    kind: Outcome
    why: str
    rc: int
    host: str


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job stands.

    ``counts`` counts the segments by
    kind (waiting, ready, running, done, dead). ``commit`` is "publish", "cancelled" or "" while undecided; a job that
    is done but not ``published`` needs `Job.publish` to be run, by anyone. ``passed`` are the segments that are done
    with the source's own pixels, because their budget was spent and the job lets them pass.
    """

    id: str
    state: State
    segments: int | None
    counts: dict[str, int]
    tasks: tuple[TaskState, ...]  # prep, all segments, final
    reasons: tuple[Reason, ...] = ()
    paused: bool = False
    commit: Literal["", "publish", "cancelled"] = ""
    published: bool = False
    passed: tuple[int, ...] = ()

    @property
    def terminal(self) -> bool:
        """Whether no worker has anything to do for it any more (a failed job can be granted more)."""
        return self.state in ("done", "failed", "cancelled")


class Snapshot:
    """What one look at a job tells; computing from it touches no file except outcomes of lost attempts."""

    def __init__(
        self, log: JobLog, control: ControlFolder, budget: Budget, *, passes: bool = False, repair: bool = False
    ) -> None:
        self.log = log
        self.view = log.scan(repair=repair)
        self.control = control.scan()
        self._budget = budget
        self._grants = control.grants(self.control)
        self._passes = passes  # segments whose budget is spent
        self._usual = {int: Allowance(budget, budget.failed, passes), str: Allowance(budget, budget.failed)}
        plan = log.plan() if self.view.planned else None
        self.segments = None if plan is None else plan.segments
        self.commit = log.commit() if self.view.committed else None
        self._kinds: dict[Task, Course] = {}

    def kind(self, task: Task) -> Course:
        """Open, running, done, dead or unclear."""
        held = self._kinds.get(task)
        if held is None:
            held = self._kinds[task] = self._kind(task)
        return held

    def _kind(self, task: Task) -> Course:
        log = self.view.tasks.get(task)
        if log is None:
            return "open"
        return task_kind(log, self._allowance(task), lambda attempts: self._hosts(task, attempts))

    def _allowance(self, task: Task) -> Allowance:
        if not self._grants:
            return self._usual[type(task)]
        return allow(self._budget, label(task), self._grants, passes=self._passes and isinstance(task, int))

    def may_fail(self, task: Task) -> int:
        """How often a task may fail in all, grants included."""
        return self._allowance(task).budget.failed

    def passing(self, task: Task, attempt: int) -> bool:
        """Whether this attempt is one that lets the source's pixels through: earlier ones spent the budget."""
        if not self._passes or isinstance(task, str):
            return False
        before = self.task(task).part(1, attempt - 1)
        return bool(spent_at(before, self._allowance(task), lambda attempts: self._hosts(task, attempts)))

    def passed(self) -> Iterator[int]:
        """Segments that are done so; reads outcomes of those that failed or were lost before."""
        for index in self.indexes if self._passes else ():
            held = self.task(index)
            if held.done > 1:
                end = self.log.end(index, held.done)
                if end is not None and end.passed:
                    yield index

    def _hosts(self, task: Task, attempts: list[int]) -> int:
        ends = (self.log.end(task, attempt) for attempt in attempts)
        return len({end.host for end in ends if end is not None})

    @property
    def indexes(self) -> range:
        """All segments; empty before the plan."""
        return range(self.segments or 0)

    def complete(self) -> bool:
        """Whether every segment is done: the condition of final."""
        return self.segments is not None and all(self.kind(index) == "done" for index in self.indexes)

    def claimable(self) -> Iterator[tuple[Task, int]]:
        """Open tasks whose inputs are there, with the attempt to claim: final and prep first."""
        if self.commit is not None or self.control.cancel or self.control.paused or self.failed():
            return
        if self.complete():
            yield from self._next(FINAL)
            return
        yield from self._next(PREP)
        for index in sorted(self.view.ready):
            yield from self._next(index)

    def _next(self, task: Task) -> Iterator[tuple[Task, int]]:
        if self.kind(task) == "open":
            yield task, self.task(task).top + 1

    def running(self) -> Iterator[tuple[Task, int]]:
        """Claimed attempts without outcome, as far as this listing shows."""
        for task, log in self.view.tasks.items():
            if self.kind(task) == "running":
                yield task, log.top

    def task(self, task: Task) -> TaskLog:
        """What the listing says of a task."""
        return self.view.tasks.get(task) or TaskLog()

    def dead(self) -> list[Task]:
        """Tasks whose budget is spent, as far as they matter."""
        dead = [task for task in self.view.tasks if self.kind(task) == "dead"]
        return [task for task in dead if task != PREP or not self.complete()]

    def failed(self) -> bool:
        """Whether there is a dead letter."""
        return bool(self.dead())

    def state(self) -> State:
        """The job-level state; see `JobState`."""
        if self.commit is not None:
            return "cancelled" if self.commit.kind == "cancelled" else "done"
        if self.failed():
            return "failed"
        if self.complete():
            return "paused" if self.control.paused and not self.task(FINAL).done else "finalizing"
        if self.control.paused:
            return "paused"
        return "preparing" if self.segments is None else "running"

    def job_state(self, job_id: str) -> JobState:
        """Everything at once, for people and programs."""
        tasks = tuple(self._task_state(task) for task in [PREP, *self._listed(), FINAL])
        return JobState(
            id=job_id,
            state=self.state(),
            segments=self.segments,
            counts=dict(Counter(task.kind for task in tasks[1:-1])),
            tasks=tasks,
            reasons=tuple(self._reasons()),
            paused=self.control.paused,
            commit=self.commit.kind if self.commit else "",
            published=self.view.published,
            passed=tuple(self.passed()),
        )

    def _listed(self) -> list[Task]:
        return list(self.indexes) if self.segments is not None else sorted(self.view.ready)

    def _task_state(self, task: Task) -> TaskState:
        log, kind = self.view.tasks.get(task), self._standing(task)
        if log is None:
            return TaskState(task, kind)
        attempt = log.done or log.top
        return TaskState(
            task, kind, attempt, log.count("failed") + log.count("dead"), len(log.lost()), log.count("released")
        )

    def _standing(self, task: Task) -> Standing:
        kind = self.kind(task)
        if kind == "open":
            return "ready" if self._startable(task) else "waiting"
        return "running" if kind == "unclear" else kind

    def _startable(self, task: Task) -> bool:
        if task == FINAL:
            return self.complete()
        return task == PREP or task in self.view.ready

    def _reasons(self) -> Iterator[Reason]:
        for task in self.dead()[:REASONS_MAX]:
            for attempt in sorted(self.task(task).kinds):
                end: EndRecord | None = self.log.end(task, attempt)
                if end is not None:
                    yield Reason(task, attempt, end.kind, end.why, end.rc, end.host)
