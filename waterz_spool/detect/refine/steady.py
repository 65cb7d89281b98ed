"""What stays, frame by frame: a filter through time that keeps the exact frame in which something appears or goes.

A Kuwahara filter along time: of three windows (before, around and after the frame) each pixel takes the mean of the
one that changes least. Compression noise is averaged out, a moving background becomes soft, and a caption is there in
exactly its frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.refine.reading import Picture

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

WINDOW = 9
LEAST = 4  # frames that a window must hold
GAIN = 0.3  # grey levels by which another window must be steadier


def steady(frames: Sequence[Picture]) -> Iterator[tuple[Picture, Image]]:
    """The filtered frames, and how much each pixel changes in the window that it took.

    Args:
        frames: uint8 [h, w, 3], in order.

    Yields:
        uint8 [h, w, 3] and the standard deviation of the luma, float32 [h, w], grey levels; one pair per frame.
    """
    windows: deque[tuple[int, Picture, Image]] = deque(maxlen=WINDOW)
    least = min(len(frames), LEAST)
    for index, window in enumerate(_windows(frames)):
        windows.append(window)
        if index >= WINDOW - 1:
            last = len(windows) - 1
            yield _steadiest([windows[at] for at in (last - (WINDOW - 1), last - WINDOW // 2, last)], least)


def _windows(frames: Sequence[Picture]) -> Iterator[tuple[int, Picture, Image]]:
    """Length, mean and spread of the frames up to WINDOW before each place in time, as far as there are any."""
    height, width = frames[0].shape[:2]
    colour = np.zeros((height, width, 3), np.uint16)
    first, second = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    inside: deque[tuple[Picture, Image]] = deque()
    for index in range(len(frames) + WINDOW - 1):
        if index < len(frames):
            luma = cv2.cvtColor(frames[index], cv2.COLOR_BGR2GRAY).astype(np.float32)
            inside.append((frames[index], luma))
            colour += frames[index]
            first += luma
            second += luma * luma
        if index >= WINDOW:
            gone, luma = inside.popleft()
            colour -= gone
            first -= luma
            second -= luma * luma
        count = len(inside)
        mean = first / count
        spread = np.sqrt(np.maximum(second / count - mean * mean, 0))
        yield count, np.asarray(cv2.convertScaleAbs(colour, alpha=1 / count), np.uint8), spread


def _steadiest(windows: Sequence[tuple[int, Picture, Image]], least: int) -> tuple[Picture, Image]:
    long = [(picture, spread) for count, picture, spread in windows if count >= least]
    picture, spread = long[0][0].copy(), long[0][1].copy()
    for other, its in long[1:]:
        better = its < spread - GAIN
        cv2.copyTo(other, better.astype(np.uint8), picture)
        np.copyto(spread, its, where=better)
    return picture, spread
