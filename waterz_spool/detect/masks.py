"""From masks to overlay tracks: which overlay lies where, over which frames.

Parts of an overlay that lie close together (the letters of a caption) are one track; an overlay whose place changes
without touching its old place (a jumping logo) starts a new track, so that its old place can be restored from the
frames in which it was clean.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Box, OverlayTrack

Mask = NDArray[np.uint8]

JOIN_PX = 48
"""Parts nearer than this are one overlay: their crops, with at least 32 px of margin, would overlap anyway."""

MAX_GROWTH = 4.0
"""A track is split when its box grows beyond this multiple of the overlay's own, so that crops stay small."""

_CELL_PX = 4


def components(mask: Mask) -> list[Box]:
    """Boxes of the overlays in one mask, parts nearer than JOIN_PX joined, in reading order.

    Args:
        mask: uint8 [H, W], nonzero where an overlay hides the picture.

    Returns:
        Disjoint half-open boxes in px that together contain every nonzero pixel.
    """
    if not mask.any():
        return []
    cells = _any_in_cells(mask)
    radius = JOIN_PX // (2 * _CELL_PX)
    joined = cv2.dilate(cells, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8))
    count, labels = cv2.connectedComponents(joined, connectivity=8)
    boxes = [_exact_box(mask, (labels == label) & (cells > 0)) for label in range(1, count)]
    return sorted(_merge_overlapping(boxes), key=lambda box: (box[1], box[0]))


def _any_in_cells(mask: Mask) -> Mask:
    height, width = mask.shape
    padded = np.zeros((-(-height // _CELL_PX) * _CELL_PX, -(-width // _CELL_PX) * _CELL_PX), np.uint8)
    padded[:height, :width] = mask > 0
    rows, cols = padded.shape[0] // _CELL_PX, padded.shape[1] // _CELL_PX
    cells: Mask = padded.reshape(rows, _CELL_PX, cols, _CELL_PX).max(axis=(1, 3))
    return cells


def _exact_box(mask: Mask, cells: NDArray[np.bool_]) -> Box:
    rows, cols = np.flatnonzero(cells.any(axis=1)), np.flatnonzero(cells.any(axis=0))
    y0, y1 = int(rows[0]) * _CELL_PX, (int(rows[-1]) + 1) * _CELL_PX
    x0, x1 = int(cols[0]) * _CELL_PX, (int(cols[-1]) + 1) * _CELL_PX
    inside = mask[y0:y1, x0:x1] > 0
    rows, cols = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return x0 + int(cols[0]), y0 + int(rows[0]), x0 + int(cols[-1]) + 1, y0 + int(rows[-1]) + 1


def _merge_overlapping(boxes: list[Box]) -> list[Box]:
    merged: list[Box] = []
    for box in boxes:
        while touching := next((other for other in merged if overlap_px(box, other)), None):
            merged.remove(touching)
            box = union(box, touching)
        merged.append(box)
    return merged


def overlap_px(a: Box, b: Box) -> int:
    """Area in px that two boxes share."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0, width) * max(0, height)


def union(a: Box, b: Box) -> Box:
    """The smallest box that contains both."""
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def area(box: Box) -> int:
    """Area in px."""
    return (box[2] - box[0]) * (box[3] - box[1])


@dataclass
class _Open:
    start: int
    box: Box
    last: Box


class Linker:
    """Turns a sequence of masks into tracks, one frame at a time, in memory bounded by the number of tracks.

    Every nonzero pixel of frame t lies in the box of a track whose range contains t.
    """

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._closed: list[OverlayTrack] = []
        self._previous: Mask | None = None
        self._next = 0

    def add(self, mask: Mask) -> None:
        """The mask of the next frame, uint8 [H, W]. A repeated mask costs one comparison."""
        same = self._previous is not None and (mask is self._previous or np.array_equal(mask, self._previous))
        if not same:
            self._link(components(mask))
            self._previous = mask
        self._next += 1

    def finish(self) -> list[OverlayTrack]:
        """The tracks of all frames added, ordered by start, then by place."""
        for track in self._open:
            self._close(track)
        self._open = []
        return sorted(self._closed, key=lambda track: (track.start, track.box))

    def _link(self, boxes: list[Box]) -> None:
        claimed: dict[int, Box] = {}
        fresh = []
        for box in boxes:
            best = max(range(len(self._open)), key=lambda i: overlap_px(box, self._open[i].last), default=-1)
            if best >= 0 and overlap_px(box, self._open[best].last):
                claimed[best] = union(box, claimed[best]) if best in claimed else box
            else:
                fresh.append(box)
        kept = []
        for i, track in enumerate(self._open):
            if i in claimed and area(union(track.box, claimed[i])) <= MAX_GROWTH * area(claimed[i]):
                kept.append(_Open(track.start, union(track.box, claimed[i]), claimed[i]))
            else:
                self._close(track)
                if i in claimed:
                    fresh.append(claimed[i])
        self._open = kept + [_Open(self._next, box, box) for box in fresh]

    def _close(self, track: _Open) -> None:
        if track.start < self._next:
            self._closed.append(OverlayTrack(start=track.start, stop=self._next, box=track.box))
