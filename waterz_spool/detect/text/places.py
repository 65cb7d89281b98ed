"""From certain lines of text to the boxes in which their own pixels are to be found, in coded px."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from waterz_spool.detect import patches
from waterz_spool.detect.masks import area, overlap_px, union
from waterz_spool.detect.model.separate import padded
from waterz_spool.detect.text.lines import Line, height_of
from waterz_spool.records import Box, MaskPatch

Place = tuple[Box, int, int]
"""A box in px of the small picture, its first frame and one past its last."""

TOGETHER = 2  # frames by which the lines of one caption may come and go apart
OFF_PX = 2  # what the sides of a plate may be off
SAME_PLATE = 0.8  # of the larger of two boxes
SLACK, SLACK_LINES = 10, 432  # px left around a plate, of pictures with so many lines


def captions(lines: Sequence[Line], size: tuple[int, int]) -> list[Place]:
    """Boxes of lines; those of one caption, one above the other in about the same frames, are one."""
    groups: list[Place] = []
    for line in sorted(lines, key=lambda each: (each.start, each.box)):
        box = padded(line.box, height_of(line.box) // 3, size)
        for number, (other, start, stop) in enumerate(groups):
            if overlap_px(box, other) and abs(start - line.start) <= TOGETHER and abs(stop - line.stop) <= TOGETHER:
                groups[number] = union(box, other), min(start, line.start), max(stop, line.stop)
                break
        else:
            groups.append((box, line.start, line.stop))
    return groups


def around(lines: Sequence[Line], size: tuple[int, int], reach: Box) -> bool:
    """Whether the box that is looked into for lines holds all of what is seen of a plate, so that it is found there."""
    x0, y0, x1, y1 = reduce(union, (padded(line.box, height_of(line.box) // 3 + OFF_PX, size) for line in lines))
    return x0 <= reach[0] and y0 <= reach[1] and reach[2] <= x1 and reach[3] <= y1


def plates(lines: Sequence[Line]) -> list[Place]:
    """The plates behind lines; one that several lines tell of is one."""
    done: list[Place] = []
    for line in sorted((line for line in lines if line.plate), key=lambda each: each.start):
        assert line.plate is not None
        box = line.plate.box
        for number, (other, start, stop) in enumerate(done):
            same = overlap_px(box, other) >= SAME_PLATE * max(area(box), area(other))
            if same and line.start <= stop:
                done[number] = union(box, other), start, max(stop, line.stop)
                break
        else:
            done.append((box, line.start, line.stop))
    return done


def holds(line: Line) -> bool:
    """Whether a line lies on its plate."""
    return line.plate is not None and overlap_px(line.box, line.plate.box) > 0.8 * area(line.box)


def framed(box: Box, start: int, stop: int, size: tuple[int, int]) -> MaskPatch:
    """A plate, in coded px, with the same slack on all sides: what is around it is not marked."""
    slack = max(4, round(SLACK * min(size) / SLACK_LINES))
    x0, y0, x1, y1 = padded(box, slack, size)
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    mask[box[1] - y0 : box[3] - y0, box[0] - x0 : box[2] - x0] = 255
    return patches.patch(mask, start, stop, ((start, x0, y0),))
