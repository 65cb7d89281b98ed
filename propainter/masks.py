"""Growing masks by a diamond, as n steps of the 3x3 cross."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def dilate(mask: NDArray[np.generic], steps: int) -> NDArray[np.bool_]:
    """Grow the nonzero region of one mask; everything beyond the border is background.

    Args:
        mask: [H,W] of any type.
        steps: Dilations by the 3x3 cross, so the reach in px of L1 distance; 0 only thresholds.

    Returns:
        bool [H,W].
    """
    grown: NDArray[np.bool_] = np.asarray(mask) != 0
    for _ in range(steps):
        last = grown
        grown = last.copy()
        grown[1:] |= last[:-1]
        grown[:-1] |= last[1:]
        grown[:, 1:] |= last[:, :-1]
        grown[:, :-1] |= last[:, 1:]
    return grown
