"""An edge that runs along a mask: what a plate or a shadow leaves that is larger than its mask.

Where the whole rim of the mask is overlay, the fill is overlay, too, and nothing seems to be removed. But the
overlay's own edge then follows the outline of the mask at the same distance all around; edges of the scene do so by
chance, and how much is told by the outline moved to places beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from waterz_spool.records import Residue
from waterz_spool.restore.residue.place import SCALE, Ints, Place, usable
from waterz_spool.restore.residue.verdict import LEAST_PLACES, Limits, excess, steps

NEAREST_PX, FARTHEST_PX = 1.5, 9.5  # distances from the mask, in steps of 1
LEAST_PX, MOST_PX = 60, 3000  # pixels of one distance, and of all
LIMITS = Limits(suspect=((5.0, 4.0),), left=(6.0, 8.0))


def edges(places: Sequence[Place], *, level: float) -> Iterator[Residue]:
    """What the distance from the masks tells at which most of an edge runs.

    Args:
        places: States of one overlay.
        level: Sample values per grey level of 8 bit.
    """
    rims = [_Rim(place) for place in places]
    home = _steps_of(rims, 0, 0)
    moved = [each for dy, dx in steps() if (each := _steps_of(rims, dy, dx, away=True))]
    for band, height in home.items():
        elsewhere = [each[band] for each in moved if band in each]
        if len(elsewhere) >= LEAST_PLACES:
            score = excess(height, elsewhere)
            levels = (height - sum(elsewhere) / len(elsewhere)) / SCALE / level
            yield Residue(
                verdict=LIMITS.verdict(score, levels), score=round(score, 2), levels=round(levels, 2), share=0.0
            )


class _Rim:
    """The pixels around one mask, and how the picture changes across them."""

    def __init__(self, place: Place) -> None:
        self.place = place
        rows, columns = np.nonzero((place.distance > NEAREST_PX) & (place.distance <= FARTHEST_PX))
        every = -(-len(rows) // MOST_PX) or 1
        self.rows, self.columns = rows[::every], columns[::every]
        self.out = np.rint(place.outward(self.rows, self.columns) * 64).astype(np.int64)
        self.bands = (place.distance[self.rows, self.columns] - NEAREST_PX).astype(np.int64)
        source = place.source
        self.down, self.across = np.zeros_like(source), np.zeros_like(source)
        self.down[1:-1] = source[2:] - source[:-2]
        self.across[:, 1:-1] = source[:, 2:] - source[:, :-2]

    def heights(self, dy: int, dx: int, *, away: bool) -> tuple[Ints, Ints]:
        """How much the picture changes away from the mask, in sixteenths, and at which distance."""
        rows, columns = self.rows + dy, self.columns + dx
        at = np.flatnonzero(usable((rows, columns), self.place.away if away else self.place.known))
        rows, columns, out = rows[at], columns[at], self.out[:, at]
        change = np.abs(self.down[rows, columns] * out[0][:, None] + self.across[rows, columns] * out[1][:, None])
        return np.asarray(change.max(axis=1) // 64, np.int64), self.bands[at]


def _steps_of(rims: Sequence[_Rim], dy: int, dx: int, *, away: bool = False) -> dict[int, float]:
    """The mean change at each distance that enough pixels have."""
    total, count = np.zeros(int(FARTHEST_PX)), np.zeros(int(FARTHEST_PX), np.int64)
    for rim in rims:
        heights, bands = rim.heights(dy, dx, away=away)
        total += np.bincount(bands, heights, len(total))  # whole numbers, so exact
        count += np.bincount(bands, minlength=len(count))
    return {band: int(total[band]) / int(count[band]) for band in np.flatnonzero(count >= LEAST_PX).tolist()}
