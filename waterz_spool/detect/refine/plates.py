"""Plates and bars: rectangles whose sides are steps along most of their length, opaque or translucent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.refine.scene import Place
from waterz_spool.detect.refine.steady import Image, Mask
from waterz_spool.records import Box

LEAST_STEP = 5.0  # grey levels per px along three quarters of a side
LEAST_PEAK = 4.0
OUTER = 0.4  # of the best step: the outermost line so strong is the side
BUSY = 1.5  # times the usual gradient in the box that a side must have
DEEPEST_PX = 30  # from the box's side inwards that a person may have been off
TIGHT_PX = 3  # outwards: a box may be drawn too tightly
CORNER = slice(2, 9)  # px beyond a corner: there a plate's side has ended
EVEN_PX = 8  # by which the slack around a plate may differ, if the plate is all there is
GROWN_PX = 2
MISSING = float("inf")  # strength of a side that lies beyond the picture's edge


@dataclass(frozen=True)
class _Line:
    """A straight edge: how strong it is along its weakest quarter, and its row or column."""

    strength: float
    at: int


@dataclass(frozen=True)
class _Band:
    """Where one side is looked for: rows or columns [start, stop), along [low, high)."""

    start: int
    stop: int
    low: int
    high: int


@dataclass(frozen=True)
class Gradients:
    """Size of the gradient across and down, the greatest of the channels, grey levels per px, [h, w]."""

    across: Image
    down: Image


def gradients(mean: NDArray[np.float32]) -> Gradients:
    """Of a mean picture [h, w, 3]."""
    across, down = (cv2.Scharr(mean, cv2.CV_32F, dx, 1 - dx, scale=1 / 16) for dx in (1, 0))
    return Gradients(np.abs(across).max(2), np.abs(down).max(2))


def plate(mean: NDArray[np.float32], place: Place) -> Box | None:
    """The plate that the box was drawn around.

    Args:
        mean: Mean of the frames in which it stands, float32 [h, w, 3].
        place: Where they lie.

    Returns:
        Half-open, in px of the window; None where there is none.
    """
    x0, y0, x1, y1 = place.box
    mx, my = int(0.25 * (x1 - x0)), int(0.3 * (y1 - y0))
    # A band from one edge of the picture to the other must be one along all of it.
    mx, my = 0 if all(place.open[:2]) else mx, 0 if all(place.open[2:]) else my
    deep = max(DEEPEST_PX, place.px(DEEPEST_PX))
    wide, high = min((x1 - x0) // 4, deep), min(3 * (y1 - y0) // 10, deep)
    bands = (
        _Band(x0 - TIGHT_PX, x0 + wide, y0 + my, y1 - my),
        _Band(x1 - wide, x1 + TIGHT_PX, y0 + my, y1 - my),
        _Band(y0 - TIGHT_PX, y0 + high, x0 + mx, x1 - mx),
        _Band(y1 - high, y1 + TIGHT_PX, x0 + mx, x1 - mx),
    )
    return _rectangle(gradients(mean), bands, place, may_miss=place.open)


def _rectangle(edges: Gradients, bands: Sequence[_Band], place: Place, *, may_miss: Sequence[bool]) -> Box | None:
    """The rectangle of four sides, left, right, top, bottom; the ends of the window stand for sides that may miss."""
    x0, y0, x1, y1 = place.box
    height, width = place.shape
    inside = slice(y0, y1), slice(x0, x1)
    usual = float(np.median(np.concatenate([edges.across[inside].ravel(), edges.down[inside].ravel()])))
    need = max(LEAST_STEP, BUSY * usual)
    sides = []
    for number, (band, missing) in enumerate(zip(bands, may_miss, strict=True)):
        side = _side(edges.across if number < 2 else edges.down.T, band, outer=-1 if number in (0, 2) else 1)
        if side.strength < need:
            if not missing:
                return None
            side = _Line(MISSING, (0, width - 1, 0, height - 1)[number])
        sides.append(side)
    if sum(side.strength == MISSING for side in sides) > 2 or _ends(edges, sides) < 3:
        return None
    left, right, top, bottom = (side.at for side in sides)
    return left, top, right + 1, bottom + 1


def _side(across: Image, band: _Band, *, outer: int) -> _Line:
    """The outermost strong line of a band; ``across`` has the direction in which it is looked for as its columns."""
    first = max(0, band.start)
    part = across[band.low : band.high, first : max(first, band.stop)]
    if not part.size:
        return _Line(0.0, -1)
    strength = np.quantile(part, 0.25, axis=0)
    good = np.flatnonzero(strength >= max(LEAST_PEAK, OUTER * strength.max()))
    if not len(good):
        return _Line(float(strength.max()), first)
    outermost = int(good[0] if outer < 0 else good[-1])
    near = slice(max(0, outermost - 2), outermost + 3)
    best = near.start + int(strength[near].argmax())
    return _Line(float(strength[best]), first + best)


def _ends(edges: Gradients, sides: Sequence[_Line]) -> int:
    """How many of four sides end at their corners, as a plate's do and a line of the scene does not."""
    left, right, top, bottom = (side.at for side in sides)
    count = 0
    for number, side in enumerate(sides):
        across = edges.across if number < 2 else edges.down.T
        low, high = (top, bottom) if number < 2 else (left, right)
        beyond = []
        for start, stop in ((low - CORNER.stop, low - CORNER.start), (high + CORNER.start + 1, high + CORNER.stop + 1)):
            part = across[max(0, start) : max(0, stop), max(0, side.at - 1) : side.at + 2]
            if len(part) >= 3:
                beyond.append(float(np.median(part.max(1))))
        count += side.strength == MISSING or all(each < 0.5 * side.strength for each in beyond)
    return count


