"""The geometry of one mask: the hole, the ring of known pixels that judges a fill, and where a frame may be a source."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Box
from waterz_spool.restore.masks import bounding_box

Bools = NDArray[np.bool_]

RING_PX = 6
_STEP_PX = 0.75, 4.0
_STEPS = 14


@dataclass(frozen=True)
class Hole:
    """One mask, seen as something to fill.

    Attributes:
        box: Around hole and ring; the arrays below have its size.
        inside: bool [h, w]: hidden.
        ring: bool [h, w]: known pixels around the hole, not touching it.
        valid: uint8 [H, W, 2] of the whole crop, 0 or 255: may a source pixel stand for a hidden pixel (not under or next
            to the mask); may it stand for a ring pixel (farther than the ring, as if the ring were hidden too).
        corners: float64 [3, 4], homogeneous corners of the box.
        step_px: A frame is worth trying as a source when the hole has moved this far since the last one tried.
    """

    box: Box
    inside: Bools
    ring: Bools
    valid: NDArray[np.uint8]
    corners: NDArray[np.float64]
    step_px: float

    @property
    def ringed(self) -> Bools:
        """Hole and everything up to the outer edge of the ring."""
        return self.inside | self.ring


def hole(hidden: Bools) -> Hole:
    """The geometry of one mask, bool [H, W]; the box is empty when nothing is hidden."""
    mask = hidden.astype(np.uint8)
    outer = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RING_PX + 3,) * 2))
    touching = cv2.dilate(mask, np.ones((3, 3), np.uint8))
    box = bounding_box(outer != 0)
    x0, y0, x1, y1 = box
    part = slice(y0, y1), slice(x0, x1)
    corners = np.array([[x0, x1, x0, x1], [y0, y0, y1, y1], [1, 1, 1, 1]], np.float64)
    valid = np.dstack([1 - touching, 1 - outer]) * np.uint8(255)
    ring = (outer != 0) & (touching == 0)
    step_px = min(max(min(x1 - x0, y1 - y0) / _STEPS, _STEP_PX[0]), _STEP_PX[1])
    return Hole(box, hidden[part], ring[part], valid, corners, step_px)
