"""How far to trust what other frames show: corrected and weighed on the ring, where the truth is known.

Two experts fill a hole: the temporal one (`sources`) and the spatial one (`membrane`). Both also predict the ring as if it
were hidden; the blend weight is the local least-squares mixture that predicts it best (stacking: Wolpert, "Stacked
generalization", 1992, made local by Gaussian windows).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.restore.holes import RING_PX

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

_NEAR_PX = max(4.0, 1.5 * RING_PX)
_FAR = 4  # far window: this many near ones
_LARGEST_OFFSET = 40  # 8-bit levels: what exposure and vignetting may change, not content
_FAR_SHARE = np.float32(0.2)


def windows(values: Floats) -> tuple[Floats, Floats]:
    """Means of [h, w, C] under a near and a far Gaussian window, nothing beyond the border.

    Both are smooth, so they are taken at a fraction of the size.
    """
    return _window(values, _NEAR_PX, 2), _window(values, _NEAR_PX * _FAR, 8)


def _window(values: Floats, sigma_px: float, factor: int) -> Floats:
    height, width = values.shape[:2]
    small = cv2.resize(values, (-(-width // factor), -(-height // factor)), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), sigma_px / factor, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)).reshape(values.shape)


def corrected(colour: Floats, truth: Floats, judged: Bools, scale: float) -> Floats:
    """The temporal fill with the smooth offset that it shows on the ring taken out.

    Args:
        colour: float32 [h, w, C], the fill.
        truth: float32 [h, w, C], the frame.
        judged: bool [h, w], ring pixels that the fill covers.
        scale: Sample values per 8-bit level.
    """
    limit = np.float32(_LARGEST_OFFSET * scale)
    weight = judged[..., None].astype(np.float32)
    offset = np.clip(truth - colour, -limit, limit) * weight
    near, far = windows(np.concatenate([offset, weight], axis=2))
    close = near[..., -1:] > 0.02
    total = np.where(close, near[..., -1:] + np.float32(1e-3), far[..., -1:] + np.float32(1e-4))
    return np.asarray(colour + np.where(close, near[..., :-1], far[..., :-1]) / total, np.float32)


def weight(error: Floats, change: Floats, judged: Bools, scale: float) -> Floats:
    """Weight of the temporal expert, 0..1, float32 [h, w].

    Args:
        error: float32 [h, w, C], membrane of hole and ring minus frame.
        change: float32 [h, w, C], the same membrane minus temporal fill.
        judged: bool [h, w], where both mean something.
        scale: Sample values per 8-bit level.
    """
    level = np.float32(1 / scale**2) * judged
    products = [(error * change).mean(2) * level, np.square(change).mean(2) * level]
    near, far = windows(np.dstack(products))
    sums = near + _FAR_SHARE * far
    return np.asarray(np.clip(sums[..., 0] / (sums[..., 1] + np.float32(1e-3)), 0, 1), np.float32)
