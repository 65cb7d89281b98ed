"""The strokes of letters in one frame: their core, and what of them is faint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.refine.palette import NARROW, Colour, colours, near
from waterz_spool.detect.refine.scene import Look, Place
from waterz_spool.detect.refine.steady import Mask
from waterz_spool.detect.static.shapes import disc

TOLERANCE = 40.0
LEAST_TOLERANCE = 14.0
PAIR_LIFT = 4.0
PAIR_CONTRAST = 150.0  # between a fill and its outline, grey levels of luma
PAIR_SHARE = 0.2  # of what is dark and narrow: an outline
WEAK_LIFT = 12.0  # measured: masks with less missed parts of the text
MOVING = 5.0  # grey levels of change around the box: then what stays is told from what moves
STEADIER = 0.6  # of that change


@dataclass(frozen=True)
class Style:
    """How the strokes in a box look.

    Attributes:
        colours: All that are used, the best first.
        tolerances: Of each.
        pair: Fill and outline, which always lie side by side; None where one colour must do.
        still: Most change that a stroke may show, grey levels; infinite where the scene stands still.
        area: Pixels of the core in the usual frame that has any.
    """

    colours: tuple[Colour, ...]
    tolerances: tuple[float, ...]
    pair: tuple[Colour, Colour] | None
    still: float
    area: float = 0.0

    @property
    def weak(self) -> bool:
        """Whether the scene has these colours nearly as often: what is found by them may be half of it."""
        return self.pair is None and max(colour.lift for colour in self.colours) < WEAK_LIFT


def style_of(looks: Sequence[Look], place: Place) -> Style | None:
    """How the strokes look in frames spread over a span; None where nothing in the box is a stroke."""
    found = colours(looks, place)
    if not found:
        return None
    change = float(np.median(np.concatenate([look.spread[place.ring] for look in looks])))
    still = max(MOVING, STEADIER * change) if change > MOVING else float("inf")
    around = np.concatenate([look.luma[place.ring] for look in looks])
    pair = _pair(found, looks, place)
    used = _used(found, pair)
    style = Style(tuple(used), tuple(_tolerance(colour, around) for colour in used), pair, still)
    if pair is None:
        style = _best(style, looks, place)
    areas = np.array([core(look, style, place).sum() for look in looks])
    if not areas.any():
        return None
    return Style(style.colours, style.tolerances, pair, still, float(np.median(areas[areas > areas.max() / 4])))


def _used(found: Sequence[Colour], pair: tuple[Colour, Colour] | None) -> list[Colour]:
    if pair is not None:
        return [colour for colour in found if colour.sure]
    return list(found)


def _best(style: Style, looks: Sequence[Look], place: Place) -> Style:
    """The style with its best colour and the sure ones."""

    def score(at: int) -> float:
        colour, tolerance = style.colours[at], style.tolerances[at]
        px = [int((near(look, colour, tolerance, min(NARROW, tolerance)) & place.zone).sum()) for look in looks]
        return min(colour.lift, 40.0) * colour.share if max(px) > place.px(20) else 0.0

    best = max(range(len(style.colours)), key=score)
    kept = [at for at, colour in enumerate(style.colours) if at == best or colour.sure]
    return Style(tuple(style.colours[at] for at in kept), tuple(style.tolerances[at] for at in kept), None, style.still)


def _tolerance(colour: Colour, around: NDArray[np.uint8]) -> float:
    """Half the way to where the scene's luma begins."""
    scene = float(np.quantile(around, 0.75 if colour.bright else 0.25))
    return float(np.clip(0.5 * abs(colour.luma - scene), LEAST_TOLERANCE, TOLERANCE))


