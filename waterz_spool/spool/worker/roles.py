"""Claims by role: what a worker can do with prepare, with a segment, with final."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from waterz_spool.records import FileRef
from waterz_spool.spool.disk.fileops import NO_FILE
from waterz_spool.spool.job.attempt import Attempt
from waterz_spool.spool.job.jobs import Job
from waterz_spool.spool.log.formats import DamagedRecordError, EndRecord, VoidRecord
from waterz_spool.spool.log.layout import FINAL, PREP, claim_name, end_name, label
from waterz_spool.spool.worker.claims import Claim, Holder


class PrepClaim(Claim):
    """An attempt to prepare a job."""

    def segment_input(self, index: int, stem: str, suffix: str) -> Path:
        """A path for an input of a segment, ``segments/00017/frames.<tag>.mkv``; its folder is made."""
        self.job.log.world.ops.mkdir(self.job.layout.segment(index))
        return self.job.layout.segment_file(index, f"{stem}.{self.tag}{suffix}")

    def done(
        self, outs: Sequence[Path] = (), info: bytes = b"null", *, peak_mib: float = 0.0, passed: bool = False
    ) -> bool:
        """As `Claim.done`.

        Raises:
            JobFailedError: There is no plan, or segments of it were not published.
        """
        self.job.check_prepared()
        return super().done(outs, info, peak_mib=peak_mib, passed=passed)


class SegmentClaim(Claim):
    """An attempt at a segment."""

    @property
    def index(self) -> int:
        """Which segment."""
        assert isinstance(self.task, int)
        return self.task

    def payload(self) -> bytes:
        """The segment's job as prepare published it.

        Raises:
            OSError: It is not visible here yet.
        """
        data = self.job.segment(self.index)
        if data is None:
            raise FileNotFoundError(errno.ENOENT, "ready but not visible yet", str(self.job.path))
        return data

    def opened_input(self, ref: FileRef) -> Path:
        """The path of an input that its payload names, content checked.

        Raises:
            DamagedRecordError: It is not what its record says.
        """
        path = self.job.layout.segment_file(self.index, ref.file)
        if self.job.log.world.ops.digest(path) != (ref.bytes, ref.sha256):
            raise DamagedRecordError("a segment's input is damaged", where=str(path))
        return path

    def passing(self) -> bool:
        """Whether to let the source's pixels through, as its budget is spent and its job says so."""
        if self.attempt == 1 or self.job.file.on_dead != "passthrough":
            return False
        return self.job.snapshot().passing(self.task, self.attempt)


class FinalClaim(Claim):
    """An attempt to join the segments."""

    def results(self) -> dict[int, EndRecord]:
        """The outcome that counts of every segment, whose files may or may not be sound.

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

    def done(
        self, outs: Sequence[Path] = (), info: bytes = b"null", *, peak_mib: float = 0.0, passed: bool = False
    ) -> bool:
        """As `Claim.done`; then the job competes for its end."""
        won = super().done(outs, info, peak_mib=peak_mib, passed=passed)
        if won:
            self._holder.commit(self.job, self.attempt)
        return won


def claim_of(holder: Holder, job: Job, what: Attempt, tag: str) -> Claim:
    """The claim of an attempt that the holder has won, in its role."""
    roles = {PREP: PrepClaim, FINAL: FinalClaim}
    return roles.get(what.stage, SegmentClaim)(holder, job, what, tag)
