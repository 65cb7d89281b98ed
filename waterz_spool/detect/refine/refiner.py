"""The door of the package: a box goes in, masks with their frames come out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from waterz_spool.detect.patches import patch
from waterz_spool.detect.refine.reading import Crops
from waterz_spool.records import Box, MaskPatch


@dataclass(frozen=True)
class Refined:
    """What lies in a box.

    Attributes:
        patches: Masks with place and frames, all inside the box; frames without any show no overlay.
        certain: False where the box is taken whole in some or all frames.
        reason: Why it is, in words; empty otherwise.
    """

    patches: tuple[MaskPatch, ...]
    certain: bool
    reason: str = ""


def refine(crops: Crops, box: Box, span: tuple[int, int], *, size: tuple[int, int]) -> Refined:
    """The overlay's own pixels inside a box.

    Args:
        crops: Reads the video around the box.
        box: Half-open, in coded px; it holds the whole overlay, best with some px to spare.
        span: Frames [start, stop) in which the overlay may stand.
        size: Width and height of the picture in px.
    """
    return Refined((_whole(box, *span),), certain=False, reason="what is in it cannot be told from the scene")


def _whole(box: Box, start: int, stop: int) -> MaskPatch:
    x0, y0, x1, y1 = box
    return patch(np.full((y1 - y0, x1 - x0), 255, np.uint8), start, stop, ((start, x0, y0),))
