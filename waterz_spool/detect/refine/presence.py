"""In which frames an overlay stands, told from the frames as they are, so that a pause of one frame counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.refine.reading import Picture
from waterz_spool.detect.refine.scene import Place
from waterz_spool.detect.refine.steady import Mask

DETAIL_PX = 12  # at 432 lines: what is larger is light and shade, not overlay
STANDS = 0.4  # of an overlay's contrast; measured: overlays from 0.9, pauses up to 0.1, over stripes 0.3
DIP = 0.25  # of its contrast that a pause takes away
FADING = 0.05  # of its contrast by which a fade goes on within FADE_FRAMES
FADE_FRAMES = 4
LONGEST_FADE = 50  # frames
MOST_DIPS = 16

Details = NDArray[np.float32]
"""What differs from the mean around it, [n, 3] at n pixels."""


class Seen:
    """Frames as they are, beside what is around each of their pixels.

    Args:
        frames: uint8 [h, w, 3].
        place: Where they lie.
    """

    def __init__(self, frames: Sequence[Picture], place: Place) -> None:
        self._side = 2 * (place.px(DETAIL_PX) | 1) + 1
        self._frames = [(frame, self._around(frame)) for frame in frames]

    def __len__(self) -> int:
        return len(self._frames)

    def _around(self, picture: Picture) -> Picture:
        return np.asarray(cv2.blur(picture, (self._side, self._side)), np.uint8)

    def detail(self, index: int, where: Mask) -> Details:
        """Of one frame, at the pixels that a bool [h, w] marks."""
        return self._detail(*self._frames[index], np.flatnonzero(where))

    def details(self, where: Mask) -> Iterator[Details]:
        """Of all frames, in order."""
        places = np.flatnonzero(where)
        return (self._detail(frame, around, places) for frame, around in self._frames)

    @staticmethod
    def _detail(frame: Picture, around: Picture, places: NDArray[np.intp]) -> Details:
        here, there = (each.reshape(-1, 3).take(places, axis=0) for each in (frame, around))
        return np.subtract(here, there, dtype=np.float32)

    def change(self, one: int, other: int) -> NDArray[np.float32]:
        """How much two frames differ, the greatest of the channels, without noise, float32 [h, w]."""
        a, b = (cv2.blur(self._frames[index][0].astype(np.float32), (3, 3)) for index in (one, other))
        return np.asarray(np.abs(a - b).max(2), np.float32)

    def luma(self, index: int) -> NDArray[np.uint8]:
        """Of one frame, uint8 [h, w]."""
        return np.asarray(cv2.cvtColor(self._frames[index][0], cv2.COLOR_BGR2GRAY), np.uint8)

    def wanted(self, mean: NDArray[np.float32], where: Mask) -> Details:
        """Of an overlay as it usually looks."""
        picture = np.rint(mean).astype(np.uint8)
        return self._detail(picture, self._around(picture), np.flatnonzero(where))


def strength(seen: Seen, mean: NDArray[np.float32], where: Mask) -> NDArray[np.float64]:
    """How much of an overlay's contrast each frame has, about 1 where it stands and 0 where it does not.

    Args:
        seen: The frames.
        mean: The overlay as it usually looks, [h, w, 3].
        where: Its pixels, bool [h, w].
    """
    wanted = seen.wanted(mean, where)
    found = np.array([share(detail, wanted) for detail in seen.details(where)])
    strong = found > STANDS
    dips = np.flatnonzero(found < np.median(found[strong]) - DIP) if strong.any() else np.zeros(0, np.intp)
    if not len(dips):
        return found
    # Some of the pixels may be the scene's own: those that change where the rest goes tell best.
    without = np.mean([seen.detail(int(index), where) for index in dips[:MOST_DIPS]], axis=0)
    missing = np.abs(without - wanted).sum(1) > 0.5 * np.abs(wanted).sum(1)
    if missing.mean() <= 0.3:
        return found
    return np.array([share(detail[missing], wanted[missing]) for detail in seen.details(where)])


def share(detail: Details, wanted: Details) -> float:
    """The size of the wanted details in a frame's."""
    return float(np.vdot(detail, wanted)) / max(float(np.vdot(wanted, wanted)), 1e-3)


UNEVEN = 0.6  # of its contrast by which an overlay's strength may vary, half of it around 1


def even(found: NDArray[np.float64], start: int, stop: int) -> bool:
    """Whether an overlay's strength is what it should be in the middle of [start, stop): the scene's own is not."""
    quarter = (stop - start) // 4 if stop - start >= 4 else 0
    low, middle, high = np.quantile(found[start + quarter : stop - quarter], (0.1, 0.5, 0.9))
    return bool(high - low <= UNEVEN and abs(middle - 1) <= UNEVEN / 2)


def stands(found: NDArray[np.float64], may: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Frames in which an overlay is seen, its fades included.

    Args:
        found: Strength in every frame.
        may: Frames in which it may stand fully.
    """
    done = may & (found > STANDS)
    held = np.maximum(found, 0)
    for at in np.flatnonzero(done[1:] & ~done[:-1]) + 1:
        _fade(done, held, int(at) - 1, -1)
    for at in np.flatnonzero(done[:-1] & ~done[1:]):
        _fade(done, held, int(at) + 1, 1)
    return done


def _fade(done: NDArray[np.bool_], found: NDArray[np.float64], at: int, step: int) -> None:
    """Mark the frames from ``at`` on as long as the overlay goes on fading."""
    for _ in range(LONGEST_FADE):
        if not 0 <= at < len(found) or done[at] or found[at] > found[at - step]:
            return
        on = found[at : at + FADE_FRAMES] if step > 0 else found[max(0, at - FADE_FRAMES + 1) : at + 1]
        if found[at] - on.min() < FADING:
            return
        done[at] = True
        at += step
