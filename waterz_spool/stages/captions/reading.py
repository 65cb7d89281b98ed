"""The captions that are removed, read before they are gone: text with the exact frames in which it stood.

What was found, or lies in a box, is known as masks with their frames, one per state. Each is read once in the source,
from the mean of some of its frames, so that the letters stay and the scene behind them blurs. Text that stands
through most of the video (a logo's name) and a clock are no captions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from waterz_spool import media
from waterz_spool.detect import patches
from waterz_spool.detect.base import Detection
from waterz_spool.detect.masks import area, overlap_px
from waterz_spool.detect.text import TextNetwork, TextReader
from waterz_spool.geometry import Geometry
from waterz_spool.records import Box, Cue, MaskPatch, Plan

FRAMES = 5  # of a state that are read together
AROUND = 0.25  # of a line's height: so much of the picture around it is shown to the reading network
SURE = 0.6  # mean confidence of a line that is believed
LONGEST_S, MOST_SHARE = 30.0, 0.6  # what stands longer, or in more of the video, is no caption
TOGETHER_FRAMES = 2  # lines whose first and last frames are no farther apart are one caption
_CLOCK = re.compile(r"\d{1,2}[:.]\d{2}([:.]\d{2})")


@dataclass(frozen=True)
class _Line:
    """A line that was read: its text, its place in displayed px, its frames."""

    text: str
    box: Box
    start: int
    stop: int
    score: float


def captions_of(plan: Plan, source: Path, *, check: Callable[[], None]) -> tuple[Cue, ...]:
    """The captions of a plan's overlays, in order of time.

    Args:
        plan: With the masks that were found.
        source: The video.
        check: Called between states; raises to stop.

    Raises:
        SetupError: The networks are not installed here.
        InputError: The source cannot be decoded any more.
    """
    find, read = TextNetwork(), TextReader()
    lines: list[_Line] = []
    for patch in sorted(plan.patches, key=lambda each: (each.start, each.stop, each.path)):
        check()
        if _comes_and_goes(patch, plan):
            picture, corner = _picture(patch, plan, source)
            lines += _lines(patch, picture, corner, find, read)
    return tuple(_cues(_joined(lines)))


def _comes_and_goes(patch: MaskPatch, plan: Plan) -> bool:
    tick_s = Fraction(*plan.video.time_base)
    ends = (*plan.pts, plan.pts[-1] + plan.last_duration)
    lasts_s = (ends[patch.stop] - ends[patch.start]) * tick_s
    return lasts_s <= LONGEST_S and patch.stop - patch.start <= max(1.0, MOST_SHARE * plan.frame_count)


def _picture(patch: MaskPatch, plan: Plan, source: Path) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The mean of some frames of a state as displayed, around its place, and that part's corner in displayed px."""
    shown = Geometry.of(plan.video)
    x, y, w, h = shown.shown_box(patches.box_of(patch))
    edge = max(8, h // 3)
    left, top = max(0, x - edge), max(0, y - edge)
    count = min(FRAMES, patch.stop - patch.start)
    wanted = [patch.start + (2 * at + 1) * (patch.stop - patch.start) // (2 * count) for at in range(count)]
    total: NDArray[np.int64] | int = 0
    for frame in media.stills(source, plan.video, plan.pts, wanted):
        part = shown.small(frame.picture, 1.0)[top : y + h + edge, left : x + w + edge]
        total = total + part.astype(np.int64)
    return np.asarray((total + count // 2) // count, np.uint8), (left, top)


def _lines(
    patch: MaskPatch, picture: NDArray[np.uint8], corner: tuple[int, int], find: TextNetwork, read: TextReader
) -> Iterator[_Line]:
    for one in find(picture):
        x0, y0, x1, y1 = _wider(one, picture.shape)
        text, score = read(np.ascontiguousarray(picture[y0:y1, x0:x1]))
        if score >= SURE and any(map(str.isalnum, text)) and not _CLOCK.search(text):
            box = x0 + corner[0], y0 + corner[1], x1 + corner[0], y1 + corner[1]
            yield _Line(text, box, patch.start, patch.stop, score)


def _wider(one: Detection, shape: tuple[int, ...]) -> Box:
    x0, y0, x1, y1 = one.box
    more = round(AROUND * (y1 - y0) / 2)
    return max(0, x0 - more), max(0, y0 - more), min(shape[1], x1 + more), min(shape[0], y1 + more)


def _joined(lines: Sequence[_Line]) -> list[_Line]:
    """The same text read from two states or masks at one place is one line; of two readings the surer one holds."""
    done: list[_Line] = []
    for line in sorted(lines, key=lambda each: (each.start, each.box, each.stop)):
        for at, other in enumerate(done):
            same = overlap_px(line.box, other.box) > 0.5 * min(area(line.box), area(other.box))
            goes_on = line.start < other.stop or (line.start == other.stop and line.text == other.text)
            if same and goes_on:
                best = max(line, other, key=lambda each: each.score)
                done[at] = replace(best, start=other.start, stop=max(line.stop, other.stop))
                break
        else:
            done.append(line)
    return done


def _cues(lines: Sequence[_Line]) -> Iterator[Cue]:
    """Lines that come and go together as one caption, from top to bottom."""
    left = sorted(lines, key=lambda each: (each.start, each.stop, each.box))
    while left:
        first = left[0]
        mine = [each for each in left if _together(first, each)]
        left = [each for each in left if not _together(first, each)]
        yield Cue(start=first.start, stop=max(each.stop for each in mine), text="\n".join(_rows(mine)))


def _together(a: _Line, b: _Line) -> bool:
    return abs(a.start - b.start) <= TOGETHER_FRAMES and abs(a.stop - b.stop) <= TOGETHER_FRAMES


def _rows(lines: Sequence[_Line]) -> Iterator[str]:
    """The text of each row; what stands beside each other is one row."""
    left = sorted(lines, key=lambda each: (each.box[1] + each.box[3], each.box))
    while left:
        first = left[0].box
        middle = [each for each in left if first[1] < (each.box[1] + each.box[3]) / 2 < first[3]]
        left = [each for each in left if each not in middle]
        yield " ".join(each.text for each in sorted(middle, key=lambda each: each.box[0]))
