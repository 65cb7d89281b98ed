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
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

_STAGES = ("--stages", "prep,segment,final")  # whoever may finalize elsewhere: these do the whole job
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def default_workers() -> int:
    """One worker per two cores that this process may use."""
    return max(1, len(os.sched_getaffinity(0)) // 2)


def default_threads(workers: int) -> int:
    """Threads of each worker's restorer, so that together they fill the cores."""
    return max(1, len(os.sched_getaffinity(0)) // max(1, workers))


def visible_gpus() -> tuple[str, ...]:
    """GPUs this process may use, as CUDA_VISIBLE_DEVICES names them; asks the kernel, not a library."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(name for name in named.split(",") if name.strip() and not name.startswith("-"))
    folder = Path("/proc/driver/nvidia/gpus")
    return tuple(str(index) for index, _ in enumerate(folder.iterdir())) if folder.is_dir() else ()


class LocalWorker(NamedTuple):
    """A process of this machine."""

    pid: int

    @property
    def begun(self) -> bool:
        """A process runs as soon as it is there."""
        return True


class LocalWorkers:
    """A handful of `waterz-spool worker` processes for some jobs of one spool: a launcher that supervises them.

    Args:
        root: The spool.
        jobs: Ids of the jobs they may work on.
        threads: Threads of each one's restorer.
        gpus: Names of the GPUs to share among them, each to as few workers as possible; none is no choice.
        config_file: Configuration file to hand on.
        restarts: How many workers that died are replaced in all.
    """

    what = "local workers"
    again = "waterz-spool worker --drain"

    def __init__(
        self,
        root: Path,
        jobs: list[str],
        *,
        threads: int,
        gpus: tuple[str, ...] = (),
        config_file: Path | None = None,
        restarts: int = 20,
    ) -> None:
        options = ["--spool", str(root), *(["--config", str(config_file)] if config_file else [])]
        names = [part for job in jobs for part in ("--job", job)]
        self._command = [sys.executable, "-m", "waterz_spool", *options, "worker", "--quiet", "--drain", *names]
        self._command += _STAGES
        self._command += ["--threads", str(threads)]
        self._environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads))}
        self._running: list[subprocess.Popen[bytes]] = []
        self._gpus = gpus
        self._on: dict[int, str] = {}  # GPU of each living worker
        self._restarts = restarts

    def start(self, count: int) -> int:
        """Start so many."""
        for _ in range(count):
            self._running.append(self._spawn())
        return count

    def present(self) -> list[LocalWorker]:
        """Those that run."""
        return [LocalWorker(process.pid) for process in self._running if process.poll() is None]

    def tend(self) -> int:
        """Replace workers that were killed or crashed; returns how many run."""
        ended = [process for process in self._running if process.poll() is not None]
        self._running = [process for process in self._running if process.returncode is None]
        for process in ended:
            self._on.pop(process.pid)
            if process.returncode != 0 and self._restarts > 0:
                log.warning("worker %d ended with %d, starting another", process.pid, process.returncode)
                self._restarts -= 1
                self._running.append(self._spawn())
        return len(self._running)

    def stop(self, workers: Sequence[LocalWorker] | None = None, *, grace_s: float = 20.0) -> None:
        """Ask some workers, or all, to hand their claims back and end; kill what does not within ``grace_s``."""
        pids = None if workers is None else {worker.pid for worker in workers}
        asked = [process for process in self._running if pids is None or process.pid in pids]
        for process in asked:
            process.send_signal(signal.SIGTERM)
        for process in asked:
            try:
                process.wait(timeout=grace_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running = [process for process in self._running if process not in asked]

    def _spawn(self) -> subprocess.Popen[bytes]:
        gpu = self._free_gpu()
        # Own process groups: Ctrl-C reaches the parent alone, which hands it on once.
        process = subprocess.Popen(
            self._command,
            env=self._environment | ({"CUDA_VISIBLE_DEVICES": gpu} if gpu else {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            process_group=0,
        )
        self._on[process.pid] = gpu
        return process

    def _free_gpu(self) -> str:
        """The GPU with the fewest living workers."""
        if not self._gpus:
            return ""
        return min(self._gpus, key=list(self._on.values()).count)
