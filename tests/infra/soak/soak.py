"""A soak: jobs without end for real workers, while blows and faults fall now and then; what leaks shows.

``python -m tests.infra.soak.soak --minutes 30`` prints what happened and what is wrong; exit code 1 when anything is.

Three workers share a spool with a stream of small real videos. One is never struck: its open files, threads and memory
must stay what they were. The others are killed, stopped for longer than a lease, or told to end, and replaced. All
suffer file operations that fail, or whose answers are lost, at a low rate. Each finished job is judged by its records
and bytes, and cleaned away soon after.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import av
import numpy as np

import waterz_spool
from tests.faults import with_plan
from waterz_spool.spool import Spool as Records
from waterz_spool.spool import SpoolSettings

ROOT = Path(__file__).parents[3]
SETTINGS = SpoolSettings(beat_s=0.5, lease_s=5, poll_s=0.3, idle_s=1, backoff_s=0.5)
OPTIONS = {
    "restore": {"engine": "membrane"},
    "plan": {"segment_s": 0.6},
    "encode": {"preset": "ultrafast"},
}
BOX = (80, 8, 36, 20)
JOBS_AT_ONCE = 3
GOES_S = 20.0  # a finished job is cleaned away after so long
RULES = [
    {"do": "lose", "op": "link", "chance": 0.004},
    {"do": "fail", "op": "link", "chance": 0.002, "errno": "EIO"},
    {"do": "fail", "op": "write_new", "chance": 0.002, "errno": "ENOSPC"},
    {"do": "torn", "op": "write_new", "chance": 0.002},
    {"do": "fail", "op": "read", "chance": 0.004, "errno": "ESTALE"},
    {"do": "fail", "op": "listdir", "chance": 0.002, "errno": "EIO"},
    {"do": "fail", "op": "seal", "chance": 0.002, "errno": "EIO"},
    {"do": "delay", "op": "*", "chance": 0.002, "delay_s": 0.3},
]


@dataclass(frozen=True)
class Sample:
    """What one process holds at a moment."""

    files: int
    threads: int
    rss_mib: float

    @classmethod
    def of(cls, pid: int) -> Sample:
        status = Path(f"/proc/{pid}/status").read_text()
        facts = dict(line.split(":", 1) for line in status.splitlines())
        return cls(
            len(list(Path(f"/proc/{pid}/fd").iterdir())), int(facts["Threads"]), int(facts["VmRSS"].split()[0]) / 1024
        )


@dataclass
class Soak:
    """One soak in a folder of its own."""

    folder: Path
    seconds: float
    seed: int = 1
    blow_every_s: float = 8.0
    wrong: list[str] = field(default_factory=list)
    blows: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    judged: set[str] = field(default_factory=set)
    results: set[str] = field(default_factory=set)
    submitted: int = 0
    cleaned: int = 0
    reference: str = ""
    left: str = ""

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.mark = f"soak-{os.getpid()}-{self.random.getrandbits(32):x}"
        self.out, self.temp = self.folder / "out", self.folder / "tmp"
        for folder in (self.out, self.temp):
            folder.mkdir()
        (self.folder / "faults.json").write_text(json.dumps({"seed": self.seed, "rules": RULES}))
        self.video = small_video(self.folder / "v.mp4")
        self.records = Records.create(self.folder / "spool", SETTINGS)
        self.spool = waterz_spool.Spool(self.folder / "spool", OPTIONS)
        self.victims: list[subprocess.Popen[bytes]] = []
        self.asleep: dict[int, float] = {}

    # ---- processes

    def worker(self, *, faults: bool = True, extra: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "TMPDIR": str(self.temp), "OMP_NUM_THREADS": "1", "WATERZ_SOAK": self.mark}
        if faults:
            environment |= with_plan(self.folder / "faults.json")
        command = [sys.executable, "-m", "waterz_spool", "worker", "--threads", "1", "--spool", str(self.records.root)]
        with (self.folder / "said").open("ab") as said:
            return subprocess.Popen(
                [*command, *extra], cwd=ROOT, env=environment, stdout=said, stderr=said, start_new_session=True
            )

    def strike(self) -> None:
        """One blow: by kill, by a stop longer than a lease, or by the signal that asks to end."""
        awake = [process for process in self.victims if process.pid not in self.asleep]
        if not awake:
            return
        victim, kind = self.random.choice(awake), self.random.choice(("kill", "stop", "end"))
        self.blows[kind] += 1
        if kind == "stop":
            os.killpg(victim.pid, signal.SIGSTOP)
            self.asleep[victim.pid] = time.monotonic() + 2 * SETTINGS.lease_s
            return
        os.killpg(victim.pid, signal.SIGKILL if kind == "kill" else signal.SIGTERM)
        victim.wait(60)
        self.victims.remove(victim)
        self.victims.append(self.worker())

    def wake(self, *, all_of_them: bool = False) -> None:
        for pid, until in list(self.asleep.items()):
            if all_of_them or until < time.monotonic():
                del self.asleep[pid]
                os.killpg(pid, signal.SIGCONT)

    # ---- jobs

    def submit(self) -> None:
        self.submitted += 1
        self.spool.submit(self.video, boxes=[BOX], output=self.out / f"{self.submitted}.mp4")

    def unfinished(self) -> int:
        """Judge what is published; how many jobs are not."""
        left = 0
        for job in self.records.jobs():
            if job.id not in self.judged:
                state = job.state()
                if state.state == "done" and state.published:
                    self.judge(job)
                else:
                    left += 1
                if state.state in ("failed", "cancelled"):
                    self.wrong.append(f"{job.id}: {state.state} {state.reasons}")
                    self.judged.add(job.id)
        return left

    def judge(self, job) -> None:
        """Every task done exactly once, the records sound, the bytes those of an undisturbed worker."""
        self.judged.add(job.id)
        self.wrong += [f"{job.id}: {found}" for found in job.verify()]
        kinds: dict[str, list[str]] = {}
        for path in job.layout.log.glob("*.end"):
            if path.name != "commit.end":
                kinds.setdefault(path.name.split(".")[0], []).append(json.loads(path.read_bytes())["kind"])
        self.outcomes.update(kind for task in kinds.values() for kind in task)
        for task, held in kinds.items():  # a prepare that was stopped after it had published all needs no other
            if held.count("done") not in ((0, 1) if task == "prep" else (1,)):
                self.wrong.append(f"{job.id}: {task} {held}")
        published = job.published()
        self.results.add(Path(published.path).name)
        if hashlib.sha256(Path(published.path).read_bytes()).hexdigest() != self.reference:
            self.wrong.append(f"{job.id}: other bytes in {published.path}")

    def clean(self, older_than_s: float) -> None:
        self.cleaned += len(self.records.clean(older_than_s=older_than_s, dry_run=False))

    # ---- the whole

    def run(self) -> Soak:
        try:
            self.undisturbed()
            survivor = self.worker()
            self.victims = [self.worker() for _ in range(2)]
            self.storm(survivor)
            self.finish(survivor)
        finally:
            self.end_all()
        return self

    def undisturbed(self) -> None:
        """Learn what one worker without faults makes of the video."""
        self.submit()
        done = self.worker(faults=False, extra=("--drain",)).wait(120)
        path = self.out / f"{self.submitted}.mp4"
        self.reference = hashlib.sha256(path.read_bytes()).hexdigest()
        if done or self.unfinished():
            self.wrong.append("the undisturbed job is not done")

    def storm(self, survivor: subprocess.Popen[bytes]) -> None:
        end, strike_at, clean_at = (time.monotonic() + wait for wait in (self.seconds, 3.0, GOES_S))
        while time.monotonic() < end:
            if survivor.poll() is not None:
                self.wrong.append(f"the survivor ended with {survivor.returncode}")
                return
            for _ in range(JOBS_AT_ONCE - self.unfinished()):
                self.submit()
            self.samples.append(Sample.of(survivor.pid))
            self.wake()
            if time.monotonic() > strike_at:
                self.strike()
                strike_at = time.monotonic() + self.random.uniform(0.5, 1.5) * self.blow_every_s
            if time.monotonic() > clean_at:
                self.unfinished()  # a blow may have taken long: judge what would go
                self.clean(GOES_S)
                clean_at = time.monotonic() + GOES_S
            time.sleep(1.0)

    def finish(self, survivor: subprocess.Popen[bytes]) -> None:
        """Let the last jobs come to their end, ask all to leave, look what is left."""
        self.wake(all_of_them=True)
        end = time.monotonic() + 90
        while self.unfinished() and time.monotonic() < end:
            time.sleep(0.5)
        if left := self.unfinished():
            self.wrong.append(f"{left} jobs are not done after 90 s of calm")
        for process in (survivor, *self.victims):
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(60) for process in (survivor, *self.victims)]
        if set(codes) - {0, 143, -signal.SIGTERM}:
            self.wrong.append(f"exit codes {codes}")
        self.look_for_leaks()

    def look_for_leaks(self) -> None:
        self.wrong += [f"process {line}" for line in self.processes()]
        left = sorted(path.name for path in self.temp.iterdir())
        if len(left) > self.blows["kill"]:  # one that is killed cannot tidy up
            self.wrong.append(f"temporary files: {left}")
        self.left = f"{len(left)} temporary folders of killed workers"
        self.wrong += [f"beside the results: {p.name}" for p in self.out.iterdir() if p.name not in self.results]
        if len(self.results) != self.submitted:
            self.wrong.append(f"{self.submitted} videos, {len(self.results)} results")
        workers = list((self.records.root / "workers").iterdir())
        beating = [path.name for path in workers if path.suffix == ".hb"]
        if len(beating) > self.blows["kill"]:
            self.wrong.append(f"heartbeats of workers that were not killed: {beating}")
        for path in workers:  # traces of workers are kept for a day
            os.utime(path, (time.time() - 2 * 86400,) * 2)
        self.clean(-1.0)
        left = [path for path in self.records.root.rglob("*") if path.is_file() and path.name != "spool.json"]
        self.wrong += [f"not cleaned away: {path.relative_to(self.records.root)}" for path in left]
        self.wrong += self.growth()

    def growth(self) -> list[str]:
        """Compare the last quarter of the survivor's samples with the second: the first is for warming up."""
        quarter = len(self.samples) // 4
        early, late = self.samples[quarter : 2 * quarter], self.samples[-quarter:]
        if quarter < 60:  # too short to tell work from growth
            return []
        wrong = []
        for name in ("files", "threads"):
            least = [min(getattr(sample, name) for sample in part) for part in (early, late)]
            if least[1] > least[0]:
                wrong.append(f"the survivor's {name} grew from {least[0]} to {least[1]}")
        middle = [statistics.median(sample.rss_mib for sample in part) for part in (early, late)]
        if middle[1] > 1.05 * middle[0] + 5:
            wrong.append(f"the survivor's memory grew from {middle[0]:.0f} to {middle[1]:.0f} MiB")
        return wrong

    def processes(self) -> list[str]:
        """Command lines of processes that carry this soak's mark."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_text().replace("\0", " "))
        return found

    def end_all(self) -> None:
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in (folder / "environ").read_bytes():
                    os.kill(int(folder.name), signal.SIGKILL)

    def story(self) -> str:
        """What happened, in a few lines."""
        lines = [
            f"{self.seconds / 60:.1f} minutes: {len(self.judged)} jobs done, {dict(self.blows)} blows, "
            f"outcomes {dict(self.outcomes)}, {self.cleaned} things cleaned away, {self.left}"
        ]
        parts = max(len(self.samples) // 6, 1)
        for start in range(0, len(self.samples), parts):
            part = self.samples[start : start + parts]
            lines.append(
                f"survivor from sample {start}: files {min(s.files for s in part)}-{max(s.files for s in part)}, "
                f"threads {min(s.threads for s in part)}-{max(s.threads for s in part)}, "
                f"median memory {statistics.median(s.rss_mib for s in part):.1f} MiB"
            )
        return "\n".join([*lines, *(f"WRONG: {what}" for what in self.wrong)])


def small_video(path: Path) -> Path:
    """36 frames of 128x96 with a bright rectangle burnt in."""
    x, y, width, height = BOX
    picture = np.random.default_rng(3).integers(0, 255, (96, 200, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "18", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for index in range(36):
            frame = picture[:, index : index + 128].copy()
            frame[y : y + height, x : x + width] = 230
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave the folder for a look")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    soak = Soak(folder, args.minutes * 60, args.seed)
    try:
        print(soak.run().story())
    finally:
        if args.keep:
            print(folder)
        else:
            shutil.rmtree(folder)
    return 1 if soak.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
