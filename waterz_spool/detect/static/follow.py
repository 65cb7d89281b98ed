"""Where a known shape stands in every frame of a video."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.static.templates import FIT, Place, Template, mean_of
from waterz_spool.detect.static.windows import BLOCK

Picture = NDArray[np.uint8]

SPAN = 2 * BLOCK  # frames whose mean is looked at
RING = 6 * BLOCK  # frames that are remembered: a new place is seen when it is at most so old
HALF_SHOWN = 0.5  # of its usual strength: from here on it is there
FADE_FRAMES = 8  # at most, at both ends, while at least FADING of it is there
FADING = 0.25
MIN_FRAMES = 3


@dataclass
class _Stay:
    """One place and what is known of it."""

    place: Place
    first: int  # frame of the first strength
    strengths: list[float]
    seen: list[int] = field(default_factory=list)  # ends of the windows in which it was seen
    fits: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Stand:
    """The overlay stood at one place.

    Attributes:
        start: First frame.
        stop: One past the last.
        place: Upper left corner of the shape, px of the small picture.
        fit: How well its shape fitted, 0 to 1.
    """

    start: int
    stop: int
    place: Place
    fit: float


class Follower:
    """Follows one shape through a video.

    Memory: RING small pictures, and a number per frame while the overlay stands.

    Args:
        template: The shape.
    """

    def __init__(self, template: Template) -> None:
        self._template = template
        self._ring: deque[Picture] = deque(maxlen=RING)
        self._count = 0
        self._stay: _Stay | None = None
        self._stands: list[_Stay] = []

    def add(self, picture: Picture) -> None:
        """The next frame, small."""
        self._ring.append(picture)
        self._count += 1
        if self._stay:
            self._stay.strengths.append(float(self._template.strengths([picture], self._stay.place)[0]))
        if self._count % BLOCK == 0 and self._count >= SPAN:
            self._look(SPAN)

    def finish(self) -> list[Stand]:
        """Where it stood, in order."""
        if self._ring:
            self._look(min(SPAN, len(self._ring)))
        last = self._stands[-1] if self._stands else None
        rest = self._count - (self._range(last)[1] if last else 0)
        if last and MIN_FRAMES <= rest < SPAN:  # too short for a window of its own
            self._leave()
            self._look(rest)
        self._leave()
        stands = [self._stand(stay) for stay in self._stands]
        return [stand for stand in stands if stand.stop - stand.start >= MIN_FRAMES]

    def _look(self, frames: int) -> None:
        """Is it still where it was, and if not, where is it now?"""
        recent = list(self._ring)[-frames:]
        mean = mean_of(recent)
        if self._stay:
            fit = self._template.fit(mean, self._stay.place)
            if fit >= FIT:
                self._see(fit)
                return
        found = self._template.find(mean)
        if found is None:
            if self._stay and self._count - self._stay.seen[-1] > RING:
                self._leave()
            return
        self._leave()
        place, fit = found
        back = list(self._ring)
        values = self._template.strengths(back, place)
        self._stay = _Stay(place, self._count - len(back), [float(value) for value in values])
        self._stands.append(self._stay)
        self._see(fit)

    def _see(self, fit: float) -> None:
        assert self._stay
        self._stay.seen.append(self._count)
        self._stay.fits.append(fit)

    def _leave(self) -> None:
        self._stay = None

    def _range(self, stay: _Stay) -> tuple[int, int]:
        """Frames in which it was there, from its strengths."""
        values = np.asarray(stay.strengths)
        sure = [end - stay.first - SPAN // 2 for end in stay.seen]
        usual = float(np.median(values[np.clip(sure, 0, len(values) - 1)]))
        shown = np.flatnonzero(_smooth(values >= HALF_SHOWN * usual))
        if not len(shown):
            return stay.first, stay.first
        middle = sure[len(sure) // 2]
        runs = np.split(shown, np.flatnonzero(np.diff(shown) > BLOCK) + 1)
        run = min(runs, key=lambda run: 0 if run[0] <= middle <= run[-1] else min(abs(run - middle)))
        start, stop = int(run[0]), int(run[-1]) + 1
        sharp = start, stop
        for _ in range(FADE_FRAMES):
            start -= int(start > 0 and values[start - 1] >= FADING * usual)
            stop += int(stop < len(values) and values[stop] >= FADING * usual)
        start -= int(0 < start < sharp[0])  # a fade begins before, and ends after, what can be told from noise
        stop += int(sharp[1] < stop < len(values))
        return stay.first + start, stay.first + stop

    def _stand(self, stay: _Stay) -> Stand:
        start, stop = self._range(stay)
        return Stand(start, stop, stay.place, float(np.median(stay.fits)))


def _smooth(shown: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without single frames that differ from both neighbours."""
    padded = np.pad(shown.astype(np.uint8), 1, mode="edge")
    return (padded[:-2] + padded[1:-1] + padded[2:]) >= 2
