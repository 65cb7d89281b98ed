"""Reading and writing log/ of one job: append-only records, one fact each.

Guarantee: no method changes or removes a record; each put either wins its name or leaves it to its holder. Limit:
what was read is true for ever, what was not seen may exist all the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from waterz_spool.spool.disk.atomic import PAYLOAD_CAP_BYTES, link_if_absent, settle_folder
from waterz_spool.spool.disk.failpoints import hit
from waterz_spool.spool.disk.world import World
from waterz_spool.spool.log.formats import (
    CommitRecord,
    EndRecord,
    PlanRecord,
    PublishedRecord,
    Token,
    VoidRecord,
    decode,
    encode,
)
from waterz_spool.spool.log.layout import (
    COMMIT_NAME,
    PLAN_NAME,
    PREP,
    PUBLISHED_NAME,
    JobLayout,
    Outcome,
    Task,
    claim_name,
    end_name,
    label,
    marker_name,
    ready_name,
)
from waterz_spool.spool.log.states import LogView, parse_log

T = TypeVar("T")


class JobLog:
    """The records of one job. What was read once is kept: records never change."""

    def __init__(self, layout: JobLayout, world: World) -> None:
        self.layout = layout
        self.world = world
        self._ends: dict[tuple[Task, int], EndRecord] = {}
        self._owners: dict[tuple[Task, int], Token] = {}
        self._times: dict[tuple[Task, int], float] = {}
        self._commit: CommitRecord | None = None
        self._plan: PlanRecord | None = None

    # ---- reading

    def scan(self, *, repair: bool = False) -> LogView:
        """One listing of log/, and one read for each outcome that has no marker yet.

        Args:
            repair: Add markers that were missing at an earlier scan, too, so that nobody has to read those outcomes
                again. At the first sight their writers are most likely about to add them.
        """
        view = parse_log(self.world.ops.listdir(self.layout.log))
        for task, attempt in list(view.unknown()):
            again = (task, attempt) in self._ends
            end = self.end(task, attempt)
            if end is None:
                continue  # listed but not visible yet: stays unknown, nobody claims on it
            view.task(task).kinds[attempt] = end.kind
            if repair and again:
                self.mark(task, attempt, end.kind)
        return view

    def end(self, task: Task, attempt: int) -> EndRecord | None:
        """The outcome of an attempt that is known to have ended."""
        key = (task, attempt)
        if key not in self._ends:
            end = self._read(self.layout.log / end_name(task, attempt), EndRecord)
            if end is None:
                return None
            self._ends[key] = end
        return self._ends[key]

    def ended_at(self, task: Task, attempt: int) -> float | None:
        """When an outcome was written, in seconds of the server's clock; None while it is not visible. Display only."""
        key = (task, attempt)
        if key not in self._times:
            with contextlib.suppress(OSError):
                self._times[key] = self._when(end_name(task, attempt))
        return self._times.get(key)

    def times(self) -> tuple[float | None, float | None]:
        """When the first task was claimed and when the result was published, in seconds of the server's clock."""
        found: list[float | None] = []
        for name in (claim_name(PREP, 1), PUBLISHED_NAME):
            try:
                found.append(self._when(name))
            except OSError:
                found.append(None)
        return found[0], found[1]

    def span_s(self) -> float | None:
        """Seconds of the server's clock from the first claim to publication; None where that cannot be told."""
        began, ended = self.times()
        return None if began is None or ended is None else max(0.0, round(ended - began, 1))

    def _when(self, name: str) -> float:
        return self.world.ops.look(self.layout.log / name).mtime_s

    def owner(self, task: Task, attempt: int) -> Token | None:
        """Who claimed an attempt that is known to be claimed."""
        key = (task, attempt)
        if key not in self._owners:
            token = self._read(self.layout.log / claim_name(task, attempt), Token)
            if token is None:
                return None
            self._owners[key] = token
        return self._owners[key]

    def plan(self) -> PlanRecord | None:
        """Which plan holds; ask when it is known to be decided."""
        self._plan = self._plan or self._read(self.layout.log / PLAN_NAME, PlanRecord)
        return self._plan

    def commit(self) -> CommitRecord | None:
        """How the job ends; ask when it is known to be decided."""
        self._commit = self._commit or self._read(self.layout.log / COMMIT_NAME, CommitRecord)
        return self._commit

    def published(self) -> PublishedRecord | None:
        """Where the result went first; ask when it is known to be published."""
        return self._read(self.layout.log / PUBLISHED_NAME, PublishedRecord)

    def payload(self, index: int) -> bytes | None:
        """The job of a segment that is known to be ready."""
        return self.world.read(self.layout.log / ready_name(index), PAYLOAD_CAP_BYTES)

    def _read(self, path: Path, kind: type[T]) -> T | None:
        data = self.world.read(path)
        return None if data is None else decode(data, kind, path)

    # ---- writing

    def put(self, name: str, data: bytes) -> bool:
        """Put a record into log/ unless its name is taken; see `World.put`."""
        return self.world.put(self.layout.log / name, data)

    def put_plan(self, record: PlanRecord) -> bool:
        """Decide which plan holds; False when another does."""
        won = self.put(PLAN_NAME, encode(record))
        if won:
            self._plan = record
        return won

    def put_end(self, task: Task, attempt: int, record: EndRecord) -> bool:
        """Record the outcome of an attempt: THE commit. Exactly one outcome can ever exist.

        Returns:
            False when the attempt has another outcome: the caller was fenced.

        Raises:
            OSError: It could not be written; UndecidedError: it may be there.
        """
        temp = self.layout.log / f".t.{self.world.tokens()}"
        data = encode(record)
        certain = False
        try:
            self.world.ops.write_new(temp, data)
            hit("before_end", label(task))
            certain = self._linked(temp, self.layout.log / end_name(task, attempt))
            if not certain:
                return self.link_end(temp, data, task, attempt, record.kind)
        finally:
            if not certain:
                self._remove(temp)
        self._follow(task, lambda: self._become_marker(temp, task, attempt, record.kind))
        return True

    def link_end(self, written: Path, data: bytes, task: Task, attempt: int, kind: Outcome) -> bool:
        """As `put_end`, with an outcome that was written before: works where no byte can be written any more."""
        won = link_if_absent(self.world.ops, written, self.layout.log / end_name(task, attempt), data)
        if won:
            self._follow(task, lambda: self.mark(task, attempt, kind))
        return won

    def _linked(self, source: Path, target: Path) -> bool:
        """Whether the link was made for certain: only success is definite."""
        try:
            self.world.ops.link(source, target)
        except OSError:
            return False
        return True

    def _follow(self, task: Task, mark: Callable[[], None]) -> None:
        """What follows an outcome. Its marker at once: whoever lists the outcome without it has to read."""
        hit("after_end", label(task))
        mark()
        hit("after_marker", label(task))
        settle_folder(self.world.ops, self.layout.log)

    def _become_marker(self, written: Path, task: Task, attempt: int, kind: Outcome) -> None:
        """Add the marker by a rename of the outcome's temporary name, which saves a call.

        RACE: whoever repairs may have added it meanwhile. Then both names are the same file, as the outcome was
        linked from this very one, and a rename leaves both: the temporary name goes with the job.
        """
        try:
            self.world.ops.rename(written, self.layout.log / marker_name(task, attempt, kind))
        except OSError:
            self._remove(written)

    def _remove(self, temp: Path) -> None:
        with contextlib.suppress(OSError):
            self.world.ops.unlink(temp)

    def mark(self, task: Task, attempt: int, kind: Outcome) -> None:
        """Add the readable marker of an outcome; derived, so a failure is left to the next one who looks."""
        with contextlib.suppress(OSError):
            self.world.ops.link(
                self.layout.log / end_name(task, attempt), self.layout.log / marker_name(task, attempt, kind)
            )

    def put_void(self, task: Task, attempt: int, record: VoidRecord) -> bool:
        """Say that the output of a done attempt is broken; the attempt then counts as lost."""
        return self.put(marker_name(task, attempt, "void"), encode(record))

    def put_commit(self, record: CommitRecord) -> CommitRecord:
        """Decide how the job ends, or learn how it was decided: publish and cancel compete for one name.

        Raises:
            OSError: It could not be decided or read now.
        """
        hit("before_commit")
        if self.put(COMMIT_NAME, encode(record)):
            hit("after_commit")
            self._commit = record
            return record
        decided = self.commit()
        if decided is None:
            raise FileNotFoundError(f"{COMMIT_NAME} is taken but not visible yet")
        return decided
