"""What is wrong while a job is followed, said once when it begins and once when it is over."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

from waterz_spool.report.living import Living, standing
from waterz_spool.report.troubles import troubles
from waterz_spool.spool import DamagedRecordError, Job, JobState, Spool, storage_error

_EVERY_S = 2.0
_ALONE_S = 3.0  # workers need a moment to start


class Notices:
    """Looks at the spool of a job now and then.

    Args:
        job: The job that is followed.
        say: Prints a line.
    """

    def __init__(self, job: Job, say: Callable[[str], None]) -> None:
        self._job = job
        self._say = say
        self._due = 0.0
        self._known: dict[str, str] = {}

    def look(self) -> None:
        """Say what is new and what is over, when it is time to.

        Raises:
            OSError: The spool cannot be read.
        """
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + _EVERY_S
        with contextlib.suppress(DamagedRecordError):  # of another program or another job: not what is followed
            spool = Spool.around(self._job)
            self._tell({trouble.what: trouble.line for trouble in troubles(spool)})

    def unreadable(self, error: OSError) -> None:
        """Say that the spool cannot be read from here at present."""
        why = os.strerror(storage_error(error))
        self._tell({"unreadable": f"the spool cannot be read: {why}; waiting until it can"})

    def _tell(self, found: dict[str, str]) -> None:
        for what, line in found.items():
            if what not in self._known:
                self._say(line)
        for what, line in self._known.items():
            if what not in found:
                self._say(f"over: {line.partition(':')[0]}")
        self._known = found


class Alone:
    """Says once that nobody works on a job that is waited for.

    Args:
        job: The job.
        say: Prints a line.
        coming: Asks a scheduler for workers on their way, one line for each kind.
    """

    def __init__(self, job: Job, say: Callable[[str], None], coming: Callable[[], list[str]] = list) -> None:
        self._job = job
        self._say = say
        self._coming = coming
        self._since: float | None = None
        self._due = 0.0
        self._said = False

    def look(self, state: JobState) -> None:
        """Look whether a worker lives that could take what is open, when it is time to."""
        now = time.monotonic()
        if self._said or now < self._due:
            return
        self._due = now + _EVERY_S / 2
        living = Living.around(self._job)
        word = standing(self._job, state, living)
        if word == "paused":
            self._tell([f"{self._job.id} is paused: waterz-spool resume {self._job.id}"])
            return
        if word not in ("waiting", "stopped") or living.takers(self._job, state):
            self._since = None
            return
        self._since = self._since or now
        if now - self._since >= _ALONE_S:
            none = f"no worker is running for {self._job.id}; start one on any machine that mounts the spool: "
            self._tell(self._coming() or [f"{none}waterz-spool worker --drain --spool {living.spool.root}"])

    def _tell(self, lines: list[str]) -> None:
        self._said = True
        for line in lines:
            self._say(line)
