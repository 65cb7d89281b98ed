"""States are computed, nothing stores them: a pure function of the names in log/ and control/ and the budget.

Every observer that has seen all records computes the same states. Limit: an observer with an old listing computes an
old state; it can only try a claim that the file system refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from waterz_spool.spool.log.formats import Budget, DamagedRecordError
from waterz_spool.spool.log.layout import (
    COMMIT_NAME,
    KINDS,
    PLAN_NAME,
    PUBLISHED_NAME,
    VERBS,
    Outcome,
    Task,
    Verb,
    label,
    task_of,
)

Standing = Literal["waiting", "ready", "running", "done", "dead"]
"""Of a task: its inputs are not there, it can be claimed, somebody has it, it is done, its budget is spent."""

Course = Literal["open", "running", "done", "dead", "unclear"]
"""Of a task by its attempts alone; open: nobody has the next one, unclear: an outcome could not be read yet."""


class TaskLog:
    """What log/ says about one task."""

    __slots__ = ("ended", "kinds", "names", "top", "voids")

    def __init__(self) -> None:
        self.top = 0  # highest attempt seen
        self.names = 0  # names in the listing
        self.ended: set[int] = set()
        self.kinds: dict[int, Outcome] = {}  # outcome by attempt, as far as a marker or a read told
        self.voids: set[int] = set()

    @property
    def done(self) -> int:
        """The attempt whose output counts, or 0."""
        return next((k for k, kind in self.kinds.items() if kind == "done" and k not in self.voids), 0)

    def unknown(self) -> list[int]:
        """Attempts that have ended (a later one exists, or their outcome is listed) in a way not known yet."""
        if len(self.kinds) == self.top:
            return []
        ended = self.ended | set(range(1, self.top))
        return sorted(ended - self.kinds.keys())

    def lost(self) -> list[int]:
        """Attempts whose owner was lost, or whose output was."""
        return [k for k, kind in self.kinds.items() if kind == "lost" or (kind == "done" and k in self.voids)]

    def count(self, kind: Outcome) -> int:
        """Attempts that ended so."""
        return sum(1 for held in self.kinds.values() if held == kind)

    def part(self, first: int, last: int) -> TaskLog:
        """What is known of the outcomes of some attempts alone."""
        found = TaskLog()
        found.top = last
        found.kinds = {k: kind for k, kind in self.kinds.items() if first <= k <= last}
        found.voids = self.voids
        return found


@dataclass
class LogView:
    """One listing of log/, parsed."""

    tasks: dict[Task, TaskLog] = field(default_factory=dict)
    ready: set[int] = field(default_factory=set)
    planned: bool = False
    committed: bool = False
    published: bool = False
    workers: int = 0  # that ever claimed something here
    strange: list[str] = field(default_factory=list)

    def task(self, task: Task) -> TaskLog:
        """What is known of a task, created when nothing is."""
        return self.tasks.setdefault(task, TaskLog())

    def unknown(self) -> Iterator[tuple[Task, int]]:
        """Outcomes that must be read because no marker tells their kind.

        Raises:
            DamagedRecordError: A number stands there that no attempts lead to; counting up to it could take for ever.
        """
        for task, log in self.tasks.items():
            _check_numbers(log.top, log.names, f"attempt {log.top} of {label(task)}")
            for attempt in log.unknown():
                yield task, attempt


@dataclass
class ControlView:
    """One listing of control/ or ctl/, parsed."""

    last: int = 0
    names: int = 0  # in the listing
    verbs: dict[int, Verb] = field(default_factory=dict)  # by number, as far as a marker or a read told
    grants: list[int] = field(default_factory=list)

    def unknown(self) -> list[int]:
        """Records whose verb must be read because no marker tells it.

        Raises:
            DamagedRecordError: A number stands there that no records lead to.
        """
        _check_numbers(self.last, self.names, f"control record {self.last}")
        return [number for number in range(1, self.last + 1) if number not in self.verbs]

    @property
    def paused(self) -> bool:
        """Whether the last of pause and resume is pause."""
        switches = [number for number, verb in self.verbs.items() if verb in ("pause", "resume")]
        return bool(switches) and self.verbs[max(switches)] == "pause"

    @property
    def cancel(self) -> bool:
        """Whether anybody ever asked to cancel: there is no way back."""
        return "cancel" in self.verbs.values()


_TORN = 64  # names that an old listing may lack


def _check_numbers(top: int, names: int, what: str) -> None:
    if top > names + _TORN:
        raise DamagedRecordError(f"there is {what}, but not those before it", todo="run `waterz-spool verify`")


_SINGLES = {PLAN_NAME: "planned", COMMIT_NAME: "committed", PUBLISHED_NAME: "published"}


def parse_log(names: Iterable[str]) -> LogView:
    """Sort the names of log/; what is not spelled by the protocol is kept aside as strange."""
    view = LogView()
    for name in names:
        if name[:1] == ".":
            view.workers += name.startswith(".w.")
        elif name in _SINGLES:
            setattr(view, _SINGLES[name], True)
        elif not _parse_name(view, name):
            view.strange.append(name)
    return view


def _parse_name(view: LogView, name: str) -> bool:
    text, _, rest = name.partition(".")
    digits, _, what = rest.partition(".")
    task = task_of(text)
    if task is None or not (digits.isascii() and digits.isdigit()) or len(digits) > 6:
        return False
    attempt = int(digits)
    if attempt == 0:
        if what or not isinstance(task, int):
            return False
        view.ready.add(task)
        return True
    return _note(view.task(task), attempt, what)


def _note(log: TaskLog, attempt: int, what: str) -> bool:
    if what == "end":
        log.ended.add(attempt)
    elif what == "void":
        log.voids.add(attempt)
    elif what in KINDS:
        log.ended.add(attempt)
        log.kinds[attempt] = what
    elif what:
        return False
    log.top = max(log.top, attempt)
    log.names += 1
    return True


def parse_control(names: Iterable[str]) -> ControlView:
    """Sort the names of a control folder."""
    view = ControlView()
    for name in names:
        first, _, second = name.partition(".")
        if first == "grant" and second.isascii() and second.isdigit() and len(second) <= 9:
            view.grants.append(int(second))
        elif first.isascii() and first.isdigit() and len(first) <= 9 and second in (*VERBS, "ctl"):
            view.last = max(view.last, int(first))
            view.names += 1
            if second in VERBS:
                view.verbs[int(first)] = second
    return view


class TaskState(msgspec.Struct, frozen=True):
    """Where one task stands.

    ``attempt`` is the one that runs or counted last, 0 before the first; then how many attempts failed, were lost, were
    handed back.
    """

    task: Task
    kind: Standing
    attempt: int = 0
    failed: int = 0
    lost: int = 0
    released: int = 0


class Allowance(msgspec.Struct, frozen=True):
    """A task's budget with all grants; a ``dead`` outcome weighs as much as all failures of the first budget.

    A task that ``passes`` is not dead when the budget is spent: the same budget again is for attempts that let the
    source's pixels through.
    """

    budget: Budget
    dead_weight: int
    passes: bool = False


Hosts = Callable[[list[int]], int]


def task_kind(log: TaskLog, allowance: Allowance, hosts: Hosts) -> Course:
    """Open, running, done, dead, or unclear: the budget is a pure function of the records.

    Args:
        log: All that is known of the task.
        allowance: The budget including grants.
        hosts: How many distinct hosts lost these attempts; asked only when that can matter.

    Returns:
        ``unclear`` when an outcome exists that could not be read yet: nobody may claim on it.
    """
    if log.done:
        return "done"
    if log.top and log.top not in log.ended:
        return "running"
    if log.unknown():
        return "unclear"
    spent = spent_at(log, allowance, hosts)
    if spent and allowance.passes:
        spent = spent_at(log.part(spent + 1, log.top), allowance, hosts)
    return "dead" if spent else "open"


def spent_at(log: TaskLog, allowance: Allowance, hosts: Hosts) -> int:
    """The attempt whose end spent the budget, or 0."""
    if not log.kinds or not _spent(log, allowance, hosts):
        return 0
    return next(k for k in sorted(log.kinds) if _spent(log.part(1, k), allowance, hosts))


def _spent(log: TaskLog, allowance: Allowance, hosts: Hosts) -> bool:
    budget, hurt = allowance.budget, log.count("failed") + log.count("dead") * allowance.dead_weight
    lost = log.lost()
    if (hurt and hurt >= budget.failed) or (lost and len(lost) >= budget.lost):
        return True
    return len(lost) >= budget.lost_hosts and hosts(lost) >= budget.lost_hosts


def allow(base: Budget, label: str, grants: Iterable[tuple[str | None, Budget]], *, passes: bool = False) -> Allowance:
    """The budget of a task after the grants that name it, or all tasks."""
    extra = [more for target, more in grants if target is None or target == label]
    budget = Budget(
        failed=base.failed + sum(more.failed for more in extra),
        lost_hosts=base.lost_hosts + sum(more.lost_hosts for more in extra),
        lost=base.lost + sum(more.lost for more in extra),
    )
    return Allowance(budget, base.failed, passes)


def backoff_exponent(log: TaskLog) -> int | None:
    """How often the waiting before the next attempt has doubled; None: no reason to wait."""
    hurt = log.count("failed") + max(0, len(log.lost()) - 1)
    return hurt - 1 if hurt else None
