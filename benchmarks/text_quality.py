"""Where the text detector finds certain text, in which frames, and what looking costs.

Usage: python -m benchmarks.text_quality VIDEO...

Per video: boxes with their frames before refining, and CPU seconds per minute of video spent in the detector, decoding
left out, with the text network and without it, at 480 and 1080 lines.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from waterz_spool import media
from waterz_spool.detect import patches
from waterz_spool.detect.text import TextDetector, TextNetwork


def boxes(path: Path, network) -> str:
    info = media.probe(path)
    detector = TextDetector(network, info)
    for frame in media.decode(path, info):
        detector.add(frame.index, frame.picture, media.planes(frame)[0])
    found = detector.finish(lambda: iter(())).boxes
    return "; ".join(f"{patches.box_of(e)} {e.start}-{e.stop - 1}" for e in found) or "nothing"


def cost_s(path: Path, network, height: int) -> float:
    info = media.probe(path)
    width = round(info.width * height / info.height / 2) * 2
    scaled = msgspec.structs.replace(info, width=width, height=height)
    detector, spent, count = TextDetector(network, scaled), 0.0, 0
    for frame in media.decode(path, info):
        picture = frame.picture.reformat(width=width, height=height)
        luma = picture.reformat(format="gray").to_ndarray()
        start = time.process_time()
        detector.add(frame.index, picture, luma)
        spent += time.process_time() - start
        count += 1
    rate = info.average_rate[0] / info.average_rate[1]
    return spent * 60 * rate / count


def main() -> None:
    network = TextNetwork()
    for path in map(Path, sys.argv[1:]):
        costs = [cost_s(path, net, h) for h in (480, 1080) for net in (network, lambda picture: ())]
        print(f"{path}: {boxes(path, network)}; CPU s/min 480, without, 1080, without:", *(f"{c:.1f}" for c in costs))


if __name__ == "__main__":
    main()
