"""What an overlay does to each pixel: shown = scale * hidden + offset, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Box
from waterz_spool.restore.unblend.layers import Found
from waterz_spool.restore.unblend.moments import Bools, Doubles, Sums

Floats = NDArray[np.float32]

LEAST_SCALE = 0.1
"""Of the light; where less comes through, nothing is made of it."""

_CELL = np.ones((3, 3), np.uint8)
_SURE, _EDGE = 0.0004, 0.004  # variance of an opacity inside a layer, and on its edge


@dataclass(frozen=True)
class Model:
    """An overlay in one state.

    Attributes:
        box: Where it lies in the clip.
        hidden: bool [h, w], its mask.
        scale: float32 [h, w, C], share of light that comes through, LEAST_SCALE to 1.
        offset: float32 [h, w, C], what it adds, in 8-bit levels.
        colour: float32 [h, w], brightness of what it adds: where the picture is as bright, its opacity hardly matters.
        doubt: float32 [h, w], variance of its opacity.
        usable: bool [h, w], enough light comes through.
    """

    box: Box
    hidden: Bools
    scale: Floats
    offset: Floats
    colour: Floats
    doubt: Floats
    usable: Bools


def model_of(sums: Sums, hidden: Bools, found: Found, *, box: Box, steps: tuple[int, int], frames: int) -> Model:
    """The overlay that layers make.

    Args:
        sums: Of its frames.
        hidden: bool [h, w], its mask.
        found: Its layers.
        box: Where it lies in the clip.
        steps: Luma columns and rows per chroma sample.
        frames: How many the sums hold.
    """
    opacity, colour, firm = _coverage(sums, hidden, found)
    scale = np.repeat(1 - opacity[..., None], colour.shape[2], axis=2)
    offset = opacity[..., None] * colour
    for channel in range(1, colour.shape[2]):
        scale[..., channel] = _soft(scale[..., channel], steps)
        offset[..., channel] = _soft(offset[..., channel], steps)
    usable = hidden & (scale[..., 0] >= LEAST_SCALE) & ~_grown(found.strange)
    scale = np.clip(scale, LEAST_SCALE, 1)
    offset = offset + _remainder(sums, hidden, scale, offset, frames)
    doubt = np.where(firm, _SURE, _EDGE)
    parts = [part.astype(np.float32) for part in (scale, offset, colour[..., 0], doubt)]
    return Model(box, hidden, parts[0], parts[1], parts[2], parts[3], usable)


def _coverage(sums: Sums, hidden: Bools, found: Found) -> tuple[Doubles, Doubles, Bools]:
    """Opacity and colour of each pixel, and where a layer covers it wholly; its edges lie between it and nothing."""
    shape = hidden.shape
    numbers = [number for number, layer in enumerate(found.layers, 1) if layer.translucent]
    opacity, colour, firm = np.zeros(shape), np.zeros(sums.under.shape), np.zeros(shape, np.bool_)
    away = [_distance(found.labels == number) for number in numbers]
    nearest = np.argmin(away, axis=0)
    for place, number in enumerate(numbers):
        layer, its = found.layers[number - 1], hidden & (nearest == place)
        opacity[its], colour[its] = 1 - layer.slope, layer.colour
        firm |= _eroded(found.labels == number)
    own, common, _ = sums.about(colour)
    share = np.clip((1 - common / np.maximum(own, 1)) / np.maximum(opacity, 0.01), 0, 1)
    share = np.where(firm, 1, np.where(_eroded(hidden & (found.labels == 0)), 0, share))
    return opacity * share, colour, firm


def _remainder(sums: Sums, hidden: Bools, scale: Doubles, offset: Doubles, frames: int) -> Doubles:
    """What the mean still lacks, as far as it is more than the error of what is thought to lie under the overlay.

    That error averages out over time only where the picture moves. Where it stands still, what the mean lacks may as
    well be the picture's own.
    """
    lacking = sums.shown_mean - scale * sums.under_mean - offset
    still = sums.stillness()[..., None]
    spread = sums.shown2 - 2 * scale * sums.cross + scale**2 * sums.under2
    spread = np.maximum(spread / sums.count[..., None] - (lacking + offset) ** 2, 0)
    share = np.clip(1 - still - (10 * spread / frames + 0.3) / (lacking**2 + 1e-3), 0, 1)
    return np.asarray(lacking * share * hidden[..., None])


def _soft(plane: Doubles, steps: tuple[int, int]) -> Doubles:
    """As a plane of chroma has it: averaged over its cells, then interpolated."""
    if steps == (1, 1):
        return plane
    height, width = plane.shape
    size = -(-width // steps[0]), -(-height // steps[1])
    small = cv2.resize(plane.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float64)


def _distance(region: Bools) -> Doubles:
    return np.asarray(cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 3), np.float64)


def _grown(region: Bools) -> Bools:
    return np.asarray(cv2.dilate(region.astype(np.uint8), _CELL) != 0)


def _eroded(region: Bools) -> Bools:
    return np.asarray(cv2.erode(region.astype(np.uint8), _CELL) != 0)
