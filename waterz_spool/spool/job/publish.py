"""Publication: the result of final appears under the name the user asked for, once, verified, replacing nothing.

Guarantee: any number of processes may run it any number of times, dying anywhere: one result appears, whole, and it
is the one that the job's records name. A different file that holds the name is left alone (the result becomes
``name (2).ext``) unless the user said otherwise. Cancelled jobs never publish: both compete for ``commit.end``.
Limit: where the target's file system has no hard links, a file that another program creates under the name in the
very moment between look and rename is replaced.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from waterz_spool.errors import JobFailedError, UsageError, VerificationError
from waterz_spool.records import FileRef
from waterz_spool.spool.disk.atomic import settle_folder
from waterz_spool.spool.disk.failpoints import hit
from waterz_spool.spool.disk.fileops import NO_LINKS
from waterz_spool.spool.log.formats import CommitRecord, PublishedRecord, encode
from waterz_spool.spool.log.joblog import JobLog
from waterz_spool.spool.log.layout import FINAL, PUBLISHED_NAME, JobLayout

_NAMES = 1000
_STEM_BYTES = 80  # with two tokens it fits even where names are limited to 143 bytes


class _Parts:
    """The hidden names of one job's publishers beside its target: ``.<target>.<job>.<token>.part``."""

    def __init__(self, target: Path, decided: CommitRecord) -> None:
        self.target = target
        stem = os.fsencode(target.name)[:_STEM_BYTES].decode("utf-8", "ignore")
        # no other job, of no other spool, has this token; a digest, as a name must not hold what a record says
        self._first = f".{stem}.{hashlib.sha256(decided.n.encode()).hexdigest()[:24]}."

    def new(self, token: str) -> Path:
        """A name for one publisher."""
        return self.target.with_name(f"{self._first}{token}.part")

    def holds(self, name: str) -> bool:
        """Whether a name is one of these."""
        return re.fullmatch(re.escape(self._first) + "[0-9a-f]+[.]part", name) is not None


