"""A job as its submitter, its workers and its reader see it; everything it knows lies in its folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from waterz_spool.errors import InputError, JobFailedError, UsageError
from waterz_spool.records import FileRef
from waterz_spool.spool.disk.atomic import PAYLOAD_CAP_BYTES, PLAN_CAP_BYTES
from waterz_spool.spool.disk.failpoints import hit
from waterz_spool.spool.disk.world import World
from waterz_spool.spool.log.control import ControlFolder
from waterz_spool.spool.log.formats import (
    Budget,
    CommitRecord,
    DamagedRecordError,
    JobFile,
    PlanRecord,
    PublishedRecord,
    SourceRef,
    Token,
    decode,
)
from waterz_spool.spool.log.joblog import JobLog
from waterz_spool.spool.log.layout import MAX_SEGMENTS, PLAN_NAME, JobLayout, Task, label, ready_name
from waterz_spool.spool.log.snapshot import JobState, Snapshot

if TYPE_CHECKING:
    from waterz_spool.spool.job.verify import Violation


class Job:
    """One video's run.

    Attributes:
        id: Its id, also the name of its folder.
        layout: Where its files lie.
        log: Its records, for the other parts of the spool.
        control: What people asked of it.
        world: Files, time and names.
    """

    def __init__(self, layout: JobLayout, world: World) -> None:
        self.id = layout.job_id
        self.layout = layout
        self.log = JobLog(layout, world)
        self.control = ControlFolder(layout.control, world)
        self.world = world
        self._ops = world.ops
        self._file: JobFile | None = None
        self._ready: set[int] = set()  # segments known to be published
        self._seen: dict[str, tuple[int, int]] = {}

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.layout.root

    @property
    def file(self) -> JobFile:
        """What was asked, immutable.

        Raises:
            UsageError: There is no such job.
            DamagedRecordError: job.json is damaged, or is another job's.
        """
        if self._file is None:
            path = self.layout.job_file
            data = self.world.read(path, PAYLOAD_CAP_BYTES * 2)
            if data is None:
                raise UsageError("no such job", where=str(self.path))
            record = decode(data, JobFile, path)
            if record.id != self.id:
                raise DamagedRecordError(f"job.json is that of {record.id!r}", where=str(path))
            self._check_folders()
            self._file = record
        return self._file

    def _check_folders(self) -> None:
        """A symlink in place of a folder would lead what is written into this job to somewhere else."""
        for folder in self.layout.folders:
            with contextlib.suppress(FileNotFoundError):
                if not self._ops.look(folder).folder:
                    raise DamagedRecordError("not a folder", where=str(folder), todo="run `waterz-spool verify`")

    @property
    def name(self) -> str:
        """The source's own name, for people."""
        return self.file.name

    def owner(self) -> int:
        """The user whose job it is, as the file system shows it.

        Raises:
            OSError: There is no such job, or it cannot be told now.
        """
        return self._ops.look(self.layout.job_file).uid

    def claimant(self, task: Task, attempt: int) -> Token | None:
        """Which worker claimed an attempt that is known to be claimed; None while that is not visible here.

        Raises:
            OSError: It cannot be read now.
        """
        return self.log.owner(task, attempt)

    def logs(self, cap_bytes: int) -> Iterator[tuple[str, bytes | None]]:
        """Names and contents of what workers wrote about it, sorted; None where that is no file of at most so much."""
        with contextlib.suppress(FileNotFoundError):
            for name in sorted(self._ops.listdir(self.layout.logs)):
                if name.endswith(".txt"):
                    yield name, self._log_of(name, cap_bytes)

    def _log_of(self, name: str, cap_bytes: int) -> bytes | None:
        with contextlib.suppress(OSError):
            return self._ops.read(self.layout.logs / name, cap_bytes)
        return None

    def request(self) -> bytes:
        """The request as submitted, JSON."""
        return msgspec.json.format(bytes(self.file.request), indent=-1)

    def source(self) -> Path:
        """The pinned source, as it was at submit.

        Size and time are compared; when only the time differs (a touch, another file system's granularity), the
        content is.

        Raises:
            InputError: It has changed or is gone.
        """
        return self._checked(self.file.source)

    def attachment(self, name: str) -> Path:
        """A file that was pinned beside the source, as it was at submit.

        Raises:
            InputError: It has changed or is gone.
            UsageError: The job has none of that name.
        """
        for pinned in self.file.attachments:
            if pinned.file == name:
                return self._checked(pinned)
        raise UsageError(f"the job has no attachment {name!r}", where=self.id)

    def _checked(self, pinned: SourceRef) -> Path:
        path = self.layout.source / pinned.file
        try:
            facts = self._ops.facts(path)
            if facts != self._seen.get(pinned.file):
                fresh = facts.mtime_ns == pinned.mtime_ns or self._ops.digest(path)[1] == pinned.sha256
                if facts.bytes != pinned.bytes or not fresh:
                    raise InputError(
                        "the source changed after submit", where=str(path), todo="submit it again as a new job"
                    )
                self._seen[pinned.file] = facts
        except FileNotFoundError as error:
            raise InputError("the pinned source is gone", where=str(path)) from error
        return path

    # ---- prepare

    def put_plan(self, payload: bytes, segments: int) -> bytes:
        """Decide the plan; the first one wins and is returned, whoever wrote it.

        The plan must hold before the first segment is published, while prepare still runs: so it is decided by
        put-if-absent, not by the outcome of prepare. A second attempt of prepare continues with the first one's
        plan. ``log/plan.0`` names the file (every attempt writes its own) with its sha256; ``plan.json`` is a link
        for people that nothing reads.

        Args:
            payload: The plan, JSON.
            segments: How many segments it has.

        Returns:
            The plan that holds.
        """
        if not 0 < segments <= MAX_SEGMENTS:
            raise UsageError(f"{segments} segments, possible are 1 to {MAX_SEGMENTS}", where=self.id)
        held = self.plan()
        if held is not None:
            return held
        nonce = self.world.tokens()
        path = self.layout.root / f"plan.{nonce}.json"
        self._ops.write_new(path, payload)
        size, sha256 = self._ops.digest(path)
        record = PlanRecord(segments=segments, plan=FileRef(file=path.name, bytes=size, sha256=sha256), n=nonce)
        won = self.log.put_plan(record)
        hit("plan_decided")
        held = payload if won else self.plan()
        if held is None:
            raise FileNotFoundError(f"{PLAN_NAME} is taken but not visible yet")
        with contextlib.suppress(OSError):
            self._ops.link(self.layout.plan_file(self._plan_record().plan.file), self.layout.plan_link)
        return held

    def plan(self) -> bytes | None:
        """The plan that holds, its content checked, or None while there is none (as far as a listing shows).

        Raises:
            DamagedRecordError: The file is gone or not what its record says.
        """
        if PLAN_NAME not in self._ops.listdir(self.layout.log):
            return None
        ref = self._plan_record().plan
        path = self.layout.plan_file(ref.file)
        data = self.world.read(path, PLAN_CAP_BYTES)
        if data is None or self._ops.digest(path) != (ref.bytes, ref.sha256):
            raise DamagedRecordError("the plan is gone or damaged", where=str(path))
        return data

    def _plan_record(self) -> PlanRecord:
        record = self.log.plan()
        if record is None:
            raise FileNotFoundError(f"{PLAN_NAME} is listed but not visible yet")
        return record

    def put_segment(self, index: int, payload: bytes) -> None:
        """Make a segment ready: its inputs are complete and durable, and this says all about them.

        The first payload wins; a second is dropped. The segment's folder gets the same bytes as ``job.json``.
        """
        if len(payload) > PAYLOAD_CAP_BYTES:
            raise UsageError(f"segment job of {len(payload)} bytes, at most {PAYLOAD_CAP_BYTES}", where=self.id)
        self._ops.mkdir(self.layout.segment(index))
        self.log.put(ready_name(index), payload)
        with contextlib.suppress(OSError):
            self._ops.link(self.layout.log / ready_name(index), self.layout.segment_job(index))
        self._ready.add(index)
        hit("segment_published", label(index))

    def segment(self, index: int) -> bytes | None:
        """The job of a segment, or None while it is not ready (as far as can be seen)."""
        data = self.log.payload(index)
        if data is None and ready_name(index) in self._ops.listdir(self.layout.log):
            data = self.log.payload(index)
        if data is not None:
            self._ready.add(index)
        return data

    def check_prepared(self) -> None:
        """That prepare has done all it must: a plan, and every segment of it published.

        What this object did or read itself counts as well as what a listing shows, which may be late.

        Raises:
            JobFailedError: It has not.
        """
        view = self.log.scan()
        plan = self.log.plan()
        if plan is None:
            raise JobFailedError("prepare ended without a plan", where=self.id)
        missing = [index for index in range(plan.segments) if index not in view.ready and index not in self._ready]
        if missing:
            raise JobFailedError(f"prepare left out segments {missing[:5]}", where=self.id)

    # ---- looking

    def snapshot(self, *, repair: bool = False) -> Snapshot:
        """One look at the records; see `Snapshot`."""
        file = self.file
        return Snapshot(self.log, self.control, file.budget, passes=file.on_dead == "passthrough", repair=repair)

    def state(self) -> JobState:
        """Where the job stands: one listing of log/, one of control/, and what those make necessary to read."""
        return self.snapshot().job_state(self.id)

    # ---- control

    def pause(self, why: str = "") -> None:
        """Ask workers to hand back and claim nothing; advisory, takes effect between windows."""
        self.control.append("pause", why)

    def resume(self, why: str = "") -> None:
        """Undo pause."""
        self.control.append("resume", why)

    def cancel(self, why: str = "") -> bool:
        """End the job without a result, unless its result is already decided.

        Returns:
            False when publishing won: cancelled and published can never both happen.
        """
        self.control.append("cancel", why)
        return self.decide("cancelled", why=why).kind == "cancelled"

    def committed(self) -> Literal["", "publish", "cancelled"]:
        """How the job ends: "publish", "cancelled", or "" while undecided."""
        view = self.log.scan()
        record = self.log.commit() if view.committed else None
        return record.kind if record else ""

    def decide(self, kind: Literal["publish", "cancelled"], *, attempt: int = 0, why: str = "") -> CommitRecord:
        """Compete for the one end of the job; what is returned holds for ever."""
        return self.log.put_commit(CommitRecord(kind=kind, n=self.world.tokens(), attempt=attempt, why=why))

    def retry(self, task: Task | None = None) -> None:
        """Grant a task, or all, another budget like the first; nothing is deleted.

        Raises:
            JobFailedError: The job has ended for good.
        """
        ended = self.committed()
        if ended:
            raise JobFailedError(f"the job has ended: {ended}", where=self.id, todo="submit it again")
        base = self.file.budget
        extra = Budget(failed=base.failed, lost_hosts=base.lost_hosts, lost=base.lost)
        self.control.grant(None if task is None else label(task), extra)

    # ---- the end

    def publish(self, target: Path, *, overwrite: bool = False, mode: int | None = None) -> Path:
        """Let the result of final appear under the name the user asked for; may be run again by anyone.

        Args:
            target: A file name in a folder that exists.
            overwrite: Replace a different file of that name; else the result becomes ``name (2).ext``.
            mode: Permissions of the result where it is the caller's own file; None: as in the spool.

        Returns:
            Where it is.

        Raises:
            JobFailedError: final is not done, or the job was cancelled.
            VerificationError: The result or its copy is not what final recorded; nothing was published.
            UsageError: The target is the pinned source, or its folder does not exist.
        """
        from waterz_spool.spool.job.publish import Publisher

        target = Path(target).absolute()
        publisher = Publisher(self.log)
        return publisher.publish(target, self.layout.source / self.file.source.file, overwrite=overwrite, mode=mode)

    def published(self) -> PublishedRecord | None:
        """Where the result was first published, or None while it is not (as far as a listing shows)."""
        return self.log.published() if self.log.scan().published else None

    def verify(self, *, deep: bool = True) -> list[Violation]:
        """All violations of the invariants, from a fresh reading of all records; changes nothing.

        Args:
            deep: Read all outputs and the published result and compare sha256; else sizes only.
        """
        from waterz_spool.spool.job.verify import verify_job

        fresh = Job(self.layout, self.world)
        return verify_job(fresh.log, fresh.snapshot, deep=deep)
