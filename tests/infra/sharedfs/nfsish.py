"""A FUSE client that treats a folder as a bad NFS client would: ``nfsish.py FOLDER MOUNT CACHE_S LOST SEED``.

Attributes, names and the absence of names are believed for CACHE_S seconds. A share LOST of all replies to link,
unlink, rename and mkdir is lost: it is done, and the retransmission is answered by "already" (EEXIST, ENOENT). Flags
of rename are refused. Locks exclude within the mount only.
"""

from __future__ import annotations

import errno
import os
import random
import sys
import time

import mfusepy as fuse

_NOW, _OMIT = (1 << 30) - 1, (1 << 30) - 2
_FMODE_EXEC_AND_CREATION = os.O_CREAT | os.O_EXCL | 0o200000


class Nfsish(fuse.Operations):
    use_ns = True

    def __init__(self, folder: str, lost: float, seed: int) -> None:
        self.folder, self.lost, self.random = os.path.realpath(folder), lost, random.Random(seed)

    def below(self, path: str) -> str:
        return self.folder + path

    def reply(self, error: int) -> None:
        if self.random.random() < self.lost:
            raise fuse.FuseOSError(error)

    # ---- names: the server decides, the answer may be lost

    def link(self, target, source):
        os.link(self.below(source), self.below(target), follow_symlinks=False)
        self.reply(errno.EEXIST)

    def unlink(self, path):
        os.unlink(self.below(path))
        self.reply(errno.ENOENT)

    def rename(self, old, new):
        os.rename(self.below(old), self.below(new))
        self.reply(errno.ENOENT)

    def mkdir(self, path, mode):
        os.mkdir(self.below(path), mode)
        self.reply(errno.EEXIST)

    def rmdir(self, path):
        os.rmdir(self.below(path))

    def readdir(self, path, handle):
        entries = [(".", None, 0), ("..", None, 0)]
        for entry in os.scandir(self.below(path)):
            try:
                info = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            entries.append((entry.name, {"st_mode": info.st_mode, "st_ino": info.st_ino}, 0))
        return entries

    def opendir(self, path):
        return 0

    # ---- attributes

    def getattr(self, path, handle=None):
        info = os.fstat(handle.fh) if hasattr(handle, "fh") else os.lstat(self.below(path))
        times = {"st_atime": info.st_atime_ns, "st_ctime": info.st_ctime_ns, "st_mtime": info.st_mtime_ns}
        return times | {n: getattr(info, n) for n in ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid", "st_ino")}

    def access(self, path, mode):
        return 0

    def chmod(self, path, mode):
        os.chmod(self.below(path), mode)

    def chown(self, path, uid, gid):
        os.lchown(self.below(path), uid, gid)

    def truncate(self, path, length, handle=None):
        os.truncate(self.below(path), length)

    def utimens(self, path, times=None):
        if times is not None:
            info, now = os.lstat(self.below(path)), time.time_ns()
            olds = (info.st_atime_ns, info.st_mtime_ns)
            times = tuple(now if t == _NOW else old if t == _OMIT else t for t, old in zip(times, olds, strict=True))
        os.utime(self.below(path), ns=times)

    def statfs(self, path):
        info = os.statvfs(self.below(path))
        return {name: getattr(info, name) for name in dir(info) if name.startswith("f_") and name != "f_fsid"}

    # ---- content

    def create(self, path, mode, info):
        wanted = info.flags & (os.O_EXCL | os.O_TRUNC | os.O_APPEND)
        info.fh = os.open(self.below(path), os.O_RDWR | os.O_CREAT | wanted, mode)
        return 0

    def open(self, path, info):
        info.fh = os.open(self.below(path), info.flags & ~_FMODE_EXEC_AND_CREATION)
        return 0

    def read(self, path, size, offset, info):
        return os.pread(info.fh, size, offset)

    def write(self, path, data, offset, info):
        return os.pwrite(info.fh, data, offset)

    def flush(self, path, info):
        return 0

    def fsync(self, path, datasync, info):
        return os.fsync(info.fh)

    def release(self, path, info):
        return os.close(info.fh)


def rename_with_flags(self, old, new, flags):
    """As the kernel's NFS client answers; the library drops the flags silently."""
    return -errno.EINVAL if flags else self.rename_fuse_2(old, new)


if __name__ == "__main__":
    folder, mount, cache_s, lost, seed = sys.argv[1:]
    fuse.FUSE.rename_fuse_3 = rename_with_flags
    cache = {f"{what}_timeout": float(cache_s) for what in ("attr", "entry", "negative")}
    fuse.FUSE(
        Nfsish(folder, float(lost), int(seed)), mount, foreground=True, raw_fi=True, nothreads=False,
        fsname="nfsish", hard_remove=True, use_ino=True, **cache,
    )  # fmt: skip
