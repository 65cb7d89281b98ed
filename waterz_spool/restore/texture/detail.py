"""Constant detail: what an exemplar fill of a shot's plate has more than its own membrane.

Added to the membrane of every frame it is Poisson cloning of one still texture (Pérez, Gangnet, Blake, "Poisson image
editing", SIGGRAPH 2003): exposure and the colours of the rim come from the frame, and nothing flickers that the
membrane does not. How much of it a frame takes is measured on its own ring: the slope of its gradients on the plate's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Box
from waterz_spool.restore.masks import bounding_box
from waterz_spool.restore.membrane import Membrane
from waterz_spool.restore.texture.exemplar import exemplar_fill
from waterz_spool.restore.texture.plate import Plate

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

Filler = Callable[[Plate], NDArray[np.float64] | None]
"""Fills the hole of a plate: [H, W, C] in whole 8-bit levels, the same on every machine of a job; None: it cannot."""

RING_PX = 12
_GAP_PX = 2  # the rim of the hole tells nothing
_NEAR_PX, _FAR_PX, _FAR_SHARE = 10.0, 40.0, np.float32(0.2)
_RIDGE = np.float32(0.3)
_STILL = 0.5, 0.7  # share of the ring that must be stable: none below, all above
_ROUGH = 1.0, 2.5  # mean gradient of the ring in levels per px: smooth surroundings below, texture above
_REC601 = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Detail:
    """The detail of one hole of one shot.

    Attributes:
        box: Around hole and ring, in the plate.
        values: float32 [h, w, C], 8-bit levels, 0 outside the hole.
        hidden: bool [h, w], the hole: never seen.
        share: How much of it the shot allows at all, 0 to 1.
    """

    box: Box
    values: Floats
    hidden: Bools
    share: float
    _ring: Floats
    _slopes: tuple[Floats, Floats]

    def weight(self, frame: NDArray[Any], *, family: str) -> Floats:
        """How much of the detail a frame takes, [h, w], 0 to 1.

        Args:
            frame: [h, w, C] of the box, in 8-bit levels; what is hidden is not read.
            family: Colour family of the clip.
        """
        across, down = _gradients(frame, family)
        common = _window((across * self._slopes[0] + down * self._slopes[1]) * self._ring)
        own = _window((self._slopes[0] ** 2 + self._slopes[1] ** 2) * self._ring)
        slope = common / (own + _RIDGE * _window(self._ring) + np.float32(1e-6))
        return np.asarray(np.float32(self.share) * np.clip(slope, 0, 1), np.float32)


def share_of(plate: Plate, *, family: str) -> float:
    """How much detail a plate allows: none where the surroundings move or are smooth, 0 to 1. Cheap."""
    if not plate.hidden.any():
        return 0.0
    ring = _ring(plate.hidden)
    if not ring.any():
        return 0.0
    across, down = _gradients(plate.picture, family)
    rough = float(np.hypot(across, down)[ring].mean(dtype=np.float64))
    return _ramp(float(plate.stable[ring].mean()), _STILL) * _ramp(rough, _ROUGH)


def detail_of(plate: Plate, *, family: str, filler: Filler | None = None) -> Detail | None:
    """The detail of a plate; None where it allows none, or where there is too little to copy from.

    Args:
        plate: The plate.
        family: Its colour family.
        filler: What fills it; without one patches of its surroundings are copied.
    """
    share = share_of(plate, family=family)
    if share <= 0:
        return None
    if filler is None:
        filled = exemplar_fill(plate.picture, plate.hidden, plate.stable, luma=_luma(plate.picture, family))
    else:
        filled = filler(plate)
    if filled is None:
        return None
    values = np.zeros_like(plate.picture)
    membrane = Membrane(plate.hidden)
    x0, y0, x1, y1 = membrane.box
    values[plate.hidden] = filled[plate.hidden] - membrane.fill(plate.picture[y0:y1, x0:x1])
    ring = _ring(plate.hidden)
    box = bounding_box(plate.hidden, RING_PX + 1)
    part = slice(box[1], box[3]), slice(box[0], box[2])
    across, down = (slope[part] for slope in _gradients(plate.picture, family))
    return Detail(box, values[part], plate.hidden[part], share, ring[part].astype(np.float32), (across, down))


def _ring(hidden: Bools) -> Bools:
    mask = hidden.astype(np.uint8)
    outer, inner = (cv2.dilate(mask, np.ones((2 * px + 1, 2 * px + 1))) for px in (RING_PX, _GAP_PX))
    return np.asarray((outer != 0) & (inner == 0))


def _luma(picture: NDArray[Any], family: str) -> NDArray[np.float64]:
    if family == "rgb" and picture.shape[2] == 3:
        return np.asarray(picture.astype(np.float64) @ _REC601.astype(np.float64))
    return np.asarray(picture[..., 0], np.float64)


def _gradients(picture: NDArray[Any], family: str) -> tuple[Floats, Floats]:
    luma = _luma(picture, family).astype(np.float32)
    across = cv2.Scharr(luma, cv2.CV_32F, 1, 0, scale=1 / 32)
    return np.asarray(across), np.asarray(cv2.Scharr(luma, cv2.CV_32F, 0, 1, scale=1 / 32))


def _ramp(value: float, bounds: tuple[float, float]) -> float:
    return float(np.clip((value - bounds[0]) / (bounds[1] - bounds[0]), 0, 1))


def _window(image: Floats) -> Floats:
    """Sums under a near and a far Gaussian window, at half the size; nothing lies beyond the border."""
    height, width = image.shape
    small = cv2.resize(image, (-(-width // 2), -(-height // 2)), interpolation=cv2.INTER_AREA)
    soft = [cv2.GaussianBlur(small, (0, 0), px / 2, borderType=cv2.BORDER_CONSTANT) for px in (_NEAR_PX, _FAR_PX)]
    return np.asarray(cv2.resize(soft[0] + _FAR_SHARE * soft[1], (width, height)), np.float32)
