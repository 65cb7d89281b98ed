"""How two processes on two hosts meet through a folder and talk, knowing nothing of each other.

Each lays a table: a folder with a name of its own and two boxes. Who finds an older table whose owner lives (its box
changes) leaves its own for it. The seat is one name, given by put-if-absent: to a guest, or to the owner who leaves.

Guarantee: at most two sit at a table, also when many come at once. Limit: it takes as long as the file system takes to
list a new folder. Boxes are rewritten in place by one writer each and read by opening them anew, as heartbeats are: the
freshest that network file systems offer.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from waterz_spool.errors import TryAgainError
from waterz_spool.spool.disk.atomic import UndecidedError
from waterz_spool.spool.disk.fileops import BeatFile
from waterz_spool.spool.disk.world import World

BOX_BYTES = 4096
POLL_S = 0.05
_DOUBTS = 50
_LEFT_S = 86400.0
TALK_S = 60.0  # the longest silence of the other side


class _Word(msgspec.Struct, frozen=True):
    """What lies in a box."""

    who: str
    step: int
    beat: int
    said: Any = None
    before: Any = None  # at the step before: the other one may be a step behind, never two


class Side:
    """One side of a table at which two sit.

    Attributes:
        folder: The table, for what the two want to try.
        seat: "a" or "b".
        who: A name that nobody else has.
    """

    def __init__(self, folder: Path, seat: str, world: World, *, who: str, pause: Callable[[float], None]) -> None:
        self.folder = folder
        self.seat = seat
        self.ops = world.ops
        self.clock = world.clock
        self.pause = pause
        self.who = who
        self._step = 0
        self._beat = 0
        self._said: list[object] = [None, None]  # at this step, at the one before
        self._box: BeatFile | None = None

    @property
    def other(self) -> str:
        """The other one's seat."""
        return "b" if self.seat == "a" else "a"

    def say(self) -> float:
        """Rewrite our box with what we said last; the server's time of doing so."""
        self._box = self._box or self.ops.beat_file(self.folder / f"{self.seat}.box")
        self._beat += 1
        line = msgspec.json.encode(_Word(self.who, self._step, self._beat, *self._said))
        assert len(line) < BOX_BYTES
        return self._box.write(line.ljust(BOX_BYTES - 1) + b"\n")

    def heard(self) -> _Word | None:
        """What lies in the other's box; None for nothing yet, or half of it."""
        try:
            return msgspec.json.decode(self.ops.read(self.folder / f"{self.other}.box", BOX_BYTES), type=_Word)
        except (OSError, msgspec.DecodeError):
            return None

    def exchange(self, said: object = None, *, limit_s: float = TALK_S, poll_s: float = POLL_S) -> Any:
        """Say something, and return what the other says at the same step: both are here then.

        Raises:
            TryAgainError: The other side said nothing in time.
        """
        self._go_on(said)
        end = self.clock.monotonic() + limit_s
        while self.clock.monotonic() < end:
            word = self.heard()
            if word is not None and word.step >= self._step:
                return word.said if word.step == self._step else word.before
            self.pause(poll_s)
        raise TryAgainError("the other host went silent", where=str(self.folder), todo="run doctor on both hosts again")

    def _go_on(self, said: object) -> None:
        self._step += 1
        self._said = [said, self._said[0]]
        self.say()

    def part(self) -> None:
        """Go; the owner waits for the guest to go, and clears the table."""
        with contextlib.suppress(TryAgainError, OSError):
            if self.seat == "b":
                self._go_on(None)
            else:
                self.exchange()
        self.close()
        if self.seat == "a":
            with contextlib.suppress(OSError):
                self.ops.remove_tree(self.folder)

    def close(self) -> None:
        """Let go of our box."""
        if self._box is not None:
            self._box.close()
            self._box = None


class Meeting:
    """Finds the other one.

    Args:
        folder: Where tables are laid.
        world: Files, time and names.
        pause: How time passes between looks.
    """

    def __init__(
        self,
        folder: Path,
        world: World,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._folder, self._world, self._pause = folder, world, pause
        self._ops, self._clock, self._tokens = world.ops, world.clock, world.tokens
        self._seen: dict[str, int] = {}

    def find(self, limit_s: float) -> Side:
        """The other one, at a table.

        Raises:
            TryAgainError: Nobody came in time.
        """
        self._ops.mkdir(self._folder)
        end = self._clock.monotonic() + limit_s
        mine: Side = self._lay()
        self._sweep(mine.say())
        met: Side | None = None
        try:
            while met is None and self._clock.monotonic() < end:
                mine.say()
                older = self._older(mine)
                if mine.heard() is not None:
                    met = mine
                elif older is not None and self._leave(mine):
                    met = older if self._sit(older) else None
                    mine = mine if met else self._lay()
                self._pause(4 * POLL_S)
        finally:
            if met is None:
                self._leave(mine)
        if met is not None:
            return met
        raise TryAgainError(
            f"no other doctor came in {limit_s:.0f} s",
            where=str(self._folder),
            todo="start `waterz-spool doctor --two-node` with the same folder on two hosts at about the same time",
        )

    def _sweep(self, now_s: float) -> None:
        """Clear away what doctors left that were killed, by the server's own times."""
        for name in self._ops.listdir(self._folder):
            with contextlib.suppress(OSError):
                if now_s - self._ops.look(self._folder / name).mtime_s > _LEFT_S:
                    self._ops.remove_tree(self._folder / name)

    def _side(self, name: str, seat: str) -> Side:
        return Side(self._folder / name, seat, self._world, who=self._tokens(), pause=self._pause)

    def _lay(self) -> Side:
        side = self._side(self._tokens(), "a")
        self._ops.mkdir(side.folder)
        self._ops.beat_file(side.folder / "b.box").close()
        side.say()
        return side

    def _older(self, mine: Side) -> Side | None:
        """A table with a name before ours whose owner was seen alive."""
        for name in sorted(self._ops.listdir(self._folder)):
            if name >= mine.folder.name or not name.isalnum():
                continue
            table = self._side(name, "b")
            word = table.heard()
            if word is None:
                continue
            if self._seen.setdefault(name, word.beat) != word.beat:
                return table
        return None

    def _leave(self, mine: Side) -> bool:
        """Close our own table for everybody; False when somebody has sat down, who must not be left alone."""
        taken = self._take(mine)
        if taken:
            mine.close()
            self._ops.remove_tree(mine.folder)
        return taken

    def _sit(self, table: Side) -> bool:
        self._seen.pop(table.folder.name, None)
        if not self._take(table):
            return False
        table.say()
        return True

    def _take(self, side: Side) -> bool:
        """The seat at a table, or its closing: whoever links the name first. A doubt is waited out."""
        for _ in range(_DOUBTS):
            try:
                return self._world.put(side.folder / "seat", side.who.encode())
            except UndecidedError:
                self._pause(4 * POLL_S)
            except OSError:  # the table is gone
                return False
        return False
