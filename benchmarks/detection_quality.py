"""How well the static detector's masks fit the true ones, without hints.

Usage: python benchmarks/detection_quality.py FOLDER|VIDEO...

A folder holds input.mp4 and mask.mkv (one true mask per frame, white where the overlay is, grown by 3 px). A video
alone is a clean one: nothing may be found in it. Masks are grown by 3 px, as a job does by default.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from waterz_spool import media
from waterz_spool.config import DetectConfig
from waterz_spool.detect import patches
from waterz_spool.stages.detectors import detector_of


def measure(path: Path) -> str:
    """One line about a folder or a clean video."""
    video = path / "input.mp4" if path.is_dir() else path
    info = media.probe(video)
    config = DetectConfig(detector="static")
    detector = detector_of(config, info, sha256="", spool=None)
    decode = look = 0.0
    count, before = 0, time.process_time()
    for frame in media.decode(video, info):
        decoded = time.process_time()
        detector.add(frame.index, frame.picture, media.planes(frame)[0])
        decode, look, count = decode + decoded - before, look + time.process_time() - decoded, count + 1
        before = time.process_time()
    found = detector.finish(lambda: ((f.index, media.planes(f)[0]) for f in media.decode(video, info)))
    end = time.process_time() - before
    speed = f"decode {1e3 * decode / count:.1f}, looking {1e3 * look / count:.1f} ms a frame, end {end:.1f} s"
    if not found.patches:
        return f"nothing found: {found.reason}; {speed}"
    if not path.is_dir():
        return f"FOUND {len(found.patches)} in a clean video; {speed}"
    grown = patches.grown(found.patches, config.dilation_px)
    masks = patches.masks(grown, count, size=(info.width, info.height))
    true = media.decode(path / "mask.mkv", media.probe(path / "mask.mkv"))
    scores = [fit(mask > 0, media.planes(frame)[0] > 127) for mask, frame in zip(masks, true, strict=True)]
    good = np.mean(np.array(scores) >= 0.6)
    return (
        f"IoU mean {np.mean(scores):.3f} worst {min(scores):.3f}, from 0.6 on in {100 * good:.0f} % of frames; {speed}"
    )


def fit(mask: np.ndarray, true: np.ndarray) -> float:
    """Intersection over union."""
    return float((mask & true).sum() / max(1, (mask | true).sum()))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {measure(Path(name))}", flush=True)
