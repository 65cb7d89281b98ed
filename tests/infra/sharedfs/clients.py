"""Shared file systems with several clients on this machine, for tests: NFS, MooseFS, sshfs, a FUSE client that lies.

Each is a context manager with ``machines`` (a `storm.Machine` each), ``export`` (the server's side, for judging),
``side`` (a folder that all reach without the shared file system) and ``restart_server``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).parent
SPOOL_TESTS = HERE.parents[1] / "spool"
sys.path.insert(0, str(SPOOL_TESTS))

from storm import Here, Process  # noqa: E402

_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
_SILENT = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)


class Done:
    """What a command on a machine gave."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


class Mounted(Here):
    """This machine through one of several mounts."""

    def __init__(self, system: SharedFolder, number: int, folder: Path) -> None:
        super().__init__(folder)
        self.system, self.number = system, number
        self.started: list[Process] = []

    def start(self, command: Sequence[str], environment: Mapping[str, str], errors: Path) -> Process:
        self.started.append(super().start(command, environment, errors))
        return self.started[-1]

    def cut(self) -> None:
        for process in self.started:
            process.signal(signal.SIGKILL)
            process.wait()
        self.started.clear()
        self.system.remount(self.number)

    def run(self, *command: object, limit_s: float = 120, environment: Mapping[str, str] | None = None) -> Done:
        done = subprocess.run(
            [str(part) for part in command], env={**os.environ, **(environment or {})}, capture_output=True, text=True,
            timeout=limit_s, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)


class InGuest:
    """A process in a guest."""

    def __init__(self, guest: Guest, pid: int) -> None:
        self.guest, self.pid = guest, pid

    def poll(self) -> int | None:
        return self.guest.ask({"poll": self.pid})

    def signal(self, number: int) -> None:
        self.guest.ask({"signal": [self.pid, int(number)]})

    def wait(self) -> int:
        while (code := self.poll()) is None:
            time.sleep(0.02)
        return code


class Guest:
    """A computer of its own with a kernel of its own."""

    folder = Path("/mnt/spool")

    def __init__(self, system: Nfs, number: int) -> None:
        self.system, self.number = system, number
        self.guard = threading.Lock()
        self.connect()

    def connect(self) -> None:
        self.channel = self.open_channel()

    def open_channel(self) -> subprocess.Popen[str]:
        command = [HERE / "nfs.sh", "ask", self.system.folder, str(self.number)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def close(self) -> None:
        close_channel(self.channel)

    def ask(self, asked: dict[str, object]) -> object:
        with self.guard:
            return ask(self.channel, asked)

    def start(self, command: Sequence[str], environment: Mapping[str, str], errors: Path) -> Process:
        asked = {"start": list(command), "env": dict(environment), "errors": str(errors)}
        return InGuest(self, self.ask(asked))

    def run(self, *command: object, limit_s: float = 120, environment: Mapping[str, str] | None = None) -> Done:
        """A command, from any thread."""
        channel = self.open_channel()
        try:
            line = [str(part) for part in command]
            return Done(*ask(channel, {"run": line, "env": dict(environment or {}), "limit_s": limit_s}))
        finally:
            close_channel(channel)

    def cut(self) -> None:
        self.system.script("cut", self.number)
        self.close()
        self.system.script("boot", self.number)
        self.connect()


def ask(channel: subprocess.Popen[str], asked: dict[str, object]) -> object:
    channel.stdin.write(json.dumps(asked) + "\n")
    channel.stdin.flush()
    answer = channel.stdout.readline()
    assert answer, f"the guest did not answer {asked}"
    return json.loads(answer)


def close_channel(channel: subprocess.Popen[str]) -> None:
    with contextlib.suppress(BrokenPipeError):
        channel.stdin.close()
    channel.wait(timeout=20)
    channel.stdout.close()


class SharedFolder:
    """A folder served to several clients; what its script starts ends with this process at the latest."""

    name = ""
    tools: tuple[str, ...] = ()
    packages = ""
    restarts = True  # whether there is a server to restart

    def __init__(self, clients: int = 2, **environment: str) -> None:
        self.clients, self.environment = clients, environment
        self.machines: list[Mounted | Guest] = []

    @classmethod
    def missing(cls) -> str:
        """What this machine lacks, or ""."""
        gone = [tool for tool in cls.tools if not (Path(tool).exists() or shutil.which(tool, path=_PATH))]
        return f"no {cls.name} here ({', '.join(gone)}): apt-get install {cls.packages}" if gone else ""

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix=f"wz{self.name}-"))
        self.export, self.side = self.folder / "export", self.folder / "side"
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        command = [HERE / f"{self.name}.sh", "guard", self.folder, str(os.getpid())]
        self.watch = subprocess.Popen(command, start_new_session=True, **_SILENT)
        self.script("up", self.clients)

    def down(self) -> None:
        self.script("down")
        self.watch.wait(timeout=30)

    def script(self, verb: str, *arguments: object) -> None:
        # Servers outlive the script and would hold a pipe open.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [HERE / f"{self.name}.sh", verb, self.folder, *map(str, arguments)],
                env={**os.environ, **self.environment}, timeout=90, check=False,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
            output.seek(0)
            assert done.returncode == 0, f"{self.name}.sh {verb}: {output.read()}"

    def restart_server(self, away_s: float = 2.0) -> None:
        self.script("server-stop")
        time.sleep(away_s)
        self.script("server-start")


