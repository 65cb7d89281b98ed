"""Before a scene that stands still: what comes and goes is overlay, soft shadows and translucent plates too."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.refine.presence import Seen
from waterz_spool.detect.refine.scene import Look, Place
from waterz_spool.detect.refine.steady import Mask
from waterz_spool.detect.refine.strokes import grown

STILL = 8.0  # grey levels by which nine tenths of the scene beside the box change at most
LEAST = 6.0  # grey levels of a change that is no noise
OVER_NOISE = 2.0
FULL = 0.9  # of its contrast: an overlay has fully come
NEAR_FRAMES = 16  # between its first frame and the one in which it has fully come
MOSTLY = 0.5  # of the strokes change when most of them do: then those that never do are the scene's
PART_PX = 8  # at 432 lines: smaller changes apart from the strokes are noise


def changing(looks: Sequence[Look], place: Place) -> Mask | None:
    """Pixels that change at some time; None where the scene itself changes, so that this tells nothing."""
    low, high = looks[0].picture, looks[0].picture
    for look in looks[1:]:
        low, high = np.minimum(low, look.picture), np.maximum(high, look.picture)
    change = (high - low).max(2)
    noise = float(np.median(change[place.ring]))
    return grown(change > max(2 * LEAST, OVER_NOISE * noise), 1) if noise <= 2 * STILL else None


def without_scene(cores: NDArray[np.bool_], change: Mask | None) -> NDArray[np.bool_]:
    """Strokes in each frame without those that never change, where most do."""
    if change is None:
        return cores
    both = cores & change
    areas, changed = (each.reshape(len(cores), -1).sum(1) for each in (cores, both))
    return both if np.quantile(changed, 0.9) > MOSTLY * np.median(areas) else cores


def came_and_went(
    seen: Seen, strength: NDArray[np.float64], on: NDArray[np.bool_], others: Sequence[Mask | None], place: Place
) -> Mask | None:
    """All pixels that change when an overlay comes and when it goes.

    Args:
        seen: The frames.
        strength: How much of the overlay each of them has.
        on: In which it stands.
        others: What other overlays mask in each frame; None is nothing.
        place: Where the frames lie.

    Returns:
        Bool [h, w]; None where it neither comes nor goes, or the scene moves meanwhile.
    """
    same, known = np.ones(place.shape, np.bool_), np.zeros(place.shape, np.bool_)
    for inner, outer in _ends(strength, on):
        other = others[outer]
        free = np.ones(place.shape, np.bool_) if other is None else ~grown(other, 3)
        change = seen.change(inner, outer)
        ring = place.ring & free
        noise = float(np.quantile(change[ring], 0.9)) if ring.any() else np.inf
        if noise <= STILL:
            same &= (change > max(LEAST, OVER_NOISE * noise)) | ~free
            known |= free
    return same & known & place.inner if known.any() else None


def _ends(strength: NDArray[np.float64], on: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """A frame with and one without the overlay, as near as may be, at each of its ends."""
    found = []
    full = on & (strength >= FULL)
    for at in np.flatnonzero(on[1:] & ~on[:-1]):
        inside = np.flatnonzero(full[at + 1 : at + 1 + NEAR_FRAMES])
        found += [(int(at) + 1 + int(inside[0]), int(at))] if len(inside) else []
    for at in np.flatnonzero(on[:-1] & ~on[1:]):
        first = max(0, int(at) + 1 - NEAR_FRAMES)
        inside = np.flatnonzero(full[first : at + 1])
        found += [(first + int(inside[-1]), int(at) + 1)] if len(inside) else []
    return found


def with_change(strokes: Mask, change: Mask, place: Place) -> Mask:
    """Strokes, and the parts of a change that touch them or are no noise."""
    joined = cv2.morphologyEx((strokes | change).view(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    kept = stats[:, cv2.CC_STAT_AREA] >= PART_PX * place.scale**2
    kept[np.unique(labels[strokes])] = True
    kept[0] = False
    return np.asarray(kept[labels], np.bool_) | strokes
