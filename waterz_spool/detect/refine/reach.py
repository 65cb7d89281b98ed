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
LEAST_PIECES = 6
GROUND_PX = 3  # the last ones: there the picture is taken to be the scene's own
TAIL_PX = 2  # at 432 lines
FALLS = (0.3, 0.65)  # from px to px at the faint end of a shadow


def reach_of(states: Sequence[State], place: Place) -> int:
    """Px beyond the core up to which strokes change the picture around them.

    At each distance from the strokes the picture is compared with the ground farther out. What differs there on
    average, over all strokes, belongs to the overlay: the scene's own differences average out. The faint end of a soft
    shadow is beyond what can be seen so: it is taken to fall as it fell before.
    """
    farthest = place.px(FARTHEST_PX)
    pieces: dict[int, list[NDArray[np.float64]]] = {}
    for state in states:
        for piece, profile in _profiles(state, farthest):
            pieces.setdefault(piece, []).append(profile)
    found = [np.mean(profiles, axis=0) for profiles in pieces.values()]  # the same place shows the same scene
    if len(found) < LEAST_PIECES:
        return MARGIN_PX
    mean = np.mean(found, axis=0)
    error = np.std(found, axis=0) / np.sqrt(len(found))
    size = np.abs(mean).max(1)
    least = np.maximum(SEEN, SEEN_SHARE * size.max())
    sure = (size >= least) & (np.abs(mean) > SURE * error).any(1)
    reach = int(np.argmin(sure)) if not sure.all() else farthest
    if not reach or reach > farthest - GROUND_PX:  # what differs as far as one looks is the scene
        return MARGIN_PX
    falls = float(size[reach - 1] / size[reach - 2]) if reach > 1 else FALLS[0]
    if reach <= MARGIN_PX and falls > FALLS[1]:  # no shadow ends so slowly so near
        return MARGIN_PX
    falls = float(np.clip(falls, *FALLS))
    tail = max(0.0, float(np.log(SEEN / size[reach - 1]) / np.log(falls)))
    return max(MARGIN_PX, reach + 1 + min(round(tail), place.px(TAIL_PX)))


def _profiles(state: State, farthest: int) -> list[tuple[int, NDArray[np.float64]]]:
    """How the picture differs from that farther out, by distance, [farthest, 3] for each numbered piece of the text."""
    away = distance(state.strokes)
    columns = np.arange(away.shape[1])[None] // (4 * farthest)
    rows = np.arange(away.shape[0])[:, None] // (2 * farthest)
    pieces = rows * (int(columns.max()) + 1) + columns
    count = int(pieces.max()) + 1
    counts, sums = np.zeros((farthest, count)), np.zeros((farthest, count, 3))
    for step in range(1, farthest + 1):
        at = (away > step - 0.5) & (away <= step + 0.5)
        counts[step - 1] = np.bincount(pieces[at], minlength=count)
        for channel in range(3):
            sums[step - 1, :, channel] = np.bincount(pieces[at], state.mean[..., channel][at], count)
    good = (counts >= 12).all(0)
    means = sums[:, good] / counts[:, good, None]
    ground = means[-GROUND_PX:].mean(0)
    return list(zip(np.flatnonzero(good).tolist(), (means - ground).transpose(1, 0, 2), strict=True))


def distance(strokes: Mask) -> NDArray[np.float32]:
    """Distance of each pixel from the strokes, px."""
    if not strokes.any():
        return np.full(strokes.shape, 1e6, np.float32)
    return np.asarray(cv2.distanceTransform((~strokes).view(np.uint8), cv2.DIST_L2, 5), np.float32)
