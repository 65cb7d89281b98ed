"""A claim: one attempt at one task, held by this worker until it records the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from waterz_spool.errors import UsageError
from waterz_spool.records import FileRef
from waterz_spool.spool.disk.atomic import RECORD_CAP_BYTES
from waterz_spool.spool.disk.failpoints import hit
from waterz_spool.spool.disk.machine import Identity
from waterz_spool.spool.disk.world import World
from waterz_spool.spool.job.attempt import Attempt
from waterz_spool.spool.job.jobs import Job
from waterz_spool.spool.log.formats import DamagedRecordError, EndRecord, SpoolSettings, encode
from waterz_spool.spool.log.layout import Outcome, Task, check_file_name, label
from waterz_spool.spool.worker.heartbeat import Heart

_ASK_S = 10.0


class Holder(Protocol):
    """What a claim needs of the worker that holds it."""

    me: Identity
    heart: Heart
    world: World
    settings: SpoolSettings

    def asked_to_stop(self, job: Job) -> str | None:
        """Whether people asked for it: ``cancelled``, ``paused``, or None."""
        ...

    def commit(self, job: Job, attempt: int) -> None:
        """Final is done: compete for the end of the job."""
        ...

    def conclude(self, claim: Claim, record: EndRecord) -> bool:
        """Record the outcome of a claim; whether it holds."""
        ...


class Claim:
    """One attempt. End it by `done`, `failed` or `released`; a worker that dies leaves that to others.

    What only prepare, a segment or final can do is with the claims of these roles.

    Attributes:
        job: The job.
        what: The attempt that is claimed.
        tag: Unique to this execution, in the names of all files it writes: what another execution wrote, or is
            still writing, cannot be reached under it.
        ended: Whether the outcome is recorded, by whomever, or on its way.
    """

    def __init__(self, holder: Holder, job: Job, what: Attempt, tag: str) -> None:
        self.job = job
        self.what = what
        self.tag = tag
        self.ended = False
        self._holder = holder
        self._epoch = holder.heart.epoch
        self._asked = float("-inf")
        self._answer: str | None = None
        self._began = holder.world.clock.monotonic()

    def __repr__(self) -> str:
        return f"Claim({self.what})"

    @property
    def task(self) -> Task:
        """``prep``, ``final``, or the index of a segment."""
        return self.what.task

    @property
    def attempt(self) -> int:
        """Its number, counted from 1."""
        return self.what.number

    # ---- outputs

    def output(self, suffix: str, *, stem: str | None = None) -> Path:
        """A path for an output that no other execution ever writes.

        It is ``segments/00017/out.<tag>.mkv`` or ``result/final.<tag>.mp4``. Create it anew, do not rename onto it.

        Args:
            suffix: With its dot.
            stem: Instead of ``out`` or the task's name.

        Raises:
            DamagedRecordError: A symlink stands in place of the folder, and would lead to somewhere else.
        """
        stem = stem or ("out" if isinstance(self.task, int) else self.task)
        folder = self.job.layout.outputs(self.task)
        if isinstance(self.task, int) and not self.job.log.world.ops.look(folder).folder:
            raise DamagedRecordError("not a folder", where=str(folder))
        return folder / check_file_name(f"{stem}.{self.tag}{suffix}")

    def sealed(self, path: Path) -> FileRef:
        """Make a complete file durable and describe it, for a record to name."""
        size, sha256 = self.job.log.world.ops.seal(path)
        return FileRef(file=check_file_name(path.name), bytes=size, sha256=sha256)

    # ---- while working

    def must_stop(self) -> str | None:
        """Whether to stop, asked between windows: ``fenced``, ``cancelled``, ``paused``, or None to go on.

        Cheap: the heartbeat's judgement at every call, a listing of two small folders once per beat at most, or
        every ten seconds where beats are rarer: a thousand workers may be asking.
        After any of these call `released`. Limit: None promises nothing; the outcome decides.
        """
        heart = self._holder.heart
        if heart.silent() or heart.epoch != self._epoch:
            return "fenced"
        now = self._holder.world.clock.monotonic()
        if now - self._asked >= min(_ASK_S, self._holder.settings.beat_s):
            self._asked, self._answer = now, self._holder.asked_to_stop(self.job)
        return self._answer

    def progress(self, fraction: float, step: str = "") -> None:
        """Report how much of which step is done, 0..1: shown by status, and proof that the worker does not hang."""
        job, task, attempt = self.what
        self._holder.heart.note(job=job, task=str(task), k=attempt, fraction=round(fraction, 4), step=step)

    # ---- the outcome

    def done(
        self, outs: Sequence[Path] = (), info: bytes = b"null", *, peak_mib: float = 0.0, passed: bool = False
    ) -> bool:
        """Record success: outputs are flushed and hashed, then the one outcome is linked. THE commit.

        It is tried even by a worker that was suspected meanwhile: the link decides.

        Args:
            outs: Complete files, at paths that `output` gave.
            info: JSON for whoever reads the outcome, at most 12 kB.
            peak_mib: Peak memory, for status.
            passed: The output of a segment holds the source's own pixels, see `SegmentClaim.passing`.

        Returns:
            False when the attempt is not ours any more (or cannot be recorded now; the session tries again). Then
            nothing must be concluded from it, and the files must be left alone: the record may be there.
        """
        refs = tuple(self.sealed(self._own(path)) for path in outs)
        if outs:
            self.job.log.world.ops.sync_folder(self.job.layout.outputs(self.task))
        hit("after_output", label(self.task))
        return self._end("done", outs=refs, info=info, peak_mib=peak_mib, passed=passed)

    def failed(self, why: str, *, rc: int = 1, retry: bool = True) -> bool:
        """Record a failure; costs one of the task's failures.

        Args:
            why: One line, shown by status.
            rc: Exit code that says what kind of failure.
            retry: False when no attempt can ever succeed (no overlay, unsupported input): a dead letter at once.
        """
        return self._end("failed" if retry else "dead", why=why, rc=rc)

    def released(self, why: str = "") -> bool:
        """Hand the task back; costs nothing. Works on a full disk (the reason is then lost)."""
        return self._end("released", why=why)

    def _end(
        self,
        kind: Outcome,
        *,
        why: str = "",
        rc: int = 0,
        outs: tuple[FileRef, ...] = (),
        info: bytes = b"null",
        peak_mib: float = 0.0,
        passed: bool = False,
    ) -> bool:
        holder = self._holder
        record = EndRecord(
            kind=kind,
            w=holder.me.wid,
            n=holder.world.tokens(),
            task=label(self.task),
            k=self.attempt,
            t=holder.heart.server_time,
            host=holder.me.host,
            why=why[:2000],
            rc=rc,
            seconds=round(holder.world.clock.monotonic() - self._began, 3),
            peak_mib=peak_mib,
            outs=outs,
            passed=passed,
            info=msgspec.Raw(info),
        )
        if len(encode(record)) > RECORD_CAP_BYTES:
            raise UsageError(f"an outcome of more than {RECORD_CAP_BYTES} bytes", where=self.job.id)
        return holder.conclude(self, record)

    def _own(self, path: Path) -> Path:
        if path.parent != self.job.layout.outputs(self.task) or f".{self.tag}" not in path.name:
            raise UsageError("an output must be written where `output` says", where=str(path))
        return path
