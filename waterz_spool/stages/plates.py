"""Plates of shots: what lies around an overlay while the camera stands still, taken while the crops are written.

All segments of a shot get the plate of the first one, so that the texture made from it is the same in all of them, on
every machine, and whoever prepares them again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from waterz_spool import media
from waterz_spool.detect.masks import Mask
from waterz_spool.errors import InputError
from waterz_spool.plan import crop_box
from waterz_spool.records import Box, Plan, Plates, SegmentSpec
from waterz_spool.restore.composite import crop_planes, to_full_chroma
from waterz_spool.restore.texture.detail import share_of
from waterz_spool.restore.texture.plate import FRAMES, Plate, plate_of
from waterz_spool.spool import PrepClaim
from waterz_spool.stages.clips import Planes, colour_planes

MARGIN_PX = 160
"""Of picture around an overlay that texture may be copied from."""

MOST_HIDDEN_PX = 80_000
"""Of an overlay in one shot: texture for more would take minutes."""

Key = tuple[int, Box]
"""Number of the scene, and where the overlay lies."""


@dataclass(frozen=True)
class _Window:
    """Where a shot's plate is taken from: the frames of its first segment with this overlay."""

    start: int
    stop: int

    @property
    def frames(self) -> list[int]:
        count = min(FRAMES, self.stop - self.start)
        return sorted({int(at) for at in np.linspace(self.start, self.stop - 1, count).round()})


class _Sampling:
    """The frames of one plate so far."""

    def __init__(self, window: _Window, box: Box) -> None:
        self.box = box
        self.left = set(window.frames)
        self._frames: list[NDArray[Any]] = []
        self._masks: list[Mask] = []

    def add(self, index: int, planes: Planes, mask: Mask, form: media.WorkFormat) -> None:
        self.left.discard(index)
        steps = 1 << form.shift_x, 1 << form.shift_y
        colours = colour_planes(planes, form)
        cut = crop_planes(colours, self.box, *(steps if form.family == "yuv" else (1, 1)))
        self._frames.append(to_full_chroma(cut, *steps))
        x0, y0, x1, y1 = self.box
        self._masks.append(mask[y0:y1, x0:x1].copy())

    def plate(self, form: media.WorkFormat) -> Plate | None:
        """The plate, if texture can be made from it."""
        hidden = np.logical_and.reduce([mask != 0 for mask in self._masks])
        if not 0 < np.count_nonzero(hidden) <= MOST_HIDDEN_PX:
            return None
        plate = plate_of(self._frames, self._masks, bits=form.bits)
        return plate if share_of(plate, family=form.family) > 0 else None


