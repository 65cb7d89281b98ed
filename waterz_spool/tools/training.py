"""`detector train` and `detector test`: from pictures of overlays and clean footage to weights and a report."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from waterz_spool import media
from waterz_spool.detect.model.weights import private_copy, weights_sha256
from waterz_spool.detect.model.yolo import YoloModel, YoloOptions
from waterz_spool.detect.training.compose import Example, compose, read_overlay
from waterz_spool.detect.training.fit import (
    Scores,
    TrainOptions,
    check_labels,
    labelled_pictures,
    score,
    train,
    write_set,
    write_yaml,
)
from waterz_spool.errors import InputError, UsageError
from waterz_spool.geometry import Geometry
from waterz_spool.report.examples import Tried, examples_html

log = logging.getLogger(__name__)

FRAMES = 240
APART = 0.2
"""Share of each video, its end, that is never trained on."""
EXAMPLES = 24
_VIDEOS = {".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".ts", ".mpg"}


@dataclass(frozen=True)
class Footage:
    """Clean frames.

    Attributes:
        videos: Files they are from.
        train: uint8 [H, W, 3] BGR each.
        apart: The same, from the ends of the videos.
    """

    videos: tuple[Path, ...]
    train: list[NDArray[np.uint8]]
    apart: list[NDArray[np.uint8]]


def read_footage(given: Sequence[Path], *, imgsz: int, apart: float = APART) -> Footage:
    """Frames spread over clean videos, of at most twice ``imgsz``.

    Raises:
        InputError: No video there, or an unreadable one.
    """
    videos = [file for path in given for file in _videos(path)]
    if not videos:
        raise InputError("there is no footage", where=", ".join(map(str, given)), todo="give videos without overlay")
    early: list[NDArray[np.uint8]] = []
    late: list[NDArray[np.uint8]] = []
    for video in videos:
        frames = _spread(video, FRAMES // len(videos) + 1, 2 * imgsz)
        kept = max(1, round(len(frames) * (1 - apart))) if apart < 1 else 0
        early += frames[:kept]
        late += frames[kept:] if apart else []
    return Footage(tuple(videos), early, late or early)


def _videos(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix.lower() in _VIDEOS)
    if not path.is_file():
        raise InputError("no such footage", where=str(path), todo="check the path")
    return [path]


def _spread(video: Path, count: int, most_px: int) -> list[NDArray[np.uint8]]:
    """At most ``2 * count`` upright frames, spread evenly."""
    info = media.probe(video)
    geometry = Geometry.of(info)
    scale = min(1.0, most_px / max(geometry.shown))
    kept: list[NDArray[np.uint8]] = []
    stride = 1
    for frame in media.decode(video, info):
        if frame.index % stride:
            continue
        kept.append(geometry.small(frame.picture, scale))
        if len(kept) >= 2 * count:
            del kept[1::2]
            stride *= 2
    return kept


def train_detector(
    overlays: Sequence[Path], footage: Sequence[Path], out: Path, options: TrainOptions, *, pictures: int
) -> tuple[Scores, Path]:
    """Compose, train, score on footage kept apart, write weights, provenance and report.

    Returns:
        The scores and the report's path, beside the weights.

    Raises:
        InputError: An overlay or footage cannot be read.
        UsageError: Two overlays of one name, or a name for the weights that is no .pt file.
        SetupError: ultralytics or the device is missing.
    """
    if out.suffix != ".pt":
        raise UsageError("weights are a .pt file", where=str(out), todo="for example -o logo.pt")
    read = [read_overlay(path) for path in overlays]
    names = [overlay.name for overlay in read]
    if len(set(names)) < len(names):
        raise UsageError("two overlays have one name", where=", ".join(names), todo="rename the files")
    clean = read_footage(footage, imgsz=options.imgsz)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="waterz-train-") as folder:
        root = Path(folder)
        made = {"imgsz": options.imgsz}
        write_set(root, "train", compose(read, clean.train, count=pictures, seed=options.seed, **made))
        held = max(40, pictures // 8)
        write_set(root, "val", compose(read, clean.apart, count=held, seed=options.seed + 1, **made))
        data = write_yaml(root, names, train="images/train", val="images/val")
        log.info("composed %d pictures in %.0f s", pictures + held, time.monotonic() - begun)
        train(data, out, options)
        scores = score(out, data, imgsz=options.imgsz, device=options.device)
        examples = list(compose(read, clean.apart, count=EXAMPLES, seed=options.seed + 2, **made))
    provenance = {
        "weights": out.name,
        "sha256": weights_sha256(out),
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(time.monotonic() - begun),
        "model": f"yolo11{options.size}, from its yaml, no pretrained weights",
        "epochs": options.epochs,
        "imgsz": options.imgsz,
        "pictures": pictures,
        "seed": options.seed,
        "overlays": _digests(overlays),
        "footage": _digests(clean.videos),
        "kept_apart": f"the last {APART:.0%} of each video",
        "scores": msgspec.to_builtins(scores),
        "ultralytics": version("ultralytics"),
        "torch": version("torch"),
    }
    out.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(provenance), indent=1) + b"\n")
    report = out.with_suffix(".html")
    _write_report(report, out, options, provenance, examples)
    return scores, report


def _digests(paths: Sequence[Path]) -> dict[str, str]:
    found = {}
    for path in paths:
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _write_report(
    report: Path, weights: Path, options: TrainOptions, facts: dict[str, Any], examples: Sequence[Example]
) -> None:
    model = YoloModel(weights, YoloOptions(imgsz=options.imgsz, device=options.device))
    tried = []
    for example in examples:
        (seen,) = model([example.picture])
        found = [(one.box, one.score) for one in seen if one.score >= YoloOptions().conf]
        tried.append(Tried(example.picture, [box for _, box in example.boxes], found))
    report.write_text(examples_html(f"Weights {weights.name}", facts, tried), encoding="utf-8")


def score_detector(
    weights: Path,
    *,
    overlays: Sequence[Path] = (),
    footage: Sequence[Path] = (),
    labelled: Path | None = None,
    options: TrainOptions,
    pictures: int = 200,
) -> Scores:
    """Score weights on a labelled set (``images/`` and ``labels/`` in YOLO's form), or on one composed now.

    Raises:
        UsageError: Neither or both kinds of set.
        InputError: The set, an overlay or footage cannot be read.
        SetupError: ultralytics, the device or the weights are missing.
    """
    composed = bool(overlays or footage)
    if composed == bool(labelled) or bool(overlays) != bool(footage):
        raise UsageError("give overlays and footage, or a labelled set", todo="--overlay and --footage, or --data DIR")
    with tempfile.TemporaryDirectory(prefix="waterz-test-") as folder:
        root = Path(folder)
        copy = private_copy(weights, root, sha256="")
        names = YoloModel(copy, YoloOptions(imgsz=options.imgsz, device=options.device)).names
        if labelled:
            copy_set(labelled, root, classes=len(names))
        else:
            read = [read_overlay(path) for path in overlays]
            names = [overlay.name for overlay in read]
            clean = read_footage(footage, imgsz=options.imgsz, apart=0)
            made = compose(read, clean.train, count=pictures, imgsz=options.imgsz, seed=options.seed)
            write_set(root, "val", made)
        data = write_yaml(root, names, train="images/val", val="images/val")
        return score(copy, data, imgsz=options.imgsz, device=options.device)


def copy_set(labelled: Path, root: Path, *, classes: int) -> None:
    """Copy a labelled set: ultralytics writes caches beside the labels, and passes over labels that it cannot read.

    Args:
        labelled: ``images/`` and, by the same names, ``labels/`` in YOLO's form; a picture without overlay needs none.
        root: Gets ``images/val`` and ``labels/val``.
        classes: How many classes the weights know.

    Raises:
        InputError: No pictures, an unreadable one, or a label that says nothing; the error names its line.
    """
    (root / "images" / "val").mkdir(parents=True)
    (root / "labels" / "val").mkdir(parents=True)
    for number, path in enumerate(labelled_pictures(labelled / "images")):
        picture = cv2.imread(str(path))
        if picture is None:
            raise InputError("a picture of the labelled set cannot be read", where=str(path))
        cv2.imwrite(str(root / "images" / "val" / f"{number:06d}.png"), picture)
        label = (labelled / "labels" / path.relative_to(labelled / "images")).with_suffix(".txt")
        text = label.read_text(encoding="utf-8") if label.is_file() else ""
        check_labels(text, label, classes=classes)
        (root / "labels" / "val" / f"{number:06d}.txt").write_text(text)
