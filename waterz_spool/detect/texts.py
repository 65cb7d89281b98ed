"""Text that changes beside what stays: the seconds of a timestamp.

Pixels of a changing text are edges in many short windows, more than the scene's and fewer than what stays. Where such
pixels lie beside an overlay that stays, they belong to it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.shapes import Image, Mask, closed, disc, trimmed
from waterz_spool.records import Box

MIN_SHARE = 0.15  # of the short windows: a pixel used by a few of ten digits
MAX_SCENE_SHARE = 0.5  # of nearly all edges of the scene: beyond, nothing can be told from it
HALO_PX = 3  # around what stays: its own edges, seen a little outside
REACH = 0.5  # of an overlay's height: text farther away is not its own
MOST_WIDTH = 2.0  # of its height: wider is no digit, but an edge along which the camera moves
LEAST_HEIGHT = 0.4  # of an overlay's: lower is no digit


def with_changing_text(taken: Mask, share: Image, *, scene_share: float) -> Mask:
    """Overlays that stay, and all states of the text that changes beside them.

    Args:
        taken: Overlays that stay, 0 and 1.
        share: In which share of short windows each pixel's edge persists, 0 to 1, [H, W].
        scene_share: Of nearly all of the scene's edges.
    """
    if scene_share > MAX_SCENE_SHARE:
        return taken
    often = (share > max(MIN_SHARE, scene_share)) & (cv2.dilate(taken, disc(HALO_PX)) == 0)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed(often), connectivity=8)
    parts = {label: box_of(stats[label]) for label in range(1, count)}
    own: list[int] = []
    for overlay in map(box_of, cv2.connectedComponentsWithStats(taken, connectivity=8)[2][1:]):
        own += _beside(overlay, parts)
    return np.asarray(taken | trimmed(closed(often & np.isin(labels, own))), np.uint8)


def _beside(overlay: Box, parts: dict[int, Box]) -> list[int]:
    """Parts of the height of an overlay in its line, digits beside digits."""
    x0, y0, x1, y1 = overlay
    height = y1 - y0
    line = {
        label: (left, right)
        for label, (left, top, right, bottom) in parts.items()
        if top >= y0 - height // 4
        and bottom <= y1 + height // 4
        and bottom - top >= max(LEAST_HEIGHT * height, (right - left) / MOST_WIDTH)
    }
    own: list[int] = []
    while near := [k for k, (a, b) in line.items() if a <= x1 + REACH * height and b >= x0 - REACH * height]:
        for label in near:
            left, right = line.pop(label)
            x0, x1 = min(x0, left), max(x1, right)
        own += near
    return own


def box_of(stats: NDArray[np.int32]) -> Box:
    """The box of a component, from cv2's statistics."""
    x, y, w, h = (int(value) for value in stats[:4])
    return x, y, x + w, y + h
