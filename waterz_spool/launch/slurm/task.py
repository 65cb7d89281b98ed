"""What an array task runs on its node: strings in, nothing out.

submitit unpickles this and calls it. It becomes the worker's process, so that signals reach the worker itself and
nothing of submitit is left to rely on: no result is written, none is read.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class ArrayTask:
    """Becomes `waterz-spool` with the given arguments."""

    def __call__(self, *arguments: str) -> None:
        """Replace this process; returns never."""
        # Blocked until the worker has its own handlers: a warning that comes meanwhile waits and is not lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        os.execv(sys.executable, [sys.executable, "-u", "-m", "waterz_spool", *arguments])

    def checkpoint(self, *arguments: str) -> Any:
        """For a warning that comes before the worker's own handlers: begin again with the same arguments."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *arguments)
