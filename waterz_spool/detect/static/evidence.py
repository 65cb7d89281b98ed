"""What persists and what moves in frames spread over a video, and how still an edge stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.static.plates import Slopes
from waterz_spool.detect.static.shapes import Image
from waterz_spool.detect.static.windows import gradient
from waterz_spool.records import Box

MIN_GRADIENT = 6.0  # grey levels per px (Scharr / 16) of the median gradient
AGREEMENT = 0.85  # share of frames that project on the median gradient with half its size
MAX_DEVIATION = 0.6  # median deviation from the median gradient, as a share of it
BLANK = 0.5  # of the usual steepness of the picture: a frame with less is black, white or faded and tells nothing
OUTLIERS = 16  # of so many values at one pixel the highest and the lowest are left out: a flash, a flying bird
STEADY_VARIANCE = 4.0  # squared grey levels: coding and noise
MOST_DRIFT_PX = 4000  # pixels that are looked at for a drift


@dataclass(frozen=True)
class Evidence:
    """Per pixel of the small picture: what persists and what moves.

    Attributes:
        persistent: Edges that stay.
        busy: Edges that are there in most frames, wherever they come from.
        slopes: Their median over time.
        activity: Temporal standard deviation of the luma without its extremes, grey levels.
        motion: Median change of the luma from one picture to the next, grey levels: a cut between two stills has none.
    """

    persistent: NDArray[np.bool_]
    busy: NDArray[np.bool_]
    slopes: Slopes
    activity: Image
    motion: Image

    def within(self, box: Box) -> Evidence:
        """The same of a part of the picture."""
        part = slice(box[1], box[3]), slice(box[0], box[2])
        slopes = Slopes(self.slopes.across[part], self.slopes.down[part])
        return Evidence(self.persistent[part], self.busy[part], slopes, self.activity[part], self.motion[part])


def telling(frames: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """The frames [H, W] that show a picture, without black, white and faded ones; at least half of them."""
    steepness = np.array([np.hypot(*gradient(frame)).mean() for frame in frames])
    least = min(BLANK * np.median(np.sort(steepness)[len(steepness) // 4 :]), np.median(steepness))
    return [frame for frame, steep in zip(frames, steepness, strict=True) if steep >= least]


def gather(luma: Sequence[Image]) -> Evidence:
    """What persists in luma pictures [H, W] in grey levels of 8 bits, in order of time."""
    across = np.stack([cv2.Scharr(image, cv2.CV_32F, 1, 0, scale=1 / 16) for image in luma])
    down = np.stack([cv2.Scharr(image, cv2.CV_32F, 0, 1, scale=1 / 16) for image in luma])
    mid_across, mid_down = np.median(across, axis=0), np.median(down, axis=0)
    size = np.hypot(mid_across, mid_down)
    deviation = np.median(np.hypot(across - mid_across, down - mid_down), axis=0)
    projection = (across * mid_across + down * mid_down) / (size + 1e-6)
    agreement = (projection > 0.5 * size).mean(axis=0)
    persistent = (size > MIN_GRADIENT) & (agreement > AGREEMENT) & (deviation < MAX_DEVIATION * size + 1)
    busy = np.median(np.hypot(across, down), axis=0) > MIN_GRADIENT
    return Evidence(persistent, busy, Slopes(mid_across, mid_down), _activity(luma), _motion(luma))


def _activity(luma: Sequence[Image]) -> Image:
    out = len(luma) // OUTLIERS
    values = np.sort(np.stack(luma), axis=0)
    return np.asarray(np.std(values[out : len(luma) - out], axis=0), np.float32)


def _motion(luma: Sequence[Image]) -> Image:
    changes = [cv2.absdiff(one, other) for one, other in pairwise(luma)]
    return np.asarray(np.median(np.stack(changes), axis=0), np.float32)


def drift_px(luma: Sequence[Image], where: NDArray[np.bool_]) -> float:
    """How far the edges at some pixels stand from their usual place, px, in the median frame.

    Each frame's difference from the median picture is explained by a shift, a zoom and a turn of it, and by another
    brightness and contrast (linear least squares, as Lucas and Kanade's). What is painted over the picture stands
    exactly where it stood, and what lies behind it is noise; the fixed point of a zoom or a thing far ahead does not.

    Args:
        luma: Pictures [H, W] in order of time.
        where: Pixels with edges, bool [H, W].
    """
    y, x = (side[:: -(-len(side) // MOST_DRIFT_PX)] for side in np.nonzero(where))
    if len(y) < 12:
        return 0.0
    slopes = [[side[y, x] for side in gradient(image)] for image in luma]
    across, down = np.median(np.stack(slopes), axis=0) / 2  # Scharr / 16 is the difference over two px
    values = np.stack([image[y, x] for image in luma])
    usual = np.median(values, axis=0)
    right, below = x - x.mean(), y - y.mean()
    radius = max(1.0, float(np.quantile(np.hypot(right, below), 0.8)))
    zoom, turn = (across * right + down * below) / radius, (down * right - across * below) / radius
    known = np.stack([across, down, zoom, turn, np.ones_like(across), usual - usual.mean()], axis=1)
    sure = 1 / np.sqrt(np.var(values, axis=0) + STEADY_VARIANCE)  # what the background changes says little
    moves = np.linalg.lstsq(known * sure[:, None], ((usual - values) * sure).T, rcond=None)[0]
    return float(np.median(np.hypot(moves[0], moves[1]) + np.abs(moves[2]) + np.abs(moves[3])))
