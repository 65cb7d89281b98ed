"""Memory and the length of a video: the peak of a fresh worker for a short and a long one, which must be the same.

    python benchmarks/length_memory.py [--seconds 1200 7200] [--whole]

It prepares the job; with --whole it does the segments and the joining, too.

The videos are 96x72 at 5 frames/s with a box that stays, so that nearly all memory is what the process takes anyhow and
what every segment leaves behind can be seen.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

WIDTH, HEIGHT, RATE = 96, 72, 5


def make_clip(path: Path, seconds: int) -> None:
    import av
    import numpy as np

    scene = np.kron(np.random.default_rng(1).integers(20, 220, (24, 40), np.uint8), np.ones((8, 8), np.uint8))
    gray = np.full((HEIGHT // 2, WIDTH), 128, np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "crf": "30"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(seconds * RATE):
            x, y = index % 200, index // 3 % 100
            luma = scene[y : y + HEIGHT, x : x + WIDTH].copy()
            luma[10:20, 60:80] = 250
            frame = av.VideoFrame.from_ndarray(np.concatenate([luma, gray]), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def work(clip: Path, tasks: set[str]) -> tuple[int, float]:
    """Work on a clip in this process: its segments, and the peak of its memory in MiB."""
    from waterz_spool import config
    from waterz_spool.intake.spools import open_or_create
    from waterz_spool.intake.submit import Order, submit
    from waterz_spool.spool import Session
    from waterz_spool.stages.contract.payloads import plan_of
    from waterz_spool.stages.loop.worker import Limits, StopFlag, Worker

    with tempfile.TemporaryDirectory(prefix="waterz-bench-") as folder:
        settings = {"restore": {"engine": "membrane"}, "encode": {"preset": "ultrafast"}}
        resolved = config.load(overrides=settings)
        spool = open_or_create(Path(folder) / "spool", resolved)
        order = Order(exact_boxes=((60, 10, 20, 10),), output=f"{folder}/out.mp4")
        job = submit(spool, clip, order, resolved)
        with Session(spool, tasks=tasks) as session:
            Worker(session, StopFlag(), Limits()).work_off()
        segments = len(plan_of(job.plan() or b"", job.id).segments)
    # Not ru_maxrss: that of a process that starts another counts for it, too.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return segments, int(status["VmHWM"].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, nargs="+", default=[1200, 7200])
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        tasks = {"prep", "segment", "final"} if options.whole else {"prep"}
        print("{} segments, peak {:.0f} MiB".format(*work(options.alone, tasks)))
        return
    with tempfile.TemporaryDirectory(prefix="waterz-bench-") as folder:
        for seconds in options.seconds:
            clip = Path(folder) / f"{seconds}.mp4"
            make_clip(clip, seconds)
            command = [sys.executable, __file__, "--alone", str(clip), *(["--whole"] if options.whole else [])]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            print(f"{seconds / 60:.0f} min: {done.stdout.strip()}", flush=True)


if __name__ == "__main__":
    main()
