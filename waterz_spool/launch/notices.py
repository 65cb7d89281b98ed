"""What is wrong while a job is followed, said once when it begins and once when it is over."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

from waterz_spool.report.troubles import troubles
from waterz_spool.spool import DamagedRecordError, Job, Spool, storage_error

_EVERY_S = 2.0


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
