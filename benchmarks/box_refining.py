"""How well a box drawn by hand is refined to the overlay's own pixels, and what that is worth in the result.

Usage: python benchmarks/box_refining.py [--run] FOLDER...

A folder holds input.mp4, box.txt (x,y,w,h as a person draws it) and mask.mkv (one true mask per frame, white where the
overlay is, grown by 3 px). Printed are the share of the overlay, grown by 1 px, that is masked, the share of what is
masked that lies in the true masks, wrong frames, and CPU time. With --run, beside truth.mkv (the same frames without
overlay), the PSNR in the true masks of `run --box-exact`, `run --box` and `run --mask`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from waterz_spool import media
from waterz_spool.detect import patches
from waterz_spool.detect.refine import VideoCrops, refine
from waterz_spool.stages.contract.request import parse_box
from waterz_spool.stages.prepare.overlays import coded_box

DISC = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))


def pictures(path: Path) -> Iterator[np.ndarray]:
    """All frames, BGR, or gray where they are."""
    info = media.probe(path)
    form = "gray" if info.pix_fmt.startswith("gray") else "bgr24"
    for frame in media.decode(path, info):
        yield frame.picture.reformat(format=form).to_ndarray()


def masks(folder: Path) -> str:
    """How the masks fit."""
    video = folder / "input.mp4"
    info = media.probe(video)
    box = coded_box(parse_box((folder / "box.txt").read_text()), info)
    pts = [frame.pts for frame in media.decode(video, info)]
    begun = time.process_time()
    found = refine(VideoCrops(video, info, pts), box, (0, len(pts)), size=(info.width, info.height))
    spent = time.process_time() - begun
    covered = wanted = masked = right = lost = false = 0
    drawn = patches.masks(found.patches, len(pts), size=(info.width, info.height))
    for mask, true in zip(drawn, pictures(folder / "mask.mkv"), strict=True):
        own, hidden = mask > 0, cv2.erode(true, DISC) > 127
        covered, wanted = covered + (own & hidden).sum(), wanted + hidden.sum()
        right, masked = right + (own & (true > 127)).sum(), masked + own.sum()
        lost, false = lost + (hidden.any() and not own.any()), false + (own.any() and not hidden.any())
    speed = 1e8 * spent / len(pts) / ((box[2] - box[0]) * (box[3] - box[1]))
    said = f"; whole: {found.reason}" if found.reason else ""
    return (
        f"covered {covered / wanted:.4f} right {right / max(1, masked):.3f} frames lost {lost} false {false} "
        f"{speed:.0f} ms a frame and 100 kpx, decode included{said}"
    )


def psnr(folder: Path, result: Path) -> float:
    """In the true masks, dB."""
    error = count = 0.0
    each = zip(pictures(result), pictures(folder / "truth.mkv"), pictures(folder / "mask.mkv"), strict=True)
    for done, true, mask in each:
        inside = mask > 127
        error += float(((done[inside].astype(np.float64) - true[inside]) ** 2).sum())
        count += 3 * int(inside.sum())
    return float(10 * np.log10(65025 * count / max(error, 1e-3)))


def runs(folder: Path) -> str:
    """PSNR of results with the box as it is, the box refined, and the true masks."""
    box = (folder / "box.txt").read_text()
    found = []
    with tempfile.TemporaryDirectory() as out:
        for number, given in enumerate((["--box-exact", box], ["--box", box], ["--mask", str(folder / "mask.mkv")])):
            result = Path(out) / f"{number}.mp4"
            command = [
                sys.executable,
                "-m",
                "waterz_spool",
                "run",
                str(folder / "input.mp4"),
                *given,
                "-o",
                str(result),
            ]
            subprocess.run([*command, "--workers", "1"], check=True, capture_output=True)
            found.append(psnr(folder, result))
    return "box as it is {:.2f}, box refined {:.2f}, true masks {:.2f} dB".format(*found)


if __name__ == "__main__":
    names = [name for name in sys.argv[1:] if name != "--run"]
    for name in names:
        print(f"{name}: {masks(Path(name))}", flush=True)
        if "--run" in sys.argv:
            print(f"{name}: {runs(Path(name))}", flush=True)
