"""A shared directory that exists only in memory, seen by clients with caches that lie as network file systems do.

The server is exact and strict: it decides link and exclusive creation, and it notes as a crime every change of a
record in log/ or control/. Each client sees old listings (late, torn, never wrong about names that did not change),
remembers names as absent that have appeared since, and dies between any two operations. Errors, lost and doubled
answers, delays and drops come from a plan, by `FaultyOps` around it.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from waterz_spool.spool.disk.fileops import Facts, FileOps, Look

STALE_S = 2.0


class SimCrash(BaseException):
    """The process is dead: nothing it does from here on has any effect."""


class VirtualClock:
    def __init__(self, start: float = 1000.0) -> None:
        self.now = start

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class HostClock:
    """One machine's view of time: its own zero, its own wrong time of day."""

    base: VirtualClock
    monotonic_offset: float = 0.0
    wall_offset: float = 0.0

    def monotonic(self) -> float:
        return self.base.now + self.monotonic_offset

    def wall(self) -> float:
        return 1_700_000_000.0 + self.base.now + self.wall_offset


@dataclass
class Inode:
    data: bytes
    mtime: float


@dataclass
class Server:
    """The truth."""

    clock: VirtualClock
    files: dict[Path, Inode] = field(default_factory=dict)
    folders: dict[Path, dict[str, float]] = field(default_factory=dict)  # name -> when it appeared
    removed: dict[Path, list[tuple[str, float, float]]] = field(default_factory=dict)
    crimes: list[str] = field(default_factory=list)
    fixed: dict[Path, bytes] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def add_name(self, path: Path) -> None:
        if path.parent not in self.folders:
            raise OSError(errno.ENOENT, "no folder", str(path))
        if path.name in self.folders[path.parent]:
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        self.folders[path.parent][path.name] = self.clock.now

    def add_file(self, path: Path, inode: Inode) -> None:
        self.add_name(path)
        self.files[path] = inode
        if self.is_record(path):
            self.fixed[path] = inode.data

    def drop(self, path: Path) -> None:
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "absent", str(path))
        if self.is_record(path):
            self.crimes.append(f"record removed: {path.name}")
        appeared = self.folders[path.parent].pop(path.name)
        self.removed.setdefault(path.parent, []).append((path.name, appeared, self.clock.now))
        del self.files[path]

    @staticmethod
    def is_record(path: Path) -> bool:
        return path.parent.name in ("log", "control", "ctl") and not path.name.startswith(".")

    def audit(self) -> list[str]:
        """Crimes, and records whose content changed."""
        changed = [path.name for path, data in self.fixed.items() if self.files.get(path, Inode(b"", 0)).data != data]
        return self.crimes + [f"record changed: {name}" for name in changed]


@dataclass
class Faults:
    """What only a cache or a death can do in one step of a client; what a plan can do, `FaultyOps` does."""

    random: Random = field(default_factory=lambda: Random(0))
    stale: float = 0.0  # probability per operation
    crash_at: int = -1  # the n-th operation of the step
    interleave_at: int = -1
    other: Callable[[], None] | None = None


