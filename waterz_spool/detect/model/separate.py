"""From tracks to masks: boxes in which an overlay stands, and boxes that follow one that moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from waterz_spool.detect.model.tracks import Track
from waterz_spool.detect.patches import filled, patch
from waterz_spool.records import Box, MaskPatch, VideoInfo

SLACK = 20  # of a standing box's height: a part so large is left free around the overlay


def standing(tracks: Sequence[Track], info: VideoInfo, *, least_pad_px: int) -> tuple[MaskPatch, ...]:
    """Boxes around overlays that stand still; ``least_pad_px`` is what the boxes may be off."""
    size = info.width, info.height
    done = []
    for track in tracks:
        if _stands(track):
            box = track.boxes[0]
            pad = least_pad_px + (box[3] - box[1]) // SLACK
            done.append(filled(padded(box, pad, size), track.start, track.stop))
    return tuple(done)


def moving(tracks: Sequence[Track], info: VideoInfo, *, least_pad_px: int) -> tuple[MaskPatch, ...]:
    """Boxes that follow overlays frame by frame; one that changes its size gets several, one after the other."""
    size = info.width, info.height
    return tuple(each for track in tracks if not _stands(track) for each in _following(track, size, least_pad_px))


def _stands(track: Track) -> bool:
    return len(set(track.boxes)) == 1


def padded(box: Box, pad: int, size: tuple[int, int]) -> Box:
    """A box grown on all sides within the picture."""
    return max(0, box[0] - pad), max(0, box[1] - pad), min(size[0], box[2] + pad), min(size[1], box[3] + pad)


def _following(track: Track, size: tuple[int, int], pad: int) -> list[MaskPatch]:
    """A box around the overlay's centre in every frame; another one where its size has changed."""
    boxes = [padded(box, pad, size) for box in track.boxes]
    return [_moving_patch(boxes[start:stop], track.start + start) for start, stop in _alike(boxes, 2 * pad)]


def _alike(boxes: Sequence[Box], most_px: int) -> Iterator[tuple[int, int]]:
    """Ranges of boxes whose widths and heights differ by no more than so much."""
    sides = np.array(boxes)[:, 2:] - np.array(boxes)[:, :2]
    start, low, high = 0, sides[0], sides[0]
    for index, each in enumerate(sides):
        low, high = np.minimum(low, each), np.maximum(high, each)
        if (high - low).max() > most_px:
            yield start, index
            start, low, high = index, each, each
    yield start, len(boxes)


def _moving_patch(boxes: Sequence[Box], first: int) -> MaskPatch:
    """The largest of the boxes, around the centre of each."""
    width, height = max(b[2] - b[0] for b in boxes), max(b[3] - b[1] for b in boxes)
    path: list[tuple[int, int, int]] = []
    for index, box in enumerate(boxes, first):
        x, y = (box[0] + box[2] - width) // 2, (box[1] + box[3] - height) // 2
        if not path or path[-1][1:] != (x, y):
            path.append((index, x, y))
    return patch(np.full((height, width), 255, np.uint8), first, first + len(boxes), tuple(path))