class Nfs(SharedFolder):
    """NFSv4.2 with a kernel for each client."""

    name = "nfs"
    tools = ("ganesha.nfsd", "linux.uml", "mount.nfs", "busybox", "ip", "cc", "/dev/net/tun")
    packages = "nfs-ganesha nfs-ganesha-vfs nfs-common user-mode-linux busybox-static iproute2 gcc libc6-dev"

    def up(self) -> None:
        super().up()
        self.machines = [Guest(self, number + 1) for number in range(self.clients)]

    def down(self) -> None:
        for machine in self.machines:
            machine.close()
        super().down()


class Mounts(SharedFolder):
    """A folder that this machine has mounted once for each client."""

    def up(self) -> None:
        super().up()
        numbers = range(1, self.clients + 1)
        self.machines = [Mounted(self, number, self.folder / f"mount{number}") for number in numbers]

    def remount(self, number: int) -> None:
        self.script("cut", number)
        self.script("boot", number)


class Sshfs(Mounts):
    """Two sshfs mounts: locks mean nothing across them, listings are old."""

    name = "sshfs"
    tools = ("sshfs", "sshd", "ssh-keygen", "fusermount3", "/dev/fuse")
    packages = "sshfs openssh-server fuse3"


class Moosefs(Mounts):
    """Two clients of a MooseFS volume: locks exclude across them. The folder for judging is one more mount."""

    name = "moosefs"
    tools = ("mfsmaster", "mfschunkserver", "mfsmount", "ip", "/dev/fuse")
    packages = "moosefs-master moosefs-chunkserver moosefs-client iproute2"


class Nfsish(SharedFolder):
    """Two mounts with caches that lose replies; the server is this machine's file system and never restarts."""

    name = "nfsish"
    tools = ("fusermount3", "/dev/fuse")
    packages = "fuse3"
    restarts = False

    def __init__(self, clients: int = 2, *, cache_s: float = 3.0, lost: float = 0.05) -> None:
        super().__init__(clients)
        self.cache_s, self.lost = cache_s, lost
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    @classmethod
    def missing(cls) -> str:
        try:
            import mfusepy  # noqa: F401
        except ImportError:
            return "no nfsish here: pip install mfusepy"
        return super().missing()

    def up(self) -> None:
        self.export.mkdir()
        self.side.mkdir()
        for number in range(1, self.clients + 1):
            self.mount(number)
            self.machines.append(Mounted(self, number, self.folder / f"mount{number}"))

    def mount(self, number: int) -> None:
        point = self.folder / f"mount{number}"
        point.mkdir(exist_ok=True)
        command = [sys.executable, HERE / "nfsish.py", self.export, point, self.cache_s, self.lost, number]
        self.processes[number] = subprocess.Popen(
            [str(part) for part in command], start_new_session=True, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + 20
        while not point.is_mount():
            assert time.monotonic() < end and self.processes[number].poll() is None, "nfsish does not mount"
            time.sleep(0.05)

    def unmount(self, number: int) -> None:
        process = self.processes.pop(number)
        process.kill()
        process.wait()
        subprocess.run(["fusermount3", "-uz", self.folder / f"mount{number}"], check=False, timeout=20, **_SILENT)

    def remount(self, number: int) -> None:
        self.unmount(number)
        self.mount(number)

    def down(self) -> None:
        for number in list(self.processes):
            self.unmount(number)
        shutil.rmtree(self.folder)
