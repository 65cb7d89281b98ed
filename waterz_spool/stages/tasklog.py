"""What is logged while a task is worked on, in a file of the job, as far as there is room for it."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

from waterz_spool.spool import Claim

_LINES = 2000
_FORM = "%(asctime)s %(levelname)s %(message)s"


@contextlib.contextmanager
def task_log(claim: Claim) -> Iterator[None]:
    """Write what this thread logs meanwhile to the attempt's own file in the job, beside the worker's own output."""
    handler = _TaskLog(claim.job.layout.log_file(claim.task, claim.tag), encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter(_FORM))
    handler.addFilter(_Head(_LINES))
    root = logging.getLogger("waterz_spool")
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


class _TaskLog(logging.FileHandler):
    """A log for people: where it cannot be written, the work goes on without it."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - a name of logging's
        """A full disk is no news for the terminal; the worker says so once."""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


class _Head(logging.Filter):
    """Lets the first lines of its thread pass: a task's log stays small, whatever repeats."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self._left = lines
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self._thread:
            return False
        self._left -= 1
        return self._left >= 0
