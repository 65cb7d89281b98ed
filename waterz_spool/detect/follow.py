"""Where a known shape stands in every frame of a video, and which pixels are its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.patches import patch
from waterz_spool.detect.shapes import CLOSE_PX, Mask, closed, disc, trimmed
from waterz_spool.detect.templates import FIT, Place, Template, mean_of
from waterz_spool.detect.windows import BLOCK, gradient, persistent, shrink_of
from waterz_spool.records import MaskPatch

Picture = NDArray[np.uint8]

SPAN = 2 * BLOCK  # frames whose mean is looked at
RING = 6 * BLOCK  # frames that are remembered: a new place is seen when it is at most so old
HALF_SHOWN = 0.5  # of its usual strength: from here on it is there
FADE_FRAMES = 8  # at most, at both ends, while at least FADING of it is there
FADING = 0.25
MIN_FRAMES = 3
OWN_SHARE = 0.6  # of the places, weighted by their time: a background that stands still has fewer
SCENE_SHARE = 0.1  # of the windows in which the scene's edges stay: more, and they have to be told from the overlay's
SAME = 0.9  # length of the mean of their directions at all places
REACH = 1.0  # of the shape's height: parts of the overlay lie that far outside the known shape


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
        place: Upper left corner of its mask, px of the small picture.
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
        reach = round(REACH * template.size[1])
        self._pad = reach
        self._own = _Own((template.size[1] + 2 * reach, template.size[0] + 2 * reach))

    def add(self, picture: Picture) -> None:
        """The next frame, small."""
        self._ring.append(picture)
        self._count += 1
        if self._stay:
            self._stay.strengths.append(float(self._template.strengths([picture], self._stay.place)[0]))
        if self._count % BLOCK == 0 and self._count >= SPAN:
            self._look(SPAN)

    def finish(self) -> tuple[list[Stand], Mask]:
        """Where it stood, in order, and its mask of 0 and 1."""
        if self._ring:
            self._look(min(SPAN, len(self._ring)))
        last = self._stands[-1] if self._stands else None
        rest = self._count - (self._range(last)[1] if last else 0)
        if last and MIN_FRAMES <= rest < SPAN:  # too short for a window of its own
            self._leave()
            self._look(rest)
        self._leave()
        stands = [self._stand(stay) for stay in self._stands]
        return [stand for stand in stands if stand.stop - stand.start >= MIN_FRAMES], self._mask()

    def _look(self, frames: int) -> None:
        """Is it still where it was, and if not, where is it now?"""
        recent = list(self._ring)[-frames:]
        mean = mean_of(recent)
        if self._stay:
            fit = self._template.fit(mean, self._stay.place)
            if fit >= FIT:
                self._see(fit, recent)
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
        self._see(fit, recent)

    def _see(self, fit: float, recent: Sequence[Picture]) -> None:
        assert self._stay
        self._stay.seen.append(self._count)
        self._stay.fits.append(fit)
        # The window before this one lies wholly in the stay when the one before it was seen, too.
        seen = self._stay.seen
        whole = len(seen) >= 3 and seen[-1] - seen[-3] == 2 * BLOCK and len(self._ring) >= SPAN + BLOCK
        if whole:
            frames = list(self._ring)[-SPAN - BLOCK : -BLOCK]
            x, y = self._stay.place[0] - self._pad, self._stay.place[1] - self._pad
            self._own.add(frames, (x, y))

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
        x, y = stay.place
        return Stand(start, stop, (x - self._pad, y - self._pad), float(np.median(stay.fits)))

    def _mask(self) -> Mask:
        known = np.pad(self._template.edges > 0, self._pad)
        own = self._own.edges(beside=cv2.dilate(known.astype(np.uint8), disc(CLOSE_PX)) == 0)
        return trimmed(closed(known if own is None else own))


def _smooth(shown: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without single frames that differ from both neighbours."""
    padded = np.pad(shown.astype(np.uint8), 1, mode="edge")
    return (padded[:-2] + padded[1:-1] + padded[2:]) >= 2


class _Own:
    """Which edges near the overlay are its own, all places together."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._stays, self._times = np.zeros(size, np.float32), np.zeros(size, np.float32)
        self._directions = [np.zeros(size, np.float32) for _ in range(2)]

    def add(self, frames: Sequence[Picture], corner: Place) -> None:
        """A window of frames in which the overlay stood; the corner may lie outside the picture."""
        (x, y), (height, width) = corner, self._times.shape
        x0, y0 = max(0, x), max(0, y)
        x1, y1 = min(frames[0].shape[1], x + width), min(frames[0].shape[0], y + height)
        slopes = [gradient(frame[y0:y1, x0:x1]) for frame in frames]
        across, down = (np.sum([each[i] for each in slopes], axis=0) for i in range(2))
        power = np.sum([np.square(each[0]) + np.square(each[1]) for each in slopes], axis=0)
        part = slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)
        stays = persistent(across, down, power, len(frames))
        self._stays[part] += stays
        self._times[part] += 1
        steepness = np.maximum(np.hypot(across, down), 1e-3)
        for total, one in zip(self._directions, (across, down), strict=True):
            total[part] += stays * one / steepness

    def edges(self, *, beside: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Edges that stayed wherever the overlay stood; None when there was no window.

        Args:
            beside: Where the scene is seen. Where its edges stay too, as on a tripod shot, the overlay's are those
                that are the same at all places.
        """
        if not self._times.any():
            return None
        times = np.maximum(self._times, 1)
        share = self._stays / times
        own = np.asarray(share >= OWN_SHARE)
        if float(share[beside].mean()) <= SCENE_SHARE:
            return own
        return own & (np.hypot(*self._directions) >= SAME * times)


def standing(mask: Mask, stand: Stand, *, size: tuple[int, int]) -> MaskPatch:
    """A stand as a patch of the video.

    Args:
        mask: Of the overlay, 0 and 1, px of the small picture.
        stand: Where and when.
        size: Width and height of the video in px.
    """
    scale = shrink_of(size[1])
    height, width = (side * scale for side in mask.shape)
    large = cv2.resize(mask * np.uint8(255), (width, height), interpolation=cv2.INTER_LINEAR)
    x, y = (value * scale for value in stand.place)
    own = np.where(large > 64, np.uint8(255), np.uint8(0))
    rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
    part = own[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return patch(part, stand.start, stand.stop, ((stand.start, x + int(columns[0]), y + int(rows[0])),))
