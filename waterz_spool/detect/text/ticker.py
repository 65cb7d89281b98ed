"""Running text: a band along the upper or lower side of the picture through which letters move at one speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np

from waterz_spool.detect.base import Detection
from waterz_spool.detect.text.lines import Gray, Image
from waterz_spool.records import Box

SPANS = 0.6  # of the picture's width: from the first to the last letter of a running text
SAME_PX = 3  # a band keeps its place
LEAST_PX, STEADY = 0.4, 0.2  # letters move by so many px a frame, and by the same but for this share
APART = 0.3  # of the speed: so much slower or faster is the scene beside the band
LEAST_LOOKS, MOST_LOOKS = 3, 0.8  # at so many looks, and at such a share of them, letters must run
EDGE = 0.25  # of the height along the upper and lower side: there such bands lie
PAD = 0.7  # of the letters' height: a band is so much higher on each side


@dataclass(eq=False)
class Band:
    """A place of running text.

    Attributes:
        top: First row of the letters, px of the small picture.
        bottom: One past the last.
        start: First frame.
        stop: One past the last.
        score: The network's confidence.
        looks: How often it was seen.
        speeds: Of the letters at each look at which they ran, px a frame.
    """

    top: int
    bottom: int
    start: int
    stop: int
    score: float
    looks: int = 0
    speeds: list[float] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        """Whether it ran at nearly all looks, of which there were enough, and at the same speed."""
        usual = float(np.median(self.speeds or [0.0]))
        same = sum(abs(each - usual) <= STEADY * abs(usual) for each in self.speeds)
        return same >= max(LEAST_LOOKS, MOST_LOOKS * (self.looks - 1))

    def here(self, row: Box) -> bool:
        """Whether a row of text lies in it."""
        return abs(self.top - row[1]) <= SAME_PX and abs(self.bottom - row[3]) <= SAME_PX

    def moves(self, frames: Sequence[Gray]) -> int:
        """In how many frames after the first of some (in either order of time) its letters go on running."""
        usual = abs(float(np.median(self.speeds or [0.0])))
        for count, (a, b) in enumerate(pairwise(frames)):
            if abs(abs(_shift(a, b, self.top, self.bottom)) - usual) > STEADY * usual + 0.3:
                return count
        return len(frames) - 1

    def box(self, size: tuple[int, int]) -> Box:
        """All that belongs to it: the whole width of the picture."""
        pad = round(PAD * (self.bottom - self.top))
        return 0, max(0, self.top - pad), size[0], min(size[1], self.bottom + pad)


class Tickers:
    """Finds bands of running text, look by look.

    Args:
        size: Width and height of the small picture.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._open: list[Band] = []
        self._closed: list[Band] = []

    def look(self, index: int, seen: Sequence[Detection], frames: Sequence[Gray]) -> None:
        """What the network sees in a frame, and the frames from the last look up to it."""
        (width, height), first = self._size, index + 1 - len(frames)
        rows = [
            row
            for row in rows_of(seen, width)
            if not EDGE * height < (row.box[1] + row.box[3]) / 2 < (1 - EDGE) * height
        ]
        for band in list(self._open):
            if not any(band.here(row.box) for row in rows):
                band.stop = first + band.moves(frames) + 1
                self._open.remove(band)
                self._closed += [band] if band.runs else []
        for row in rows:
            speed = speed_of(row.box, frames)
            known = next((each for each in self._open if each.here(row.box)), None)
            band = known or Band(row.box[1], row.box[3], index, index + 1, row.score)
            if known is None:
                self._open.append(band)
            band.stop, band.looks = index + 1, band.looks + 1
            band.speeds += [speed] if speed else []
            if band.looks == 1 and speed:
                band.start -= band.moves(frames[::-1])

    def finish(self) -> list[Band]:
        """All bands in which text ran."""
        return sorted([*self._closed, *(band for band in self._open if band.runs)], key=lambda band: band.start)


def rows_of(seen: Sequence[Detection], width: int) -> list[Detection]:
    """Detections that lie beside each other and together span most of the picture's width, as one."""
    rows: list[Detection] = []
    for one in sorted(seen, key=lambda each: each.box[1]):
        for number, row in enumerate(rows):
            if abs(row.box[1] - one.box[1]) <= SAME_PX and abs(row.box[3] - one.box[3]) <= SAME_PX:
                box = min(row.box[0], one.box[0]), row.box[1], max(row.box[2], one.box[2]), row.box[3]
                rows[number] = Detection(box, min(row.score, one.score))
                break
        else:
            rows.append(one)
    return [row for row in rows if row.box[2] - row.box[0] >= SPANS * width]


def speed_of(row: Box, frames: Sequence[Gray]) -> float | None:
    """How fast letters run to the right in a row, px a frame; None where they do not, or the scene runs along."""
    if len(frames) < 3:
        return None
    top, bottom = row[1], row[3]
    high = bottom - top
    first, second = (_shift(a, b, top, bottom) for a, b in zip(frames[-3:-1], frames[-2:], strict=True))
    if min(abs(first), abs(second)) < LEAST_PX or abs(first - second) > STEADY * abs(first) + 0.3:
        return None
    speed = (first + second) / 2
    beside = [(top - 3 * high, top - high), (bottom + high, bottom + 3 * high)]
    for a, b in beside:
        if (
            a >= 0
            and b <= frames[-1].shape[0]
            and abs(_shift(frames[-2], frames[-1], a, b) - speed) < APART * abs(speed)
        ):
            return None
    return speed


def _shift(before: Gray, now: Gray, top: int, bottom: int) -> float:
    """By how much the rows of one frame moved to the right in the next, px."""
    a, b = (_edges(frame[top:bottom]) for frame in (before, now))
    (x, y), _ = cv2.phaseCorrelate(a, b, cv2.createHanningWindow(a.shape[::-1], cv2.CV_32F))
    return float(x) if abs(y) < 1 else 0.0


def _edges(part: Gray) -> Image:
    return np.asarray(cv2.Sobel(part.astype(np.float32), cv2.CV_32F, 1, 0), np.float32)
