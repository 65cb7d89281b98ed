"""Hosts that fail at what works elsewhere: they stop claiming until somebody says that they are well.

``hosts/<host>.<n>.quarantine`` says that a host stopped for the n-th time, ``hosts/<host>.<n>.resume`` that this was
lifted; both are put-if-absent and never removed. Limit: it is a policy and decides nothing; a worker that does not see
the record yet claims one more task.
"""

from __future__ import annotations

import contextlib
import os
import re

from waterz_spool.spool.disk.world import World
from waterz_spool.spool.job.jobs import Job
from waterz_spool.spool.log.formats import DamagedRecordError, HostRecord, decode, encode
from waterz_spool.spool.log.layout import SpoolLayout, Task, host_record, parse_host_record

IN_A_ROW = 3


class Hosts:
    """Which hosts of a spool have stopped."""

    def __init__(self, layout: SpoolLayout, world: World) -> None:
        self._folder = layout.hosts
        self._world = world

    def stopped(self) -> dict[str, int]:
        """Hosts that do not claim, by the number of their last record; one listing."""
        last: dict[str, dict[str, int]] = {}
        for name in self._world.ops.listdir(self._folder):
            found = parse_host_record(name)
            if found is not None:
                host, number, verb = found
                verbs = last.setdefault(host, {"quarantine": 0, "resume": 0})
                verbs[verb] = max(verbs[verb], number)
        return {host: verbs["quarantine"] for host, verbs in last.items() if verbs["quarantine"] > verbs["resume"]}

    def why(self, host: str, number: int) -> str:
        """What a host said when it stopped; empty when that cannot be read."""
        path = self._folder / host_record(host, number, "quarantine")
        with contextlib.suppress(OSError, DamagedRecordError):
            data = self._world.read(path)
            return decode(data, HostRecord, path).why if data else ""
        return ""

    def is_stopped(self, host: str) -> bool:
        """Whether this host does not claim, as far as can be seen."""
        with contextlib.suppress(OSError):
            return spelled(host) in self.stopped()
        return False

    def stop(self, host: str, why: str) -> None:
        """Let a host claim nothing any more.

        Raises:
            OSError: It could not be written.
        """
        self._put(spelled(host), "quarantine", self._last(spelled(host)) + 1, why)

    def resume(self, host: str) -> bool:
        """Let it claim again; False when it had not stopped."""
        host = spelled(host)
        number = self.stopped().get(host, 0)
        if number:
            self._put(host, "resume", number, "")
        return number > 0

    def _last(self, host: str) -> int:
        found = map(parse_host_record, self._world.ops.listdir(self._folder))
        return max((number for name, number, _ in filter(None, found) if name == host), default=0)

    def _put(self, host: str, verb: str, number: int, why: str) -> None:
        record = HostRecord(host=host, why=why, uid=os.getuid(), t=self._world.clock.wall(), n=self._world.tokens())
        self._world.put(self._folder / host_record(host, number, verb), encode(record))


def spelled(host: str) -> str:
    """A host's name as file names may hold it."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", host).lstrip(".-")[:100] or "host"


class Streak:
    """One worker's failures in a row."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._failed: dict[tuple[str, Task], Job] = {}

    def failed(self, job: Job, task: Task) -> None:
        """A task has failed here."""
        self._failed[job.id, task] = job

    def broken(self) -> None:
        """A task succeeded here."""
        self._failed.clear()

    def verdict(self) -> str:
        """Why this host should stop, or "": enough failures in a row, and other hosts can do what failed here."""
        if len(self._failed) < IN_A_ROW:
            return ""
        elsewhere = [f"{job.id}/{task}" for (_, task), job in self._failed.items() if self._works_elsewhere(job, task)]
        if len(elsewhere) < IN_A_ROW:
            return ""
        return f"{len(elsewhere)} failures in a row of what works elsewhere: {', '.join(elsewhere[-IN_A_ROW:])}"

    def _works_elsewhere(self, job: Job, task: Task) -> bool:
        with contextlib.suppress(OSError, DamagedRecordError):
            done = job.log.scan().task(task).done
            end = job.log.end(task, done) if done else None
            return end is not None and end.host != self._host and not end.passed
        return False
