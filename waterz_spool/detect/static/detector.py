"""Overlays that stay while the picture moves, or jump from place to place, found without learned weights.

At the edges of a static overlay the signed gradient persists through time, while gradients of a moving picture average
out; and what is painted over the picture changes less than the picture around it. Where the picture itself does not
move the two cannot be told apart: then the detector abstains and says so.

Needs frames that show the background moving under the overlay; 32 frames spread over the clip are enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.config import DetectConfig
from waterz_spool.detect import patches
from waterz_spool.detect.base import Detector, Findings, Found, Luma, Rejected, Reread, Setting
from waterz_spool.detect.entire import entire
from waterz_spool.detect.static import bars
from waterz_spool.detect.static.evidence import Evidence, gather, telling
from waterz_spool.detect.static.judging import STATIC, boxes_of, judged, scene_is_static
from waterz_spool.detect.static.jumping import jumping
from waterz_spool.detect.static.jumps import BLOCKS, JumpWatch
from waterz_spool.detect.static.shapes import Image, Mask
from waterz_spool.detect.static.windows import BLOCK, Shares, Windows, eight_bits, small
from waterz_spool.records import Box

FRAMES = 32
LOOK_RATE = 25.0  # frames per second from which on what moves is told from what stays


class Sampler:
    """Keeps frames spread evenly over a video whose length is not known beforehand.

    Every ``stride``-th frame is kept; when twice the wanted number is reached, every other one is dropped and the
    stride doubles. Memory is bounded by 2 * FRAMES small pictures.

    Attributes:
        size: Width and height of the frames in px.
    """

    def __init__(self) -> None:
        self.size = (0, 0)
        self._stride = 1
        self._kept: list[NDArray[Any]] = []

    def add(self, index: int, luma: NDArray[Any]) -> None:
        """Look at the luma plane [H, W] of frame ``index``; frames come in order, without gaps."""
        if index % self._stride:
            return
        self.size = (luma.shape[1], luma.shape[0])
        self._kept.append(small(luma))
        if len(self._kept) == 2 * FRAMES:
            del self._kept[1::2]
            self._stride *= 2

    def frames(self) -> list[NDArray[Any]]:
        """At most FRAMES small frames in order of time, evenly spread."""
        wanted = np.unique(np.linspace(0, len(self._kept) - 1, min(FRAMES, len(self._kept))).round().astype(int))
        return [self._kept[index] for index in wanted]


class StaticDetector(Detector):
    """Finds overlays that stay for the whole video, and overlays that rest in one place, then another.

    Memory: about 200 MB per megapixel of the small picture (600 lines at most: 0.52 megapixels of 1080p) while frames
    are added, and 1000 MB per megapixel more for a moment at the end; measured for 1080p: 98 and 490 MiB, whatever the
    length of the video. Beside that a number per frame while an overlay that jumps stands somewhere.

    Args:
        bits: Bits per sample of the video.
        rate: Mean frames per second; of fast videos every other frame, or fewer, are looked at.
    """

    name = "static"
    outlines = True

    @classmethod
    def made_for(cls, setting: Setting) -> Self:
        """One for a video."""
        rate = setting.info.average_rate
        return cls(setting.info.bits, rate=rate[0] / rate[1] if rate else 25.0)

    @classmethod
    def automatic(cls, options: DetectConfig) -> bool:
        """Always, except beside weights whose classes are named: the user wants these and nothing else."""
        return not (options.weights and options.classes)

    def __init__(self, bits: int, *, rate: float = 25.0) -> None:
        self._bits = bits
        self._step = max(1, round(rate / LOOK_RATE))
        self._sampler = Sampler()
        self._windows, self._shares = Windows(BLOCKS), Shares()
        self._jumps = JumpWatch(self._windows)
        self._count = 0

    def add(self, index: int, picture: Any, luma: Luma) -> None:
        """Look at the luma of a frame."""
        self._sampler.add(index, luma)
        self._count += 1
        if index % self._step:
            return
        seen = eight_bits(small(luma), self._bits)
        if self._windows.add(seen) and self._windows.blocks >= Shares.SPAN:
            self._shares.add(self._windows.persistent(Shares.SPAN))
        self._jumps.add(seen)

    def finish(self, reread: Reread) -> Findings:
        """Masks with their frames, or why there are none."""
        found = detect(self._sampler.frames(), share=self._shares.share(), bits=self._bits, size=self._sampler.size)
        patch = (patches.whole(found.mask, 0, self._count),) if found.overlays else ()

        def pictures() -> Iterator[NDArray[np.uint8]]:
            for _, luma in reread():
                yield eight_bits(small(luma), self._bits)

        jumps = jumping(self._jumps.templates, pictures, size=self._sampler.size)
        rejected = (*found.rejected, *jumps.rejected)
        if not patch and not jumps.patches:
            return Findings((), found.reason, rejected)
        return entire(Findings((*patch, *jumps.patches), "", rejected, jumps.scores))


def detect(frames: Sequence[NDArray[Any]], *, share: Image, bits: int, size: tuple[int, int]) -> Found:
    """Static overlays in frames spread over a video.

    Args:
        frames: Luma planes of one size as `small` makes them, uint8 or uint16, in order of time.
        share: In which share of short windows each pixel's edge persists, 0 to 1, [H, W] as the frames.
        bits: Bits per sample.
        size: Width and height in px of the video, and of the mask.

    Returns:
        The mask covers each overlay with its antialiased rim.
    """
    width, height = size
    empty = np.zeros((height, width), np.uint8)
    if len(frames) < Shares.SPAN * BLOCK:
        return Found(empty, (), "the video is too short to tell an overlay from the scene")
    scale = frames[0].shape[0] / height
    luma = [frame.astype(np.float32) / np.float32(1 << (bits - 8)) for frame in telling(frames)]
    evidence = gather(luma)
    taken, rejected = _beside_bars(luma, evidence, share)
    boxes = tuple(replace(item, box=_scaled(item.box, scale, size)) for item in rejected)
    if not taken.any():
        return Found(empty, (), _why_nothing(evidence, rejected), boxes)
    mask = cv2.resize(taken * np.uint8(255), (width, height), interpolation=cv2.INTER_LINEAR)
    mask = np.where(mask > 64, np.uint8(255), np.uint8(0))  # what is left out of a px of the small picture is less
    return Found(mask, tuple(boxes_of(mask)), "", boxes)


def _why_nothing(evidence: Evidence, rejected: list[Rejected]) -> str:
    if any(item.reason in (bars.IN_BAR, bars.GOES_ON) for item in rejected):
        return "what stays in place stands in a bar beside the picture, where nothing moves behind it; give its box"
    if any(item.missing and item.reason != STATIC for item in rejected):
        return (
            "something stays in place while the picture moves, but it is not certain what it is and what belongs to it"
        )
    if any(item.reason == STATIC for item in rejected) or scene_is_static(evidence, np.zeros_like(evidence.busy)):
        return (
            "the camera seems to stand still, so that an overlay looks like the scene; "
            "give a box or a mask, or YOLO weights"
        )
    return "nothing stays in place while the picture moves"


def _beside_bars(luma: Sequence[Image], evidence: Evidence, share: Image) -> tuple[Mask, list[Rejected]]:
    """Overlays of the small picture as one mask of 0 and 1, and what was rejected; bars are no part of the picture."""
    mean = np.asarray(sum(luma[1:], start=luma[0]) / np.float32(len(luma)), np.float32)
    picture = bars.picture_box(evidence.activity, mean)
    if picture == (0, 0, mean.shape[1], mean.shape[0]):
        return judged(luma, evidence, share)
    x0, y0, x1, y1 = inner = bars.without_seam(picture, mean.shape)
    part = slice(y0, y1), slice(x0, x1)
    seen, rejected = judged([each[part] for each in luma], evidence.within(inner), share[part])
    rejected = [replace(item, box=_to_bars(_moved(item.box, x0, y0), inner, picture)) for item in rejected]
    sides = (y0 - picture[1], picture[3] - y1), (x0 - picture[0], picture[2] - x1)
    taken = np.zeros(mean.shape, np.uint8)
    taken[picture[1] : picture[3], picture[0] : picture[2]] = np.pad(seen, sides, mode="edge")
    found = bars.marks(mean, picture)
    half = bars.reaching(found, taken | evidence.persistent | (evidence.activity <= bars.STILL), picture)
    _, labels = cv2.connectedComponents(taken)
    whole = taken & ~np.isin(labels, np.unique(labels[half > 0]))
    return whole, rejected + bars.told(found, beside=half)


def _moved(box: Box, right: int, down: int) -> Box:
    return box[0] + right, box[1] + down, box[2] + right, box[3] + down


def _to_bars(box: Box, inner: Box, picture: Box) -> Box:
    """A box of what reaches to the px beside a bar that are not looked at, up to the bar."""
    x0, y0, x1, y1 = (end if side == edge else side for side, edge, end in zip(box, inner, picture, strict=True))
    return x0, y0, x1, y1


def _scaled(box: Box, scale: float, size: tuple[int, int]) -> Box:
    x0, y0, x1, y1 = (round(value / scale) for value in box)
    return x0, y0, min(x1, size[0]), min(y1, size[1])
