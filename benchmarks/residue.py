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

from benchmarks.engine_quality import clips_of, read_masks, read_planes
from waterz_spool import restore
from waterz_spool.restore.residue import look, rank


def eroded(masks: np.ndarray, px: int) -> np.ndarray:
    if not px:
        return masks
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * px + 1, 2 * px + 1))
    return np.stack([cv2.erode(mask, disc) for mask in masks])


def judged(planes: list, masks: np.ndarray, engine: str) -> tuple[str, float, float, float]:
    """The worst verdict of all places, its score and levels, and the share of CPU time that looking takes."""
    found, times = [], [0.0, 0.0]
    for clip, box, _ in clips_of(planes, masks):
        begun = time.process_time()
        frames = restore.create(engine).restore(clip).frames
        restored = time.process_time()
        one = look(clip, frames, (0, 0, box[2] - box[0], box[3] - box[1]))
        times = [times[0] + restored - begun, times[1] + time.process_time() - restored]
        found += [one] if one else []
    worst = max(found, key=lambda one: (rank(one.verdict), one.score), default=None)
    told = (worst.verdict, worst.score, worst.levels) if worst else ("-", 0.0, 0.0)
    return *told, times[1] / times[0]


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
