"""The plate behind lines of text: across each straight side the picture changes in the same way all along it.

A plate that is painted over a picture mixes it with one colour: inside = share * outside + (1 - share) * colour, with
the same share in all channels, along each of its sides and at all times. An opaque plate is one whose share is nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.masks import union
from waterz_spool.records import Box

Picture = NDArray[np.uint8]
Values = NDArray[np.float32]

FARTHEST = 2.5  # heights of a line: so far from the text a side may lie
INTO_PX = 4  # a line's box is grown: the side of a tight plate may lie inside it
LEAST_STEP = 6.0  # grey levels across a side, at the median
UNEXPLAINED = 0.4  # of that step: what the mixture may leave
ROUNDS = 6  # of the robust fit
FOLLOWS = 0.8  # of the variance inside that comes from outside: then the scene shows through
LEAST_VARIES = 8.0  # grey levels of the scene beside a side: else nothing can follow it
THINNEST, DENSEST = 0.85, 0.12  # share of the scene that a translucent plate lets through
GAP = 0.5  # of a line's height: so far a side may be interrupted
ACCENT = 1.0  # of a line's height: an opaque stripe at the end of a plate is no wider
OUTER = 0.4  # of the strongest upright step: the outermost one so strong is its end
LEAST_END = 5.0  # grey levels along three quarters of the end of such a stripe
UNIFORM = 12.0  # grey levels by which its colour varies


@dataclass(frozen=True)
class Plate:
    """A plate behind text.

    Attributes:
        box: Half-open, px of the pictures.
        proven: Whether the scene is seen through it, which no sign in a scene lets happen.
    """

    box: Box
    proven: bool


@dataclass(frozen=True)
class _Mixture:
    """What a plate does to the picture: the share that it lets through, and its colour (BGR)."""

    share: float
    colour: Values

    def unexplained(self, outside: Values, inside: Values) -> Values:
        """How far pixels inside are from what it makes of those outside, grey levels."""
        made = self.share * outside + (1 - self.share) * self.colour
        return np.asarray(np.abs(inside - made).max(-1), np.float32)


@dataclass(frozen=True)
class _Side:
    """An upper or lower side."""

    row: int
    mixture: _Mixture
    explained: float
    follows: bool


def plate_behind(lines: Sequence[Box], pictures: Sequence[Picture]) -> tuple[Plate | None, Box | None]:
    """The plate behind lines of text, and whether there seems to be one that is not certain.

    Args:
        lines: All that stand on it, half-open.
        pictures: uint8 [H, W, 3] in which they stand.

    Returns:
        The plate, None where its sides are not all certain; where only its upper and lower sides show, how far they do.
    """
    stack = np.stack(pictures).astype(np.float32)
    text = reduce(union, lines)
    high = max(line[3] - line[1] for line in lines)
    far = round(FARTHEST * high)
    upper = _best(stack, text, range(max(3, text[1] - far), text[1] + INTO_PX), up=True)
    lower = _best(stack, text, range(text[3] - INTO_PX, min(stack.shape[1] - 2, text[3] + far)), up=False)
    if upper is None or lower is None:
        return None, None
    mixture = max((upper, lower), key=lambda side: (side.follows, side.explained)).mixture
    if not all(_fits(stack, text, side.row, mixture, up=side is upper) for side in (upper, lower)):
        return None, None
    rows = upper.row, lower.row
    seen = _seen(stack, text, rows, mixture, round(GAP * high))
    ends = _ends(stack, rows, seen, mixture, round(ACCENT * high))
    if ends is None:
        return None, (seen[0], rows[0], seen[1], rows[1])
    return Plate((ends[0], rows[0], ends[1], rows[1]), upper.follows or lower.follows), None


def _across(stack: Values, row: int, *, up: bool) -> tuple[Values, Values]:
    """Pixels outside and inside of a side above ``row``, [n, W, 3] each."""
    above, below = stack[:, row - 2], stack[:, row + 1]
    return (above, below) if up else (below, above)


def _best(stack: Values, text: Box, rows: range, *, up: bool) -> _Side | None:
    """The side that explains most, of those that a mixture explains."""
    if not rows:
        return None
    part = stack[:, :, text[0] : text[2] : 2]
    first, last = rows.start, rows.stop
    change = np.abs(part[:, first + 1 : last + 1] - part[:, first - 2 : last - 2]).max(-1)
    steps = np.median(change, axis=(0, 2))
    sharpest = [
        at for at, step in enumerate(steps) if step >= LEAST_STEP and step == steps[max(0, at - 1) : at + 2].max()
    ]
    found = [side for at in sharpest if (side := _side(part, first + at, float(steps[at]), up=up))]
    return max(found, key=lambda side: side.explained, default=None)


def _side(part: Values, row: int, step: float, *, up: bool) -> _Side | None:
    outside, inside = (each.reshape(-1, 3) for each in _across(part, row, up=up))
    mixture, weights = _fitted(outside, inside)
    left = float(np.median(mixture.unexplained(outside, inside)))
    if left > UNEXPLAINED * step or mixture.share > THINNEST:
        return None
    return _Side(row, mixture, step - left, _follows(outside, inside, mixture, weights))


def _fitted(outside: Values, inside: Values) -> tuple[_Mixture, Values]:
    """The mixture that most pixels agree with, and how much each does."""
    weights = np.ones(len(outside), np.float32)
    mixture = _Mixture(0.0, np.zeros(3, np.float32))
    for _ in range(ROUNDS):
        mean_out, mean_in = (np.average(each, axis=0, weights=weights) for each in (outside, inside))
        off, on = outside - mean_out, inside - mean_in
        slope = float((weights[:, None] * off * on).sum() / max(1e-3, float((weights[:, None] * off * off).sum())))
        share = min(0.99, max(0.0, slope))
        mixture = _Mixture(share, np.asarray((mean_in - share * mean_out) / (1 - share), np.float32))
        left = mixture.unexplained(outside, inside)
        off_by = left / max(2.0, 1.5 * float(np.median(left)))
        weights = np.asarray(1 / (1 + off_by**2), np.float32)
    return mixture, weights


def _follows(outside: Values, inside: Values, mixture: _Mixture, weights: Values) -> bool:
    """Whether the scene shows through."""
    if not DENSEST <= mixture.share <= THINNEST:
        return False
    made = mixture.share * outside + (1 - mixture.share) * mixture.colour
    spread = [
        np.average((each - np.average(each, axis=0, weights=weights)) ** 2, axis=0, weights=weights).sum()
        for each in (outside, inside)
    ]
    left = np.average((inside - made) ** 2, axis=0, weights=weights).sum()
    return bool(spread[0] >= 3 * LEAST_VARIES**2 and left <= (1 - FOLLOWS) * spread[1])


def _fits(stack: Values, text: Box, row: int, mixture: _Mixture, *, up: bool) -> bool:
    """Whether a side is one of this mixture."""
    outside, inside = (each[:, text[0] : text[2]] for each in _across(stack, row, up=up))
    step = float(np.median(np.abs(inside - outside).max(-1)))
    return float(np.median(mixture.unexplained(outside, inside))) <= UNEXPLAINED * step


def _seen(stack: Values, text: Box, rows: tuple[int, int], mixture: _Mixture, gap: int) -> tuple[int, int]:
    """The columns along which the upper or lower side is seen, from the text to both sides."""
    holds = np.zeros(stack.shape[2], np.bool_)
    for row, up in zip(rows, (True, False), strict=True):
        outside, inside = _across(stack, row, up=up)
        step = np.median(np.abs(inside - outside).max(-1), axis=0)
        left = np.median(mixture.unexplained(outside, inside), axis=0)
        holds |= (left <= UNEXPLAINED * step) & (step >= LEAST_STEP)
    width = len(holds)
    return width - _run(holds[::-1], width - text[0] - 1, gap), _run(holds, text[2] - 1, gap)


def _ends(
    stack: Values, rows: tuple[int, int], seen: tuple[int, int], mixture: _Mixture, accent: int
) -> tuple[int, int] | None:
    """The first column of a plate and one past its last; None where an end does not show."""
    width = int(stack.shape[2])
    left_end = _end(stack[:, :, ::-1], rows, width - seen[0], mixture, accent)
    right_end = _end(stack, rows, seen[1], mixture, accent)
    if left_end is None or right_end is None:
        return None
    return width - left_end, right_end


def _run(holds: NDArray[np.bool_], at: int, gap: int) -> int:
    """One past the last true value from ``at`` on, over gaps of at most so many."""
    last = at
    for column in range(at, len(holds)):
        if holds[column]:
            last = column
        elif column - last > gap:
            break
    return last + 1


def _end(stack: Values, rows: tuple[int, int], stop: int, mixture: _Mixture, accent: int) -> int | None:
    """The column at which a plate ends on the right, at ``stop`` or behind a stripe there."""
    width = int(stack.shape[2])
    if stop >= width - 2:
        return width
    stripe = _stripe(np.asarray(np.median(stack, axis=0), np.float32), rows, stop, accent)
    if stripe is not None:
        return stripe
    part, found = stack[:, rows[0] + 2 : rows[1] - 2], dict[int, float]()
    for column in range(max(3, stop - INTO_PX), min(width - 2, stop + INTO_PX)):
        inside, outside = part[:, :, column - 2], part[:, :, column + 1]
        step = float(np.median(np.abs(inside - outside).max(-1)))
        left = float(np.median(mixture.unexplained(outside, inside)))
        if step >= LEAST_STEP and left <= UNEXPLAINED * step:
            found[column] = step - left
    return max(found, key=lambda column: found[column], default=None)


def _stripe(usual: Values, rows: tuple[int, int], stop: int, widest: int) -> int | None:
    """One past the last column of an opaque stripe beside ``stop``, in the usual picture [H, W, 3]; None if none.

    It is of one colour, and ends above and below where the plate does.
    """
    part = usual[rows[0] + 2 : rows[1] - 2]
    first, last = stop + 2, min(part.shape[1] - 2, stop + widest)
    strength = np.array(
        [np.quantile(np.abs(part[:, at - 2] - part[:, at + 1]).max(-1), 0.25) for at in range(first, last)]
    )
    good = np.flatnonzero(strength >= max(LEAST_END, OUTER * strength.max(initial=0)))
    if not len(good):
        return None
    end = first + int(good[-1])
    end -= int(strength[max(0, good[-1] - 2) : good[-1] + 1][::-1].argmax())
    inside = slice(stop + 1, max(stop + 2, end - 1))
    across = [np.abs(usual[row - 2, inside] - usual[row + 1, inside]).max(-1) for row in rows]
    ends = min(float(np.quantile(each, 0.25)) for each in across) >= LEAST_STEP
    return end if ends and part[:, inside].std(axis=0).max() < UNIFORM else None
