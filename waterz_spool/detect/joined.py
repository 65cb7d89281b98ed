"""What several detectors find, together: some know where an overlay is, others its outline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import cv2
import numpy as np

from waterz_spool.detect import chosen, patches
from waterz_spool.detect.base import Detector, Findings, Luma, Reread, Setting
from waterz_spool.detect.entire import entire
from waterz_spool.detect.masks import Mask
from waterz_spool.detect.static.shapes import disc
from waterz_spool.records import MaskPatch, VideoInfo

SAME_LENGTH, SAME_BREADTH = 0.75, 0.5
"""Of a box's longer and shorter side: so much must the outlines in it span, for both to have found one whole overlay.

Boxes are padded, which counts most across a line of text; along it, a quarter less may be a digit that was missed.
"""

SAME_PIXELS = 0.95
"""Of an overlay's own pixels, where they are known and not only its box: so many must lie on or near the outline."""
NEAR_PX, NEAR_HEIGHT_PX = 6, 480  # of pictures so high, in proportion of higher ones: own pixels are seen with a rim


class JoinedDetector(Detector):
    """Several detectors on the same frames; where two find one overlay, the mask is the outline that one of them gives.

    Args:
        parts: They, two or more; of those that know outlines the first ones win, then those that know boxes.
        info: Facts of the video.
        fade_frames: By so much the tracks of boxes were prolonged where a fade was possible.
    """

    def __init__(self, parts: Sequence[Detector], info: VideoInfo, *, fade_frames: int) -> None:
        self.name = "+".join(part.name for part in parts)
        self._parts = tuple(parts)
        self._size = (info.width, info.height)
        self._fade = fade_frames
        self._count = 0

    @classmethod
    def made_for(cls, setting: Setting) -> Self:
        """All that the options name or ``auto`` stands for."""
        parts = [kind.made_for(setting) for kind in chosen(setting.options)]
        return cls(parts, setting.info, fade_frames=setting.options.fade_frames)

    def add(self, index: int, picture: Any, luma: Luma) -> None:
        """Show a frame to all."""
        for part in self._parts:
            part.add(index, picture, luma)
        self._count += 1

    def finish(self, reread: Reread) -> Findings:
        """All outlines, and of the boxes what has no outline."""
        found = [part.finish(reread) for part in self._parts]
        kept: tuple[MaskPatch, ...] = ()
        for part, each in sorted(zip(self._parts, found, strict=True), key=lambda one: not one[0].outlines):
            fade = 0 if part.outlines else self._fade
            kept += without(each.patches, kept, self._count, size=self._size, fade_frames=fade)
        boxes = tuple(box for each in found for box in each.boxes)
        boxes = without(boxes, kept, self._count, size=self._size, fade_frames=self._fade)
        joined = Findings(
            kept,
            "" if kept or boxes else "; ".join(each.reason for each in found),
            tuple(item for each in found for item in each.rejected),
            tuple(score for each in found for score in each.scores),
            boxes,
        )
        return joined if any(part.needs_weights for part in self._parts) else entire(joined)


def without(
    found: Sequence[MaskPatch],
    outlined: Sequence[MaskPatch],
    frame_count: int,
    *,
    size: tuple[int, int],
    fade_frames: int,
) -> tuple[MaskPatch, ...]:
    """What was found, in the frames in which no outline covers it.

    The ends of outlines are exact. What a patch has left beside one for no longer than a fade was prolonged by guess.

    Args:
        found: Patches to be cut.
        outlined: Patches that win where both show one overlay.
        frame_count: Frames of the video.
        size: Width and height of the picture in px.
        fade_frames: How long a fade is taken to be at most.
    """
    alone = [_Alone(each) for each in found]
    waiting, running = sorted(alone, key=lambda one: one.patch.start, reverse=True), list[_Alone]()
    before = None
    for index, mask in enumerate(patches.masks(outlined, frame_count, size=size)):
        running = [one for one in running if one.patch.stop > index]
        while waiting and waiting[-1].patch.start <= index:
            running.append(waiting.pop())
        for one in running:
            one.look(index, mask, fresh=mask is not before)
        before = mask
    return tuple(patches.cut(one.patch, *each) for one in alone for each in one.needed(fade_frames))


class _Alone:
    """One patch, and the ranges of frames in which nothing covers it."""

    def __init__(self, patch: MaskPatch) -> None:
        self.patch = patch
        self._ranges: list[tuple[int, int]] = []
        self._yields = False
        self._last: tuple[tuple[int, int], bool] | None = None

    def look(self, index: int, outlines: Mask, *, fresh: bool) -> None:
        """The next frame in which it holds; fresh says that the outlines are not those of the frame before."""
        place = patches.place(self.patch, index)
        if self._last is None or fresh or self._last[0] != place:
            self._last = (place, _covered(patches.decoded(self.patch), outlines, place))
        if self._last[1]:
            self._yields = True
            return
        start = self._ranges.pop()[0] if self._ranges and self._ranges[-1][1] == index else index
        self._ranges.append((start, index + 1))

    def needed(self, fade_frames: int) -> list[tuple[int, int]]:
        """First frame and one past the last of each range that is more than a fade beside an outline."""
        least = fade_frames if self._yields else 0
        return [(start, stop) for start, stop in self._ranges if stop - start > least]


def _covered(mask: Mask, outlines: Mask, place: tuple[int, int]) -> bool:
    """Whether the outlines show all of what a patch shows at a place, as far as it lies in the picture."""
    (x, y), (height, width) = place, mask.shape
    part = outlines[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)]
    if not part.any():
        return False
    if not mask.all():
        own = mask[max(0, -y) :, max(0, -x) :][: part.shape[0], : part.shape[1]] > 0
        near = cv2.dilate(part, disc(round(NEAR_PX * max(1.0, outlines.shape[0] / NEAR_HEIGHT_PX)))) > 0
        return bool((own & near).sum() >= SAME_PIXELS * own.sum())
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    spans = (columns[-1] + 1 - columns[0], part.shape[1]), (rows[-1] + 1 - rows[0], part.shape[0])
    (short, breadth), (long, length) = sorted(spans, key=lambda span: span[1])
    return bool(long >= SAME_LENGTH * length and short >= SAME_BREADTH * breadth)
