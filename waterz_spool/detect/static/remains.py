"""What stays beside a mask and is not in it: then an overlay was found in part only, and nothing may be taken.

Two things give it away. Pixels that hardly change go on from the mask and end at edges: an opaque plate as bright as
the mean of what passes behind it has no edge whose sign persists, but its inside does not move. And edges stay at their
exact pixels beside the mask for nearly all of the time.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.static.shapes import MIN_PART_EDGE_PX, RIM_EDGED, STEADY, Image, Mask, disc, grown

REACH = 1.5  # of the mask's height, on all sides; plates behind a text reach that far
MIN_REACH_PX = 8
RIM_PX = 3  # beside the mask: its own antialiased rim
STAYING = 0.75  # share of the short windows; measured beside whole overlays: at most 0.6 in connected pixels
ENDING = 0.25  # share of the short windows in which the edge at which a plate ends is seen
MIN_STEADY_SHARE = 0.1  # of the mask; measured: whole overlays 0.00, text on a plate 1.0 and more


def remains(mask: Mask, taken: Mask, share: Image, activity: Image, *, around: float) -> Mask:
    """What stays beside an overlay, 0 and 1 [H, W].

    Args:
        mask: Of the overlay, 0 and 1, with some pixels.
        taken: Of all overlays.
        share: In which share of the short windows each pixel's edge persists.
        activity: Temporal standard deviation of the luma.
        around: That of the overlay's surroundings.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    reach = max(MIN_REACH_PX, round(REACH * (rows[-1] + 1 - rows[0])))
    window = (
        slice(max(0, rows[0] - reach), rows[-1] + 1 + reach),
        slice(max(0, columns[0] - reach), columns[-1] + 1 + reach),
    )
    beside = cv2.dilate(taken[window], disc(RIM_PX)) == 0
    edges = _staying(share[window], beside)
    done = np.zeros_like(mask)
    done[window] = edges | _going_on(mask[window], share[window], activity[window], around=around, beside=beside)
    return done


def _staying(share: Image, beside: NDArray[np.bool_]) -> Mask:
    """Edges that stay all the time, without specks."""
    found = ((share >= STAYING) & beside).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
    return np.asarray(found & (stats[:, cv2.CC_STAT_AREA] >= MIN_PART_EDGE_PX)[labels], np.uint8)


def _going_on(
    mask: Mask,
    share: Image,
    activity: Image,
    *,
    around: float,
    beside: NDArray[np.bool_],
) -> Mask:
    """Pixels that hardly change, go on from the mask and end at edges; what has no end is background."""
    steady = cv2.morphologyEx((activity < STEADY * around).astype(np.uint8), cv2.MORPH_OPEN, disc(1))
    _, labels = cv2.connectedComponents(steady | mask)
    whole = np.isin(labels, np.unique(labels[mask > 0])).astype(np.uint8)
    more = whole & beside
    rim = (grown(whole) > whole) & beside
    near = cv2.dilate((share >= ENDING).astype(np.uint8), disc(2)) > 0
    ends = rim.any() and float(near[rim].mean()) >= RIM_EDGED
    enough = int(more.sum()) >= MIN_STEADY_SHARE * int(mask.sum())
    return np.asarray(more if ends and enough else np.zeros_like(mask), np.uint8)
