"""This machine and its processes: who runs here, since which boot, and locks, which are hints."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_SPACE = Path("/proc/self/ns/pid")


@dataclass(frozen=True)
class Identity:
    """Who this worker is. The id is 96 random bits, so nobody else ever has it."""

    wid: str
    host: str
    pid: int
    boot: str
    slurm: str = ""

    @classmethod
    def of_this_process(cls, wid: str, host: str | None = None, slurm: str = "") -> Identity:
        """The running process, under a name of its host that a test or a scheduler may choose."""
        return cls(wid, host or socket.gethostname(), os.getpid(), boot_id(), slurm)


def boot_id() -> str:
    """The same for all processes since this machine was started, and for no others; "" where there is none."""
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""


def pid_space() -> int:
    """A number for the process ids that this process can see: containers of one machine have their own."""
    with contextlib.suppress(OSError):
        return _PID_SPACE.stat().st_ino
    return 0


def has_ended(pid: int, boot: str, pids: object) -> bool:
    """Whether a process of this machine has ended; False where that cannot be told from here.

    Args:
        pid: Its number.
        boot: Its `boot_id`.
        pids: Its `pid_space`.
    """
    if not boot or boot != boot_id() or pids != pid_space():
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return not os.path.exists(f"/proc/{pid}")  # noqa: PTH110 - hidepid shows no stat
    return state in "ZX"


def succeeds(mine: str, theirs: str) -> bool:
    """Whether Slurm started the worker named ``mine`` again in place of ``theirs``.

    Both are ``cluster/job.restarts``: the same job or array task, started more often. Slurm starts a job again only
    after its earlier run has ended, so the claims of that run are nobody's.
    """
    (job, _, count), (their_job, _, their_count) = mine.rpartition("."), theirs.rpartition(".")
    if not job or job != their_job or not (count + their_count).isdecimal():
        return False
    return int(count) > int(their_count)


def take_lock(path: Path) -> BaseFileLock | None:
    """The lock, taken, or None when another process holds it or this file system has no locks."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, mode=0o660, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError, NotImplementedError):
        return None
    return lock
