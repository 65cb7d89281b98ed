"""The invariants of a job's records, as one function for tests, storms and users.

It reads files, trusts no marker and no cache, and changes nothing. Limit: it sees the present only; that no name
ever changed is seen by comparing what names are links of, and what records say of one another.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import msgspec

from waterz_spool.errors import WaterzError
from waterz_spool.records import FileRef
from waterz_spool.spool.disk.atomic import PAYLOAD_CAP_BYTES, read_settled
from waterz_spool.spool.log.formats import EndRecord
from waterz_spool.spool.log.joblog import JobLog
from waterz_spool.spool.log.layout import FINAL, PREP, Task, claim_name, end_name, label, marker_name, ready_name
from waterz_spool.spool.log.snapshot import Snapshot
from waterz_spool.spool.log.states import TaskLog


class Violation(msgspec.Struct, frozen=True):
    """Something that must never be.

    ``code`` is the invariant: I1 one done per task, I2 final only after all segments, I3 one result, published as
    recorded, I4 bytes as recorded, I5 no lost task, I6 attempts in order, I7 records sound and markers true.
    """

    code: str
    task: str
    what: str

    def __str__(self) -> str:
        return f"{self.code} {self.task}: {self.what}"


Make = Callable[[], Snapshot]


def verify_job(log: JobLog, make_snapshot: Make, *, deep: bool = True) -> list[Violation]:
    """All violations of a job's invariants; an empty list is what the protocol promises.

    Args:
        log: Its records, not read before (what was read once would be trusted).
        make_snapshot: Takes a fresh look.
        deep: Read all outputs and compare them with their sha256; else their sizes only.
    """
    try:
        snapshot = make_snapshot()
        return list(_Verification(log, snapshot, deep).run())
    except (WaterzError, OSError) as error:
        return [Violation("I7", "job", str(error))]


class _Verification:
    def __init__(self, log: JobLog, snapshot: Snapshot, deep: bool) -> None:
        self.log = log
        self.ops = log.world.ops
        self.snapshot = snapshot
        self.view = snapshot.view
        self.deep = deep
        self.names = set(self.ops.listdir(log.layout.log))

    def run(self) -> Iterator[Violation]:
        for name in self.view.strange:
            yield Violation("I7", "job", f"unknown name in log/: {name!r}")
        for task, held in sorted(self.view.tasks.items(), key=lambda item: label(item[0])):
            yield from self._attempts(task, held)
        yield from self._plan()
        yield from self._final()
        yield from self._end()
        yield from self._alive()

    # ---- attempts

    def _attempts(self, task: Task, held: TaskLog) -> Iterator[Violation]:
        name = label(task)
        sound: list[int] = []
        for attempt in range(1, held.top + 1):
            if claim_name(task, attempt) not in self.names:
                yield Violation("I6", name, f"attempt {attempt} was never claimed, a later one or its outcome is there")
                continue
            kind = yield from self._outcome(task, attempt)
            if kind == "done" and attempt not in held.voids:
                sound.append(attempt)
            if attempt < held.top and (not kind or attempt in sound):
                yield Violation("I6", name, f"attempt {attempt + 1} exists, attempt {attempt} is {kind or 'open'}")
        if len(sound) > 1:
            yield Violation("I1", name, f"done more than once: attempts {sound}")
        for attempt in held.voids:
            if held.kinds.get(attempt) != "done":
                yield Violation("I7", name, f"attempt {attempt} is void without being done")

    def _outcome(self, task: Task, attempt: int) -> Generator[Violation, None, str]:
        """Check one attempt; returns the kind of its outcome, or "" while it has none."""
        name = label(task)
        yield from self._claim(task, attempt)
        if end_name(task, attempt) not in self.names:
            return ""
        end = self.log.end(task, attempt)
        if end is None:
            yield Violation("I7", name, f"outcome of attempt {attempt} is listed and cannot be opened")
            return ""
        if end.task and (end.task, end.k) != (name, attempt):
            yield Violation("I7", name, f"outcome of attempt {attempt} is that of {end.task}.{end.k}")
        if end.kind != "lost" and self._user(end_name(task, attempt)) != self._user(claim_name(task, attempt)):
            yield Violation("I7", name, f"outcome of attempt {attempt} was recorded by another user than its claim")
        yield from self._markers(task, attempt, end)
        if end.kind == "done" and attempt not in self.view.task(task).voids:
            for ref in end.outs:
                yield from self._file(task, self.log.layout.output_file(task, ref.file), ref)
        return end.kind

    def _user(self, name: str) -> int:
        return self.ops.look(self.log.layout.log / name).uid

    def _claim(self, task: Task, attempt: int) -> Iterator[Violation]:
        if self.log.owner(task, attempt) is None:
            yield Violation("I7", label(task), f"claim of attempt {attempt} is listed and cannot be opened")

    def _markers(self, task: Task, attempt: int, end: EndRecord) -> Iterator[Violation]:
        folder = self.log.layout.log
        truth = read_settled(self.ops, folder / end_name(task, attempt))
        for kind in ("done", "failed", "lost", "released", "dead"):
            marker = marker_name(task, attempt, kind)
            if marker in self.names and (kind != end.kind or read_settled(self.ops, folder / marker) != truth):
                yield Violation("I7", label(task), f"marker {marker} does not say what the outcome says")

    def _file(self, task: Task, path: Path, ref: FileRef) -> Iterator[Violation]:
        try:
            size, sha256 = self._measured(path, ref)
        except OSError as error:
            yield Violation("I4", label(task), f"{path.name} cannot be read: {error.strerror or error}")
            return
        if (size, sha256) != (ref.bytes, ref.sha256):
            yield Violation("I4", label(task), f"{path.name} is not what its record says")

    def _measured(self, path: Path, ref: FileRef) -> tuple[int, str]:
        try:
            return self.ops.digest(path) if self.deep else (self.ops.facts(path).bytes, ref.sha256)
        except FileNotFoundError:  # an absence remembered by this client (NFS, 30 s) is forgotten at a listing
            if path.name not in self.ops.listdir(path.parent):
                raise
            return self.ops.digest(path) if self.deep else (self.ops.facts(path).bytes, ref.sha256)

    # ---- the job

    def _plan(self) -> Iterator[Violation]:
        plan = self.log.plan() if self.view.planned else None
        if plan is not None:
            yield from self._file(PREP, self.log.layout.plan_file(plan.plan.file), plan.plan)
        beyond = [index for index in self.view.ready if plan is None or index >= plan.segments]
        if beyond:
            yield Violation("I6", "job", f"segments that no plan knows: {beyond[:5]}")
        early = [task for task in self.view.tasks if isinstance(task, int) and task not in self.view.ready]
        if early:
            yield Violation("I6", "job", f"segments claimed before they were ready: {early[:5]}")
        for index in sorted(self.view.ready):
            yield from self._segment_job(index)

    def _segment_job(self, index: int) -> Iterator[Violation]:
        ready = read_settled(self.ops, self.log.layout.log / ready_name(index), PAYLOAD_CAP_BYTES)
        shown = read_settled(self.ops, self.log.layout.segment_job(index), PAYLOAD_CAP_BYTES)
        if shown is not None and shown != ready:
            yield Violation("I7", label(index), "segments/ shows another job than the one in log/")

    def _final(self) -> Iterator[Violation]:
        if not self.view.task(FINAL).top:
            return
        never = [index for index in self.snapshot.indexes if "done" not in self.view.task(index).kinds.values()]
        if never or self.snapshot.segments is None:
            yield Violation("I2", FINAL, f"claimed although segments are not done: {never[:5]}")

    def _end(self) -> Iterator[Violation]:
        commit = self.log.commit() if self.view.committed else None
        published = self.log.published() if self.view.published else None
        done = self.view.task(FINAL).done
        if commit is not None and commit.kind == "publish" and commit.attempt != done:
            yield Violation("I3", FINAL, f"attempt {commit.attempt} is to be published, attempt {done} is done")
        if published is None:
            return
        if commit is None or commit.kind != "publish":
            yield Violation("I3", FINAL, "published without having been decided so")
        end = self.log.end(FINAL, done) if done else None
        ref = FileRef(file=Path(published.path).name, bytes=published.bytes, sha256=published.sha256)
        if end is None or (ref.bytes, ref.sha256) != (end.outs[0].bytes, end.outs[0].sha256):
            yield Violation("I3", FINAL, "what was published is not the result of final")
        for found in self._file(FINAL, Path(published.path), ref):
            yield Violation("I3", FINAL, f"published file: {found.what}")

    def _alive(self) -> Iterator[Violation]:
        """I5: it has ended, is dead, or somebody can go on."""
        snapshot = self.snapshot
        if snapshot.state() in ("done", "cancelled", "failed", "paused") or snapshot.control.cancel:
            return
        going = any(snapshot.running()) or any(snapshot.claimable()) or self.view.task(FINAL).done
        if not going:
            yield Violation("I5", "job", "not ended, and nothing can be claimed")
