"""Videos that a player turns: crops the right way up, so that lines of text are lines, and masks back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from waterz_spool.detect import patches
from waterz_spool.detect.refine.reading import Crops, Picture
from waterz_spool.records import Box, MaskPatch

Size = tuple[int, int]
"""Width and height in px."""


def turned(box: Box, size: Size, rotation: int) -> Box:
    """Where a box lies after a picture of that size is turned counter-clockwise by 0, 90, 180 or 270 degrees."""
    (x0, y0, x1, y1), (width, height) = box, size
    if rotation == 90:
        return y0, width - x1, y1, width - x0
    if rotation == 180:
        return width - x1, height - y1, width - x0, height - y0
    if rotation == 270:
        return height - y1, x0, height - y0, x1
    return box


def turned_size(size: Size, rotation: int) -> Size:
    """The size of a turned picture."""
    return size[::-1] if rotation in (90, 270) else size


def upright(crops: Crops, size: Size, rotation: int) -> Crops:
    """Crops of the turned picture; ``size`` is that of the picture before."""

    def read(box: Box, start: int, stop: int) -> Iterator[Picture]:
        before = turned(box, turned_size(size, rotation), (360 - rotation) % 360)
        return (np.ascontiguousarray(np.rot90(each, rotation // 90)) for each in crops(before, start, stop))

    return read


def turned_back(each: MaskPatch, size: Size, rotation: int) -> MaskPatch:
    """A mask of the turned picture in the picture before, of that size."""
    mask = patches.decoded(each)
    height, width = mask.shape
    path = []
    for frame, x, y in each.path:
        box = turned((x, y, x + width, y + height), turned_size(size, rotation), (360 - rotation) % 360)
        path.append((frame, box[0], box[1]))
    return patches.patch(np.rot90(mask, -(rotation // 90)), each.start, each.stop, tuple(path))
