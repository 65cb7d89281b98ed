"""A claim: one attempt at one task, held by this worker until it records the outcome."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from waterz_spool.errors import UsageError
from waterz_spool.records import FileRef
from waterz_spool.spool.disk.atomic import RECORD_CAP_BYTES
from waterz_spool.spool.disk.failpoints import hit
from waterz_spool.spool.disk.fileops import NO_FILE
from waterz_spool.spool.disk.machine import Identity
from waterz_spool.spool.disk.world import World
from waterz_spool.spool.job.attempt import Attempt
from waterz_spool.spool.job.jobs import Job
from waterz_spool.spool.log.formats import DamagedRecordError, EndRecord, SpoolSettings, VoidRecord, encode
from waterz_spool.spool.log.layout import FINAL, PREP, Outcome, Task, check_file_name, claim_name, end_name, label
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

    # ---- inputs

    def payload(self) -> bytes:
        """The segment's job as prepare published it.

        Raises:
            UsageError: This is no segment.
            OSError: It is not visible here yet.
        """
        if not isinstance(self.task, int):
            raise UsageError(f"{self.task} has no payload", where=self.job.id)
        data = self.job.segment(self.task)
        if data is None:
            raise FileNotFoundError(errno.ENOENT, "ready but not visible yet", str(self.job.path))
        return data

    def results(self) -> dict[int, EndRecord]:
        """For final: the outcome that counts of every segment, whose files may or may not be sound.

        Raises:
            OSError: Some are not visible here yet.
            DamagedRecordError: One is the outcome of something else.
        """
        snapshot = self.job.snapshot()
        ends = {index: self.job.log.end(index, snapshot.task(index).done) for index in snapshot.indexes}
        missing = [index for index, end in ends.items() if end is None or end.kind != "done"]
        if missing or not ends:
            raise FileNotFoundError(errno.ENOENT, f"segments {missing[:5]} not visible yet", str(self.job.path))
        found = {index: end for index, end in ends.items() if end is not None}
        for index, end in found.items():
            if (end.task, end.k) != (label(index), snapshot.task(index).done):
                raise DamagedRecordError(f"outcome of segment {index} is that of {end.task}.{end.k}", where=self.job.id)
        return found

    def checked_results(self) -> dict[int, EndRecord] | None:
        """As `results`, with every file read and compared with its recorded size and sha256.

        Returns:
            None when some were gone or damaged: these are recorded as void and will be made again, this claim has
            ended, and another attempt of final follows.
        """
        results = self.results()
        bad = {index: why for index, end in results.items() if (why := self._unsound(index, end))}
        if not bad:
            return results
        for index, why in bad.items():
            record = VoidRecord(w=self._holder.me.wid, n=self._holder.world.tokens(), why=why)
            self.job.log.put_void(index, results[index].k, record)
        self.released(f"void: {len(bad)} segments, first {label(min(bad))}: {bad[min(bad)]}")
        return None

    def _unsound(self, index: int, end: EndRecord) -> str:
        """Why an output does not hold what its outcome says, or "". An I/O error says nothing and is raised."""
        if self._forged(index, end.k):
            return "its outcome was recorded by another user than its claim"
        for ref in end.outs:
            path = self.job.layout.output_file(index, ref.file)
            try:
                if self.job.log.world.ops.digest(path) != (ref.bytes, ref.sha256):
                    return f"{ref.file} is damaged"
            except FileNotFoundError:
                if path.name in self.job.log.world.ops.listdir(path.parent):
                    raise  # there, but not visible yet
                return f"{ref.file} is gone"
            except OSError as error:
                if error.errno not in NO_FILE:
                    raise
                return f"{ref.file} is no file"
        return ""

    def _forged(self, index: int, attempt: int) -> bool:
        """Whether somebody recorded a segment as done that another user holds; the server shows both as it likes."""
        log = self.job.log
        by = log.world.ops.look(log.layout.log / end_name(index, attempt)).uid
        return by != os.geteuid() and by != log.world.ops.look(log.layout.log / claim_name(index, attempt)).uid

    def passing(self) -> bool:
        """For a segment: whether to let the source's pixels through, as its budget is spent and its job says so."""
        if self.attempt == 1 or self.job.file.on_dead != "passthrough":
            return False
        return self.job.snapshot().passing(self.task, self.attempt)

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

    def segment_input(self, index: int, stem: str, suffix: str) -> Path:
        """For prep: a path for an input of a segment, ``segments/00017/frames.<tag>.mkv``; its folder is made."""
        self.job.log.world.ops.mkdir(self.job.layout.segment(index))
        return self.job.layout.segment_file(index, f"{stem}.{self.tag}{suffix}")

    def sealed(self, path: Path) -> FileRef:
        """Make a complete file durable and describe it, for a record to name."""
        size, sha256 = self.job.log.world.ops.seal(path)
        return FileRef(file=check_file_name(path.name), bytes=size, sha256=sha256)

    def opened_input(self, ref: FileRef) -> Path:
        """For a segment: the path of an input that its payload names, content checked.

        Raises:
            DamagedRecordError: It is not what its record says.
        """
        assert isinstance(self.task, int)
        path = self.job.layout.segment_file(self.task, ref.file)
        if self.job.log.world.ops.digest(path) != (ref.bytes, ref.sha256):
            raise DamagedRecordError("a segment's input is damaged", where=str(path))
        return path

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
            passed: The output holds the source's own pixels, see `passing`.

        Returns:
            False when the attempt is not ours any more (or cannot be recorded now; the session tries again). Then
            nothing must be concluded from it, and the files must be left alone: the record may be there.

        Raises:
            JobFailedError: prep ends without a plan or with segments that it did not publish.
        """
        if self.task == PREP:
            self.job.check_prepared()
        refs = tuple(self.sealed(self._own(path)) for path in outs)
        if outs:
            self.job.log.world.ops.sync_folder(self.job.layout.outputs(self.task))
        hit("after_output", label(self.task))
        won = self._end("done", outs=refs, info=info, peak_mib=peak_mib, passed=passed)
        if won and self.task == FINAL:
            self._holder.commit(self.job, self.attempt)
        return won

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