def _pair(found: Sequence[Colour], looks: Sequence[Look], place: Place) -> tuple[Colour, Colour] | None:
    """A fill and an outline, if there are two such colours that lie side by side nearly everywhere."""
    bright = next((colour for colour in found if colour.bright), None)
    dark = next((colour for colour in found if not colour.bright), None)
    if bright is None or dark is None or min(bright.lift, dark.lift) <= PAIR_LIFT:
        return None
    if bright.luma - dark.luma <= PAIR_CONTRAST or dark.share <= PAIR_SHARE:
        return None
    reach = place.px(3) + 1
    counts = np.zeros(4)
    for look in looks:
        a, b = (near(look, colour, TOLERANCE, NARROW) & place.zone for colour in (bright, dark))
        counts += ((a & grown(b, reach)).sum(), a.sum(), (b & grown(a, reach)).sum(), b.sum())
    shares = counts[0] / max(1, counts[1]), counts[2] / max(1, counts[3])
    return (bright, dark) if max(shares) > 0.8 and min(shares) > 0.5 else None


def grown(mask: Mask, radius: int) -> Mask:
    """A mask dilated by a disc."""
    return np.asarray(cv2.dilate(mask.view(np.uint8), disc(radius)), np.uint8) > 0


def core(look: Look, style: Style, place: Place) -> Mask:
    """What is certainly stroke, bool [h, w]."""
    found = np.zeros(place.shape, np.bool_)
    if style.pair is not None:
        found |= _paired(look, style.pair, place)
    strong = np.zeros(place.shape, np.bool_)
    for colour, tolerance in zip(style.colours, style.tolerances, strict=True):
        strong |= near(look, colour, tolerance, min(NARROW, tolerance))
    strong &= place.zone & (look.spread < style.still)
    if style.pair is not None:
        strong &= grown(found, place.px(3))
    return found | _parts(strong, place, least=max(2, round(4 * place.scale**2)))


def _paired(look: Look, pair: tuple[Colour, Colour], place: Place) -> Mask:
    reach = place.px(2) + 1
    a, b = (near(look, colour, TOLERANCE + 10, 16) & place.zone for colour in pair)
    both = (a & grown(b, reach)) | (b & grown(a, reach))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(both.view(np.uint8), connectivity=8)
    bright, dark = (np.bincount(labels[each & both], minlength=count) for each in (a, b))
    least = place.scale**2
    kept = (bright >= 3 * least) & (dark >= 5 * least) & (dark > 0.25 * bright)
    kept &= stats[:, cv2.CC_STAT_HEIGHT] < 0.75 * place.shape[0]
    kept[0] = False
    closed = cv2.morphologyEx(kept[labels].astype(np.uint8), cv2.MORPH_CLOSE, disc(1))
    return np.asarray(closed, np.uint8) > 0


def _parts(strong: Mask, place: Place, *, least: int) -> Mask:
    """Its parts of at least so many px, without bars from top to bottom."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(strong.view(np.uint8), connectivity=8)
    if count == 1:
        return strong
    low = stats[:, cv2.CC_STAT_HEIGHT] < 0.8 * place.shape[0]
    kept = (stats[:, cv2.CC_STAT_AREA] >= least) & (low | (stats[:, cv2.CC_STAT_WIDTH] < 0.1 * place.shape[1]))
    kept[0] = False
    return np.asarray(kept[labels], np.bool_)


LETTER_PX = 12  # at 432 lines: letters of one line are no farther apart


def faint(look: Look, certain: Mask, style: Style, place: Place) -> Mask:
    """Small parts of the lines that the core belongs to: dots, the bar of an i, bool [h, w].

    Kept apart from the core, so that they do not decide about states.
    """
    found = np.zeros(place.shape, np.bool_)
    if not certain.any():
        return found
    band = lines(certain, place) & place.zone
    beside = band & ~grown(certain, place.px(3) + 1)
    if beside.sum() < 10:
        return found
    ground = float(np.median(look.luma[beside]))
    for colour in (*style.colours, *(style.pair or ())):
        if (colour.luma > ground) == colour.bright:
            tolerance = float(np.clip(0.6 * abs(colour.luma - ground), LEAST_TOLERANCE, 55))
            found |= near(look, colour, tolerance, 12) & band
    return found


def lines(certain: Mask, place: Place) -> Mask:
    """The bands of the lines of text that strokes form."""
    letter = place.px(LETTER_PX)
    joined = cv2.morphologyEx(certain.view(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 2 * letter + 1), np.uint8))
    return np.asarray(cv2.dilate(joined, np.ones((2 * place.px(2) + 1, 2 * letter + 1), np.uint8)), np.uint8) > 0
