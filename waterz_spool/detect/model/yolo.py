"""Overlays found by a YOLO model with the user's own weights, through ultralytics (extra ``neural``)."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from waterz_spool.config import DetectConfig
from waterz_spool.detect.base import Detection, Detector, Findings, Luma, Reread, Setting
from waterz_spool.detect.model.looking import Looker, Seen
from waterz_spool.detect.model.offline import device_of, ultralytics
from waterz_spool.detect.model.separate import moving, standing
from waterz_spool.detect.model.tracks import LinkRules, link, same_places
from waterz_spool.detect.model.weights import private_copy
from waterz_spool.errors import SetupError
from waterz_spool.geometry import Geometry
from waterz_spool.records import Box, VideoInfo

log = logging.getLogger(__name__)

Picture = NDArray[np.uint8]

LOW = 0.4
"""Detections from this share of the wanted confidence on may continue a track, but not make one."""


@dataclass(frozen=True, kw_only=True)
class YoloOptions:
    """How a model looks.

    Attributes:
        imgsz: Longer side of what the model sees, px.
        conf: Confidence that makes an overlay, 0 to 1.
        classes: Names or numbers of the classes that count; empty is all.
        device: ``auto``, ``cpu`` or as torch names it.
        every: Look at every N-th frame, and by bisection where something changes.
        batch: Pictures at once.
    """

    imgsz: int = 640
    conf: float = 0.25
    classes: tuple[str, ...] = ()
    device: str = "auto"
    every: int = 1
    batch: int = 8


class YoloModel:
    """Pictures in, detections out.

    Args:
        weights: The user's file.
        options: How to look.
        sha256: Bytes that the file must have; empty is not compared.
        spool: Weights inside it are refused.

    Raises:
        SetupError: ultralytics, the weights or the device are missing, or not those pinned.
    """

    def __init__(self, weights: Path, options: YoloOptions, *, sha256: str = "", spool: Path | None = None) -> None:
        self._options = options
        with tempfile.TemporaryDirectory(prefix="waterz-weights-") as folder:
            copy = private_copy(weights, Path(folder), sha256=sha256, spool=spool)
            self._device = device_of(options.device)
            self._threads = _threads()
            self._classes: list[int] | None = None
            with _refusing(weights, copy):
                self._model = ultralytics().YOLO(str(copy), task="detect")
                self([np.zeros((options.imgsz, options.imgsz, 3), np.uint8)])  # formats other than .pt are read here
            self._classes = _classes(self._model.names, options.classes)

    @property
    def names(self) -> list[str]:
        """Class names by number."""
        return [str(name) for _, name in sorted(self._model.names.items())]

    def __call__(self, pictures: Sequence[Picture]) -> list[Seen]:
        """Detections of pictures of one size, uint8 [H, W, 3] BGR; boxes in their px."""
        results = self._model.predict(
            list(pictures),
            imgsz=self._options.imgsz,
            conf=self._options.conf * LOW,
            classes=self._classes,
            device=self._device,
            batch=len(pictures),
            verbose=False,
            save=False,
        )
        self._threads()
        return [self._detections(result) for result in results]

    def _detections(self, result: Any) -> Seen:
        rows = zip(result.boxes.xyxy.tolist(), result.boxes.conf.tolist(), result.boxes.cls.tolist(), strict=True)
        return tuple(
            Detection(_outward(box, result.orig_shape), round(score, 4), str(result.names[int(label)]))
            for box, score, label in rows
        )


def _outward(box: Sequence[float], shape: tuple[int, int]) -> Box:
    x0, y0, x1, y1 = box
    left, top = max(0, int(np.floor(x0))), max(0, int(np.floor(y0)))
    return left, top, min(shape[1], max(left + 1, int(np.ceil(x1)))), min(shape[0], max(top + 1, int(np.ceil(y1))))


@contextmanager
def _refusing(named: Path, copy: Path) -> Iterator[None]:
    """Whatever ultralytics says about weights that it cannot use, as one error."""
    try:
        yield
    except SetupError:
        raise
    except Exception as error:  # unpickling raises whatever the file says
        said = str(error).replace(str(copy), named.name).splitlines() or [""]
        raise SetupError(
            f"ultralytics cannot load these weights: {type(error).__name__}: {said[0]}",
            where=str(named),
            todo="give a detection model as .pt, or in a format that ultralytics exports and this machine can run",
        ) from error


def _classes(names: dict[int, str], wanted: Sequence[str]) -> list[int] | None:
    if not wanted:
        return None
    known = {str(name): int(number) for number, name in names.items()} | {str(number): int(number) for number in names}
    if missing := [name for name in wanted if name not in known]:
        raise SetupError(
            f"the weights have no class {missing[0]!r}", todo=f"classes: {', '.join(str(n) for n in names.values())}"
        )
    return sorted({known[name] for name in wanted})


def _threads() -> Callable[[], None]:
    """Puts torch's number of threads back, which ultralytics sets as it likes."""
    import torch

    count = torch.get_num_threads()
    return lambda: torch.set_num_threads(count) if torch.get_num_threads() != count else None


