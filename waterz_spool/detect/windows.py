"""Edges that persist for a third of a second: the evidence of what stays in place for a while.

Over a few frames the gradient of something painted onto the picture keeps its size and direction, while that of a
moving picture averages out. The share of such short windows in which a pixel's edge persists tells what stands still
for the whole video (nearly all of them), what changes its text now and then (some), and what is scene (few), also
where a bright overlay passes over bright and dark background and the sign of its edge changes.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Edges = NDArray[np.bool_]

LOOK_HEIGHT_PX = 480
BLOCK = 4  # frames that are summed before anything is decided

MIN_GRADIENT = 5.0  # grey levels per px (Scharr / 16) of the mean gradient
COHERENCE = 0.7  # share of the gradient's power that its mean holds


def small(luma: NDArray[Any]) -> NDArray[Any]:
    """A picture [H, W] scaled down to LOOK_HEIGHT_PX, if it is higher; same dtype."""
    height, width = luma.shape
    if height <= LOOK_HEIGHT_PX:
        return luma
    size = (max(1, round(width * LOOK_HEIGHT_PX / height)), LOOK_HEIGHT_PX)
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
        """The next frame; true when it completes a block and enough blocks are there."""
        across, down = gradient(picture)
        if self._frames % BLOCK == 0:
            self._blocks.append([np.zeros_like(across) for _ in range(3)])
        sums = self._blocks[-1]
        cv2.accumulate(across, sums[0])
        cv2.accumulate(down, sums[1])
        cv2.accumulateSquare(across, sums[2])
        cv2.accumulateSquare(down, sums[2])
        self._frames += 1
        return self._frames % BLOCK == 0 and len(self._blocks) == self._blocks.maxlen

    def persistent(self, blocks: int) -> Edges:
        """Edges that stayed over the last so many blocks, bool [H, W]."""
        across, down, power = (sum_of([block[i] for block in list(self._blocks)[-blocks:]]) for i in range(3))
        return persistent(across, down, power, blocks * BLOCK)


def sum_of(images: list[Image]) -> Image:
    """Their sum."""
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
    mean = across * across
    mean += down * down
    wanted = cv2.max(COHERENCE * frames * (power + frames), (MIN_GRADIENT * frames) ** 2)
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
        """The edges that persisted in the next window."""
        if not self._count:
            self._sum = np.zeros(edges.shape, np.float32)
        cv2.accumulate(edges.view(np.uint8), self._sum)
        self._count += 1

    def share(self) -> Image:
        """0 to 1, float32 [H, W]; empty before the first window."""
        return np.asarray(self._sum / max(1, self._count), np.float32)
