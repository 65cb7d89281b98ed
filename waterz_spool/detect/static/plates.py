"""The rectangle that lies behind a text: four straight edges that persist, all darker or all brighter on their inside.

A see-through plate changes with what lies behind it, so that steadiness does not show it; but along each of its sides
the median slope over time has one sign, and the sides end where they meet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.static.shapes import Image
from waterz_spool.records import Box

MIN_SLOPE = 2.0  # grey levels per px (Scharr / 16), of the median slope along a side
CONTRAST = 4.0  # times the usual slope of such lines nearby
ALONG = 0.7  # share of a side's pixels whose slope has its sign
FADED = 0.2  # of a side's usual slope: where it has less, it ends
MOST_GAP_PX = 12  # of a side
REACH = 1.5  # of the text's height: plates reach that far above and below it
BESIDE = 0.75  # of a text: so long is an edge that runs along it
BESIDE_PX = 4  # from a text: its own lines lie nearer
CORNER_PX = 6  # within which two sides must end where they meet


@dataclass(frozen=True)
class Slopes:
    """Median slopes over time, float32 [H, W]: across and down."""

    across: Image
    down: Image


def rectangle(slopes: Slopes, box: Box) -> Box | None:
    """The plate around a text, half-open; None where there is none with four sides.

    Args:
        slopes: Of the picture.
        box: Of the text; it may reach to the plate's sides.
    """
    found = [plate for sign in (-1, 1) if (plate := _plate(slopes, box, sign)) is not None]
    return max(found, key=lambda each: (each[2] - each[0]) * (each[3] - each[1])) if found else None


def open_side(slopes: Slopes, box: Box) -> bool:
    """Whether a straight edge that ends within the picture runs along most of a text, above or below it.

    Then more than the text was painted over the picture, and what it is cannot be told.
    """
    x0, y0, x1, y1 = box
    width, reach = slopes.down.shape[1], max(8, round(REACH * (y1 - y0)))
    for rows in ((max(0, y0 - reach), max(0, y0 - BESIDE_PX)), (y1 + BESIDE_PX, y1 + reach)):
        for side in (slopes.down, -slopes.down):
            row = _line(side, rows, (x0, x1))
            if row is None:
                continue
            left, right = _ends(side, row, (x0, x1))
            within = left > CORNER_PX and right < width - CORNER_PX
            if within and min(right, x1) - max(left, x0) >= BESIDE * (x1 - x0):
                return True
    return False


def _rows(slopes: Slopes, box: Box, sign: int) -> tuple[int | None, int | None]:
    """The rows of a plate's upper and lower side."""
    x0, y0, x1, y1 = box
    reach, half = max(8, round(REACH * (y1 - y0))), (y1 - y0) // 2
    top = _line(sign * slopes.down, (max(0, y0 - reach), y0 + half), (x0, x1))
    return top, _line(-sign * slopes.down, (y1 - half, y1 + reach), (x0, x1))


def _plate(slopes: Slopes, box: Box, sign: int) -> Box | None:
    x0, y0, x1, y1 = box
    top, bottom = _rows(slopes, box, sign)
    if top is None or bottom is None or bottom - top < (y1 - y0) // 2:
        return None
    ends = [_ends(sign * slopes.down, top, (x0, x1)), _ends(-sign * slopes.down, bottom, (x0, x1))]
    left, right = max(end[0] for end in ends), min(end[1] for end in ends)
    near = 2 * CORNER_PX
    sides = (
        _line(sign * slopes.across.T, (max(0, left - near), left + near), (top, bottom)),
        _line(-sign * slopes.across.T, (max(0, right - near), right + near), (top, bottom)),
    )
    if sides[0] is None or sides[1] is None or sides[1] <= sides[0]:
        return None
    return sides[0], top, sides[1] + 1, bottom + 1


def _line(slopes: NDArray[np.float32], rows: tuple[int, int], columns: tuple[int, int]) -> int | None:
    """The row in a range with the strongest straight edge over some columns; None where none stands out."""
    part = slopes[rows[0] : rows[1], columns[0] : columns[1]]
    if part.shape[0] < 3 or part.shape[1] < 8:
        return None
    strength = part.mean(axis=1)
    usual = float(np.median(np.abs(strength)))
    straight = np.where((part > MIN_SLOPE / 2).mean(axis=1) >= ALONG, strength, 0)
    best = int(np.argmax(straight))
    return rows[0] + best if straight[best] >= max(MIN_SLOPE, CONTRAST * usual) else None


def _ends(slopes: NDArray[np.float32], row: int, columns: tuple[int, int]) -> tuple[int, int]:
    """First and last column of the edge that runs along a row through some columns."""
    side = slopes[max(0, row - 1) : row + 2].max(axis=0)
    least = max(MIN_SLOPE, FADED * float(np.median(side[columns[0] : columns[1]])))
    along, middle = side > least, sum(columns) // 2
    shown = np.flatnonzero(along)
    if not len(shown):
        return middle, middle
    runs = np.split(shown, np.flatnonzero(np.diff(shown) > MOST_GAP_PX) + 1)
    run = min(runs, key=lambda each: 0 if each[0] <= middle <= each[-1] else min(abs(each - middle)))
    return int(run[0]), int(run[-1])
