"""The second look at what was restored: good masks, and the same masks made too small on purpose.

    python -m benchmarks.residue FOLDER... [--frames N] [--shrink PX ...] [--engine NAME]

Each FOLDER holds input.mp4 and mask.mkv (white is hidden, one mask per frame). The input is cropped as the product
crops and restored with its mask and with that mask eroded by PX; printed are the verdicts, how sure they are (standard
deviations), how strong the trace is (grey levels), and the CPU time of the look as a share of restoring.
"""

from __future__ import annotations

import argparse
import pathlib
import time

import cv2
import numpy as np

from benchmarks.engine_quality import crop_box, read_masks, read_planes
from waterz_spool import restore
from waterz_spool.restore.composite import crop_planes, to_full_chroma
from waterz_spool.restore.residue import look


def eroded(masks: np.ndarray, px: int) -> np.ndarray:
    if not px:
        return masks
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * px + 1, 2 * px + 1))
    return np.stack([cv2.erode(mask, disc) for mask in masks])


def judged(planes: list, masks: np.ndarray, engine: str) -> tuple[str, float, float, float]:
    """The verdict, its score and levels, and the share of CPU time that looking takes."""
    x0, y0, x1, y1 = box = crop_box(masks)
    pixels = np.stack([to_full_chroma(crop_planes(frame, box, 2, 2), 2, 2) for frame in planes])
    hidden = np.ascontiguousarray(masks[:, y0:y1, x0:x1])
    clip = restore.Clip(frames=pixels, masks=hidden, start=0, stop=len(masks), bits=8, family="yuv")
    begun = time.process_time()
    frames = restore.create(engine).restore(clip).frames
    restored = time.process_time()
    one = look(clip, frames, (0, 0, x1 - x0, y1 - y0))
    share = (time.process_time() - restored) / (restored - begun)
    return (one.verdict, one.score, one.levels, share) if one else ("-", 0.0, 0.0, share)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    parser.add_argument("--frames", type=int, default=80)
    parser.add_argument("--shrink", type=int, nargs="*", default=[0, 3, 4])
    parser.add_argument("--engine", default="propagate")
    asked = parser.parse_args()
    counts = {px: dict.fromkeys(("clean", "suspect", "left", "-"), 0) for px in asked.shrink}
    for folder in asked.folders:
        masks = read_masks(folder / "mask.mkv")[: asked.frames]
        planes = read_planes(folder / "input.mp4")[: asked.frames]
        cells = []
        for px in asked.shrink:
            small = eroded(masks, px)
            if not small.any():
                continue
            verdict, score, levels, share = judged(planes, small, asked.engine)
            counts[px][verdict] += 1
            cells.append(f"-{px} px: {verdict:7} {score:6.1f} {levels:5.1f} ({share:.1%})")
        print(f"{folder.name:16} " + "  ".join(cells), flush=True)
    for px, each in counts.items():
        print(f"-{px} px: " + ", ".join(f"{number} {word}" for word, number in each.items() if number))


if __name__ == "__main__":
    main()
