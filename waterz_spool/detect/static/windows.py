"""Edges that persist for a third of a second: the evidence of what stays in place for a while.

Over a few frames the gradient of something painted onto the picture keeps its size and direction, while that of a
moving picture averages out. The share of such short windows in which a pixel's edge persists tells what stands still
for the whole video (nearly all of them), what changes its text now and then (some), and what is scene (few), also
where a bright overlay passes over bright and dark background and the sign of its edge changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Edges = NDArray[np.bool_]

LOOK_HEIGHT_PX = 600
BLOCK = 4  # frames that are summed before anything is decided

MIN_GRADIENT = 5.0  # grey levels per px (Scharr / 16) of the mean gradient
COHERENCE = 0.7  # share of the gradient's power that its mean holds


def shrink_of(height: int) -> int:
    """By how much a picture of so many lines is scaled down: a whole number, so that a px is a sum of pixels."""
    return -(-height // LOOK_HEIGHT_PX)


def small(luma: NDArray[Any]) -> NDArray[Any]:
    """A picture [H, W] scaled down to at most LOOK_HEIGHT_PX lines; same dtype."""
    shrink = shrink_of(luma.shape[0])
    if shrink == 1:
        return luma
    size = tuple(max(1, round(side / shrink)) for side in luma.shape[::-1])
    return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA))


def eight_bits(luma: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """A picture of so many bits per sample as uint8."""
    return np.asarray(luma if bits == 8 else luma >> (bits - 8), np.uint8)


def gradient(picture: NDArray[Any]) -> tuple[Image, Image]:
    """Slope across and down in grey levels per px, float32 [H, W] each."""
    across = cv2.Scharr(picture, cv2.CV_32F, 1, 0, scale=1 / 16)
    return np.asarray(across, np.float32), np.asarray(cv2.Scharr(picture, cv2.CV_32F, 0, 1, scale=1 / 16), np.float32)


class Windows:
    """Sums of gradients over blocks of BLOCK frames, the last few kept.

    Memory: three float32 pictures per block.

    Args:
        blocks: How many blocks are kept.
    """

    def __init__(self, blocks: int) -> None:
        self._blocks: deque[list[Image]] = deque(maxlen=blocks)
        self._frames = 0

    def add(self, picture: NDArray[np.uint8]) -> bool:
        """The next frame; true when it completes a block."""
        across, down = gradient(picture)
        if self._frames % BLOCK == 0:
            self._blocks.append([np.zeros_like(across) for _ in range(3)])
        sums = self._blocks[-1]
        cv2.accumulate(across, sums[0])
        cv2.accumulate(down, sums[1])
        cv2.accumulateSquare(across, sums[2])
        cv2.accumulateSquare(down, sums[2])
        self._frames += 1
        return self._frames % BLOCK == 0

    @property
    def blocks(self) -> int:
        """How many complete blocks are there, when the last frame completed one."""
        return len(self._blocks)

    def persistent(self, blocks: int) -> Edges:
        """Edges that stayed over the last so many blocks, bool [H, W]."""
        return persistent(*self._sums(range(len(self._blocks) - blocks, len(self._blocks))), blocks * BLOCK)

    def mean(self, blocks: Sequence[int]) -> tuple[Edges, Image, Image]:
        """Edges that stayed over some blocks, counted from the oldest; and the mean slopes across and down."""
        across, down, power = self._sums(blocks)
        frames = len(blocks) * BLOCK
        weight = np.float32(1 / frames)
        return persistent(across, down, power, frames), across * weight, down * weight

    def _sums(self, blocks: Sequence[int]) -> tuple[Image, Image, Image]:
        across, down, power = (_sum_of([self._blocks[number][i] for number in blocks]) for i in range(3))
        return across, down, power


def _sum_of(images: list[Image]) -> Image:
    total = images[0]
    for image in images[1:]:
        total = cv2.add(total, image)
    return total


def persistent(across: Image, down: Image, power: Image, frames: int) -> Edges:
    """Where an edge stays, from sums over so many frames.

    Args:
        across: Sum of the slopes across.
        down: Sum of the slopes down.
        power: Sum of their squares.
        frames: How many were summed.
    """
    mean = np.asarray(cv2.multiply(across, across))
    cv2.accumulateSquare(down, mean)
    wanted = np.multiply(power, np.float32(COHERENCE * frames))
    wanted += np.float32(COHERENCE * frames * frames)
    np.maximum(wanted, np.float32((MIN_GRADIENT * frames) ** 2), out=wanted)
    return np.asarray(mean > wanted)


class Shares:
    """In which share of the short windows each pixel's edge persists.

    Memory: one float32 picture beside the windows'.
    """

    SPAN = 2  # blocks: shorter than a second's digit, longer than most edges of a moving picture stay

    def __init__(self) -> None:
        self._count = 0
        self._sum = np.zeros((0, 0), np.float32)

    def add(self, edges: Edges) -> None:
        """The edges that persisted in the next window; one without any (black, white, a fast pan) tells nothing."""
        if self._count and not edges.any():
            return
        if not self._count:
            self._sum = np.zeros(edges.shape, np.float32)
        cv2.accumulate(edges.view(np.uint8), self._sum)
        self._count += 1

    def share(self) -> Image:
        """0 to 1, float32 [H, W]; empty before the first window."""
        return np.asarray(self._sum / max(1, self._count), np.float32)