class Publisher:
    """Publishes the result of one job."""

    def __init__(self, log: JobLog) -> None:
        self._log = log
        self._layout: JobLayout = log.layout
        self._ops = log.world.ops
        self._tokens = log.world.tokens

    def publish(self, target: Path, pinned: Path, *, overwrite: bool, mode: int | None = None) -> Path:
        """See `Job.publish`."""
        ref, attempt = self._result()
        parts = _Parts(target, self._commit(attempt))
        earlier = self._earlier(target, ref)
        if earlier is not None:
            self._tidy(parts)
            return earlier
        self._check_target(target, pinned)
        try:
            path = self._place(self._layout.output_file(FINAL, ref.file), ref, parts, overwrite, mode)
        except OSError:  # another published meanwhile, and tidied this one's hidden name away
            earlier = self._earlier(target, ref)
            if earlier is None:
                raise
            return earlier
        settle_folder(self._ops, path.parent)
        hit("after_publish")
        record = PublishedRecord(
            target=str(target), path=str(path), bytes=ref.bytes, sha256=ref.sha256, n=self._tokens()
        )
        self._log.put(PUBLISHED_NAME, encode(record))
        hit("after_published")
        self._tidy(parts)
        return path

    def _result(self) -> tuple[FileRef, int]:
        attempt = self._log.scan().task(FINAL).done
        end = self._log.end(FINAL, attempt) if attempt else None
        if end is None or not end.outs:
            raise JobFailedError("nothing to publish: final is not done", where=str(self._layout.root))
        return end.outs[0], attempt

    def _commit(self, attempt: int) -> CommitRecord:
        if self._log.scan().committed:
            decided = self._log.commit()
        else:
            decided = self._log.put_commit(CommitRecord(kind="publish", n=self._tokens(), attempt=attempt))
        if decided is None or decided.kind != "publish":
            raise JobFailedError("the job was cancelled", where=str(self._layout.root))
        return decided

    def _earlier(self, target: Path, ref: FileRef) -> Path | None:
        """Where an earlier publication for the same target put it, if it still lies there."""
        record = self._log.published() if self._log.scan().published else None
        if record is None or record.target != str(target):
            return None
        path = Path(record.path)
        with contextlib.suppress(OSError):
            if self._ops.facts(path).bytes == ref.bytes:
                return path
        return None

    def _check_target(self, target: Path, pinned: Path) -> None:
        try:
            self._ops.look(target.parent)
        except FileNotFoundError:
            raise UsageError("no such folder for the output", where=str(target.parent)) from None
        with contextlib.suppress(OSError):
            if self._ops.same_file(target, pinned):
                raise UsageError("the output would replace the input", where=str(target))

    def _place(self, result: Path, ref: FileRef, parts: _Parts, overwrite: bool, mode: int | None) -> Path:
        """Link the result to the first name that is free or holds it already."""
        if self._ops.digest(result) != (ref.bytes, ref.sha256):
            raise VerificationError(
                "the result is not what final recorded", where=str(result), todo="submit the job again"
            )
        target = parts.target
        with self._staged(result, ref, parts) as staged:
            if mode is not None:
                self._set_mode(staged, mode)
            if overwrite and not self._holds(target, ref):
                self._replace(staged, target, ref)
                return target
            for path in _numbered(target):
                if self._try(staged, path, ref):
                    return path
        raise UsageError(f"{_NAMES} files of this name exist", where=str(target))

    @contextlib.contextmanager
    def _staged(self, result: Path, ref: FileRef, parts: _Parts) -> Iterator[Path]:
        """The result under a hidden name beside the target: a link, or a durable verified copy."""
        part = parts.new(self._tokens())
        try:
            try:
                self._ops.link(result, part)
            except OSError as error:  # EEXIST under a name of our own: the link was made, its answer lost
                if error.errno != errno.EEXIST:
                    with contextlib.suppress(OSError):  # here, too, it may be there
                        self._ops.unlink(part)
                    self._ops.copy(result, part)
                    self._ops.copy_mode(result, part)  # as a link would have, not as files of the spool
                    hit("publish_copied")
                if self._ops.digest(part) != (ref.bytes, ref.sha256):
                    raise VerificationError("the copy differs from the result", where=str(part)) from None
            yield part
        finally:
            with contextlib.suppress(OSError):
                self._ops.unlink(part)

    def _set_mode(self, path: Path, mode: int) -> None:
        """What sealing in the spool added for its group is taken away again."""
        with contextlib.suppress(PermissionError):  # another user's worker made it
            self._ops.set_mode(path, mode)

    def _tidy(self, parts: _Parts) -> None:
        """Remove what publishers of this job left that died on the way; who is still on the way finds it published."""
        names: list[str] = []
        with contextlib.suppress(OSError):  # a folder may be writable and not readable
            names = self._ops.listdir(parts.target.parent)
        for name in filter(parts.holds, names):
            with contextlib.suppress(OSError):
                self._ops.unlink(parts.target.parent / name)

    def _try(self, staged: Path, path: Path, ref: FileRef) -> bool:
        try:
            self._ops.link(staged, path)
            return True
        except OSError as error:  # any error: who is there?
            if self._holds(path, ref):
                return True
            if path.name in self._ops.listdir(path.parent):
                return False
            if error.errno not in NO_LINKS:
                raise
        # RACE: see the module; both publishers of this job rename the same bytes, and a foreign file must appear
        # between the listing above and this line.
        self._ops.rename(staged, path)
        return True

    def _replace(self, staged: Path, target: Path, ref: FileRef) -> None:
        """The user asked to overwrite. A link renamed onto its own inode does nothing, so this is not reached then."""
        self._ops.rename(staged, target)
        if not self._holds(target, ref):
            raise VerificationError("the file written is not the result", where=str(target))

    def _holds(self, path: Path, ref: FileRef) -> bool:
        try:
            return self._ops.facts(path).bytes == ref.bytes and self._ops.digest(path)[1] == ref.sha256
        except OSError:
            return False


def _numbered(target: Path) -> Iterator[Path]:
    yield target
    for number in range(2, _NAMES):
        yield target.with_name(f"{target.stem} ({number}){target.suffix}")
