"""The overlay's own pixels inside a box, where the picture moves behind it; else the padded box."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.base import Luma, Reread
from waterz_spool.detect.masks import Mask
from waterz_spool.detect.model.tracks import Track
from waterz_spool.detect.patches import patch
from waterz_spool.detect.static.detector import inside
from waterz_spool.records import Box, MaskPatch, VideoInfo

SAMPLES = 32
LOOK_HEIGHT_PX = 480
RING_PX = 16  # of the small picture: how far around the box the background is looked at


def patches_of(tracks: Sequence[Track], info: VideoInfo, reread: Reread, *, least_pad_px: int) -> tuple[MaskPatch, ...]:
    """One mask per track.

    Args:
        tracks: Ordered by start.
        info: Facts of the video.
        reread: Decodes it again; called only when some overlay stands still.
        least_pad_px: What the boxes may be off.

    Returns:
        Patches in the order of the tracks. A drifting overlay gets its box, which follows it frame by frame; one that
        changes its size gets several, one after the other.
    """
    size = (info.width, info.height)
    still = {number: _Samples(track, size, least_pad_px) for number, track in enumerate(tracks) if _stands(track)}
    found: dict[int, MaskPatch] = {}
    waiting = dict(still)
    for index, luma in reread() if still else ():
        for number, samples in list(waiting.items()):
            samples.add(index, luma)
            if samples.complete:
                found[number] = _still_patch(waiting.pop(number), info)
        if not waiting:
            break
    for number, samples in waiting.items():
        found[number] = _still_patch(samples, info)
    return tuple(
        each
        for number, track in enumerate(tracks)
        for each in ([found[number]] if number in found else _following(track, size, least_pad_px))
    )


def _stands(track: Track) -> bool:
    return len(set(track.boxes)) == 1


class _Samples:
    """Luma around a standing overlay in frames spread over its time."""

    def __init__(self, track: Track, size: tuple[int, int], pad: int) -> None:
        self.track = track
        first, last = track.seen
        count = min(SAMPLES, last - first)
        self._wanted = set(np.linspace(first, last - 1, count).round().astype(int).tolist())
        self.box = padded(track.boxes[0], pad + (track.boxes[0][3] - track.boxes[0][1]) // 20, size)
        ring = max(RING_PX, round(RING_PX * size[1] / LOOK_HEIGHT_PX))
        self.window = padded(self.box, ring, size)
        self.crops: list[NDArray[np.uint8] | NDArray[np.uint16]] = []

    @property
    def complete(self) -> bool:
        return len(self.crops) == len(self._wanted)

    def add(self, index: int, luma: Luma) -> None:
        if index in self._wanted:
            x0, y0, x1, y1 = self.window
            self.crops.append(luma[y0:y1, x0:x1].copy())


def padded(box: Box, pad: int, size: tuple[int, int]) -> Box:
    """A box grown on all sides within the picture."""
    return max(0, box[0] - pad), max(0, box[1] - pad), min(size[0], box[2] + pad), min(size[1], box[3] + pad)


def _still_patch(samples: _Samples, info: VideoInfo) -> MaskPatch:
    x0, y0, x1, y1 = samples.box
    left, top = samples.window[:2]
    hole = (x0 - left, y0 - top, x1 - left, y1 - top)
    mask = _own_pixels(samples, hole, info)
    start, stop = samples.track.start, samples.track.stop
    if mask is None:
        return patch(np.full((y1 - y0, x1 - x0), 255, np.uint8), start, stop, ((start, x0, y0),))
    return patch(mask, start, stop, ((start, left, top),))


def _own_pixels(samples: _Samples, hole: Box, info: VideoInfo) -> Mask | None:
    """The mask in the window, or None where the background does not tell."""
    scale = min(1.0, LOOK_HEIGHT_PX / info.height)
    height, width = samples.crops[0].shape
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    crops = [cv2.resize(crop, size, interpolation=cv2.INTER_AREA) for crop in samples.crops]
    small = (int(hole[0] * scale), int(hole[1] * scale), round(hole[2] * scale), round(hole[3] * scale))
    found = inside(crops, bits=info.bits, box=small)
    if found is None:
        return None
    mask = cv2.resize(found * np.uint8(255), (width, height), interpolation=cv2.INTER_LINEAR)
    limit = np.zeros_like(mask)
    limit[hole[1] : hole[3], hole[0] : hole[2]] = 255
    return np.where((mask > 0) & (limit > 0), np.uint8(255), np.uint8(0))


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
