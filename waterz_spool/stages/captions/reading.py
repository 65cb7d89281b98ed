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

from waterz_spool.detect import patches
from waterz_spool.detect.base import Detection
from waterz_spool.detect.masks import area, overlap_px, union
from waterz_spool.detect.text import TextNetwork, TextReader
from waterz_spool.geometry import Geometry
from waterz_spool.records import Box, Cue, DisplayBox, Plan
from waterz_spool.stages.captions.strip import strip_of

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


@dataclass(frozen=True)
class _State:
    """A place in which something stands over some frames, in displayed px."""

    place: DisplayBox
    start: int
    stop: int


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
    for state in _states(plan):
        check()
        lines += _lines(state, plan, source, find, read)
    return tuple(_cues(_joined(lines)))


def _states(plan: Plan) -> Iterator[_State]:
    """What comes and goes; masks of the same frames are one."""
    ends = (*plan.pts, plan.pts[-1] + plan.last_duration)
    boxes: dict[tuple[int, int], Box] = {}
    for patch in plan.patches:
        span, box = (patch.start, patch.stop), patches.box_of(patch)
        boxes[span] = union(boxes[span], box) if span in boxes else box
    shown = Geometry.of(plan.video)
    for (start, stop), box in sorted(boxes.items()):
        lasts_s = (ends[stop] - ends[start]) * Fraction(*plan.video.time_base)
        if lasts_s <= LONGEST_S and stop - start <= max(1.0, MOST_SHARE * plan.frame_count):
            yield _State(_around(shown.shown_box(box), shown.shown), start, stop)


def _around(place: DisplayBox, size: tuple[int, int]) -> DisplayBox:
    x, y, w, h = place
    edge = max(8, min(h, 90) // 3)
    left, top = max(0, x - edge), max(0, y - edge)
    return left, top, min(size[0], x + w + edge) - left, min(size[1], y + h + edge) - top


def _lines(state: _State, plan: Plan, source: Path, find: TextNetwork, read: TextReader) -> Iterator[_Line]:
    """What can be read in a state, with the frames in which it fades in and out."""
    strip = strip_of(state.place, state.start, state.stop, plan, source)
    found = []
    for one in find(strip.picture):
        x0, y0, x1, y1 = _wider(one, strip.picture.shape)
        text, score = read(np.ascontiguousarray(strip.picture[y0:y1, x0:x1]))
        if score >= SURE and any(map(str.isalnum, text)) and not _CLOCK.search(text):
            left, top = state.place[:2]
            found.append(
                _Line(text, (x0 + left, y0 + top, x1 + left, y1 + top), state.start, state.stop, round(score, 4))
            )
    if found:
        start, stop = state.start - strip.fades_in(), state.stop + strip.fades_out()
        yield from (replace(line, start=start, stop=stop) for line in found)


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
