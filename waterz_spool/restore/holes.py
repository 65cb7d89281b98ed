"""The geometry of one mask: the hole, the ring of known pixels that judges a fill, where a frame may be a source."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Box
from waterz_spool.restore.masks import bounding_box

Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]

RING_PX = 6
_STEP_PX = 0.75, 4.0
_STEPS = 14
_CELL = np.ones((3, 3), np.uint8)


UNWANTED = 255
_INSIDE, _RING = 1, 2


@dataclass(frozen=True)
class Hole:
    """One mask, seen as something to fill and as what a source may not show.

    Attributes:
        box: Around hole and ring; the arrays below have its size unless they say otherwise.
        inside: Flat indices of the hidden pixels, row-major.
        ring: Flat indices of the known pixels around the hole that do not touch it.
        ringed: bool [h, w]: hole and everything up to the outer edge of the ring.
        need: uint8 [h, w]: what a source pixel must serve for: 1 in the hole, 2 in the ring, UNWANTED elsewhere.
        serves: uint8 [H, W] of the whole crop: 0 under the mask and next to it, 1 for hidden pixels, 2 for ring pixels
            too (farther than the ring, so that the ring is predicted as if it were hidden).
        rim: Flat indices of the outermost hidden pixels and of a known neighbour of each: interpolation reaches one
            pixel under the mask and shall find the neighbour's value there.
        corners: float64 [3, 4], homogeneous corners of the box.
        step_px: A frame is worth trying as a source when the hole has moved this far since the last one tried.
    """

    box: Box
    inside: Indices
    ring: Indices
    ringed: Bools
    need: NDArray[np.uint8]
    serves: NDArray[np.uint8]
    rim: tuple[Indices, Indices]
    corners: NDArray[np.float64]
    step_px: float


def hole(hidden: Bools) -> Hole:
    """The geometry of one mask, bool [H, W]; the box is empty when nothing is hidden."""
    mask = hidden.astype(np.uint8)
    outer = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RING_PX + 3,) * 2))
    touching = cv2.dilate(mask, _CELL)
    x0, y0, x1, y1 = box = bounding_box(outer != 0)
    part = slice(y0, y1), slice(x0, x1)
    inside, ringed = hidden[part], outer[part] != 0
    ring = ringed & (touching[part] == 0)
    need = np.where(inside, _INSIDE, np.where(ring, _RING, UNWANTED)).astype(np.uint8)
    serves = 2 - touching - outer
    corners = np.array([[x0, x1, x0, x1], [y0, y0, y1, y1], [1, 1, 1, 1]], np.float64)
    step_px = min(max(min(x1 - x0, y1 - y0) / _STEPS, _STEP_PX[0]), _STEP_PX[1])
    pixels = np.flatnonzero(inside), np.flatnonzero(ring)
    return Hole(box, *pixels, ringed, need, serves, _rim(hidden), corners, step_px)


def _rim(hidden: Bools) -> tuple[Indices, Indices]:
    known = np.pad(~hidden, 1)
    height, width = hidden.shape
    neighbour = np.full(hidden.shape, -1, np.intp)
    place = np.arange(height * width, dtype=np.intp).reshape(height, width)
    for dy, dx in ((-1, -1), (-1, 1), (1, -1), (1, 1), (-1, 0), (1, 0), (0, -1), (0, 1)):  # the nearest last
        shows = hidden & known[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        neighbour[shows] = place[shows] + dy * width + dx
    rim = np.flatnonzero(neighbour >= 0)
    return rim, neighbour.ravel()[rim]
