"""What people ask of a job or a spool while it runs: an append-only, numbered folder of records.

Guarantee: ``<n>.ctl`` is put-if-absent, so the records have one total order without clocks, and the last of pause and
resume is the same for all who have seen all. ``<n>.pause`` beside it is a link for readers. Limit: who has an old
listing acts on the old order until the next look; nothing that must be exact rests on it (see ``commit.end``).
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from waterz_spool.spool.disk.world import World
from waterz_spool.spool.log.formats import Budget, ControlRecord, GrantRecord, decode, encode
from waterz_spool.spool.log.layout import CONTROL_RECORD, Verb, grant_name
from waterz_spool.spool.log.states import ControlView, parse_control

_TRIES = 100


class ControlFolder:
    """One such folder. What was read once is kept: records never change."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder = folder
        self._world = world
        self._grants: dict[str, GrantRecord] = {}

    def scan(self) -> ControlView:
        """One listing, and one read for each record whose marker is missing."""
        view = parse_control(self._world.ops.listdir(self.folder))
        for number in view.unknown():
            name = CONTROL_RECORD.format(number)
            data = self._world.read(self.folder / name)
            if data is not None:
                view.verbs[number] = decode(data, ControlRecord, self.folder / name).verb
        return view

    def append(self, verb: Verb, why: str = "") -> None:
        """Add a record after all that exist.

        Raises:
            OSError: It could not be written, or it is not known whether it was; asking again is harmless.
        """
        record = ControlRecord(
            verb=verb,
            host=socket.gethostname(),
            uid=os.getuid(),
            t=self._world.clock.wall(),
            n=self._world.tokens(),
            why=why,
        )
        number = self._put(CONTROL_RECORD, self.scan().last, encode(record))
        with contextlib.suppress(OSError):
            self._world.ops.link(self.folder / CONTROL_RECORD.format(number), self.folder / f"{number}.{verb}")

    def grant(self, task: str | None, extra: Budget) -> None:
        """Add budget for one task, or for all."""
        numbers = self.scan().grants
        record = GrantRecord(task=task, extra=extra, n=self._world.tokens())
        self._put(grant_name("{}"), max(numbers, default=0), encode(record))

    def grants(self, view: ControlView) -> list[tuple[str | None, Budget]]:
        """All grants listed; one that is not visible yet is left out."""
        for name in map(grant_name, sorted(view.grants)):
            if name not in self._grants:
                data = self._world.read(self.folder / name)
                if data is not None:
                    self._grants[name] = decode(data, GrantRecord, self.folder / name)
        return [(grant.task, grant.extra) for grant in self._grants.values()]

    def _put(self, pattern: str, last: int, data: bytes) -> int:
        for number in range(last + 1, last + 1 + _TRIES):
            if self._world.put(self.folder / pattern.format(number), data):
                return number
        raise FileExistsError(f"no free number after {last} in {self.folder}")
