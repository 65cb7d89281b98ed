"""A clock that was painted over the picture: in a line of text the last digit changes exactly once a second."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

from waterz_spool.detect.text.lines import Gray, Image, Line, height_of, high_pass

CHANGED = 0.15  # of the letters' contrast: a column of a line that changes by so much shows another letter
NARROWEST, WIDEST = 0.25, 0.5  # of a line's height, and of its width: what may change at a time
SAME_END = 0.35  # of a line's height: so exactly do the digits of the seconds end where they ended
MISSED = 0.1  # of the seconds may be missing


def ticks(line: Line, frames: Sequence[Gray], first: int) -> list[tuple[int, float]]:
    """The frames in which only some neighbouring letters of a line change, and where these end, px of the line.

    Args:
        line: It stands in all of the frames.
        frames: In order.
        first: Index of the first of them.
    """
    height = height_of(line.box)
    contrast = float(np.percentile(np.abs(line.template[line.template != 0]), 95))
    pictures = [_level(high_pass(frame, line.box)) for frame in frames]
    found = []
    for offset, (before, now) in enumerate(pairwise(pictures), 1):
        columns = _changed(before, now, height) > CHANGED * contrast
        if not columns.any():
            continue
        where = np.flatnonzero(columns)
        wide = int(where[-1] - where[0]) + 1
        if NARROWEST * height <= wide <= WIDEST * columns.size:
            found.append((first + offset, float(where[-1])))
    return found


def _level(picture: Image) -> Image:
    """A line with its letters one beside the other, also where players turn the picture."""
    return picture if picture.shape[1] >= picture.shape[0] else picture.T


def _changed(before: Image, now: Image, height: int) -> Image:
    """How much each column changes: the mean over the rows in the middle, where letters are."""
    middle = slice(height // 5, height - height // 5)
    profile = np.abs(now[middle] - before[middle]).mean(axis=0, keepdims=True)
    return np.asarray(cv2.blur(profile, (3, 1))[0], np.float32)


def runs(line: Line, rate: float) -> bool:
    """Whether the changes seen in a line are those of a clock.

    Args:
        line: With its ticks.
        rate: Frames a second.
    """
    if len(line.ticks) < 2:
        return False
    slack = SAME_END * height_of(line.box)
    usual = float(np.median([end for _, end in line.ticks]))
    seconds = [frame for frame, end in line.ticks if abs(end - usual) <= slack]
    regular = [abs(b - a - rate) < 1.5 for a, b in pairwise(seconds)]
    wanted = (1 - MISSED) * ((line.stop - line.start) / rate - 1)
    return (
        len(seconds) >= max(2.0, wanted)
        and 2 * len(seconds) > len(line.ticks)
        and sum(regular) >= max(1.0, (1 - MISSED) * len(regular))
    )
