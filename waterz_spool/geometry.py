"""Coded and displayed pixels: the one place that knows how a player turns, mirrors and stretches a picture.

A file stores coded pixels. A player shows them turned or mirrored by the display matrix, in one of eight orientations,
and stretched by the sample aspect. Users speak of displayed pixels, all records and pictures inside are coded.

A coded pixel belongs to a displayed region when the centre of one of its displayed pixels does; a displayed pixel
belongs to a coded region when its centre does. Boxes and masks follow the same rule, so a mask that is brought to
the display and back is the same mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Box, DisplayBox, VideoInfo

Size = tuple[int, int]

_Sample = TypeVar("_Sample", bound=np.generic)

_MOST_STRETCH = 8
"""No camera or disc has a sample aspect beyond this; what claims more is damaged and shown with square pixels."""

_SLACK_PX = 2
"""Players round a stretched side down, up, or to an even number."""


@dataclass(frozen=True)
class Geometry:
    """How one video's coded pictures are shown.

    Attributes:
        coded: Width and height of the stored picture in px.
        shown: Width and height of the picture as a player shows it, in px. Like most players, a side is stretched
            where the sample aspect is not square, never shrunk.
        transposed: Rows become columns, before the flips.
        flip_x: The displayed picture is mirrored left to right.
        flip_y: It is mirrored top to bottom.
    """

    coded: Size
    shown: Size
    transposed: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def of(cls, info: VideoInfo) -> Geometry:
        """The geometry of a probed video; a turn by another angle than a right one counts as the nearest."""
        transposed, flip_x, flip_y = _orientation(info)
        stretched = _stretched(info)
        return cls((info.width, info.height), stretched[::-1] if transposed else stretched, transposed, flip_x, flip_y)

    @property
    def upright(self) -> Size:
        """Width and height of the turned picture before it is stretched, in px."""
        return self.coded[::-1] if self.transposed else self.coded

    @property
    def words(self) -> str:
        """The displayed size, and the stored one where it differs."""
        stored = "" if self.shown == self.coded else f" (stored as {_text(self.coded)})"
        return _text(self.shown) + stored

    def fitting(self, size: Size) -> bool:
        """Whether a picture of this width and height can be a mask of this video."""
        return size in (self.shown, self.upright, self.coded) or self._shown_in(size)

    @property
    def sizes(self) -> str:
        """The sizes that fit, in words."""
        return " or ".join(dict.fromkeys(map(_text, (self.shown, self.upright, self.coded))))

    def turn(self, picture: NDArray[_Sample]) -> NDArray[_Sample]:
        """A coded picture [H, W, ...] as it is shown, not stretched."""
        turned = picture.swapaxes(0, 1) if self.transposed else picture
        return np.ascontiguousarray(turned[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1])

    def turn_back(self, picture: NDArray[_Sample]) -> NDArray[_Sample]:
        """The inverse of ``turn``."""
        turned = picture[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        return np.ascontiguousarray(turned.swapaxes(0, 1) if self.transposed else turned)

    def small_size(self, scale: float) -> Size:
        """Width and height of the displayed picture scaled, at least 2 px each."""
        return max(2, round(self.shown[0] * scale)), max(2, round(self.shown[1] * scale))

    def small(self, picture: Any, scale: float) -> NDArray[np.uint8]:
        """A decoded ``av.VideoFrame`` as it is shown, scaled: uint8 [H, W, 3] BGR."""
        size = self.small_size(scale)
        width, height = size[::-1] if self.transposed else size
        scaled = picture.reformat(width=width, height=height, format="bgr24", interpolation="AREA")
        return self.turn(np.asarray(scaled.to_ndarray(), np.uint8))

    def shown_mask(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A coded mask, uint8 [H, W], in displayed pixels."""
        return _resampled(self.turn(mask), self.shown)

    def coded_mask(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A mask, uint8 [H, W], of the displayed or the coded picture, in coded pixels; its size must fit.

        Where both readings fit (a picture turned by 180 degrees, a mirrored one), it is the displayed picture's.
        """
        size = (mask.shape[1], mask.shape[0])
        if size == self.coded and size not in (self.shown, self.upright):
            return mask
        return self.turn_back(_resampled(mask, self.upright))

    def shown_box(self, box: Box) -> DisplayBox:
        """A coded box in displayed pixels."""
        x0, y0, x1, y1 = self._turned(box)
        (x0, x1), (y0, y1) = (
            _covering(a, b, coded, shown)
            for a, b, coded, shown in zip((x0, y0), (x1, y1), self.upright, self.shown, strict=True)
        )
        return x0, y0, x1 - x0, y1 - y0

    def coded_box(self, box: DisplayBox) -> Box:
        """A displayed box in coded pixels; it must lie in the picture."""
        x, y, w, h = box
        (x0, x1), (y0, y1) = (
            _covering(a, b, shown, coded)
            for a, b, shown, coded in zip((x, y), (x + w, y + h), self.shown, self.upright, strict=True)
        )
        return self.turned_back((x0, y0, x1, y1), self.upright)

    def turned_back(self, box: Box, size: Size) -> Box:
        """A box of a turned picture of this width and height, in the picture before it was turned."""
        x0, y0, x1, y1 = self._flipped(box, size)
        return (y0, x0, y1, x1) if self.transposed else (x0, y0, x1, y1)

    def _turned(self, box: Box) -> Box:
        x0, y0, x1, y1 = box
        return self._flipped((y0, x0, y1, x1) if self.transposed else box, self.upright)

    def _flipped(self, box: Box, size: Size) -> Box:
        (x0, y0, x1, y1), (width, height) = box, size
        if self.flip_x:
            x0, x1 = width - x1, width - x0
        if self.flip_y:
            y0, y1 = height - y1, height - y0
        return x0, y0, x1, y1

    def _shown_in(self, size: Size) -> bool:
        """Whether a player may show the picture in this size: stretched with another rounding, or shrunk instead."""
        if self.shown == self.upright:
            return False
        (w, h), (u, v) = self.shown, self.upright
        shrunk = (round(u * v / h), v) if h != v else (u, round(v * u / w))
        return any(
            all(_rounded(side, wanted, stored) for side, wanted, stored in zip(size, each, self.upright, strict=True))
            for each in (self.shown, shrunk)
        )


def _rounded(side: int, wanted: int, stored: int) -> bool:
    """Whether a player may show a side in this length; one that is not stretched is exact."""
    return abs(side - wanted) <= (_SLACK_PX if wanted != stored else 0)


def _orientation(info: VideoInfo) -> tuple[bool, bool, bool]:
    """Transposed, flipped in x, flipped in y: of the eight orientations the one nearest to the display matrix.

    The matrix maps (x, y) to (a x + c y, b x + d y), y downwards (ISO/IEC 14496-12, 8.5.2 and libavutil/display.h).
    """
    if info.display_matrix is None:
        return {0: (False, False, False), 90: (True, False, True), 180: (False, True, True), 270: (True, True, False)}[
            info.rotation
        ]
    a, b, _, c, d = info.display_matrix[:5]
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def _stretched(info: VideoInfo) -> Size:
    wide, high = info.sample_aspect or (1, 1)
    if not 0 < wide <= _MOST_STRETCH * high or not 0 < high <= _MOST_STRETCH * wide:
        return info.width, info.height
    if wide > high:
        return _half_up(info.width * wide, high), info.height
    return info.width, _half_up(info.height * high, wide)


def _half_up(value: int, divisor: int) -> int:
    return (2 * value + divisor) // (2 * divisor)


def _covering(first: int, stop: int, size: int, other: int) -> tuple[int, int]:
    """The stretch of a side of ``other`` px that [first, stop) of the same side of ``size`` px covers."""
    if other < size:
        first, stop = (2 * first + 1) * other // (2 * size), (2 * stop - 1) * other // (2 * size) + 1
    else:
        first, stop = (-((size - 2 * edge * other) // (2 * size)) for edge in (first, stop))
    return first, stop


def _resampled(mask: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    for axis, wanted in ((0, size[1]), (1, size[0])):
        have = mask.shape[axis]
        if wanted < have:
            # The most of all pixels whose centres lie in one of the result's: thin lines stay.
            homes = (2 * np.arange(have) + 1) * wanted // (2 * have)
            mask = np.maximum.reduceat(mask, np.searchsorted(homes, np.arange(wanted)), axis=axis)
        elif wanted > have:
            mask = mask.take((2 * np.arange(wanted) + 1) * have // (2 * wanted), axis=axis)
    return mask


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
