"""A trace of the overlay right beside its mask.

The overlay that was removed is known: it is the source minus the result inside the mask. If the mask is too small, a
share of the same overlay lies in the known pixels right beside it. That share is the slope of a regression: how far
pixels beside the mask differ from pixels farther out, against the nearest part of the overlay. The scene differs
there, too, but by chance; how much is told by the same sum with the whole outline moved to places beside the overlay.

All sums are sums of integers, so that every machine finds the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Residue
from waterz_spool.restore.residue.place import SCALE, Place, nearest, usable
from waterz_spool.restore.residue.verdict import LEAST_PLACES, Limits, excess, steps

BANDS_PX = (0.5, 1.2), (1.2, 2.3)  # distances from the mask
FARTHER_PX = (2, 6)  # beyond a pixel beside the mask: there less of the overlay is expected, or the scene alone
REACH_PX = 8  # from the overlay's own pixels to those beside the mask
STRONG, WEAKEST = 0.25, 10  # of the overlay's usual contrast, and grey levels: what has less is not the overlay
LEAST_PX, MOST_PX = 40, 3000  # pixels of a sum, and of an outline
LIMITS = Limits(suspect=((4.0, 0.5), (8.0, 0.25)), left=(6.0, 4.0))

Sums = NDArray[np.float64]
"""[4, bands, C]: of products, of squared overlay, of squared differences, of pixels; whole numbers."""


def traces(places: Sequence[Place], *, family: str, level: float) -> Iterator[Residue]:
    """What pixels beside the masks tell against those a little farther out, and against those well farther out.

    Args:
        places: States of one overlay.
        family: "yuv", "rgb" or "gray".
        level: Sample values per grey level of 8 bit.
    """
    outlines = [outline for place in places if (outline := _Outline(place, level)).strong]
    for farther in FARTHER_PX:
        home = _total([outline.sums(0, 0, farther) for outline in outlines])
        if home is None:
            continue
        moved = (_total([outline.sums(dy, dx, farther, away=True) for outline in outlines]) for dy, dx in steps())
        compared = [each for each in moved if each is not None]
        if len(compared) >= LEAST_PLACES:
            yield from _judged(home, compared, groups=_groups(family, home.shape[2]), level=level)


def _groups(family: str, channels: int) -> tuple[slice, ...]:
    """Channels that are judged together: colour apart from brightness, where they are stored so."""
    return (slice(0, 1), slice(1, channels)) if family == "yuv" and channels > 1 else (slice(0, channels),)


def _judged(home: Sums, compared: Sequence[Sums], *, groups: Sequence[slice], level: float) -> Iterator[Residue]:
    """What each band and each kind of channel tells."""
    noise = np.mean([each[2] for each in compared], axis=0) + 1.0
    for group in groups:
        for band in range(len(BANDS_PX)):
            weights = 1.0 / noise[band, group]
            share = _share(home, band, group, weights)
            score = abs(excess(share, [_share(each, band, group, weights) for each in compared]))
            contrast = math.sqrt(float(home[1][band, group].max()) / float(home[3][band, 0]))
            levels = abs(share) * contrast / SCALE / level
            yield Residue(
                verdict=LIMITS.verdict(score, levels),
                score=round(score, 2),
                levels=round(levels, 2),
                share=round(share, 4),
            )


def _share(sums: Sums, band: int, group: slice, weights: NDArray[np.float64]) -> float:
    """The slope, channels weighed by how little the scene alone differs in them."""
    products, squares = sums[0][band, group] * weights, sums[1][band, group] * weights
    return math.fsum(products.tolist()) / max(1e-9, math.fsum(squares.tolist()))


def _total(parts: Sequence[Sums]) -> Sums | None:
    """The sums of all states together; None where too little of them can be seen."""
    total = np.sum(parts, axis=0) if parts else np.zeros((4, 1, 1))
    return total if total[3].min() >= LEAST_PX else None


class _Outline:
    """The pixels beside one mask, and what the overlay does to the pixels of it that are nearest to them."""

    def __init__(self, place: Place, level: float) -> None:
        self._place = place
        size = np.abs(place.removed).max(axis=2)
        usual = float(np.percentile(size[place.mask], 75))
        strong = place.mask & (size >= max(WEAKEST * level * SCALE, STRONG * usual))
        self.strong = np.count_nonzero(strong) >= LEAST_PX  # else nothing is known of the overlay
        if not self.strong:
            return
        reach, at = nearest(strong)
        beside = (place.distance > BANDS_PX[0][0]) & (place.distance <= BANDS_PX[-1][1]) & (reach <= REACH_PX)
        rows, columns = np.nonzero(beside)
        every = -(-len(rows) // MOST_PX) or 1
        self._rows, self._columns = rows, columns = rows[::every], columns[::every]
        self._out = place.outward(rows, columns)
        self._overlay = place.removed[at[0][rows, columns], at[1][rows, columns]]
        there = place.distance[rows, columns]
        self._bands = [(there > low) & (there <= high) for low, high in BANDS_PX]

    def sums(self, dy: int, dx: int, farther: int, *, away: bool = False) -> Sums:
        """The sums over the outline moved by some px."""
        rows, columns = self._rows + dy, self._columns + dx
        out = np.rint(self._out * farther).astype(np.int64)
        far_rows, far_columns = rows + out[0], columns + out[1]
        good, source = self._place.away if away else self._place.known, self._place.source
        at = np.flatnonzero(usable((rows, columns), good) & usable((far_rows, far_columns), good))
        differs = source[rows[at], columns[at]] - source[far_rows[at], far_columns[at]]
        sums = np.zeros((4, len(BANDS_PX), source.shape[2]))
        for number, band in enumerate(self._bands):
            one, other = differs[band[at]], self._overlay[at][band[at]]
            for row, product in enumerate((one * other, other * other, one * one, np.ones_like(one))):
                sums[row, number] = product.sum(axis=0)
        return sums
