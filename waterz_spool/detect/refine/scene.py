"""A box with some of the picture around it: where the overlay may lie, and what the scene looks like beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.refine.reading import Crops, Picture
from waterz_spool.detect.refine.steady import WINDOW, Image, Mask, steady
from waterz_spool.records import Box

RING_PX = 14  # at 432 lines: how far around the box the scene is looked at
RIM_PX = 3  # of the box: nothing there makes a colour known
KEPT_BYTES = 192 << 20  # a span whose crops need no more is read once
CHUNK_BYTES = 40 << 20
SAMPLES = 24


@dataclass(frozen=True)
class Place:
    """Where one looks.

    Attributes:
        window: The box and a ring around it, half-open, in coded px.
        box: The box, in px of the window.
        shape: Rows and columns of the window.
        scale: Length in px of what is one px at 432 lines.
        open: Whether the box ends at the picture's edge: left, right, top, bottom.
    """

    window: Box
    box: Box
    shape: tuple[int, int]
    scale: float
    open: tuple[bool, bool, bool, bool]

    @property
    def inner(self) -> Mask:
        """Pixels inside the box, bool [h, w]."""
        return self._filled(0)

    @property
    def zone(self) -> Mask:
        """Pixels inside the box without its rim, bool [h, w]."""
        return self._filled(RIM_PX)

    @property
    def ring(self) -> Mask:
        """Pixels around the box, bool [h, w]; the box's own rim where there are hardly any."""
        around = ~self.inner
        return around if around.sum() >= 200 else ~self._filled(2 * RIM_PX)

    def _filled(self, less: int) -> Mask:
        x0, y0, x1, y1 = self.box
        done = np.zeros(self.shape, np.bool_)
        done[y0 + less : max(y0 + less, y1 - less), x0 + less : max(x0 + less, x1 - less)] = True
        return done

    def px(self, at_432: float) -> int:
        """A length in px of this video."""
        return max(1, round(at_432 * self.scale))


def place_of(box: Box, size: tuple[int, int]) -> Place:
    """The place around a box in a picture of width and height."""
    width, height = size
    scale = max(0.6, min(size) / 432)
    ring = max(RING_PX, round(RING_PX * scale))
    x0, y0, x1, y1 = box
    window = (max(0, x0 - ring), max(0, y0 - ring), min(width, x1 + ring), min(height, y1 + ring))
    left, top = window[:2]
    return Place(
        window=window,
        box=(x0 - left, y0 - top, x1 - left, y1 - top),
        shape=(window[3] - top, window[2] - left),
        scale=scale,
        open=(x0 == 0, x1 == width, y0 == 0, y1 == height),
    )


@dataclass(frozen=True)
class Look:
    """One filtered frame.

    Attributes:
        picture: uint8 [h, w, 3].
        spread: How much each pixel changes, grey levels.
        luma: uint8 [h, w].
        bright: How much brighter than its surroundings a narrow thing is, uint8 [h, w].
        dark: How much darker.
    """

    picture: Picture
    spread: Image
    luma: NDArray[np.uint8]
    bright: NDArray[np.uint8]
    dark: NDArray[np.uint8]


STROKE_PX = 17  # at 432 lines: what is wider is no stroke


def look_at(picture: Picture, spread: Image, place: Place) -> Look:
    """A filtered frame with its narrow bright and dark things."""
    side = max(7, place.px(STROKE_PX) | 1)
    kernel = np.ones((side, side), np.uint8)
    luma = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
    bright = np.asarray(cv2.morphologyEx(luma, cv2.MORPH_TOPHAT, kernel), np.uint8)
    dark = np.asarray(cv2.morphologyEx(luma, cv2.MORPH_BLACKHAT, kernel), np.uint8)
    return Look(picture, spread, luma, bright, dark)


class Footage:
    """The frames of one place, read again for every use, or kept where they are few.

    Args:
        crops: Reads the video.
        place: Where.
        span: Frames [start, stop).
    """

    def __init__(self, crops: Crops, place: Place, span: tuple[int, int]) -> None:
        self.place, self.span = place, span
        self._crops = crops
        self._bytes = place.shape[0] * place.shape[1] * 3
        self._seen: tuple[tuple[int, int], tuple[list[Picture], list[Look]]] | None = None
        short = (span[1] - span[0]) * self._bytes <= KEPT_BYTES
        self._kept = list(crops(place.window, *span)) if short else None

    def read(self, start: int, stop: int) -> list[Picture]:
        """The pictures of frames [start, stop), as far as the span goes."""
        start, stop = max(start, self.span[0]), min(stop, self.span[1])
        if self._kept is not None:
            return self._kept[start - self.span[0] : stop - self.span[0]]
        return list(self._crops(self.place.window, start, stop))

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Ranges of frames that together are the span, each small enough to be held."""
        start, stop = self.span
        count = max(1, -(-(stop - start) * self._bytes // CHUNK_BYTES))
        edges = np.linspace(start, stop, count + 1).round().astype(int).tolist()
        return ((a, b) for a, b in pairwise(edges) if a < b)

    def looks(self, start: int, stop: int) -> tuple[list[Picture], list[Look]]:
        """Raw and filtered frames [start, stop); those of the last call are kept."""
        if self._seen is None or self._seen[0] != (start, stop):
            self._seen = None  # before others take room
            self._seen = (start, stop), self._looks(start, stop)
        return self._seen[1]

    def _looks(self, start: int, stop: int) -> tuple[list[Picture], list[Look]]:
        first = max(self.span[0], start - WINDOW)
        raw = self.read(first, stop + WINDOW)
        part = slice(start - first, stop - first)
        done = [look_at(*pair, self.place) for at, pair in enumerate(steady(raw)) if part.start <= at < part.stop]
        return raw[part], done

    def samples(self) -> list[Look]:
        """Filtered frames spread evenly over the span."""
        start, stop = self.span
        wanted = np.unique(np.linspace(start, stop - 1, min(SAMPLES, stop - start)).round().astype(int)).tolist()
        if len(list(self.chunks())) == 1:
            looks = self.looks(start, stop)[1]
            return [looks[at - start] for at in wanted]
        return [look for at in wanted for look in self._looks(at, at + 1)[1]]


def mean_of(pictures: Sequence[Picture]) -> Image:
    """The mean of pictures, float32 [h, w, 3]."""
    return np.asarray(np.mean(pictures, axis=0, dtype=np.float32), np.float32)
