"""A few looks at the rows around a line of text, spread evenly over its time: from them its plate is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.text.behind import Picture, Plate, plate_behind
from waterz_spool.records import Box

MOST = 8
LEAST = 4  # looks that tell something
RIM_PX = 2  # around letters: what the resizing smears
LEAST_PX = 60  # of letters and between them
MOVING, CALM = 6.0, 0.3  # grey levels by which the picture changes between letters; of it, letters at most
REACH = 5  # heights of the line: so far around it the picture is kept


class Sights:
    """The rows around a line; where lines stand upright in the coded picture, the columns.

    Args:
        box: Of the line, px of the small picture.
        upright: Whether the picture's axes are to be swapped, so that lines lie.
    """

    def __init__(self, box: Box, *, upright: bool) -> None:
        self._upright = upright
        _, y0, _, y1 = self._lying(box)
        self._top, self._bottom = max(0, y0 - REACH * (y1 - y0)), y1 + REACH * (y1 - y0)
        self._kept: list[Picture] = []
        self._count, self._every = 0, 1

    def add(self, picture: Picture) -> None:
        """A look, uint8 [H, W, 3], at a frame in which the line stands."""
        if self._count % self._every == 0:
            lying = picture.transpose(1, 0, 2) if self._upright else picture
            self._kept.append(np.ascontiguousarray(lying[self._top : self._bottom]))
        self._count += 1
        if len(self._kept) > MOST:
            self._kept, self._every = self._kept[::2], 2 * self._every

    def plate(self, lines: Sequence[Box]) -> tuple[Plate | None, Box | None]:
        """What `plate_behind` says of lines of text, in px of the small picture."""
        lying = [self._lying(box) for box in lines]
        inside = [box for box in lying if self._top <= box[1] and box[3] <= self._bottom]
        moved = [(x0, y0 - self._top, x1, y1 - self._top) for x0, y0, x1, y1 in inside]
        plate, reach = plate_behind(moved, self._kept)
        return plate and replace(plate, box=self._back(plate.box)), reach and self._back(reach)

    def _back(self, box: Box) -> Box:
        x0, y0, x1, y1 = box
        return self._lying((x0, y0 + self._top, x1, y1 + self._top))

    def moves_between(self, box: Box, template: NDArray[np.float32]) -> bool:
        """Whether the picture moves between the letters of a line while they themselves do not change.

        Args:
            box: Of the line.
            template: [h, w] of the box: how much brighter or darker its letters and their rims are, 0 elsewhere.
        """
        x0, y0, x1, y1 = self._lying(box)
        known = template.T if self._upright else template
        where = known > 0 if 2 * (known > 0).sum() >= (known != 0).sum() else known < 0
        side = 2 * RIM_PX + 1
        gaps = cv2.dilate((known != 0).astype(np.uint8), np.ones((side, side), np.uint8)) == 0
        if len(self._kept) < LEAST or min(where.sum(), gaps.sum()) < LEAST_PX:
            return False
        part = np.stack([each[y0 - self._top : y1 - self._top, x0:x1] for each in self._kept])
        change = part.std(axis=0, dtype=np.float32).max(-1)
        calm, moving = float(np.median(change[where])), float(np.median(change[gaps]))
        return moving >= MOVING and calm <= CALM * moving

    def _lying(self, box: Box) -> Box:
        return (box[1], box[0], box[3], box[2]) if self._upright else box
