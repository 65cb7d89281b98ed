"""Looking for overlays with YOLO: frames per second beside ultralytics' own `predict` and decode alone; memory.

    python benchmarks/detection_speed.py [--frames 300] [--rounds 3] [--weights W.pt] [--imgsz 320]

Makes a 360p clip with a moving scene and a red plate. Without --weights a nano model from its yaml is used, which has
as much to compute as a trained one but finds nothing, so that no masks are made. Everything runs on one thread of the
CPU, interleaved, and CPU seconds are compared, because they hardly depend on what else the machine does; wall seconds
are shown beside them. Memory: the peak of a fresh process for the clip and for one of ten times its length, at a small
picture size.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

WIDTH, HEIGHT = 640, 360
LONGER = 10
MEMORY_IMGSZ = 96  # growth does not depend on it


def make_clip(path: Path, frames: int) -> None:
    import av
    import cv2
    import numpy as np

    rng = np.random.default_rng(1)
    wide = np.zeros((HEIGHT + 80, WIDTH + 640, 3), np.float32)
    for cells, weight in ((8, 60), (40, 40), (200, 30), (800, 18)):
        noise = rng.uniform(-1, 1, (cells // 2 + 2, cells, 3)).astype(np.float32)
        wide += weight * cv2.resize(noise, wide.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    scene = np.clip(wide + 125, 0, 255).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for t in range(frames):
            x, y = round(300 + 290 * np.sin(t / 60)), round(40 + 38 * np.sin(t / 23))
            frame = scene[y : y + HEIGHT, x : x + WIDTH].copy()
            frame[30:70, 480:580] = (20, 30, 220)
            cv2.circle(frame, (504, 50), 14, (250, 250, 250), -1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        container.mux(stream.encode(None))


def untrained(path: Path) -> None:
    from waterz_spool.detect.model.offline import ultralytics

    ultralytics().YOLO("yolo11n.yaml").save(str(path))


def ours(clip: Path, weights: Path, imgsz: int, *, detector: str = "auto") -> int:
    """What prepare does: decode, look at every frame, follow."""
    from waterz_spool import detect, media
    from waterz_spool.config import DetectConfig

    info = media.probe(clip)
    options = DetectConfig(detector=detector, weights=str(weights), imgsz=imgsz, device="cpu")
    looking = detect.create(detect.Setting(options=options, info=info))
    count = 0
    for frame in media.decode(clip, info, threads=1):
        looking.add(frame.index, frame.picture, media.planes(frame)[0])
        count += 1
    looking.finish(lambda: ((f.index, media.planes(f)[0]) for f in media.decode(clip, info, threads=1)))
    return count


def theirs(clip: Path, weights: Path, imgsz: int) -> int:
    """The usual way: ultralytics reads the file and predicts frame by frame."""
    from waterz_spool.detect.model.offline import ultralytics

    model = ultralytics().YOLO(str(weights))
    return sum(1 for _ in model.predict(str(clip), imgsz=imgsz, device="cpu", stream=True, verbose=False, save=False))


def decode(clip: Path, weights: Path, imgsz: int) -> int:
    """The frames alone."""
    from waterz_spool import media

    return sum(1 for _ in media.decode(clip, media.probe(clip), threads=1))


KINDS = {
    "yolo": partial(ours, detector="yolo"),
    "yolo and static (auto)": ours,
    "ultralytics predict": theirs,
    "decode alone": decode,
}


def measure(clip: Path, weights: Path, imgsz: int, rounds: int) -> None:
    import torch

    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in KINDS}
    for number in range(rounds + 1):
        for name, kind in KINDS.items():
            torch.set_num_threads(1)
            cpu, wall = time.process_time(), time.monotonic()
            count = kind(clip, weights, imgsz)
            if number:  # the first round loads everything
                seconds[name].append((time.process_time() - cpu, time.monotonic() - wall))
    print(f"{'':24}{'frames/CPU s':>14}{'frames/s':>12}{'CPU':>8}")
    base = median(cpu for cpu, _ in seconds["ultralytics predict"])
    for name, each in seconds.items():
        cpu, wall = (median(values) for values in zip(*each, strict=True))
        print(f"{name:24}{count / cpu:14.1f}{count / wall:12.1f}{base / cpu:7.2f}x")


def peak_mib(clip: Path, weights: Path) -> float:
    """Of a fresh process that looks for overlays in a clip."""
    command = [sys.executable, __file__, "--alone", str(clip), "--weights", str(weights), "--imgsz", str(MEMORY_IMGSZ)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--imgsz", type=int, default=320)
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if options.alone:
        ours(options.alone, options.weights, options.imgsz)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    with tempfile.TemporaryDirectory(prefix="waterz-bench-") as name:
        folder = Path(name)
        weights = options.weights or folder / "untrained.pt"
        if not options.weights:
            untrained(weights)
        clips = {count: folder / f"{count}.mp4" for count in (options.frames, LONGER * options.frames)}
        for count, clip in clips.items():
            make_clip(clip, count)
        measure(clips[options.frames], weights, options.imgsz, options.rounds)
        for count, clip in clips.items():
            print(f"peak memory, {count} frames: {peak_mib(clip, weights):.0f} MiB")


if __name__ == "__main__":
    main()
