"""From what is measured at a place, and at places beside it, to a verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from waterz_spool.records import VERDICTS, Residue

MOVED_PX = (8, 14, 22, 32)  # where an outline is tried for comparison: so far away
TURNS = 8  # and in so many directions
LEAST_PLACES = 8  # to compare with
FARTHEST, LEAST_SPREAD = 2.5, 0.002  # standard deviations of the farthest of those places; never less than chance


@dataclass(frozen=True)
class Limits:
    """From where on something is suspect, and from where on it is left.

    Attributes:
        suspect: Pairs of standard deviations and grey levels; one of them is enough.
        left: The same, of what can be seen.
    """

    suspect: tuple[tuple[float, float], ...]
    left: tuple[float, float]

    def verdict(self, score: float, levels: float) -> str:
        """The verdict in a word."""
        if score >= self.left[0] and levels >= self.left[1]:
            return "left"
        return "suspect" if any(score >= least and levels >= strong for least, strong in self.suspect) else "clean"


def rank(verdict: str) -> int:
    """0 for clean, 1 for suspect, 2 for left."""
    return VERDICTS.index(verdict)


def worst(found: Sequence[Residue]) -> Residue | None:
    """The worst of several; None when there is none."""
    return max(found, key=lambda one: (rank(one.verdict), one.score), default=None)


def steps() -> Iterator[tuple[int, int]]:
    """Rows and columns by which an outline is moved for comparison."""
    for radius in MOVED_PX:
        for turn in range(TURNS):
            angle = 2 * math.pi * (turn + radius / 32) / TURNS
            yield round(radius * math.sin(angle)), round(radius * math.cos(angle))


def excess(here: float, elsewhere: Sequence[float]) -> float:
    """By how many standard deviations a value is off what places beside it show; single places far off count, too."""
    usual = math.fsum(elsewhere) / len(elsewhere)
    off = [each - usual for each in elsewhere]
    spread = max(math.sqrt(math.fsum(each * each for each in off) / len(off)), max(map(abs, off)) / FARTHEST)
    return (here - usual) / (spread + LEAST_SPREAD)
