"""What is logged while a task is worked on, in a file of the job, as far as there is room for it."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import threading
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

from waterz_spool.errors import printable_lines
from waterz_spool.spool import FILE_MODE, Claim

_LINES = 2000


class LogFormatter(logging.Formatter):
    """Time, level and message, with control characters that names may hold escaped."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter``."""
        return printable_lines(super().format(record))


class LogFile(logging.FileHandler):
    """A log for people, in the spool: never written through a link that somebody has put there, nor into a pipe.

    Where it cannot be written, the work goes on without it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self.setFormatter(LogFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """See ``logging.Handler``."""
        with contextlib.suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - a name of logging's
        """A full disk is no news for the terminal; the worker says so once."""

    def close(self) -> None:
        """See ``logging.Handler``."""
        with contextlib.suppress(OSError):
            super().close()

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(self.baseFilename, flags, FILE_MODE)
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_nlink > 1:
            os.close(fd)
            raise OSError(errno.EINVAL, "not a log", self.baseFilename)
        if not info.st_mode & stat.S_IRGRP:
            os.fchmod(fd, FILE_MODE)
        return TextIOWrapper(os.fdopen(fd, "ab"), encoding="utf-8", errors="replace", line_buffering=True)


@contextlib.contextmanager
def task_log(claim: Claim) -> Iterator[None]:
    """Write what this thread logs meanwhile to the attempt's own file in the job, beside the worker's own output."""
    handler = LogFile(claim.job.layout.log_file(claim.task, claim.tag))
    handler.addFilter(_Head(_LINES))
    root = logging.getLogger("waterz_spool")
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


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
