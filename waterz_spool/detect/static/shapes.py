"""From edges that stay to the pixels of an overlay."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Box

Mask = NDArray[np.uint8]
Image = NDArray[np.float32]

MIN_PART_EDGE_PX = 12  # of a part: a dot of a text has more
CLOSE_PX = 4  # strokes this near belong together
STEADY = 0.3  # of the surroundings' temporal standard deviation: an opaque plate
RIM_EDGED = 0.5  # share of a plate's rim that has edges; measured: plates 1.0, steady background 0.05


def disc(radius: int) -> Mask:
    """A structuring element."""
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), np.uint8)


def filled(part: NDArray[np.generic]) -> Mask:
    """Every part without its holes, 0 and 1."""
    contours, _ = cv2.findContours((part != 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    done = np.zeros(part.shape, np.uint8)
    cv2.drawContours(done, contours, -1, 1, -1)
    return done


def closed(edges: NDArray[np.generic], radius: int = CLOSE_PX) -> Mask:
    """Edges as areas: gaps bridged, specks left out, holes filled.

    Returns:
        0 and 1. An edge is seen one px on both sides of where it is, so areas are larger by about one px all around.
    """
    found = (edges != 0).astype(np.uint8)
    areas = np.asarray(cv2.morphologyEx(np.pad(found, radius), cv2.MORPH_CLOSE, disc(radius)), np.uint8)
    areas = areas[radius : found.shape[0] + radius, radius : found.shape[1] + radius]
    _, labels = cv2.connectedComponents(areas)
    counts = np.bincount(labels[found > 0], minlength=int(labels.max()) + 1)
    return filled((counts >= MIN_PART_EDGE_PX)[labels] & (areas > 0))


def trimmed(areas: Mask) -> Mask:
    """Areas of edges without the px that edges are seen too far out."""
    return np.asarray(cv2.erode(areas, _CROSS), np.uint8)


def grown(areas: Mask) -> Mask:
    """Areas with one px more on each side."""
    return np.asarray(cv2.dilate(areas, _CROSS), np.uint8)


def plate(core: Mask, edges: NDArray[np.generic], activity: Image, *, around: float, box: Box) -> Mask:
    """The opaque plate on which a candidate lies: steady pixels that touch it and end at edges.

    Args:
        core: The candidate, 0 and 1.
        edges: Where edges stay often enough, nonzero.
        activity: Temporal standard deviation of the luma.
        around: The surroundings' activity.
        box: Of the candidate.

    Returns:
        0 and 1; empty where what is steady has no end, or no edges at its end: then it is background.
    """
    x0, y0, x1, y1 = box
    px, py = max(4, (x1 - x0) // 4), max(4, round(0.35 * (y1 - y0)))
    window = slice(max(0, y0 - py), y1 + py), slice(max(0, x0 - px), x1 + px)
    steady = cv2.morphologyEx((activity[window] < STEADY * around).astype(np.uint8), cv2.MORPH_OPEN, disc(1))
    _, labels = cv2.connectedComponents(steady | core[window])
    whole = np.isin(labels, np.unique(labels[core[window] > 0])).astype(np.uint8)
    done = np.zeros_like(core)
    (height, width), ends = core.shape, _ends_at_edges(whole, core[window], edges[window])
    sides = (y0 > py, whole[0]), (y1 + py < height, whole[-1]), (x0 > px, whole[:, 0]), (x1 + px < width, whole[:, -1])
    if ends and sum(side.mean() for goes_on, side in sides if goes_on) < 0.25:  # the picture's edge ends it, too
        done[window] = grown(whole & steady)
    return done


def _ends_at_edges(whole: Mask, core: Mask, edges: NDArray[np.generic]) -> bool:
    rim = (grown(whole) > whole) & (cv2.dilate(core, disc(2)) == 0)
    near = cv2.dilate((edges != 0).astype(np.uint8), disc(2)) > 0
    return not rim.any() or float(near[rim].mean()) >= RIM_EDGED


_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
