"""The one seam through which the spool touches files.

Everything that coordinates goes through a `FileOps`: the real one is the default, a test passes one that fails,
delays, forgets and lies.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

FILE_MODE = 0o660
FOLDER_MODE = 0o2770

NO_FILE = (errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.EISDIR)  # a symlink, pipe or folder has a file's name
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_FICLONE = 0x40049409  # linux/fs.h


class Facts(NamedTuple):
    """Size and modification time of an opened regular file."""

    bytes: int
    mtime_ns: int


class Look(NamedTuple):
    """What a name stands for, no symlink followed."""

    folder: bool
    mtime_s: float
    uid: int = 0
    changed_s: float = 0.0  # when anything about it changed, its name too


class BeatFile(Protocol):
    """A file rewritten in place by its one writer."""

    def write(self, data: bytes) -> float:
        """Replace the content and return the server's time of doing so (seconds since the epoch)."""
        ...

    def close(self) -> None:
        """Give the descriptor back."""
        ...


class _PwriteBeat:
    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self._fd = os.open(path, flags, FILE_MODE)
        try:
            _require_regular(self._fd, path)
            _let_group_read(self._fd)
        except OSError:
            os.close(self._fd)
            raise

    def write(self, data: bytes) -> float:
        os.pwrite(self._fd, data, 0)
        os.fsync(self._fd)
        return os.fstat(self._fd).st_mtime

    def close(self) -> None:
        os.close(self._fd)


class FileOps:
    """The file operations of the spool, each one system call or one obvious group of them.

    Reads follow no symlink, open regular files only (a FIFO cannot hang them) and are capped. Writes are new files,
    flushed and checked to the end. Subclass to inject faults.
    """

    def listdir(self, folder: Path) -> list[str]:
        """Names in a folder, in any order; may be late, never wrong about names that never change."""
        return os.listdir(folder)  # noqa: PTH208 - tens of thousands of names, no Path for each

    def read(self, path: Path, cap_bytes: int) -> bytes:
        """The whole content.

        Raises:
            OSError: Absent, not a regular file, a symlink, or longer than the cap (EFBIG).
        """
        with _opened(path) as fd:
            data = _read_up_to(fd, cap_bytes + 1)
        if len(data) > cap_bytes:
            raise OSError(errno.EFBIG, f"more than {cap_bytes} bytes", str(path))
        return data

    def write_new(self, path: Path, data: bytes) -> None:
        """Create a file with this content, durable when it returns.

        Raises:
            OSError: The name is taken, or the data did not reach the disk; a partial file may remain.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(path, flags, FILE_MODE)
        try:
            _let_group_read(fd)  # umask may have taken that away
            _write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)

    def link(self, source: Path, target: Path) -> None:
        """A second name for a file; never replaces one."""
        os.link(source, target, follow_symlinks=False)

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        path.unlink()

    def mkdir(self, path: Path) -> None:
        """Make a folder that group members may write; there already is fine, unless as a symlink or a file.

        Raises:
            NotADirectoryError: Something else has the name.
        """
        try:
            path.mkdir(FOLDER_MODE)
        except FileExistsError:
            if not stat.S_ISDIR(path.lstat().st_mode):
                raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(path)) from None
            return
        path.chmod(FOLDER_MODE)

    def make_parents(self, path: Path) -> None:
        """Make all folders above a path that a user named, with the user's own modes."""
        path.parent.mkdir(parents=True, exist_ok=True)

    def rename(self, source: Path, target: Path) -> None:
        """Move; used for whole folders and for what a user asked to overwrite, never onto a name that decides."""
        source.rename(target)

    def remove_tree(self, path: Path) -> None:
        """Remove a folder and all in it, following no symlink; absent is fine.

        Raises:
            OSError: Something in it could not be removed; all else is.
        """
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            path.rmdir()

    def seal(self, path: Path) -> tuple[int, str]:
        """Make a complete file durable, and readable for the group; its size in bytes and sha256 (hex)."""
        with _opened(path) as fd:
            _let_group_read(fd)
            os.fsync(fd)
            return _digest(fd)

    def sync_folder(self, path: Path) -> None:
        """Make a folder's names durable, as far as its file system can."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EROFS):
                raise
        finally:
            os.close(fd)

    def digest(self, path: Path) -> tuple[int, str]:
        """Size in bytes and sha256 (hex) of a file."""
        with _opened(path) as fd:
            return _digest(fd)

    def facts(self, path: Path) -> Facts:
        """Size and modification time, asked of the opened file (a plain stat lags on network file systems)."""
        with _opened(path) as fd:
            info = os.fstat(fd)
        return Facts(info.st_size, info.st_mtime_ns)

    def look(self, path: Path) -> Look:
        """Whether a name is a folder, and when it changed; may be late, decides nothing but age.

        Raises:
            OSError: It is absent, or cannot be looked at.
        """
        info = path.lstat()
        return Look(stat.S_ISDIR(info.st_mode), info.st_mtime, info.st_uid, info.st_ctime)

    def same_file(self, one: Path, other: Path) -> bool:
        """Whether two names stand for one file.

        Raises:
            OSError: One is absent.
        """
        return one.samefile(other)

    def copy_mode(self, source: Path, target: Path) -> None:
        """Give a file the permissions of another."""
        target.chmod(source.stat().st_mode & 0o777)

    def set_mode(self, path: Path, mode: int) -> None:
        """Set a file's permissions."""
        path.chmod(mode)

    def pin(self, source: Path, target: Path) -> None:
        """Keep a file's content under another name: hard link, else reflink, else a durable copy.

        In a folder of a group that is not the caller's own, what that group could not read is copied: a link would
        keep the file's permissions, and they are not ours to change. The other name must be the caller's own: what
        lies there already is replaced, as the rest of an earlier try.

        Limit: a hard link shows what is later written into the source in place (the job checks size, time and, when
        in doubt, content); editors and downloaders that replace the file do not touch it.
        """
        try:
            if _hidden_from_group(source, target.parent):
                raise PermissionError
            self.link(source, target)
        except OSError:
            with contextlib.suppress(OSError):  # refused; or done, and the answer lost or that to a second request
                if self.same_file(source, target):
                    return
                self.unlink(target)
            self.copy(source, target)

    def copy(self, source: Path, target: Path) -> None:
        """A durable copy under a new name, sharing blocks where the file system can."""
        _copy(source, target)

    def beat_file(self, path: Path) -> BeatFile:
        """Open a heartbeat for rewriting in place."""
        return _PwriteBeat(path)


