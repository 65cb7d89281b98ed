"""Whether a picture is woven of two moments: what interlaced video looks like, whatever its flags say."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_PATCH_PX = 16
_RATIO = 1.25  # of differences one line apart to those two apart; noise has 1, a whole picture less
_STEP = 6 / 255  # of the range; smaller differences are noise of the camera or the codec


def is_combed(luma: NDArray[Any], bits: int) -> bool:
    """Whether in some patch neighbouring lines, of two fields, differ more than lines two apart, of one field.

    Args:
        luma: [H, W], 0 to 2**bits - 1.
        bits: Bits per sample.
    """
    lines = luma.astype(np.float32)
    one, two = np.abs(lines[1:-1] - lines[:-2]), np.abs(lines[2:] - lines[:-2])
    near, far = _patches(one), _patches(two)
    return bool(((near > _STEP * 2**bits) & (near > _RATIO * far)).any())


def _patches(difference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over square patches."""
    rows, columns = (size // _PATCH_PX for size in difference.shape)
    whole = difference[: rows * _PATCH_PX, : columns * _PATCH_PX]
    means: NDArray[np.float32] = whole.reshape(rows, _PATCH_PX, columns, _PATCH_PX).mean(axis=(1, 3))
    return means
