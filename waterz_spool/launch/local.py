"""Worker processes on this machine, supervised by the one that started them.

The workers share nothing with their parent but the spool: it may be killed, and they go on; they may be killed, and
it starts others.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

log = logging.getLogger(__name__)

_STAGES = ("--stages", "prep,segment,final")  # whoever may finalize elsewhere: these do the whole job
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def default_workers() -> int:
    """One worker per two cores that this process may use."""
    return max(1, len(os.sched_getaffinity(0)) // 2)


def default_threads(workers: int) -> int:
    """Threads of each worker's restorer, so that together they fill the cores."""
    return max(1, len(os.sched_getaffinity(0)) // max(1, workers))


class LocalWorkers:
    """A handful of `waterz-spool worker` processes for some jobs of one spool.

    Args:
        root: The spool.
        jobs: Ids of the jobs they may work on.
        count: How many run at a time.
        threads: Threads of each one's restorer.
        config_file: Configuration file to hand on.
        restarts: How many workers that died are replaced in all.
    """

    def __init__(
        self,
        root: Path,
        jobs: list[str],
        *,
        count: int,
        threads: int,
        config_file: Path | None = None,
        restarts: int = 20,
    ) -> None:
        options = ["--spool", str(root), *(["--config", str(config_file)] if config_file else [])]
        names = [part for job in jobs for part in ("--job", job)]
        self._command = [
            sys.executable,
            "-m",
            "waterz_spool",
            *options,
            "worker",
            "--quiet",
            "--drain",
            *_STAGES,
            *names,
        ]
        self._command += ["--threads", str(threads)]
        self._environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads))}
        self._running: list[subprocess.Popen[bytes]] = []
        self._count = count
        self._restarts = restarts

    def start(self) -> None:
        """Start all workers."""
        self._running = [self._spawn() for _ in range(self._count)]

    def tend(self) -> int:
        """Replace workers that were killed or crashed; returns how many run."""
        kept = []
        for process in self._running:
            code = process.poll()
            if code is None:
                kept.append(process)
            elif code != 0 and self._restarts > 0:
                log.warning("worker %d ended with %d, starting another", process.pid, code)
                self._restarts -= 1
                kept.append(self._spawn())
        self._running = kept
        return len(kept)

    def stop(self, *, grace_s: float = 20.0) -> None:
        """Ask all workers to hand their claims back and end; kill what does not within ``grace_s``."""
        for process in self._running:
            process.send_signal(signal.SIGTERM)
        for process in self._running:
            try:
                process.wait(timeout=grace_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running = []

    def _spawn(self) -> subprocess.Popen[bytes]:
        # Own process groups: Ctrl-C reaches the parent alone, which hands it on once.
        return subprocess.Popen(
            self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, process_group=0
        )
