"""The spool: a folder that jobs and workers share, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from waterz_spool.errors import SetupError, UsageError
from waterz_spool.spool.clean import Cleaned, Cleaner
from waterz_spool.spool.disk.atomic import UndecidedError, put_if_absent, read_settled
from waterz_spool.spool.disk.clock import Clock, SystemClock, Tokens, random_token
from waterz_spool.spool.disk.fileops import NO_LINKS, FileOps
from waterz_spool.spool.disk.machine import has_ended, pid_space
from waterz_spool.spool.disk.world import World
from waterz_spool.spool.hosts import Hosts
from waterz_spool.spool.job.jobs import Job
from waterz_spool.spool.job.submit import Submission, Submitter
from waterz_spool.spool.log.alive import silence_s
from waterz_spool.spool.log.control import ControlFolder
from waterz_spool.spool.log.formats import (
    FORMAT_VERSION,
    Beat,
    Budget,
    DamagedRecordError,
    SpoolFile,
    SpoolSettings,
    WorkerRecord,
    decode,
    decode_spool_file,
    encode,
)
from waterz_spool.spool.log.layout import JOB_ID, WORKER_ID, SpoolLayout
from waterz_spool.spool.mount.verdict import newest_verdict, settings_after

_SKEW_S = 60.0  # by which clocks of two machines may disagree


class Spool:
    """A spool that exists; made by `Spool.create` or `Spool.open`.

    Attributes:
        root: Its folder.
        layout: Where things lie in it.
        settings: What all its workers agree on.
        world: Files, time and names: the seam for fault injection.
        ctl: Spool-wide pause and resume.
        hosts: Hosts that claim nothing.
    """

    def __init__(self, root: Path, file: SpoolFile, world: World) -> None:
        self.root = root
        self.layout = SpoolLayout(root)
        self.uuid = file.uuid
        self.settings = file.settings
        self.world = world
        self.ctl = ControlFolder(self.layout.ctl, world)
        self.hosts = Hosts(self.layout, world)
        self._jobs: dict[str, Job] = {}

    def __repr__(self) -> str:
        return f"Spool({str(self.root)!r})"

    @classmethod
    def create(
        cls,
        root: Path | str,
        settings: SpoolSettings | None = None,
        *,
        ops: FileOps | None = None,
        clock: Clock | None = None,
        tokens: Tokens = random_token,
    ) -> Spool:
        """The spool in this folder, made if it is not there yet; the first one to make it decides the settings.

        Raises:
            OSError: It cannot be made there.
            SetupError: The file system has no hard links, or was found unsafe.
        """
        layout = SpoolLayout(Path(root).absolute())
        ops = ops or FileOps()
        ops.make_parents(layout.root)
        for folder in layout.folders:
            ops.mkdir(folder)
        if layout.spool_file.name not in ops.listdir(layout.root):
            record = SpoolFile(version=FORMAT_VERSION, uuid=tokens(), settings=settings or SpoolSettings())
            _put_first(ops, layout.spool_file, encode(record), tokens())
        return cls.open(layout.root, ops=ops, clock=clock, tokens=tokens)

    @classmethod
    def open(
        cls,
        root: Path | str,
        *,
        ops: FileOps | None = None,
        clock: Clock | None = None,
        tokens: Tokens = random_token,
    ) -> Spool:
        """The spool in this folder.

        Raises:
            SetupError: It is none, is damaged, of another format version, or on a file system found unsafe.
        """
        layout, ops = SpoolLayout(Path(root).absolute()), ops or FileOps()
        data = read_settled(ops, layout.spool_file)
        if data is None:
            raise SetupError(
                "not a spool: no spool.json",
                where=str(root),
                todo=f"check the name; waterz-spool init {root} makes one",
            )
        file = decode_spool_file(data, layout.spool_file)
        settings = settings_after(file.settings, newest_verdict(ops, layout), layout.root)
        return cls(layout.root, replace(file, settings=settings), World(ops, clock or SystemClock(), tokens))

    @classmethod
    def around(cls, job: Job) -> Spool:
        """The spool that a job lies in, opened as that was.

        Raises:
            SetupError: See `open`.
        """
        world = job.world
        return cls.open(job.path.parent.parent, ops=world.ops, clock=world.clock, tokens=world.tokens)

    @property
    def inbox(self) -> Path:
        """Where people put videos."""
        return self.layout.inbox

    @property
    def outbox(self) -> Path:
        """Where results of the inbox appear."""
        return self.layout.outbox

    def submit(
        self,
        request: bytes,
        *,
        source: Path,
        name: str = "",
        job_id: str,
        budget: Budget | None = None,
        on_dead: Literal["fail", "passthrough"] = "fail",
        attachments: Mapping[str, Path] | None = None,
    ) -> Job:
        """A new job, whole or not at all, with its source pinned.

        Args:
            request: What the user asked, JSON, opaque to the spool, at most 256 KiB.
            source: The video; hard-linked into the job, else reflinked, else copied, and hashed.
            name: Its name for people; that of the source by default.
            job_id: Its id; when such a job exists, it is returned and nothing is done.
            budget: How often a task may fail or be lost.
            on_dead: What becomes of a segment whose budget is spent: the job fails, or the segment passes through
                with the source's own pixels.
            attachments: Further files to pin beside the source, by the name they get.

        Raises:
            InputError: The source cannot be read or is changing.
            UsageError: The id or request is not acceptable.
        """
        asked = Submission(
            request=request,
            source=Path(source).resolve(),
            name=name or Path(source).name,
            job_id=job_id,
            budget=budget or Budget(),
            on_dead=on_dead,
            attachments=dict(attachments or {}),
        )
        return self.by_id(Submitter(self.layout, self.world).submit(asked))

    def by_id(self, job_id: str) -> Job:
        """The job with this exact id; whether it exists shows when it is used."""
        if JOB_ID.fullmatch(job_id) is None:
            raise UsageError(f"not a job id: {job_id!r}")
        job = self._jobs.get(job_id)
        if job is None:
            job = self._jobs[job_id] = Job(self.layout.job(job_id), self.world)
        return job

    def forget(self, job_id: str) -> None:
        """Keep nothing in memory of a job that is over; `by_id` reads it anew."""
        self._jobs.pop(job_id, None)

    def job(self, ref: str) -> Job:
        """The job that an id, a unique prefix of one, or "last" names.

        Raises:
            UsageError: None or several.
        """
        ids = self.job_ids()
        if ref in ids:
            return self.by_id(ref)
        if ref == "last" and ids:
            return max(map(self.by_id, ids), key=lambda job: (job.file.submitted, job.id))
        found = [job_id for job_id in ids if job_id.startswith(ref)] if ref else []
        if len(found) == 1:
            return self.by_id(found[0])
        if found:
            names = ", ".join(found[:8]) + (", .." if found[8:] else "")
            raise UsageError(f"{ref!r} names several jobs: {names}", where=str(self.root), todo="type more of the id")
        known = ", ".join(ids[-8:]) or "none"
        raise UsageError(f"no job {ref!r}", where=str(self.root), todo=f"jobs here: {known}")

    def job_ids(self) -> list[str]:
        """Ids of all jobs, sorted."""
        return sorted(name for name in self.world.ops.listdir(self.layout.jobs) if JOB_ID.fullmatch(name))

    def jobs(self) -> list[Job]:
        """All jobs, by id."""
        return [self.by_id(job_id) for job_id in self.job_ids()]

    def pause(self, why: str = "") -> None:
        """Ask all workers to hand back and claim nothing; advisory."""
        self.ctl.append("pause", why)

    def resume(self, why: str = "") -> None:
        """Undo pause."""
        self.ctl.append("resume", why)

    @property
    def paused(self) -> bool:
        """Whether the spool is paused, as far as a listing shows."""
        return self.ctl.scan().paused

    def clean(
        self,
        *,
        older_than_s: float = 7 * 86400.0,
        states: Iterable[str] = ("done", "cancelled"),
        jobs: Iterable[str] | None = None,
        dry_run: bool = True,
    ) -> list[Cleaned]:
        """What would go, or (not a dry run) has gone: ended jobs, and what dead submits and workers left.

        Args:
            older_than_s: Since the job's last record.
            states: Of ``done`` (and published), ``cancelled``, ``failed``.
            jobs: Only these job ids, and nothing but jobs; None is everything.
            dry_run: Only say what would go.
        """
        cleaner = Cleaner(self.layout, self.world, self.settings, older_than_s=older_than_s, states=states, jobs=jobs)
        return cleaner.run(dry_run=dry_run)

    def workers(self) -> list[tuple[WorkerRecord, Beat | None]]:
        """Workers that have not left cleanly, with their last heartbeat; some may be dead."""
        found = []
        for name in sorted(self.world.ops.listdir(self.layout.workers)):
            if name.endswith(".hb"):
                record = self.worker(name.removesuffix(".hb"))
                if record is not None:
                    found.append((record, self.beat(record.w)))
        return found

    def complaints(self) -> list[tuple[str, Beat]]:
        """Workers whose last heartbeat says that something keeps them from their work; some may be dead."""
        found = []
        for name in sorted(self.world.ops.listdir(self.layout.workers)):
            wid, _, ending = name.partition(".")
            if ending == "hb" and WORKER_ID.fullmatch(wid):
                with contextlib.suppress(DamagedRecordError):  # read while it was written, or not ours
                    beat = self.beat(wid)
                    if beat is not None and beat.trouble:
                        found.append((wid, beat))
        return found

    def worker(self, wid: str) -> WorkerRecord | None:
        """Who a worker is, or None when that is not known (any more)."""
        path = self.layout.worker_record(wid)
        data = self.world.read(path)
        return None if data is None else decode(data, WorkerRecord, path)

    def silence_s(self, wid: str) -> float:
        """Age of a worker's last heartbeat in seconds; infinite when it has none or its process is known to be gone.

        Raises:
            OSError: It cannot be told now.
            DamagedRecordError: Its record is damaged.
        """
        record = self.worker(wid)
        if record is not None and has_ended(record.pid, record.boot, record.info.get("pids", pid_space())):
            return float("inf")
        return silence_s(self.world, self.layout, wid)

    def lives(self, wid: str) -> bool:
        """Whether a worker shows signs of life, for people to read: a heartbeat of the last three leases or so."""
        with contextlib.suppress(OSError, DamagedRecordError):
            return self.silence_s(wid) < 3 * self.settings.lease_s + _SKEW_S
        return False

    def beat(self, wid: str) -> Beat | None:
        """A worker's last heartbeat; None when it left cleanly or never had one."""
        data = self.world.read(self.layout.heartbeat(wid))
        return decode(data, Beat, self.layout.heartbeat(wid)) if data else None


def _put_first(ops: FileOps, path: Path, data: bytes, nonce: str) -> None:
    """The first record of a spool: here it shows whether the file system has hard links."""
    try:
        put_if_absent(ops, path, data, nonce)
    except OSError as error:
        if error.errno not in NO_LINKS or not isinstance(error, UndecidedError):
            raise
        raise SetupError(
            f"no spool can be here: the file system has no hard links ({error.strerror})",
            where=str(path.parent),
            todo="use another folder: NFS, Lustre and local disks have them; `waterz-spool doctor` checks it",
        ) from error
