"""Speed of the propagate restorer against the experiment it was written after, on the same input in one run.

    python benchmarks/engine_speed.py PROTOTYPE.py FOLDER [FOLDER ...] [--repeats 3]

FOLDER holds input.mp4 and mask.mkv as overlay_bench.py makes them. Both run in this process on one thread, in turn, and
the least CPU time of each counts: milliseconds per frame from decoded frames to restored pixels. The restorer's time
includes the way from planes to crops and back.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pathlib
import sys
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import cv2
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import engine_quality as quality


def load(path: str):
    spec = importlib.util.spec_from_file_location("prototype", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prototype_ms(prototype, folder: pathlib.Path) -> float:
    frames = prototype.read(str(folder / "input.mp4"))
    masks, keys = [], []
    raw = (prototype.read(str(folder / "mask.mkv"), "gray") > 127).astype(np.uint8)
    for number, mask in enumerate(raw):  # equal masks share one object: it compares identities
        same = number and (mask == raw[number - 1]).all()
        masks.append(masks[-1] if same else mask)
        keys.append(keys[-1] if same else number)
    moving = len(set(keys)) > 1 and not raw.min(0).any()
    _, stats = prototype.run_engine(frames, masks, "jump" if moving else "logo", keys)
    return stats["ms"]


def restorer_ms(planes: list, masks: np.ndarray) -> float:
    begin = time.process_time()
    quality.restore_all(planes, masks, "propagate")
    return (time.process_time() - begin) / len(planes) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prototype")
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    prototype = load(args.prototype)
    for folder in args.folders:
        planes, masks = quality.read_planes(folder / "input.mp4"), quality.read_masks(folder / "mask.mkv")
        theirs, ours = [], []
        for _ in range(args.repeats):
            theirs.append(prototype_ms(prototype, folder))
            ours.append(restorer_ms(planes, masks))
        ratio = min(theirs) / min(ours)
        print(
            f"{folder.name:14s} prototype {min(theirs):6.1f} ms  propagate {min(ours):5.1f} ms  {ratio:4.1f}x",
            flush=True,
        )


if __name__ == "__main__":
    main()
