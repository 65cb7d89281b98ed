"""The states of one overlay, each with the mean of its source and of its result: what a second look is taken at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Box
from waterz_spool.restore.base import Clip, Frames, Masks
from waterz_spool.restore.masks import bounding_box

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

T = TypeVar("T")

STATES, FRAMES = 4, 16  # of a crop's masks, and of the frames with one of them: so many are looked at
AROUND_PX = 40  # of the picture around a mask that is looked at
AWAY_PX = 4.5  # so far from every mask the scene is taken to be itself
SCALE = 16  # means are kept in sixteenths of a sample value


@dataclass(frozen=True)
class Place:
    """One state of an overlay and what lies around it, [h, w].

    Attributes:
        box: Of these arrays, in px of the crop.
        span: First frame of the clip with this mask, and one past the last before another mask or none.
        mask: Of the overlay alone.
        known: Pixels under no mask at all.
        away: Those that are far from all masks.
        source: Mean of the frames as they came, sixteenths, [h, w, C].
        removed: Source minus result, sixteenths; 0 outside the mask.
        distance: From the mask, px.
        rim: Row and column of the mask's nearest pixel.
    """

    box: Box
    span: tuple[int, int]
    mask: Bools
    known: Bools
    away: Bools
    source: Ints
    removed: Ints
    distance: NDArray[np.float32]
    rim: tuple[Ints, Ints]

    def outward(self, rows: Ints, columns: Ints) -> Floats:
        """Directions away from the mask at some pixels, [2, N], rows and columns of length 1."""
        away = np.stack([rows - self.rim[0][rows, columns], columns - self.rim[1][rows, columns]])
        return np.asarray(away / np.maximum(np.hypot(*away), 1.0))


def places_of(clip: Clip, restored: Frames, hole: Box) -> Iterator[Place]:
    """The states of the overlay in a hole.

    Args:
        clip: As it was restored.
        restored: Its target frames.
        hole: In px of the crop.
    """
    x0, y0, x1, y1 = hole
    for mask, whole in _states(clip.masks, (clip.start, clip.stop), hole):
        frames = evenly(whole, FRAMES)
        run = next((at for at in range(1, len(whole)) if whole[at] != whole[at - 1] + 1), len(whole))
        own = np.zeros(mask.shape, np.bool_)
        own[y0:y1, x0:x1] = mask[y0:y1, x0:x1] != 0
        left, top, right, bottom = bounding_box(own, AROUND_PX)
        part = slice(top, bottom), slice(left, right)
        source = _mean(clip.frames[:, part[0], part[1]], frames)
        result = _mean(restored[:, part[0], part[1]], [frame - clip.start for frame in frames])
        own, known = own[part], mask[part] == 0
        distance, rim = nearest(own)
        free = cv2.distanceTransform(known.astype(np.uint8), cv2.DIST_L2, 5)
        removed = np.where(own[..., None], source - result, 0)
        box, span = (left, top, right, bottom), (whole[0], whole[run - 1] + 1)
        yield Place(box, span, own, known, free > AWAY_PX, source, removed, distance, rim)


def nearest(region: Bools) -> tuple[NDArray[np.float32], tuple[Ints, Ints]]:
    """Of each pixel: its distance to a region in px, and row and column of the region's nearest pixel."""
    distance, labels = cv2.distanceTransformWithLabels(
        (~region).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    flat = np.zeros(int(labels.max()) + 1, np.int64)
    flat[labels[region]] = np.flatnonzero(region)
    rows, columns = np.divmod(flat[labels], region.shape[1])
    return distance, (rows, columns)


def usable(where: tuple[Ints, Ints], good: Bools) -> Bools:
    """Which of some pixels lie in the picture and are good, bool [N]."""
    (rows, columns), (height, width) = where, good.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return np.asarray(inside & good[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)])


def _states(masks: Masks, span: tuple[int, int], hole: Box) -> list[tuple[NDArray[np.uint8], list[int]]]:
    """Some of the masks, evenly among those that stand longest, each with its frames."""
    x0, y0, x1, y1 = hole
    groups: dict[bytes, list[int]] = {}
    for frame in range(*span):
        own = masks[frame, y0:y1, x0:x1]
        if own.any():
            groups.setdefault(np.packbits(own != 0).tobytes(), []).append(frame)
    longest = max(map(len, groups.values()), default=0)
    standing = [frames for frames in groups.values() if 2 * len(frames) >= longest]
    return [(masks[frames[0]], frames) for frames in evenly(standing, STATES)]


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most so many of some items, spread over all of them."""
    count = min(most, len(items))
    return [items[(2 * number + 1) * len(items) // (2 * count)] for number in range(count)]


def _mean(frames: Frames, indices: Sequence[int]) -> Ints:
    """The mean of some frames, in sixteenths."""
    total = np.zeros(frames.shape[1:], np.int64)
    for index in indices:
        total += frames[index]
    return np.asarray((total * SCALE) // len(indices), np.int64)
