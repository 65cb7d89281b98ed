"""Before a scene that moves: edges that stay are overlay, whatever its colours."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.refine.presence import Seen
from waterz_spool.detect.refine.scene import Place
from waterz_spool.detect.refine.steady import Mask
from waterz_spool.detect.static.shapes import disc, filled

LEAST_FRAMES = 8
MOST_FRAMES = 24
EDGE = 6.0  # grey levels per px of the mean gradient
SPREAD = 0.6  # of it: how much the gradient may change through time
SCENE = 0.03  # of the scene's pixels may show such edges, else it does not move enough
SPECK_PX = 6
MOVES = 5.0  # grey levels of change beside the box: then what hardly changes is an opaque body
CALMER = 0.65  # of it, at most, an overlay changes, translucent ones too
STEADY = 0.3  # of that change
STEADY_SCENE = 0.1  # of the scene's pixels may be as steady
BODY_PX = 40  # at 432 lines


def steadier(seen: Seen, on: NDArray[np.bool_], where: Mask, place: Place) -> bool:
    """Whether pixels change less than the scene around the box, as what is painted over it does.

    Args:
        seen: The frames.
        on: Frames to compare.
        where: The pixels, bool [h, w].
        place: Where they lie.

    Returns:
        True also where the scene stands still: then nothing can be told.
    """
    held = np.flatnonzero(on)
    if len(held) < 2:
        return True
    wanted = held[np.unique(np.linspace(0, len(held) - 1, MOST_FRAMES).round().astype(int))]
    change = np.std(np.stack([seen.luma(int(index)) for index in wanted]), axis=0, dtype=np.float32)
    around = float(np.median(change[place.ring]))
    return around < MOVES or float(np.median(change[where])) < CALMER * around


def staying(seen: Seen, on: NDArray[np.bool_], place: Place) -> Mask | None:
    """What stays while an overlay stands: its edges, what they enclose, and opaque bodies that touch them.

    Args:
        seen: The frames.
        on: In which it stands.
        place: Where they lie.

    Returns:
        Bool [h, w] inside the box; None where the scene beside it does not move enough to tell.
    """
    held = np.flatnonzero(on)
    if len(held) < LEAST_FRAMES:
        return None
    wanted = held[np.unique(np.linspace(0, len(held) - 1, MOST_FRAMES).round().astype(int))]
    lumas = [seen.luma(int(index)) for index in wanted]
    edges = _edges(lumas)
    if edges[place.ring].mean() > SCENE:
        return None
    found = _parts(edges & place.inner, SPECK_PX * place.scale**2)
    change = np.std(np.stack(lumas), axis=0, dtype=np.float32)
    around = float(np.median(change[place.ring]))
    steady = change < STEADY * around
    if around > MOVES and steady[place.ring].mean() <= STEADY_SCENE:
        opened = cv2.morphologyEx((steady & place.inner).view(np.uint8), cv2.MORPH_OPEN, disc(1)) > 0
        found = found | (_parts(opened | found, BODY_PX * place.scale**2, touching=found) & opened)
    return filled(cv2.morphologyEx(found.view(np.uint8), cv2.MORPH_CLOSE, disc(2))) > 0


def _edges(lumas: Sequence[NDArray[np.uint8]]) -> Mask:
    """Pixels whose gradient is the same in all frames."""
    first, second = np.zeros((2, *lumas[0].shape), np.float32), np.zeros(lumas[0].shape, np.float32)
    for luma in lumas:
        slope = np.stack([cv2.Scharr(luma, cv2.CV_32F, dx, 1 - dx, scale=1 / 16) for dx in (1, 0)])
        first += slope
        second += (slope * slope).sum(0)
    mean = first / len(lumas)
    square = (mean * mean).sum(0)
    spread = np.sqrt(np.maximum(second / len(lumas) - square, 0))
    size = np.sqrt(square)
    return np.asarray((size > EDGE) & (spread < SPREAD * size + 1), np.bool_)


def _parts(mask: Mask, least: float, *, touching: Mask | None = None) -> Mask:
    """Its parts of at least so many px, perhaps only those that touch another mask."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    kept = stats[:, cv2.CC_STAT_AREA] >= least
    if touching is not None:
        kept &= np.isin(np.arange(len(kept)), labels[touching])
    kept[0] = False
    return np.asarray(kept[labels], np.bool_)
