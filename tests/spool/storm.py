"""A kill storm: workers that are killed, stopped for longer than a lease, and replaced, until the work is done.

What it judges by is read from the files directly, not through the code under test.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

HERE = Path(__file__).parent


@dataclass
class Storm:
    """One storm; ``run`` returns when the workers have ended by themselves and all blows have fallen."""

    kind: str
    root: Path
    segments: int
    seed: int
    workers: int = 8
    kills: int = 30
    stops: int = 10
    stop_s: float = 3.0
    work_s: float = 0.2
    limit_s: float = 60.0
    killed: int = 0
    stopped: int = 0
    stuck: bool = False
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    asleep: dict[int, float] = field(default_factory=dict)
    started: int = 0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def start(self, extra: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        self.started += 1
        command = [sys.executable, str(HERE / "stormworker.py"), self.kind, str(self.root)]
        command += [str(self.segments), str(self.work_s), f"host{self.started % 3}"]
        path = os.pathsep.join([str(HERE), str(HERE.parent.parent)])
        with (self.root.parent / "errors").open("ab") as errors:
            process = subprocess.Popen(
                command, env={**os.environ, "PYTHONPATH": path, **(extra or {})}, stderr=errors, start_new_session=True
            )
        self.processes.append(process)
        return process

    def run(self) -> None:
        began = time.monotonic()
        try:
            for _ in range(self.workers):
                self.start()
            time.sleep(0.5)  # interpreters start
            while self.tick():
                if time.monotonic() - began > self.limit_s:
                    self.stuck = True
                    return
                time.sleep(self.random.uniform(0.05, 0.25))
        finally:
            self.end()

    def tick(self) -> bool:
        """One blow, if some are left; False when all workers have ended by themselves."""
        now = time.monotonic()
        living = [process for process in self.processes if process.poll() is None]
        awake = [process for process in living if process.pid not in self.asleep]
        for pid in [pid for pid, until in self.asleep.items() if until < now or not awake]:
            del self.asleep[pid]
            os.killpg(pid, signal.SIGCONT)
        if not living:
            return False
        victim = self.victim(awake)
        if (
            victim is not None
            and self.stopped < self.stops
            and (self.random.random() < 0.3 or self.killed >= self.kills)
        ):
            self.put_to_sleep(victim, now)
        elif victim is not None and self.killed < self.kills:
            self.kill(victim)
            self.start()
        return True

    def victim(self, awake: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes] | None:
        """Somebody who is in the middle of writing: where it hurts."""
        at_work = [process for process in awake if (self.root.parent / f"busy.{process.pid}").exists()]
        return self.random.choice(at_work) if at_work else None

    def put_to_sleep(self, victim: subprocess.Popen[bytes], now: float) -> None:
        """For longer than a lease; every second one until all others have finished, and is replaced."""
        os.killpg(victim.pid, signal.SIGSTOP)
        self.stopped += 1
        self.asleep[victim.pid] = now + self.stop_s
        if self.stopped % 2 == 0:
            self.asleep[victim.pid] = float("inf")
            self.start()

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        (self.root.parent / f"busy.{process.pid}").unlink(missing_ok=True)
        self.killed += 1

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def commits(self) -> Counter[str]:
        """How often each task was committed, as the workers themselves noted down."""
        journal = self.root.parent / "journal"
        return Counter(line.split()[0] for line in journal.read_text().splitlines()) if journal.exists() else Counter()

    def errors(self) -> str:
        """What workers said before they died of themselves."""
        return (self.root.parent / "errors").read_text()