def is_all(found: Box, place: Place) -> bool:
    """Whether a plate is all there is: the box was drawn around it with the same slack on all sides."""
    slack = (
        found[0] - place.box[0],
        place.box[2] - found[2],
        found[1] - place.box[1],
        place.box[3] - found[3],
    )
    free = [each for each, edge in zip(slack, place.open, strict=True) if not edge]
    return len(free) >= 2 and max(free) - min(free) <= max(EVEN_PX, place.px(EVEN_PX))


def filled(found: Box, place: Place) -> Mask:
    """A plate as a mask, grown by what the encoder smears, bool [h, w] inside the box."""
    x0, y0, x1, y1 = found
    done = np.zeros(place.shape, np.bool_)
    done[max(0, y0 - GROWN_PX) : y1 + GROWN_PX, max(0, x0 - GROWN_PX) : x1 + GROWN_PX] = True
    return done & place.inner


def rim(found: Box, place: Place) -> Mask:
    """The pixels on both sides of a plate's edge, bool [h, w]."""
    x0, y0, x1, y1 = found
    outer, inner = np.zeros(place.shape, np.bool_), np.zeros(place.shape, np.bool_)
    outer[max(0, y0 - 3) : y1 + 3, max(0, x0 - 3) : x1 + 3] = True
    inner[y0 + 4 : max(y0 + 4, y1 - 4), x0 + 4 : max(x0 + 4, x1 - 4)] = True
    return outer & ~inner


def line_plates(mean: NDArray[np.float32], boxes: Sequence[Box], place: Place) -> list[Box]:
    """The plates behind single lines of text.

    Args:
        mean: Mean of the frames in which they stand.
        boxes: Of the lines' strokes, in px of the window.
        place: Where they lie.

    Returns:
        One box per line that has a plate.
    """
    edges = gradients(mean)
    done = []
    for box in boxes:
        x0, y0, x1, y1 = box
        deep = max(6, round(0.9 * (y1 - y0)))
        bands = (
            _Band(x0 - deep, x0 - 2, y0, y1),
            _Band(x1 + 2, x1 + deep, y0, y1),
            _Band(y0 - deep, y0 - 2, x0, x1),
            _Band(y1 + 2, y1 + deep, x0, x1),
        )
        facing = [False, False, *(_neighbour(box, boxes, deep, up=up) for up in (True, False))]
        found = _rectangle(edges, bands, place, may_miss=facing)
        if found is not None:
            top = found[1] if not (facing[0] and found[1] == 0) else y0
            done.append((found[0], max(top, y0 - deep), found[2], min(found[3], y1 + deep)))
    return done


def _neighbour(box: Box, boxes: Sequence[Box], reach: int, *, up: bool) -> bool:
    """Whether another line lies just above or below: their plates may touch."""
    for other in boxes:
        gap = box[1] - other[3] if up else other[1] - box[3]
        if other != box and -reach <= gap <= 2 * reach and min(box[2], other[2]) > max(box[0], other[0]):
            return True
    return False
