"""Quality of a restorer on the overlay benchmark, with nothing of the spool in between.

    python benchmarks/engine_quality.py BENCH.py CLIPS WORK [NAME ...] [--prototype PROTOTYPE.py] [--encode]

BENCH.py is overlay_bench.py, CLIPS the clean clips, WORK a scratch folder for inputs and results; NAME is clip-kind,
such as bear-logo. Each input is decoded to its own planes, cropped as the product crops, restored, composited and
scored; with --encode after x264 crf 16, otherwise losslessly. With --prototype, its score stands beside.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # one thread, so that times compare

import av
import cv2
import numpy as np

from waterz_spool import restore
from waterz_spool.restore.composite import composite, crop_planes, to_full_chroma

CLIPS = {"bear": (0, 80), "tennis": (0, 70), "dog": (60, 80), "bedroom": (20, 80)}  # first frame, frames
KINDS = ("logo", "stamp", "jump", "semi")
REACH_FRAMES = 60


def make(bench: str, clips: str, work: pathlib.Path, name: str) -> pathlib.Path:
    clip, kind = name.split("-")
    start, frames = CLIPS[clip]
    folder = work / name
    if not (folder / "input.mp4").exists():
        span = ["--start", str(start), "--frames", str(frames)]
        subprocess.run([sys.executable, bench, "make", f"{clips}/{clip}.mp4", kind, str(folder), *span], check=True)
    return folder


def read_planes(path: pathlib.Path) -> list[list[np.ndarray]]:
    with av.open(str(path)) as container:
        return [
            [np.frombuffer(p, np.uint8).reshape(-1, p.line_size)[: p.height, : p.width].copy() for p in frame.planes]
            for frame in container.decode(video=0)
        ]


def read_masks(path: pathlib.Path) -> np.ndarray:
    with av.open(str(path)) as container:
        masks = [frame.to_ndarray(format="gray") > 127 for frame in container.decode(video=0)]
    return np.stack(masks).astype(np.uint8) * 255


def places(masks: np.ndarray) -> list[tuple[int, int]]:
    """One span, unless the overlay moves away from where it was: then one per place."""
    if masks.min(0).any():
        return [(0, len(masks))]
    changes = [i for i in range(1, len(masks)) if (masks[i] != masks[i - 1]).any()]
    edges = [0, *changes, len(masks)]
    return list(itertools.pairwise(edges))


def crop_box(masks: np.ndarray) -> tuple[int, int, int, int]:
    hidden = masks.max(0) > 0
    height, width = hidden.shape
    rows, columns = np.flatnonzero(hidden.any(1)), np.flatnonzero(hidden.any(0))
    x0, y0, x1, y1 = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    margin = min(64, max(32, -(-min(x1 - x0, y1 - y0) // 2)))
    x0, y0, x1, y1 = max(x0 - margin, 0), max(y0 - margin, 0), min(x1 + margin, width), min(y1 + margin, height)
    return x0 // 2 * 2, y0 // 2 * 2, min(-(-x1 // 2) * 2, width), min(-(-y1 // 2) * 2, height)


def clips_of(planes: list[list[np.ndarray]], masks: np.ndarray) -> Iterator[tuple[restore.Clip, tuple, int]]:
    """What a job would hand to the restorer: clip, crop box, first frame."""
    for start, stop in places(masks):
        box = crop_box(masks[start:stop])
        first, last = max(0, start - REACH_FRAMES), min(len(masks), stop + REACH_FRAMES)
        frames = np.stack([to_full_chroma(crop_planes(f, box, 2, 2), 2, 2) for f in planes[first:last]])
        hidden = np.ascontiguousarray(masks[first:last, box[1] : box[3], box[0] : box[2]])
        span = {"start": start - first, "stop": stop - first}
        yield restore.Clip(frames=frames, masks=hidden, bits=8, family="yuv", **span), box, start


def restore_all(planes: list, masks: np.ndarray, engine: str) -> tuple[list, float]:
    """Restored planes and CPU milliseconds per frame inside the restorer."""
    out = [[plane.copy() for plane in frame] for frame in planes]
    spent = 0.0
    for clip, box, start in clips_of(planes, masks):
        begin = time.process_time()
        frames = restore.create(engine).restore(clip).frames
        spent += time.process_time() - begin
        for number, pixels in enumerate(frames):
            composite(out[start + number], pixels, clip.masks[clip.start + number], box, sx=2, sy=2)
    return out, spent / len(out) * 1e3


def write(path: pathlib.Path, planes: list[list[np.ndarray]], crf: int | None) -> None:
    options = {} if crf is None else {"crf": str(crf), "preset": "medium", "threads": "1"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1" if crf is None else "libx264", rate=25, options=options)
        stream.height, stream.width = planes[0][0].shape
        stream.pix_fmt = "yuv420p"
        for frame_planes in planes:
            frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
            for target, plane in zip(frame.planes, frame_planes, strict=True):
                padded = np.zeros((target.height, target.line_size), np.uint8)
                padded[:, : plane.shape[1]] = plane
                target.update(padded)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def score(bench: str, folder: pathlib.Path, result: pathlib.Path) -> dict:
    command = [sys.executable, bench, "score", str(folder), str(result)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("clips")
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--prototype")
    parser.add_argument("--encode", action="store_true")
    parser.add_argument("--engine", default="propagate")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    for name in args.names or [f"{clip}-{kind}" for kind in KINDS for clip in CLIPS]:
        folder = make(args.bench, args.clips, args.work, name)
        out, each_ms = restore_all(read_planes(folder / "input.mp4"), read_masks(folder / "mask.mkv"), args.engine)
        write(folder / "result.mkv", out, 16 if args.encode else None)
        mine = score(args.bench, folder, folder / "result.mkv")
        line = f"{name:14s} {mine['psnr']:6.2f} dB  SSIM {mine['ssim']:.3f}  TDE {mine['tde']:5.2f}  {each_ms:6.1f} ms"
        if args.prototype:
            subprocess.run([sys.executable, args.prototype, "engine", str(folder)], check=True, capture_output=True)
            other = score(args.bench, folder, folder / "proto.mkv")
            line += f"   prototype {other['psnr']:6.2f} dB  SSIM {other['ssim']:.3f}  TDE {other['tde']:5.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
