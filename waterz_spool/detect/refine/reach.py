"""How far an overlay reaches beyond the core of its strokes: outlines and soft shadows."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.refine.scene import Place
from waterz_spool.detect.refine.states import State
from waterz_spool.detect.refine.steady import Mask

MARGIN_PX = 3  # what is always added: the rim that antialiasing and the encoder make
FARTHEST_PX = 12  # at 432 lines
SEEN = 3.0  # grey levels that a shadow darkens its ground
SEEN_SHARE = 0.06  # of the difference beside the stroke
SURE = 3.0  # standard errors


def reach_of(states: Sequence[State], place: Place) -> int:
    """Px beyond the core up to which strokes change the picture around them.

    At each distance from the strokes the picture is compared with the ground farther out. What differs there on
    average, over all strokes, belongs to the overlay: the scene's own differences average out.
    """
    farthest = place.px(FARTHEST_PX)
    parts: list[list[NDArray[np.float64]]] = [[] for _ in range(farthest)]
    for state in states:
        for distance, means in enumerate(_profile(state, farthest)):
            parts[distance].extend(means)
    reach, beside = 0, 0.0
    for distance, found in enumerate(parts, 1):
        if len(found) < 6:
            break
        mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
        size = float(np.abs(mean).max())
        beside = max(beside, size)
        if size < max(SEEN, SEEN_SHARE * beside) or not (np.abs(mean) > SURE * error).any():
            break
        reach = distance
    return max(MARGIN_PX, reach + 1) if reach < farthest else MARGIN_PX


def _profile(state: State, farthest: int) -> list[list[NDArray[np.float64]]]:
    """Mean difference from the ground at each distance, one per piece of the text."""
    away = distance(state.strokes)
    ground = _ground(state.mean, away > farthest, farthest)
    differs = state.mean - ground
    columns = np.arange(state.mean.shape[1])[None] // (4 * farthest)
    rows = np.arange(state.mean.shape[0])[:, None] // (2 * farthest)
    pieces = rows * (int(columns.max()) + 1) + columns
    done = []
    for step in range(1, farthest + 1):
        at = (away > step - 0.5) & (away <= step + 0.5)
        counts = np.bincount(pieces[at], minlength=int(pieces.max()) + 1)
        sums = np.stack([np.bincount(pieces[at], differs[at][:, c], len(counts)) for c in range(3)], 1)
        good = counts >= 12
        done.append(list(sums[good] / counts[good, None]))
    return done


def distance(strokes: Mask) -> NDArray[np.float32]:
    """Distance of each pixel from the strokes, px."""
    if not strokes.any():
        return np.full(strokes.shape, 1e6, np.float32)
    return np.asarray(cv2.distanceTransform((~strokes).view(np.uint8), cv2.DIST_L2, 5), np.float32)


def _ground(mean: NDArray[np.float32], far: Mask, width: int) -> NDArray[np.float32]:
    """The picture as it is away from the strokes, spread into them."""
    weight = far.astype(np.float32)
    total = cv2.GaussianBlur(weight, (0, 0), width)
    spread = cv2.GaussianBlur(mean * weight[..., None], (0, 0), width)
    return np.asarray(spread / np.maximum(total, 1e-4)[..., None], np.float32)
