"""The still picture behind a shot: what its frames have in common, what they never show, and what stays the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]

FRAMES = 30
"""Frames of a shot that are looked at, evenly spread."""

_STABLE_LEVELS = 12.0
_STABLE_PERCENTILE = 96
_GROW_PX = 2


@dataclass(frozen=True)
class Plate:
    """What a shot looks like around one overlay while the camera stands still.

    Attributes:
        picture: float32 [H, W, C], the median of the frames in which a pixel is not hidden, in 8-bit levels; 0 where
            none is.
        hidden: bool [H, W], hidden in every frame.
        stable: bool [H, W], shown in every frame and always the same.
    """

    picture: NDArray[np.float32]
    hidden: Bools
    stable: Bools


@dataclass(frozen=True)
class PlaceOfPlate:
    """A plate and where it lies.

    Attributes:
        plate: Of the shot.
        x: Of its left edge in the clip, px; negative where it is wider than the clip.
        y: Of its upper edge.
    """

    plate: Plate
    x: int
    y: int


def plate_of(frames: Sequence[NDArray[Any]], masks: Sequence[NDArray[np.uint8]], *, bits: int) -> Plate:
    """The plate of some frames of one shot.

    Args:
        frames: [H, W, C] each, evenly spread over the shot.
        masks: uint8 [H, W] each, nonzero is hidden.
        bits: Bits per sample.
    """
    shown = np.stack([mask == 0 for mask in masks])
    scale = np.float32(1 / (1 << (bits - 8)))
    stack = np.stack(frames).astype(np.float32) * scale
    values = np.where(shown[..., None], stack, np.float32(np.inf))
    values.sort(axis=0)
    counts = shown.sum(axis=0)
    low, high = np.maximum(counts - 1, 0) // 2, counts // 2
    middle = [np.take_along_axis(values, at[None, ..., None], axis=0)[0] for at in (low, np.minimum(high, low + 1))]
    seen = counts > 0
    picture = np.where(seen[..., None], (middle[0] + np.where(counts[..., None] > 1, middle[1], middle[0])) / 2, 0)
    picture = np.nan_to_num(picture, posinf=0).astype(np.float32)
    return Plate(picture, ~seen, _stable(stack, shown, picture))


def _stable(stack: NDArray[np.float32], shown: Bools, picture: NDArray[np.float32]) -> Bools:
    """Pixels that are never hidden and whose surroundings of 3x3 px hardly ever change."""
    change = np.stack([
        cv2.blur(np.abs(frame - picture).max(axis=2) * seen, (3, 3)) for frame, seen in zip(stack, shown, strict=True)
    ])  # fmt: skip
    restless = np.percentile(change, _STABLE_PERCENTILE, axis=0) >= _STABLE_LEVELS
    side = 2 * _GROW_PX + 1
    return np.asarray(cv2.dilate(restless.astype(np.uint8), np.ones((side, side))) == 0) & shown.all(axis=0)
