"""How well the static detector's masks fit the true ones, without hints, and that clean videos stay untouched.

Usage: python -m benchmarks.detection_quality [--clean FOLDER]... [FOLDER|VIDEO]...

A folder holds input.mp4 and mask.mkv (one true mask per frame, white where the overlay is, grown by 3 px). A video
alone is a clean one, as are all in a --clean folder: nothing may be found in it, whole, in its halves, nor four times
forwards and backwards. Masks are grown by 3 px, as a job does by default. Ends with 1 when something was found in a
clean video.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from waterz_spool import detect, media
from waterz_spool.config import DetectConfig
from waterz_spool.detect import patches

VIDEOS = {".mp4", ".mkv", ".mov", ".webm", ".avi"}
MIN_HALF_FRAMES = 30


def measure(path: Path) -> str:
    """One line about a folder or a clean video."""
    video = path / "input.mp4" if path.is_dir() else path
    info = media.probe(video)
    config = DetectConfig(detector="static")
    detector = detect.create(detect.Setting(options=config, info=info))
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


def clean(path: Path) -> list[str]:
    """What is found in versions of a clean video, a line for each in which something is."""
    info = media.probe(path)
    frames = [media.planes(frame)[0].copy() for frame in media.decode(path, info)]
    middle, there_and_back = len(frames) // 2, [*frames, *frames[::-1]]
    versions = {"whole": frames, "longer": there_and_back * 2}
    versions |= {"first half": frames[:middle], "last half": frames[middle:]} if middle >= MIN_HALF_FRAMES else {}
    lines = []
    for name, shown in versions.items():
        options = DetectConfig(detector="static")
        detector = detect.create(detect.Setting(options=options, info=info))
        for index, luma in enumerate(shown):
            detector.add(index, None, luma)
        found = detector.finish(lambda shown=shown: iter(enumerate(shown)))
        places = [f"{each.start}-{each.stop} {patches.box_of(each)}" for each in found.patches]
        lines += [f"{path.name} {name}: {', '.join(places)}"] if places else []
    return lines


def main() -> int:
    """Print a line for everything named; 1 when something was found in a clean video."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=Path, action="append", default=[], metavar="FOLDER")
    parser.add_argument("paths", type=Path, nargs="*", metavar="FOLDER|VIDEO")
    asked = parser.parse_args()
    for path in asked.paths:
        print(f"{path}: {measure(path)}", flush=True)
    videos = [path for folder in asked.clean for path in sorted(folder.iterdir()) if path.suffix in VIDEOS]
    found = 0
    for path in videos:
        lines = clean(path)
        found += bool(lines)
        print("\n".join(lines) if lines else f"{path.name}: nothing", flush=True)
    if videos:
        print(f"found in {found} of {len(videos)} clean videos")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
