"""A real Slurm of three nodes on this machine, a small clip, and what each test must find at its end."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from waterz_spool.spool import Spool

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
NODES = 3
WIDTH, HEIGHT, PER_SEGMENT = 128, 96, 12
ORDER = ("--box", "80,8,36,20", "--segment-s", "0.6", "--preset", "ultrafast", "--engine", "membrane")


def free_ports(count):
    """A block of ports that nobody listens on, below the range that the kernel hands out."""
    for base in random.sample(range(20000, 30000, 20), 200):
        with socket.socket() as probe:
            if all(probe.connect_ex(("127.0.0.1", base + i)) for i in range(count)):
                return base
    raise AssertionError("no free ports")


def wait_until(condition, what, timeout_s=90, every_s=0.1):
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(every_s)
    raise AssertionError(f"not within {timeout_s} s: {what}")


class Cluster:
    """The cluster; every command has a time limit."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="wzslurm-"))
        base = free_ports(NODES + 2)
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM", "SBATCH"))}
        self.environment |= {"CTL_PORT": str(base), "NODE_PORT": str(base + 1)}
        self.environment["SLURM_CONF"] = str(self.folder / "etc" / "slurm.conf")

    def script(self, verb, *arguments):
        # Daemons outlive the script and would hold a pipe open.
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as output:
            subprocess.run(
                [HERE / "cluster.sh", verb, self.folder, *map(str, arguments)],
                env=self.environment, check=True, timeout=90, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip

    def ask(self, *command, check=True):
        done = subprocess.run(
            [str(part) for part in command],
            env=self.environment, capture_output=True, text=True, timeout=30, check=False, cwd=self.folder,
        )  # fmt: skip
        assert done.returncode == 0 or not check, f"{command}: {done.stderr}"
        return done.stdout

    def queue(self):
        """Rows of (name in commands, state, node, partition) of all jobs that have not ended."""
        rows = [line.split("|") for line in self.ask("squeue", "-h", "-r", "-o", "%F|%K|%T|%N|%P").splitlines()]
        return [(f"{a}_{k}" if k.isdecimal() else a, state, node, part) for a, k, state, node, part in rows]

    def running(self, partition=None):
        return [(j, node) for j, state, node, p in self.queue() if state == "RUNNING" and partition in (None, p)]

    def urgent(self, node, seconds=2):
        """A job that preempts whatever of partition low runs on a node."""
        self.ask("sbatch", "-p", "urgent", "--exclusive", "-w", node, "-t", 1, "-o", "/dev/null",
                 "--wrap", f"sleep {seconds}")  # fmt: skip

    def clear(self):
        """No job left, all nodes up."""
        self.ask("scancel", "-u", str(os.getuid()), check=False)
        for number in range(1, NODES + 1):
            self.script("start", number)
        wait_until(lambda: not self.queue(), "empty queue")
        up = ("idle", "alloc", "mix")
        wait_until(lambda: all(s in up for s in self.ask("sinfo", "-hN", "-p", "main", "-o", "%t").split()), "nodes up")


@pytest.fixture(scope="session")
def cluster():
    missing = [tool for tool in ("sbatch", "slurmctld", "slurmd", "munged") if not shutil.which(tool, path=_PATH)]
    if missing:
        message = f"no real Slurm here ({', '.join(missing)}): apt-get install slurm-wlm munge"
        if os.environ.get("WATERZ_REQUIRE_ALL") == "1":
            pytest.fail(message)
        pytest.skip(message)
    cluster = Cluster()
    silent = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    command = [HERE / "cluster.sh", "guard", cluster.folder, str(os.getpid())]
    guard = subprocess.Popen(command, start_new_session=True, **silent)
    try:
        cluster.script("up", NODES)
        yield cluster
    finally:
        cluster.script("down")
        guard.wait(timeout=30)
        (cluster.folder.parent / f"{cluster.folder.name}.log").unlink()


_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def make_clip(path, frames):
    """A textured scene that moves, under a burnt-in mark."""
    rng = np.random.default_rng(5)
    small = rng.integers(0, 255, (14, 60, 3), dtype=np.uint8)
    wide = cv2.resize(small, (WIDTH + frames, HEIGHT + 8), interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20, options={"crf": "16", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for t in range(frames):
            frame = np.ascontiguousarray(wide[4 : 4 + HEIGHT, t : t + WIDTH])
            frame[10:26, 82:114] = (20, 200, 240)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        container.mux(stream.encode(None))
    return path


class Lab:
    """One test's folder: the clip in it, a spool, and the program as users run it."""

    def __init__(self, cluster, folder):
        self.cluster, self.folder = cluster, folder
        self.video = folder / "clip.mp4"
        self.root = folder / "spool"
        kept = {key: value for key, value in cluster.environment.items() if not key.startswith("WATERZ_")}
        self.environment = kept | {"XDG_STATE_HOME": str(folder / "state"), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
        self.environment |= {"PYTHONPATH": f"{HERE / 'slow'}:{ROOT}", "WATERZ_PYTHON": sys.executable}
        self.frame_s(0.08)

    def frame_s(self, seconds):
        """How much longer than necessary each frame of a segment takes."""
        self.environment["WATERZ_TEST_FRAME_S"] = str(seconds)

    def start(self, *arguments):
        command = [sys.executable, "-m", "waterz_spool", *map(str, arguments)]
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip

    def cli(self, *arguments, code=0, timeout_s=200):
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=timeout_s)
        finally:
            process.kill()
        assert process.returncode == code, f"{arguments}: exit {process.returncode}\n{out}\n{err}"
        return out

    def spooled(self, *arguments, **more):
        return self.cli("--spool", self.root, *arguments, **more)

    def sbatch(self, *arguments):
        """A batch job by hand, from the test's folder."""
        done = subprocess.run(["sbatch", *map(str, arguments)], cwd=self.folder, env=self.environment, check=True,
                              capture_output=True, text=True, timeout=30)  # fmt: skip
        return done.stdout.split()[-1]

    def json(self, *arguments):
        return json.loads(self.spooled("--json", *arguments))

    def submit(self, *more):
        return self.spooled("submit", self.video, *ORDER, "-o", self.folder / "out.mp4", *more)

    @property
    def job(self):
        return Spool.open(self.root).job("last")

    @property
    def submitted(self):
        return (self.root / "jobs").is_dir() and any(not p.name.startswith(".") for p in (self.root / "jobs").iterdir())

    def done(self):
        return self.job.state().counts.get("done", 0)

    def workers(self):
        """Who works on what: rows with task, host and slurm."""
        return self.json("status", "last")["jobs"][0]["workers"]

    def wait_done(self, count):
        wait_until(lambda: self.done() >= count, f"{count} segments done")

    def finish(self, timeout_s=150):
        """Wait for the result and check everything that must hold whatever happened; returns the tasks' states."""
        wait_until(lambda: self.job.state().published or self.job.state().state == "failed", "an end", timeout_s)
        job = self.job
        assert job.state().published, self.spooled("explain")
        state = job.state()
        assert (state.state, state.counts) == ("done", {"done": state.segments})
        assert job.verify() == []
        ends = [job.log.end(task.task, k) for task in state.tasks for k in range(1, task.attempt + 1)]
        assert sum(end.kind == "done" for end in ends) == len(state.tasks), "done more than once"
        assert all(task.failed == 0 for task in state.tasks), "a release or loss counted as a failure"
        return state.tasks


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """The clip of so many segments, and the hash of what `run` makes of it without Slurm."""
    made = {}

    def get(segments):
        if segments not in made:
            folder = tmp_path_factory.mktemp(f"reference{segments}")
            video = make_clip(folder / "clip.mp4", segments * PER_SEGMENT)
            environment = os.environ | {"XDG_STATE_HOME": str(folder / "state"), "OMP_NUM_THREADS": "1"}
            subprocess.run([sys.executable, "-m", "waterz_spool", "run", video, *ORDER, "-o", folder / "out.mp4"],
                           env=environment, check=True, capture_output=True, timeout=200)  # fmt: skip
            made[segments] = video, hashlib.sha256((folder / "out.mp4").read_bytes()).hexdigest()
        return made[segments]

    return get


@pytest.fixture
def lab(cluster, reference, tmp_path, request):
    """A test's own folder on a cluster without other jobs; checks the result's bytes at the end."""
    video, digest = reference(getattr(request, "param", 20))
    lab = Lab(cluster, tmp_path)
    shutil.copyfile(video, lab.video)
    yield lab
    cluster.clear()
    out = tmp_path / "out.mp4"
    if out.exists():
        assert hashlib.sha256(out.read_bytes()).hexdigest() == digest, "not the bytes that `run` makes"
