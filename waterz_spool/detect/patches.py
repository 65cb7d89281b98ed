"""Small masks with place and frames: how what a detector found is stored in a plan, and turned into masks again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from waterz_spool.detect.masks import Mask
from waterz_spool.records import Box, MaskPatch


def whole(mask: Mask, start: int, stop: int) -> MaskPatch:
    """A mask of the whole picture, uint8 [H, W], that holds over some frames; stored as its smallest part."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    y0, x0 = int(rows[0]), int(columns[0])
    return patch(mask[y0 : int(rows[-1]) + 1, x0 : int(columns[-1]) + 1], start, stop, ((start, x0, y0),))


def filled(box: Box, start: int, stop: int) -> MaskPatch:
    """A mask of a whole box that holds over some frames."""
    x0, y0, x1, y1 = box
    return patch(np.full((y1 - y0, x1 - x0), 255, np.uint8), start, stop, ((start, x0, y0),))


def patch(mask: Mask, start: int, stop: int, path: tuple[tuple[int, int, int], ...]) -> MaskPatch:
    """A small mask, uint8 [h, w], that follows a path."""
    data = bytes(cv2.imencode(".png", np.ascontiguousarray(mask))[1])
    return MaskPatch(start=start, stop=stop, png=data, path=path)


def box_of(each: MaskPatch) -> Box:
    """Where a patch lies at its start."""
    height, width = decoded(each).shape
    _, x, y = each.path[0]
    return x, y, x + width, y + height


def grown(patches: Sequence[MaskPatch], radius: int, *, feather: int = 0) -> tuple[MaskPatch, ...]:
    """The same masks dilated by a disc, and perhaps softened in what they grew by.

    Args:
        patches: Masks of 0 and 255.
        radius: Of the disc, px.
        feather: Over so many px from the new edge inwards the weight rises to 255; at most the radius, so that what
            was found keeps its full weight.
    """
    if not radius:
        return tuple(patches)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    done = []
    for each in patches:
        found = np.pad(decoded(each), radius)
        mask = np.asarray(cv2.dilate(found, disc), np.uint8)
        path = tuple((frame, x - radius, y - radius) for frame, x, y in each.path)
        if feather:
            mask &= _weights(found, radius, min(feather, radius))
        done.append(patch(mask, each.start, each.stop, path))
    return tuple(done)


def _weights(found: Mask, radius: int, feather: int) -> Mask:
    """255 on and near what was found; from there on falling, to 0 one px beyond the radius."""
    away = cv2.distanceTransform(255 - found, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    share = (radius + 1 - away) / (feather + 1)
    return np.asarray(np.rint(255 * np.clip(share, 1 / 255, 1)), np.uint8)


def cut(each: MaskPatch, start: int, stop: int) -> MaskPatch:
    """A patch in some of its frames only."""
    later = tuple(step for step in each.path if start < step[0] < stop)
    return MaskPatch(start=start, stop=stop, png=each.png, path=((start, *place(each, start)), *later))


def decoded(each: MaskPatch) -> Mask:
    """The small mask of a patch, uint8 [h, w]."""
    mask = cv2.imdecode(np.frombuffer(each.png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    return np.asarray(mask, np.uint8)


def masks(patches: Sequence[MaskPatch], frame_count: int, *, size: tuple[int, int]) -> Iterator[Mask]:
    """One uint8 [H, W] mask per frame, 0 where nothing is hidden; a repeated mask is the same object.

    Args:
        patches: What was found.
        frame_count: Frames of the video.
        size: Width and height of the picture in px.
    """
    waiting = sorted(patches, key=lambda each: each.start, reverse=True)
    running: list[tuple[MaskPatch, Mask]] = []
    mask, places = np.zeros(size[::-1], np.uint8), None
    for index in range(frame_count):
        running = [item for item in running if item[0].stop > index]
        while waiting and waiting[-1].start <= index:
            each = waiting.pop()
            running.append((each, decoded(each)))
        now = [(id(each), *place(each, index)) for each, _ in running]
        if now != places:
            mask, places = np.zeros(size[::-1], np.uint8), now
            for each, small in running:
                _paint(mask, small, *place(each, index))
        yield mask


def most_px(patches: Sequence[MaskPatch], frame_count: int, *, size: tuple[int, int]) -> int:
    """How many px of the picture are hidden in the frame in which most are; arguments as for `masks`."""
    most, before = 0, None
    for mask in masks(patches, frame_count, size=size):
        most = most if mask is before else max(most, cv2.countNonZero(mask))
        before = mask
    return most


def place(each: MaskPatch, index: int) -> tuple[int, int]:
    """Where a patch's upper left corner lies in a frame."""
    frame, x, y = each.path[0]
    for frame, a, b in each.path:
        if frame > index:
            break
        x, y = a, b
    return x, y


def _paint(mask: Mask, small: Mask, x: int, y: int) -> None:
    height, width = small.shape
    x0, y0, x1, y1 = max(0, x), max(0, y), min(mask.shape[1], x + width), min(mask.shape[0], y + height)
    if x0 < x1 and y0 < y1:
        part = mask[y0:y1, x0:x1]
        np.maximum(part, small[y0 - y : y1 - y, x0 - x : x1 - x], out=part)