class YoloDetector(Detector):
    """Follows what a model sees through the video.

    Args:
        model: Pictures to detections.
        info: Facts of the video.
        options: How to look.
        rules: What makes a track.
    """

    name = "yolo"
    needs_weights = True

    @classmethod
    def made_for(cls, setting: Setting) -> Self:
        """One that looks with the user's weights."""
        wanted = setting.options
        options = YoloOptions(
            imgsz=wanted.imgsz,
            conf=wanted.conf,
            classes=tuple(wanted.classes),
            device=wanted.device,
            every=wanted.every,
        )
        model = YoloModel(Path(wanted.weights), options, sha256=setting.sha256, spool=setting.spool)
        log.info("weights %s sha256 %s", wanted.weights, setting.sha256)
        rules = LinkRules(gap_frames=wanted.gap_frames, fade_frames=wanted.fade_frames, max_area=wanted.max_area)
        return cls(model, setting.info, options, rules=rules)

    @classmethod
    def automatic(cls, options: DetectConfig) -> bool:
        """Where there are weights."""
        return bool(options.weights)

    def __init__(
        self,
        model: Callable[[Sequence[Picture]], Sequence[Seen]],
        info: VideoInfo,
        options: YoloOptions,
        *,
        rules: LinkRules,
    ) -> None:
        self._info, self._geometry = info, Geometry.of(info)
        self._scale = max(1.0, max(self._geometry.shown) / options.imgsz)
        self._rules = replace(rules, conf=options.conf, position_px=max(rules.position_px, 3 * self._scale))
        self._looker = Looker(model, self._same, every=options.every, batch=options.batch)

    def add(self, index: int, picture: Any, luma: Luma) -> None:
        """Look at a frame, in the orientation in which a player shows it."""
        self._looker.add(self._geometry.small(picture, 1 / self._scale))

    def finish(self, reread: Reread) -> Findings:
        """Tracks of everything seen: boxes where they stand, masks of whole boxes where they move."""
        frames = [tuple(self._coded(one) for one in seen) for seen in self._looker.finish()]
        log.info("looked at %d of %d frames", self._looker.looks, len(frames))
        linked = link(frames, size=(self._info.width, self._info.height), rules=self._rules)
        if not linked.tracks:
            reason = "; ".join(sorted({item.reason for item in linked.rejected})) or "the weights see no overlay"
            return Findings((), reason, linked.rejected)
        off_px = round(2 * self._scale)
        follow = moving(linked.tracks, self._info, least_pad_px=off_px)
        boxes = standing(linked.tracks, self._info, least_pad_px=off_px)
        scores = tuple((index, one) for index, seen in enumerate(frames) for one in seen)
        return Findings(follow, "", linked.rejected, scores, boxes)

    def _same(self, a: Seen, b: Seen) -> bool:
        return same_places(a, b, replace(self._rules, position_px=self._rules.position_px / self._scale))

    def _coded(self, seen: Detection) -> Detection:
        """From px of the small upright picture to px of the coded frame."""
        small = self._geometry.small_size(1 / self._scale)
        x0, y0, x1, y1 = self._geometry.turned_back(seen.box, small)
        width, height = small[::-1] if self._geometry.transposed else small
        sx, sy = self._info.width / width, self._info.height / height
        box = (int(x0 * sx), int(y0 * sy), int(np.ceil(x1 * sx)), int(np.ceil(y1 * sy)))
        box = (box[0], box[1], min(box[2], self._info.width), min(box[3], self._info.height))
        return Detection(box, seen.score, seen.label)