class PlateMaker:
    """Takes the plates of all shots while the frames of a video pass by once.

    Args:
        plan: The plan.
        segments: Those that will be written, in order.
    """

    def __init__(self, plan: Plan, segments: Sequence[SegmentSpec]) -> None:
        self._plan = plan
        self._form = media.work_format(plan.video.pix_fmt)
        windows = self._windows()
        self._last = {key: segment.index for segment in segments for key in self._keys(segment)}
        self._waiting = {key: windows[key] for key in self._last}
        self._sampled: dict[Key, _Sampling] = {}
        self._made: dict[Key, tuple[Box, Plate] | None] = {}

    @property
    def first(self) -> int:
        """The first frame that a plate needs; the number of frames when none is needed."""
        return min((window.start for window in self._waiting.values()), default=self._plan.frame_count)

    def add(self, index: int, planes: Planes, mask: Mask) -> None:
        """Look at a frame; frames come in order, from `first` on at the latest."""
        for key in [key for key, window in self._waiting.items() if window.start == index]:
            self._sampled[key] = _Sampling(self._waiting.pop(key), self._box(key))
        for key in [key for key, each in self._sampled.items() if index in each.left]:
            each = self._sampled[key]
            each.add(index, planes, mask, self._form)
            if not each.left:
                plate = self._sampled.pop(key).plate(self._form)
                self._made[key] = None if plate is None else (each.box, plate)

    def plates(self, segment: SegmentSpec) -> list[tuple[Box, Plate] | None]:
        """The plate of each of a segment's crops and where it lies; None where there is none."""
        return [self._made.get(key) for key in self._keys(segment)]

    def write(self, claim: PrepClaim, segment: SegmentSpec) -> Plates | None:
        """Write the plates of a segment beside its crops, and forget those that no later segment needs."""
        made = self.plates(segment)
        for key in self._keys(segment):
            if self._last[key] == segment.index:
                self._made.pop(key, None)
        if not any(made):
            return None
        paths = (
            claim.segment_input(segment.index, "plates", ".mkv"),
            claim.segment_input(segment.index, "shown", ".mkv"),
        )
        write_plates(paths, [each for each in made if each], bits=self._form.bits)
        boxes = tuple(each[0] if each else None for each in made)
        return Plates(pictures=claim.sealed(paths[0]), masks=claim.sealed(paths[1]), boxes=boxes)

    def _windows(self) -> dict[Key, _Window]:
        windows: dict[Key, _Window] = {}
        for segment in self._plan.segments:
            for key, crop in zip(self._keys(segment), segment.crops, strict=True):
                windows.setdefault(key, _Window(crop.start, crop.stop))
        return windows

    def _keys(self, segment: SegmentSpec) -> list[Key]:
        return [(bisect_right(self._plan.cuts, crop.start), crop.hole) for crop in segment.crops]

    def _box(self, key: Key) -> Box:
        size = self._plan.video.width, self._plan.video.height
        steps = 1 << self._form.shift_x, 1 << self._form.shift_y
        return crop_box(key[1], size=size, margin=MARGIN_PX, align=steps)


def _stored(colours: int, bits: int) -> media.WorkFormat:
    """The format in which pictures at full chroma resolution are stored."""
    depth = "" if bits == 8 else f"{bits}le"
    return media.work_format(f"gray{depth}" if colours == 1 else f"yuv444p{depth}")


def write_plates(paths: tuple[Path, Path], plates: Sequence[tuple[Box, Plate]], *, bits: int) -> None:
    """Write plates, one stream each: the picture, and two masks (never shown, stable).

    Args:
        paths: The file of pictures and the file of masks.
        plates: Each with its box.
        bits: Bits per sample of the pictures.
    """
    sizes = [(x1 - x0, y1 - y0) for (x0, y0, x1, y1), _ in plates]
    form = _stored(plates[0][1].picture.shape[2], bits)
    scale = 1 << (bits - 8)
    with (
        media.CropWriter(paths[0], crops=sizes, work=form) as pictures,
        media.MaskWriter(paths[1], crops=sizes) as masks,
    ):
        for number, (_, plate) in enumerate(plates):
            samples = np.rint(plate.picture * scale).astype(form.dtype)
            pictures.write(number, tuple(np.ascontiguousarray(samples[..., c]) for c in range(samples.shape[2])))
            for each in (plate.hidden, plate.stable):
                masks.write_mask(number, each.astype(np.uint8) * np.uint8(255))


def read_plate(paths: tuple[Path, Path], number: int, box: Box, *, bits: int) -> Plate:
    """One plate as `write_plates` wrote it.

    Args:
        paths: The file of pictures and the file of masks.
        number: Of the plate.
        box: Where it lies in the picture.
        bits: Bits per sample.

    Raises:
        InputError: A file is damaged, or not of this box.
    """
    pictures, masks = media.CropReader(paths[0]), media.MaskReader(paths[1])
    size = box[2] - box[0], box[3] - box[1]
    if any(len(file.sizes) <= number or file.sizes[number] != size for file in (pictures, masks)):
        raise InputError(f"plate {number} is not of the box {box}", where=str(paths[0]), todo="prepare the job again")
    found, shown = list(islice(pictures.read(number), 1)), list(islice(masks.read_masks(number), 2))
    if len(found) != 1 or len(shown) != 2:
        raise InputError(f"plate {number} is not complete", where=str(paths[0]), todo="prepare the job again")
    picture, (hidden, stable) = np.stack(found[0], axis=2), shown
    return Plate(picture.astype(np.float32) / np.float32(1 << (bits - 8)), hidden != 0, stable != 0)
