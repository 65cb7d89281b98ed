"""What a detector says about a video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Box


@dataclass(frozen=True)
class Rejected:
    """A place that looked like an overlay and was not taken.

    Attributes:
        box: Where, in px of the frame.
        reason: Why not, in words.
    """

    box: Box
    reason: str


@dataclass(frozen=True)
class Found:
    """What a detector says about a video.

    Attributes:
        mask: uint8 [H, W], 255 where an overlay hides the picture in every frame.
        overlays: Box of each overlay; empty when nothing was found.
        reason: Why nothing was found; empty otherwise.
        rejected: Candidates that were not taken.
    """

    mask: NDArray[np.uint8]
    overlays: tuple[Box, ...]
    reason: str = ""
    rejected: tuple[Rejected, ...] = ()
