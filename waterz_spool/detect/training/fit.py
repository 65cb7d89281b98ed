"""Training and scoring an ultralytics model on composed or labelled pictures; nothing is downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np

from waterz_spool.detect.model.offline import device_of, ultralytics
from waterz_spool.detect.training.compose import Example
from waterz_spool.errors import InputError

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """How well a model finds the overlays of a set."""

    map50: float  # mean average precision at IoU 0.5
    map50_95: float  # mean over IoU 0.5 to 0.95
    precision: float
    recall: float
    pictures: int


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How a model is trained.

    Attributes:
        size: Letter of the model's size: n, s, m, l, x.
        epochs: Passes over the pictures.
        imgsz: Longer side of the pictures, px.
        batch: Pictures per step.
        device: ``auto``, ``cpu`` or as torch names it.
        threads: Threads of torch; 0 leaves the choice to ultralytics.
        seed: Of everything random.
    """

    size: str = "n"
    epochs: int = 30
    imgsz: int = 640
    batch: int = 16
    device: str = "auto"
    threads: int = 0
    seed: int = 0


def write_set(folder: Path, name: str, examples: Iterable[Example]) -> int:
    """Write examples as ``images/NAME`` and ``labels/NAME``; returns how many."""
    images, labels = folder / "images" / name, folder / "labels" / name
    for each in (images, labels):
        each.mkdir(parents=True)
    count = 0
    for count, example in enumerate(examples, 1):
        cv2.imwrite(str(images / f"{count:06d}.jpg"), example.picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
        (labels / f"{count:06d}.txt").write_text(_label_lines(example))
    return count


def _label_lines(example: Example) -> str:
    height, width = example.picture.shape[:2]
    lines = []
    for number, (x0, y0, x1, y1) in example.boxes:
        cx, cy, w, h = (x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height
        lines.append(f"{number} {cx:.6f} {cy:.6f} {w:.6f} {h:.6f}\n")
    return "".join(lines)


def write_yaml(folder: Path, names: Sequence[str], *, train: str, val: str) -> Path:
    """The description of a set that ultralytics reads."""
    path = folder / "data.yaml"
    text = {"path": str(folder), "train": train, "val": val, "names": dict(enumerate(names))}
    path.write_bytes(msgspec.json.encode(text))  # JSON is YAML
    return path


def train(data: Path, out: Path, options: TrainOptions) -> Path:
    """Train a model from its yaml, from random weights.

    Args:
        data: What `write_yaml` wrote.
        out: Where the weights go.
        options: How.

    Raises:
        SetupError: ultralytics or the device is missing.
    """
    package = ultralytics()
    model = package.YOLO(f"yolo11{options.size}.yaml", task="detect")
    model.add_callback("on_train_epoch_start", lambda trainer: _set_threads(options.threads))
    model.train(
        data=str(data), epochs=options.epochs, imgsz=options.imgsz, batch=options.batch,
        device=device_of(options.device), seed=options.seed, project=str(data.parent), name="run", exist_ok=True,
        workers=0, pretrained=False, amp=False, plots=False, verbose=False, deterministic=True, val=False,
        fliplr=0.0, mosaic=0.0, scale=0.3, cache="ram", warmup_epochs=min(3.0, options.epochs / 4),
    )  # fmt: skip
    last = Path(model.trainer.last)
    part = out.with_name(f".{out.name}.part")
    shutil.copyfile(last, part)
    part.replace(out)
    return out


def _set_threads(count: int) -> None:
    """Ultralytics keeps one core of the machine free, which on two cores is half of them."""
    import torch

    if count:
        torch.set_num_threads(count)


def score(weights: Path, data: Path, *, imgsz: int, device: str) -> Scores:
    """Score weights, whose bytes the caller has checked, on the ``val`` part of a set."""
    model = ultralytics().YOLO(str(weights), task="detect")
    found = model.val(
        data=str(data), imgsz=imgsz, device=device_of(device), batch=16, workers=0, plots=False, verbose=False,
        project=str(data.parent), name="val", exist_ok=True,
    )  # fmt: skip
    box = found.box
    return Scores(
        map50=round(float(box.map50), 4),
        map50_95=round(float(box.map), 4),
        precision=round(float(np.mean(box.p)), 4) if len(box.p) else 0.0,
        recall=round(float(np.mean(box.r)), 4) if len(box.r) else 0.0,
        pictures=int(found.seen) if hasattr(found, "seen") else len(_pictures(data)),
    )


def _pictures(data: Path) -> list[Path]:
    tree = msgspec.json.decode(data.read_bytes())
    return labelled_pictures(Path(tree["path"]) / tree["val"])


def labelled_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder.

    Raises:
        InputError: There are none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES) if folder.is_dir() else []
    if not found:
        raise InputError("the labelled set holds no pictures", where=str(folder), todo="images/ beside labels/")
    return found


def check_labels(text: str, path: Path, *, classes: int) -> None:
    """Refuse labels of one picture that say nothing: lines of class, then a box or outline in shares of the picture.

    Raises:
        InputError: A line is none; the error names it.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and (why := _odd(line.split(), classes)):
            raise InputError(f"labels, line {number}: {why}", where=f"{path}:{number}", todo="class x y width height")


def _odd(words: list[str], classes: int) -> str:
    """Why the words of a line are no label, or ""."""
    try:
        number, shares = int(words[0]), [float(word) for word in words[1:]]
    except (ValueError, IndexError):
        return "a class and numbers are expected"
    if not 0 <= number < classes:
        return f"class {number}, but the weights know 0 to {classes - 1}"
    if len(shares) != 4 and (len(shares) < 6 or len(shares) % 2):
        return f"{len(shares)} numbers are neither a box nor an outline"
    return "" if all(0 <= share <= 1 for share in shares) else "numbers are shares of the picture, 0 to 1"
