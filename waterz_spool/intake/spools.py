"""Opening the spool a command works with, creating it where there is none."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from waterz_spool.config import Config
from waterz_spool.errors import SetupError, TryAgainError, UsageError
from waterz_spool.spool import FileOps, Spool, SpoolLayout, SpoolSettings, storage_error
from waterz_spool.spool.mount import newest_verdict

log = logging.getLogger(__name__)
T = TypeVar("T")

_AGAIN_S = 5.0
_LASTING = (errno.EACCES, errno.EPERM, errno.EROFS)  # time does not heal it
_LOCAL = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "f2fs", "bcachefs"}


def private_spool() -> Path:
    """A spool in the user's state folder, for work that needs no other machine."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if state else Path.home() / ".local" / "state") / "waterz-spool"


def open_or_create(root: Path, config: Config) -> Spool:
    """The spool at ``root``; a new one gets the timing that its file system needs.

    Raises:
        UsageError: The folder is no spool and holds other things.
        SetupError: No spool can be made or used there.
    """
    try:
        _check_free(root)
        return Spool.create(root.absolute(), settings_for(root.absolute(), config.spool.lease_s))
    except OSError as error:
        raise _no_spool(root.absolute(), error) from error


def _check_free(root: Path) -> None:
    """Make no spool among the files of a folder that serves another purpose."""
    layout = SpoolLayout(root.absolute())
    if not root.is_dir() or layout.spool_file.exists():
        return
    own = {folder.name for folder in layout.folders}
    names = sorted(path.name for path in root.iterdir())
    others = [name for name in names if name not in own and not name.startswith(_HARMLESS)]
    if others:
        raise UsageError(
            f"the folder is no spool and holds other things: {', '.join(others[:3])}{', ..' if others[3:] else ''}",
            where=str(root),
            todo=f"name an empty or a new folder, for example {root}/spool",
        )


_HARMLESS = (".", "lost+found", "doctor", "$")


def _no_spool(root: Path, error: OSError) -> SetupError:
    """Why no spool can be made or used in a folder, and what to do about it."""
    cures = {
        errno.ENOSPC: "make room there, or name another folder with --spool",
        errno.EDQUOT: "make room in your quota there, or name another folder with --spool",
        errno.EROFS: "name a folder that can be written with --spool",
        errno.ENOTDIR: "a file lies where a folder is needed: name another folder with --spool",
        errno.EEXIST: "a file lies where a folder is needed: name another folder with --spool",
        errno.EIO: "look after the disk or its server, then run it again",
        errno.ESTALE: "look after the file server, then run it again",
        errno.ENOTCONN: "mount it again or look after its server, then run it again",
    }
    cure = cures.get(error.errno or 0, "name a folder in which you may make files with --spool")
    why = error.strerror or type(error).__name__
    return SetupError(f"no spool can be made or used here: {why}", where=str(root), todo=cure)


def when_it_answers(
    act: Callable[[], T], root: Path, *, pause: Callable[[float], None], patience_s: float, may_come: bool = False
) -> T:
    """What ``act`` gives as soon as the storage of a spool answers: a worker may start while a server is away.

    Args:
        act: Reads the spool.
        root: The spool, for people.
        pause: Lets so many seconds pass.
        patience_s: Give up after so long; 0: never.
        may_come: Wait also for a spool that nobody has made yet.

    Raises:
        TryAgainError: Patience is at its end.
        OSError: Something that does not pass, such as a lack of permission.
    """
    begun, said = time.monotonic(), False
    while True:
        try:
            if not (may_come and is_missing(root)):
                return act()
            what, todo = "there is no spool here yet", f"waterz-spool init {root}, then start the worker again"
            cause: OSError | None = None
        except OSError as error:
            number = storage_error(error)
            if not number or number in _LASTING:
                raise
            what, cause = f"the spool cannot be read: {os.strerror(number)}", error
            todo = "check the mount and its server (waterz-spool doctor says more), then start the worker again"
        left_s = patience_s - (time.monotonic() - begun) if patience_s else _AGAIN_S
        if left_s <= 0:
            raise TryAgainError(what, where=str(root), todo=todo) from cause
        if not said:
            log.warning("%s; waiting until %s (%s)", what, "there is" if cause is None else "it can", root)
            said = True
        pause(min(left_s, _AGAIN_S))


def is_missing(root: Path) -> bool:
    """Whether a folder holds no spool, as far as this machine sees.

    Raises:
        OSError: It cannot be told now.
    """
    try:
        return SpoolLayout(root.absolute()).spool_file.stat() is None
    except (FileNotFoundError, NotADirectoryError):
        return True


def settings_for(root: Path, lease_s: float = 0.0) -> SpoolSettings:
    """Timing for a local disk, or the patience that caches of a shared file system ask for.

    A lease on NFS must outlast the server's own lease (90 s) and the attribute cache (60 s) together with one beat.
    What two doctors found there counts more than the name of the file system.
    """
    found = newest_verdict(FileOps(), SpoolLayout(root))
    if is_local(root) and (found is None or found.machines == 1):
        lease = lease_s or 20.0
        return SpoolSettings(lease_s=lease, beat_s=min(2.0, lease / 6))
    lease = lease_s or max(180.0, found.least_lease_s if found else 0.0)
    return SpoolSettings(lease_s=lease, beat_s=lease / 6, poll_s=2.0, idle_s=30.0, locks="off")


def is_local(path: Path) -> bool:
    """Whether ``path`` lies (or will lie) on a disk of this machine alone, as far as its file system tells."""
    return file_system(path) in _LOCAL


def file_system(path: Path) -> str:
    """Type of the file system that holds ``path`` (or will), as /proc/self/mounts names it; empty when unknown."""
    real = path
    while not real.exists():
        real = real.parent
    real = real.resolve()
    best = ("", "")
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    for line in lines:
        _, mount, kind = line.split()[:3]
        point = mount.replace("\\040", " ")
        if real.is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]