def _copy(source: Path, target: Path) -> None:
    with _opened(source) as fd, target.open("xb") as out:
        os.fchmod(out.fileno(), FILE_MODE)
        try:
            fcntl.ioctl(out.fileno(), _FICLONE, fd)
        except OSError:  # not on one file system that shares blocks
            with open(fd, "rb", closefd=False) as reader:
                shutil.copyfileobj(reader, out, 1 << 20)
        out.flush()
        os.fsync(out.fileno())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _require_regular(fd, path)
        yield fd
    finally:
        os.close(fd)


def _require_regular(fd: int, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def _let_group_read(fd: int) -> None:
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    if not mode & stat.S_IRGRP:
        os.fchmod(fd, mode | FILE_MODE)


def _hidden_from_group(source: Path, folder: Path) -> bool:
    group, info = folder.stat().st_gid, source.lstat()
    if group == os.getegid() or info.st_mode & stat.S_IROTH:
        return False
    return info.st_gid != group or not info.st_mode & stat.S_IRGRP


def _digest(fd: int) -> tuple[int, str]:
    sha, size = hashlib.sha256(), 0
    while block := os.read(fd, 1 << 20):
        sha.update(block)
        size += len(block)
    return size, sha.hexdigest()


def _read_up_to(fd: int, limit: int) -> bytes:
    blocks: list[bytes] = []
    while limit > 0 and (block := os.read(fd, min(limit, 1 << 20))):
        blocks.append(block)
        limit -= len(block)
    return b"".join(blocks)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