class SimOps(FileOps):
    """One client's file operations."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.faults = Faults()
        self.dead = False
        self.operation = 0
        self.absent_since: dict[Path, float] = {}
        self.trace: list[str] = []

    # ---- the machinery

    def begin(self, faults: Faults) -> None:
        self.faults = faults
        self.operation = 0

    def calm(self) -> None:
        self.faults = Faults()
        self.absent_since.clear()

    def _enter(self, name: str, path: Path) -> None:
        if self.dead:
            raise SimCrash
        self.server.counts[name] += 1
        self.trace.append(f"{name} {path.name}")
        self.operation += 1
        if self.operation == self.faults.interleave_at and self.faults.other is not None:
            other, self.faults.other = self.faults.other, None
            other()
        if self.operation == self.faults.crash_at:
            self.die()

    def die(self) -> None:
        self.dead = True
        raise SimCrash

    def _chance(self, probability: float) -> bool:
        return probability > 0 and self.faults.random.random() < probability

    # ---- reading

    def listdir(self, folder: Path) -> list[str]:
        self._enter("listdir", folder)
        if folder not in self.server.folders:
            raise FileNotFoundError(errno.ENOENT, "no folder", str(folder))
        names = self.server.folders[folder]
        if not self._chance(self.faults.stale):
            return list(names)
        old = self.server.clock.now - STALE_S
        keep = [name for name, at in names.items() if at <= old or self.faults.random.random() < 0.5]
        gone = self.server.removed.get(folder, [])
        ghosts = [name for name, _, at in gone if at > old and name not in names and self._chance(0.5)]
        return keep + ghosts

    def _visible(self, path: Path) -> Inode:
        inode = self.server.files.get(path)
        if inode is None:
            self.absent_since[path] = self.server.clock.now
            raise FileNotFoundError(errno.ENOENT, "absent", str(path))
        since = self.absent_since.get(path)
        if since is not None and self.server.clock.now - since < STALE_S and self._chance(self.faults.stale):
            raise FileNotFoundError(errno.ENOENT, "negative entry", str(path))
        self.absent_since.pop(path, None)
        return inode

    def read(self, path: Path, cap_bytes: int) -> bytes:
        self._enter("read", path)
        data = self._visible(path).data
        if len(data) > cap_bytes:
            raise OSError(errno.EFBIG, "too big", str(path))
        return data

    def digest(self, path: Path) -> tuple[int, str]:
        self._enter("digest", path)
        data = self._visible(path).data
        return len(data), hashlib.sha256(data).hexdigest()

    def facts(self, path: Path) -> Facts:
        self._enter("facts", path)
        inode = self._visible(path)
        return Facts(len(inode.data), int(inode.mtime * 1e9))

    # ---- writing

    def write_new(self, path: Path, data: bytes) -> None:
        self._enter("write_new", path)
        half = Inode(data[: len(data) // 2], self.server.clock.now)
        self.server.add_file(path, half)
        self._enter("write", path)
        half.data = data
        if self.server.is_record(path):
            self.server.crimes.append(f"record written in place: {path.name}")

    def scribble(self, path: Path, data: bytes) -> None:
        """What a worker's encoder does: not exclusive, in pieces."""
        for size in (0, len(data) // 2, len(data)):
            self._enter("scribble", path)
            inode = self.server.files.get(path)
            if inode is None:
                inode = Inode(b"", self.server.clock.now)
                self.server.add_file(path, inode)
            inode.data, inode.mtime = data[:size], self.server.clock.now

    def link(self, source: Path, target: Path) -> None:
        def apply() -> None:
            if source not in self.server.files:
                raise FileNotFoundError(errno.ENOENT, "absent", str(source))
            self.server.add_file(target, self.server.files[source])

        if target not in self.server.files:
            self.absent_since[target] = self.server.clock.now  # clients look the name up first, and remember
        self._enter("link", target)
        apply()

    def unlink(self, path: Path) -> None:
        self._enter("unlink", path)
        self.server.drop(path)

    def mkdir(self, path: Path) -> None:
        self._enter("mkdir", path)
        if path in self.server.folders:
            return
        if path.parent in self.server.folders:
            self.server.folders[path.parent][path.name] = self.server.clock.now
        self.server.folders[path] = {}

    def rename(self, source: Path, target: Path) -> None:
        self._enter("rename", target)
        self._rename(source, target)

    def _rename(self, source: Path, target: Path) -> None:
        server = self.server
        if source in server.files:
            inode = server.files[source]
            if server.files.get(target) is inode:
                return  # two names of one file: POSIX leaves both
            if target in server.files:
                if server.is_record(target):
                    server.crimes.append(f"renamed onto a record: {target.name}")
                server.folders[target.parent].pop(target.name)
            server.drop(source)
            server.add_file(target, inode)
            return
        if source not in server.folders:
            raise FileNotFoundError(errno.ENOENT, "absent", str(source))
        if server.folders.get(target):
            raise OSError(errno.ENOTEMPTY, "not empty", str(target))
        moved = [path for path in (*server.folders, *server.files) if path == source or source in path.parents]
        server.folders[source.parent].pop(source.name, None)
        server.folders.setdefault(target.parent, {})[target.name] = server.clock.now
        for path in moved:
            new = target / path.relative_to(source)
            if path in server.files:
                server.files[new] = server.files.pop(path)
            else:
                server.folders[new] = server.folders.pop(path)

    def remove_tree(self, path: Path) -> None:
        self._enter("remove_tree", path)

    def make_parents(self, path: Path) -> None:
        self.server.folders.setdefault(path.parent, {})

    def look(self, path: Path) -> Look:
        self._enter("look", path)
        if path in self.server.folders:
            return Look(True, self.server.clock.now)
        return Look(False, self._visible(path).mtime)

    def same_file(self, one: Path, other: Path) -> bool:
        self._enter("same_file", one)
        return self._visible(one) is self._visible(other)

    def copy_mode(self, source: Path, target: Path) -> None:
        self._enter("copy_mode", target)

    def set_mode(self, path: Path, mode: int) -> None:
        self._enter("set_mode", path)

    def seal(self, path: Path) -> tuple[int, str]:
        self._enter("seal", path)
        data = self._visible(path).data
        return len(data), hashlib.sha256(data).hexdigest()

    def sync_folder(self, path: Path) -> None:
        self._enter("sync_folder", path)

    def copy(self, source: Path, target: Path) -> None:
        self.write_new(target, self.server.files[source].data)

    def pin(self, source: Path, target: Path) -> None:
        self._enter("pin", target)
        self.server.add_file(target, Inode(b"the video", self.server.clock.now))

    def beat_file(self, path: Path) -> SimBeat:
        self._enter("beat_file", path)
        if path not in self.server.files:
            self.server.add_file(path, Inode(b"", self.server.clock.now))
        return SimBeat(self, path)


class SimBeat:
    def __init__(self, ops: SimOps, path: Path) -> None:
        self._ops = ops
        self._path = path

    def write(self, data: bytes) -> float:
        self._ops._enter("beat", self._path)
        inode = self._ops.server.files.get(self._path)
        if inode is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(self._path))
        inode.data, inode.mtime = data, self._ops.server.clock.now
        return 1_700_000_000.0 + inode.mtime

    def close(self) -> None:
        pass
