"""What one machine can find out about the folder of a spool: may it be used at all, is there room, how do names behave.

Guarantee: what is said was measured in this folder, just now. Limit: one client cannot see what another one would see;
`pair` measures that.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from waterz_spool.spool.disk.atomic import link_if_absent
from waterz_spool.spool.disk.fileops import FOLDER_MODE, NO_LINKS, FileOps
from waterz_spool.spool.disk.machine import take_lock
from waterz_spool.spool.disk.world import World
from waterz_spool.spool.log.layout import SpoolLayout

MTIMES = 8
RACES = 100
_GIB = 1 << 30
SKEW_MAX_S = 5.0


class Check(msgspec.Struct, frozen=True):
    """One line of a report.

    ``state`` is ok, warn (it works, but) or fail (it does not).
    """

    name: str
    state: str
    what: str
    todo: str = ""

    def __str__(self) -> str:
        return f"{self.state:5} {self.name:15} {self.what}" + (f"; to do: {self.todo}" if self.todo else "")


def ok(name: str, what: str) -> Check:
    """All is well."""
    return Check(name, "ok", what)


def warn(name: str, what: str, todo: str = "") -> Check:
    """It works, but."""
    return Check(name, "warn", what, todo)


def fail(name: str, what: str, todo: str = "") -> Check:
    """It does not work."""
    return Check(name, "fail", what, todo)


def probe_access(root: Path, ops: FileOps) -> Iterator[Check]:
    """May the folder be written, and by whom else; it is made where it is not."""
    ops.make_parents(root)
    if not root.exists():
        ops.mkdir(root)
    mode = root.stat().st_mode
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        yield fail("folder", f"{root} cannot be written", "check its owner, group and mode")
    elif mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        yield fail(
            "folder", f"everybody may change and remove files in {root}", f"chmod {FOLDER_MODE:o} {root}, or chmod +t"
        )
    elif mode & stat.S_IWGRP and not mode & stat.S_ISGID:
        yield warn("folder", f"{root} is shared with its group, which new files do not inherit", f"chmod g+s {root}")
    else:
        yield ok("folder", f"{root}, mode {stat.S_IMODE(mode):o}")


def probe_space(root: Path) -> Iterator[Check]:
    """Bytes and inodes that this user may still take."""
    room = os.statvfs(root)
    free_gib = room.f_bavail * room.f_frsize / _GIB
    text, todo = f"{free_gib:.1f} GiB free", "make room: a job needs a few percent of its raw video"
    yield ok("space", text) if free_gib >= 10 else (warn if free_gib >= 0.2 else fail)("space", text, todo)
    if room.f_files == 0:
        yield ok("inodes", "no fixed number")
    else:
        text, todo = f"{room.f_favail} files may still be made", "remove files: a segment takes six"
        enough = room.f_favail >= 10_000
        yield ok("inodes", text) if enough else (warn if room.f_favail >= 200 else fail)("inodes", text, todo)


class NameProbe:
    """How names behave for one client, in a folder of its own that is gone afterwards.

    Args:
        root: The folder.
        world: Files, time and names.
    """

    def __init__(self, root: Path, world: World) -> None:
        self._ops, self._clock = world.ops, world.clock
        self._parent = SpoolLayout(root).doctor
        self._folder = self._parent / f"alone.{world.tokens()}"

    def run(self) -> Iterator[Check]:
        """All checks."""
        self._ops.mkdir(self._parent)
        self._ops.mkdir(self._folder)
        try:
            yield from self._links()
            yield self._exclusive()
            yield self._races()
            yield self._renames()
            yield self._locks()
            yield from self._times()
        finally:
            self._ops.remove_tree(self._folder)

    def _links(self) -> Iterator[Check]:
        one, two, name = (self._folder / text for text in ("one", "two", "name"))
        self._ops.write_new(one, b"one")
        self._ops.write_new(two, b"two")
        try:
            self._ops.link(one, name)
        except OSError as error:
            lacks = error.errno in NO_LINKS
            yield fail(
                "hard links",
                "the file system has none" if lacks else f"refused: {error.strerror}",
                "use another folder: NFS, Lustre and local disks have them",
            )
            return
        try:
            self._ops.link(two, name)
        except OSError as error:
            taken = self._ops.read(name, 10) == b"one"
            code = errno.errorcode.get(error.errno or 0, "an error")
            if taken:
                yield ok("hard links", f"a taken name is refused ({code})")
                return
        yield fail("hard links", "a link replaced what had the name", "use another folder: results would be wrong")

    def _exclusive(self) -> Check:
        path = self._folder / "exclusive"
        self._ops.write_new(path, b"")
        try:
            self._ops.write_new(path, b"")
        except FileExistsError:
            return ok("O_EXCL", "a taken name is refused")
        return fail("O_EXCL", "a file was created twice", "use another folder: outputs would be overwritten")

    def _races(self) -> Check:
        """Two threads link every name; the kernel of one client decides, so a failure here is fatal."""
        won: list[list[int]] = [[], []]

        def race(side: int) -> None:
            source, who = self._folder / f"racer.{side}", b"%d" % side
            self._ops.write_new(source, who)
            for number in range(RACES):
                with contextlib.suppress(OSError):  # one that stays in doubt is nobody's
                    if link_if_absent(self._ops, source, self._folder / f"race.{number}", who):
                        won[side].append(number)

        threads = [threading.Thread(target=race, args=(side,), daemon=True) for side in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        twice, once = set(won[0]) & set(won[1]), set(won[0]) | set(won[1])
        if twice:
            what = f"of {RACES} names linked by two {len(twice)} had two winners"
            return fail("link race", what, "use another folder: results would be wrong")
        if len(once) < RACES:
            return warn("link race", f"of {RACES} names linked by two {RACES - len(once)} seemed to have no winner")
        return ok("link race", f"{RACES} names, one winner each, on this machine")

    def _renames(self) -> Check:
        old, new = self._folder / "old", self._folder / "new"
        self._ops.write_new(old, b"")
        self._ops.rename(old, new)
        names = self._ops.listdir(self._folder)
        if "new" not in names or "old" in names:
            return fail("rename", "a renamed file is listed under its old name", "use another folder")
        return ok("rename", "seen at once on this machine")

    def _locks(self) -> Check:
        path = self._folder / "lock"
        held = take_lock(path)
        if held is None:
            return warn("locks", "none; a killed worker's segment waits for the lease", "mount it with locks (flock)")
        second = take_lock(path)
        held.release()
        if second is not None:
            second.release()
            return warn("locks", "two holders of one lock on one machine; they are not used")
        return ok("locks", "exclude on this machine")

    def _times(self) -> Iterator[Check]:
        """How fine the server's times are, and what its clock says beside ours: of files written, not of stat."""
        beat = self._ops.beat_file(self._folder / "time")
        try:
            times = []
            for number in range(MTIMES):
                before = self._clock.wall()
                times.append(beat.write(b"%d" % number))
            skew_s = times[-1] - (before + self._clock.wall()) / 2
        finally:
            beat.close()
        whole = all(time == int(time) for time in times)
        yield ok("times", "of files have whole seconds" if whole else "of files are finer than a second")
        text = f"the server's is {abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} ours"
        late = abs(skew_s) > SKEW_MAX_S
        yield warn("clock", text, "set it (NTP); only times shown to people are wrong") if late else ok("clock", text)
