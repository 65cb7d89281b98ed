"""A kill storm: workers that are killed, stopped for longer than a lease, and replaced, until the work is done.

What it judges by is read from the files directly, not through the code under test. The workers may be spread over
several machines that reach the spool each in its own way (`tests/infra`); what they note down for the storm is in a
folder beside it that does not go through any shared file system.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Protocol

HERE = Path(__file__).parent


class Process(Protocol):
    """A worker, wherever it runs."""

    def poll(self) -> int | None: ...

    def signal(self, number: int) -> None: ...

    def wait(self) -> object: ...


class Machine(Protocol):
    """Where workers run, and where these find the spool's parent folder."""

    folder: Path

    def start(self, command: Sequence[str], environment: Mapping[str, str], errors: Path) -> Process: ...

    def cut(self) -> None:
        """Power off and on again; all processes are gone."""
        ...


class Local:
    """A process of this machine, with a group of its own."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], errors: Path) -> None:
        with errors.open("ab") as stream:
            self.popen = subprocess.Popen(
                command, env={**os.environ, **environment}, stderr=stream, start_new_session=True
            )

    def poll(self) -> int | None:
        return self.popen.poll()

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)

    def wait(self) -> int:
        return self.popen.wait()


class Here:
    """This machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, command: Sequence[str], environment: Mapping[str, str], errors: Path) -> Local:
        return Local(command, environment, errors)

    def cut(self) -> None:
        raise NotImplementedError


@dataclass(eq=False)
class Worker:
    name: str
    process: Process
    machine: Machine
    code: int | None = None

    def ended(self) -> bool:
        if self.code is None:
            self.code = self.process.poll()
        return self.code is not None


@dataclass
class Storm:
    """One storm; ``run`` returns when the workers have ended by themselves and all blows have fallen.

    Attributes:
        kind: What `stormworker` runs.
        root: The spool, or its place below each machine's folder.
        machines: Where workers run, in turn.
        side: Where workers write down what they did; beside the spool by default.
        disasters: What else happens, each after so many kills.
        environment: What else all workers get, such as a plan of faults.
    """

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
    machines: Sequence[Machine] = ()
    side: Path = Path()
    disasters: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    environment: Mapping[str, str] = field(default_factory=dict)
    killed: int = 0
    stopped: int = 0
    stuck: bool = False
    team: list[Worker] = field(default_factory=list)
    asleep: dict[Worker, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        if not self.machines:
            self.machines = [Here(self.root.parent)]
            self.side = self.root.parent

    def start(self, extra: Mapping[str, str] | None = None, on: Machine | None = None) -> Worker:
        number = len(self.team) + 1
        machine = on or self.machines[number % len(self.machines)]
        command = [sys.executable, str(HERE / "stormworker.py"), self.kind, str(machine.folder / self.root.name)]
        command += [str(self.segments), str(self.work_s), f"host{number % 3}"]
        path = os.pathsep.join([str(HERE), str(HERE.parent.parent)])
        environment = {"PYTHONPATH": path, "STORM_SIDE": str(self.side), "STORM_NAME": f"w{number}"}
        environment |= {**self.environment, **(extra or {})}
        worker = Worker(f"w{number}", machine.start(command, environment, self.side / "errors"), machine)
        self.team.append(worker)
        return worker

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
        living = [worker for worker in self.team if not worker.ended()]
        awake = [worker for worker in living if worker not in self.asleep]
        for worker in [worker for worker, until in self.asleep.items() if until < now or not awake]:
            del self.asleep[worker]
            worker.process.signal(signal.SIGCONT)
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
        if self.disasters and self.killed >= self.disasters[0][0]:
            self.disasters.pop(0)[1]()
        return True

    def victim(self, awake: list[Worker]) -> Worker | None:
        """Somebody who is in the middle of writing: where it hurts."""
        at_work = [worker for worker in awake if (self.side / f"busy.{worker.name}").exists()]
        return self.random.choice(at_work) if at_work else None

    def put_to_sleep(self, victim: Worker, now: float) -> None:
        """For longer than a lease; every second one until all others have finished, and is replaced."""
        victim.process.signal(signal.SIGSTOP)
        self.stopped += 1
        self.asleep[victim] = now + self.stop_s
        if self.stopped % 2 == 0:
            self.asleep[victim] = float("inf")
            self.start()

    def kill(self, worker: Worker) -> None:
        worker.process.signal(signal.SIGKILL)
        worker.process.wait()
        (self.side / f"busy.{worker.name}").unlink(missing_ok=True)
        self.killed += 1

    def power_cut(self, machine: Machine) -> None:
        """Everything on a machine is gone at once; as many workers come back with it."""
        gone = [worker for worker in self.team if worker.machine is machine and not worker.ended()]
        machine.cut()
        for worker in gone:
            worker.code = -signal.SIGKILL
            self.asleep.pop(worker, None)
            (self.side / f"busy.{worker.name}").unlink(missing_ok=True)
        for _ in gone:
            self.start(on=machine)

    def end(self) -> None:
        for worker in self.team:
            if not worker.ended():
                worker.process.signal(signal.SIGKILL)
                worker.process.wait()

    def commits(self) -> Counter[str]:
        """How often each task was committed, as the workers themselves noted down."""
        lines = [line for file in self.side.glob("journal.*") for line in file.read_text().splitlines()]
        return Counter(lines)

    def errors(self) -> str:
        """What workers said before they died of themselves."""
        path = self.side / "errors"
        return path.read_text() if path.exists() else ""


def outcomes(log: Path) -> dict[str, list[dict[str, object]]]:
    """All outcomes by task, read from the files."""
    found: dict[str, list[dict[str, object]]] = {}
    for path in sorted(log.glob("*.end")):
        if path.name != "commit.end":
            found.setdefault(path.name.split(".")[0], []).append(json.loads(path.read_bytes()))
    return found
