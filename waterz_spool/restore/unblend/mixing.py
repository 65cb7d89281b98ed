"""A frame with its overlay undone, mixed with what is thought to lie there by how sure each of the two is."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.restore.unblend.layers import NOISE
from waterz_spool.restore.unblend.model import Floats, Model

_SHOWN = np.float32(2 * NOISE)  # variance of what is shown: codec, and rounding on the way
_FILL = 15.0, 1.0  # least variance of the fill
_WINDOW_PX = 3.0


def undone(shown: NDArray[Any], fill: NDArray[Any], model: Model) -> tuple[Floats, Floats]:
    """One frame of the model's box.

    Args:
        shown: [h, w, C] in 8-bit levels.
        fill: [h, w, C], what is thought to lie there.
        model: The overlay.

    Returns:
        float32 [h, w, C], as good as both allow, and [h, w], the share of what was undone.
    """
    seen, guess = shown.astype(np.float32), fill.astype(np.float32)
    light = (seen - model.offset) / model.scale
    through = np.square(model.scale[..., 0])
    unsure = (_SHOWN + np.square(light[..., 0] - model.colour) * model.doubt) / through
    counted = model.usable.astype(np.float32)
    apart = _window(np.square((light - guess)[..., 0]) * counted) / (_window(counted) + np.float32(1e-3))
    guessed = np.maximum(apart - unsure, np.float32(_FILL[0])) + np.float32(_FILL[1])
    share = np.where(model.usable, guessed / (guessed + unsure), 0).astype(np.float32)
    return guess + share[..., None] * (light - guess), share


def _window(image: Floats) -> Floats:
    """Means under a Gaussian window, taken at half the size."""
    height, width = image.shape
    small = cv2.resize(image, (-(-width // 2), -(-height // 2)), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), _WINDOW_PX / 2, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
