"""One caption's place over time: a picture in which it can be read, and the frames in which it fades in and out.

The mask of a caption that fades begins when it can be seen well; its text is there earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool import media
from waterz_spool.geometry import Geometry
from waterz_spool.records import DisplayBox, Plan

FRAMES = 5  # of a caption that are read together
FADE_FRAMES, BEYOND_FRAMES = 12, 6  # longest fade that a mask leaves out; frames beyond it that show the scene alone
THERE = 0.1  # of the caption's own strength: a frame with so much more than the scene shows it
STROKE_PX = 4.0  # what is wider is not the letters
STRONG = 0.3  # of the letters' contrast: what has less is the scene between them

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Strip:
    """A place before, while and after a caption stands there, uint8 [h, w, 3] BGR.

    Attributes:
        picture: The mean of some of the caption's frames: the scene behind it blurs.
        before: Frames before its mask, the nearest first.
        after: Frames after its mask, the nearest first.
    """

    picture: Picture
    before: Sequence[Picture]
    after: Sequence[Picture]

    def fades_in(self) -> int:
        """Frames before the mask that show the caption."""
        return self._showing(self.before)

    def fades_out(self) -> int:
        """Frames after the mask that show it."""
        return self._showing(self.after)

    def _showing(self, frames: Sequence[Picture]) -> int:
        letters = _strokes(self.picture)
        letters[np.abs(letters) < STRONG * np.percentile(np.abs(letters), 95)] = 0
        whole = float((letters**2).sum()) + 1e-6
        strengths = [float((_strokes(frame) * letters).sum()) / whole for frame in frames]
        beyond = strengths[FADE_FRAMES:]
        if len(beyond) < BEYOND_FRAMES:
            return 0  # too little is known of the scene alone
        least = float(np.median(beyond)) + THERE
        found = sum(1 for _ in takewhile(lambda strength: strength > least, strengths))
        return found if found < FADE_FRAMES else 0


def strip_of(place: DisplayBox, start: int, stop: int, plan: Plan, source: Path) -> Strip:
    """Read a caption's frames, once.

    Args:
        place: Around the caption.
        start: First frame of its mask.
        stop: One past the last.
        plan: Of the video.
        source: The video.

    Raises:
        InputError: The source cannot be decoded any more.
    """
    reach = FADE_FRAMES + BEYOND_FRAMES
    first, last = max(0, start - reach), min(plan.frame_count, stop + reach)
    count = min(FRAMES, stop - start)
    read = {start + (2 * at + 1) * (stop - start) // (2 * count) for at in range(count)}
    shown, (x, y, w, h) = Geometry.of(plan.video), place
    parts: dict[int, Picture] = {}
    for frame in media.decode(source, plan.video, start=first, stop=last, pts=plan.pts):
        if frame.index in read or not start <= frame.index < stop:
            parts[frame.index] = shown.small(frame.picture, 1.0)[y : y + h, x : x + w].copy()
    total = np.sum([parts[index] for index in sorted(read)], axis=0, dtype=np.int64)
    before, after = [parts[at] for at in range(start - 1, first - 1, -1)], [parts[at] for at in range(stop, last)]
    return Strip(np.asarray((total + count // 2) // count, np.uint8), before, after)


def _strokes(picture: Picture) -> NDArray[np.float32]:
    gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return np.asarray(gray - cv2.GaussianBlur(gray, (0, 0), STROKE_PX), np.float32)
