"""Where the time, memory and space of a whole `run` go: a 20 s 1080p clip with a 300x100 logo, made here.

    python benchmarks/run_stages.py [--seconds 20] [--workers 1]

Prints one table: wall seconds of each stage, CPU seconds of everything, peak memory of all processes together (PSS),
bytes written to the spool as a share of the raw frames.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np

from waterz_spool.report.pace import segment_result
from waterz_spool.spool import Spool

WIDTH, HEIGHT, RATE = 1920, 1080, 30
BOX = (1560, 60, 300, 100)


def make_clip(path: Path, seconds: int) -> None:
    """A pan over a textured scene, moving discs, an opaque logo."""
    rng = np.random.default_rng(1)
    wide = np.zeros((HEIGHT + 200, WIDTH + 1400, 3), np.float32)
    for cells, weight in ((8, 60), (40, 40), (200, 30), (800, 18)):
        noise = rng.uniform(-1, 1, (cells // 2 + 2, cells, 3)).astype(np.float32)
        wide += weight * cv2.resize(noise, wide.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    scene = np.clip(wide + 125, 0, 255).astype(np.uint8)
    x, y, w, h = BOX
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for t in range(seconds * RATE):
            move = np.float32([[1, 0, 20 + 2.1 * t % 1300], [0, 1, 90 + 60 * np.sin(t / 50)]])
            frame = cv2.warpAffine(scene, move, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
            cv2.circle(frame, (int(900 + 500 * np.sin(t / 30)), 600), 90, (40, 60, 220), -1, cv2.LINE_AA)
            frame[y : y + h, x : x + w] = (130, 50, 20)
            cv2.putText(frame, "CHANNEL", (x + 20, y + 65), cv2.FONT_HERSHEY_DUPLEX, 1.6, (255, 255, 255), 3)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        container.mux(stream.encode(None))


def tree_pss_mib(pid: int) -> float:
    """Proportional set size of a process and its descendants."""
    total, todo = 0.0, [pid]
    while todo:
        one = todo.pop()
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024
            for task in Path(f"/proc/{one}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
        except (OSError, StopIteration):
            continue
    return total


def written_bytes(job: Path) -> int:
    """Bytes of the job's files, the pinned source (a hard link) not counted."""
    return sum(
        path.stat().st_size for path in job.rglob("*") if path.is_file() and path.parent.name not in ("source", "log")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_clip(folder / "clip.mp4", options.seconds)
        command = [sys.executable, "-m", "waterz_spool", "--spool", str(folder / "spool"), "run"]
        command += [str(folder / "clip.mp4"), "--box", ",".join(map(str, BOX)), "--workers", str(options.workers)]
        begun, peak = time.monotonic(), 0.0
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            peak = max(peak, tree_pss_mib(process.pid))
            time.sleep(0.2)
        wall = time.monotonic() - begun
        if process.returncode:
            sys.exit(process.returncode)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        job = Spool.open(folder / "spool").job("last")
        report(job, options, wall, used.ru_utime + used.ru_stime, peak)


def report(job, options, wall, cpu, peak) -> None:
    state = job.state()
    ends = {task.task: job.log.end(task.task, task.attempt) for task in state.tasks}
    results = [
        segment_result(job.log.end(task.task, task.attempt)) for task in state.tasks if isinstance(task.task, int)
    ]
    raw = options.seconds * RATE * WIDTH * HEIGHT * 3 // 2
    rows = [
        ("prepare", f"{ends['prep'].seconds:.1f} s"),
        (f"segments ({len(results)})", f"{sum(r.seconds for r in results):.1f} s in all"),
        ("finalize", f"{ends['final'].seconds:.1f} s"),
        ("whole run", f"{wall:.1f} s, {options.workers} worker(s)"),
        ("CPU", f"{cpu:.1f} s"),
        ("peak memory", f"{peak:.0f} MiB, all processes"),
        (
            "written to the spool",
            f"{written_bytes(job.path) / 2**20:.1f} MiB, {written_bytes(job.path) / raw:.2%} of raw",
        ),
    ]
    for name, value in rows:
        print(f"{name:24}{value}")


if __name__ == "__main__":
    main()
