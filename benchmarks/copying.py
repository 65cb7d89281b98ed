"""What copying saves: a 720p clip with a caption in a fifth of it, cleaned with and without copying.

    python benchmarks/copying.py [--seconds 30] [--codec h264|hevc|prores] [--container mp4|mov|mkv]

Prints one table: frames copied, processor seconds of everything, size as a share of the source. ``as 0.1.0`` encodes
every frame at crf 11, as the program did before; the rows are made one after the other in one run.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

WIDTH, HEIGHT, RATE = 1280, 720, 25
PLACE = (320, 590, 640, 70)
GROUPS = "keyint=50:min-keyint=50:scenecut=0"
CODECS = {
    "h264": ("libx264", "yuv420p", {"crf": "20", "x264-params": GROUPS}),
    "hevc": ("libx265", "yuv420p", {"crf": "22", "preset": "fast", "x265-params": f"{GROUPS}:log-level=none"}),
    "prores": ("prores_ks", "yuv422p10le", {}),
}
ROWS = {"copied": (), "all encoded": ("--recode", "all"), "as 0.1.0": ("--recode", "all", "--quality", "archive")}


def make_clip(path: Path, seconds: int, codec: str) -> None:
    """A pan over noise of two sizes, with some grain, and a caption in the middle fifth."""
    rng = np.random.default_rng(1)
    shape = HEIGHT + 100, WIDTH + 1500
    waves = [cv2.GaussianBlur(rng.normal(size=shape).astype(np.float32), (0, 0), sigma) for sigma in (3, 25)]
    scene = 128 + 28 * waves[0] / waves[0].std() + 30 * waves[1] / waves[1].std()
    name, pix_fmt, options = CODECS[codec]
    with av.open(str(path), "w") as out:
        stream = out.add_stream(name, rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
        for index in range(seconds * RATE):
            x, y = round(index * 1.3) % 1400, round(50 + 40 * np.sin(index / 40))
            luma = scene[y : y + HEIGHT, x : x + WIDTH] + rng.normal(0, 1.5, (HEIGHT, WIDTH))
            luma = np.clip(luma, 16, 235).astype(np.uint8)
            if 2 * seconds * RATE <= 5 * index < 3 * seconds * RATE:
                cv2.putText(luma, "Breaking news caption", (330, 640), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 235, 4)
            planes = np.concatenate([luma, np.full((HEIGHT // 2, WIDTH), 128, np.uint8)])
            frame = av.VideoFrame.from_ndarray(planes, "yuv420p").reformat(format=pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--codec", choices=CODECS, default="h264")
    parser.add_argument("--container", default="mp4")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / f"clip.{given.container}"
        make_clip(source, given.seconds, given.codec)
        for name, options in ROWS.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            out = Path(folder) / f"{name.replace(' ', '')}.{given.container}"
            box = ",".join(map(str, PLACE))
            when = ("--from", f"{given.seconds * 0.4:g}", "--to", f"{given.seconds * 0.6:g}")
            command = [sys.executable, "-m", "waterz_spool", "run", str(source), "--box", box, *when]
            command += [
                "--report",
                "--workers",
                "1",
                "-o",
                str(out),
                "--spool",
                f"{folder}/spool{name[:1]}{len(name)}",
                *options,
            ]
            subprocess.run(command, check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            result = json.loads(out.with_suffix(".json").read_text())
            size = out.stat().st_size / source.stat().st_size
            copied = f"{result['copied']:>4} of {result['frames']} frames copied"
            print(f"{name:<12} {copied}, {cpu_s:6.1f} s of processors, {size:.2f} of the source", flush=True)


if __name__ == "__main__":
    main()
