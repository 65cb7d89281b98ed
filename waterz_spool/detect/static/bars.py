"""Bars beside the picture: plain, without any movement, while the picture between them moves.

Their inner edges stay in place and are no overlay. What stands in a bar has nothing moving behind it: nothing proves
it an overlay, so it is told, with its place.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.base import Rejected
from waterz_spool.detect.static.shapes import Image, Mask
from waterz_spool.records import Box

IN_BAR = "it stands in a bar beside the picture, where nothing moves behind it"
GOES_ON = "it goes on in a bar beside the picture"
TOLD = 0.6  # confidence of what stands in a bar

MOVING = 3.0  # temporal standard deviation from which on a pixel belongs to the picture, grey levels
STILL = 1.5  # at most, in a bar
MOST_OFF = 6.0  # grey levels from the bar's own
MIN_PLAIN = 0.6  # share of a bar's pixels that are still and have its level
MIN_MOVING = 0.25  # share of a row or column of the picture, of the usual one's
EDGE_MOVING = 0.5  # share of the picture's outermost pixels: a bar ends at once, a dark sky does not
SEAM_PX = 2  # beside a bar, where its inner edge is seen
MIN_MARK_PX = 12  # pixels of a thing in a bar
JOIN_PX = 9  # things in a bar so near belong together


def picture_box(activity: Image, mean: Image) -> Box:
    """The part of the picture that is no bar; all of it where there is none.

    Args:
        activity: Temporal standard deviation of the luma, grey levels [H, W].
        mean: Its mean over time.
    """
    moving = activity >= MOVING
    height, width = moving.shape
    if not moving.any():
        return 0, 0, width, height
    top, bottom = _span(moving.mean(axis=1))
    left, right = _span(moving[top:bottom].mean(axis=0))
    inside = moving[top:bottom, left:right]
    still = activity <= STILL
    if not _is_bar(still[:top], mean[:top], inside[: SEAM_PX + 1]):
        top = 0
    if not _is_bar(still[bottom:], mean[bottom:], inside[-SEAM_PX - 1 :]):
        bottom = height
    if not _is_bar(still[:, :left], mean[:, :left], inside[:, : SEAM_PX + 1]):
        left = 0
    if not _is_bar(still[:, right:], mean[:, right:], inside[:, -SEAM_PX - 1 :]):
        right = width
    return left, top, right, bottom


def _span(shares: NDArray[np.floating]) -> tuple[int, int]:
    found = np.flatnonzero(shares >= max(1e-6, MIN_MOVING * float(np.median(shares[shares > 0]))))
    return (int(found[0]), int(found[-1]) + 1) if len(found) else (0, len(shares))


def _is_bar(still: NDArray[np.bool_], mean: Image, edge: NDArray[np.bool_]) -> bool:
    if not still.any() or edge.mean() < EDGE_MOVING:
        return False
    return float((still & (np.abs(mean - np.median(mean[still])) <= MOST_OFF)).mean()) >= MIN_PLAIN


def without_seam(box: Box, shape: tuple[int, int]) -> Box:
    """The picture without the px beside bars."""
    x0, y0, x1, y1 = box
    height, width = shape
    return (
        x0 + SEAM_PX * (x0 > 0),
        y0 + SEAM_PX * (y0 > 0),
        x1 - SEAM_PX * (x1 < width),
        y1 - SEAM_PX * (y1 < height),
    )


def marks(mean: Image, picture: Box) -> Mask:
    """What stands in the bars, 0 and 1 [H, W]: it differs from the bar's own level."""
    x0, y0, x1, y1 = picture
    found = np.zeros(mean.shape, np.uint8)
    bars = (
        (slice(0, max(0, y0 - SEAM_PX)), slice(None)),
        (slice(y1 + SEAM_PX, None), slice(None)),
        (slice(y0, y1), slice(0, max(0, x0 - SEAM_PX))),
        (slice(y0, y1), slice(x1 + SEAM_PX, None)),
    )
    for bar in bars:
        if mean[bar].size:
            found[bar] = np.abs(mean[bar] - np.median(mean[bar])) > 2 * MOST_OFF
    return found


def reaching(found: Mask, stays: NDArray[np.generic], picture: Box) -> Mask:
    """What goes on from the bars into the picture, 0 and 1 [H, W].

    Args:
        found: What stands in the bars, 0 and 1 [H, W].
        stays: What stays in the picture: overlays, edges, pixels that hardly change; nonzero.
        picture: The part between the bars.
    """
    x0, y0, x1, y1 = without_seam(picture, found.shape)
    inside = np.zeros_like(found)
    inside[y0:y1, x0:x1] = stays[y0:y1, x0:x1] != 0
    labels, near = cv2.connectedComponents(inside)[1], cv2.dilate(found, np.ones((2 * JOIN_PX + 1,) * 2, np.uint8))
    return np.isin(labels, np.unique(labels[(near > 0) & (inside > 0)])).astype(np.uint8) & inside


def told(found: Mask, *, beside: Mask) -> list[Rejected]:
    """The things in the bars, each with its box.

    Args:
        found: What stands in them, 0 and 1 [H, W].
        beside: What goes on from them into the picture; the box of a thing holds it, too.
    """
    joined = cv2.morphologyEx(found | beside, cv2.MORPH_CLOSE, np.ones((JOIN_PX, JOIN_PX), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    items = []
    for label in range(1, count):
        x, y, w, h = (int(value) for value in stats[label, :4])
        if int(found[labels == label].sum()) >= MIN_MARK_PX:
            why = GOES_ON if beside[labels == label].any() else IN_BAR
            items.append(Rejected((x, y, x + w, y + h), why, TOLD, missing=True))
    return items
