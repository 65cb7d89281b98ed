"""How far to trust what other frames show: corrected and weighed on the ring, where the truth is known.

Two experts fill a hole: the temporal one (`sources`) and the spatial one (`membrane`). Both also predict the ring as if
it were hidden; the blend weight is the local least-squares mixture that predicts it best (stacking: Wolpert, "Stacked
generalization", 1992, made local by Gaussian windows).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.restore.holes import RING_PX, Hole
from waterz_spool.restore.sources import Seen

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

_NEAR_PX = max(4.0, 1.5 * RING_PX)
_FAR = 4  # far window: this many near ones
_LARGEST_OFFSET = 40  # 8-bit levels: what exposure and vignetting may change, not content
_FAR_SHARE = np.float32(0.2)


@dataclass(frozen=True)
class Ring:
    """The ring of one frame: [n, C] as it is and as the membrane of hole and ring predicts it."""

    truth: Floats
    spatial: Floats


@dataclass(frozen=True)
class Mixed:
    """A filled hole: [m, C], and the weight of the temporal expert in it, [m], 0 where it knows nothing."""

    fill: Floats
    trust: Floats


def mix(here: Hole, seen: Seen, spatial: Floats, ring: Ring, *, scale: float) -> Mixed:
    """Blend both experts inside a hole.

    Args:
        here: The hole.
        seen: The temporal expert.
        spatial: float32 [m, C], the membrane of the hidden pixels.
        ring: What judges them.
        scale: Sample values per 8-bit level.
    """
    has = seen.has.ravel()
    judged = np.flatnonzero(has[here.ring])
    at = here.ring[judged]
    truth, smooth = ring.truth[judged], ring.spatial[judged]
    colour = seen.colour.reshape(len(has), -1)
    offset = _offset(here, at, truth - colour[at], scale)
    trust = _trust(
        here, at, (smooth - truth) / np.float32(scale), (smooth - colour[at] - offset[at]) / np.float32(scale)
    )
    weight = trust[here.inside] * has[here.inside]
    temporal = colour[here.inside] + offset[here.inside]
    return Mixed(spatial + weight[:, None] * (temporal - spatial), weight)


def _offset(here: Hole, at: Indices, error: Floats, scale: float) -> Floats:
    """The smooth offset that the temporal expert lacks, from its clipped error on the ring: [h * w, C]."""
    limit = np.float32(_LARGEST_OFFSET * scale)
    counted = np.concatenate([np.clip(error, -limit, limit), np.ones((len(at), 1), np.float32)], axis=1)
    near, far = _windows(here, at, counted)
    near[:, -1] += np.float32(1e-3)
    far[:, -1] += np.float32(1e-4)
    far_only = near[:, -1] < 0.021
    near[far_only] = far[far_only]
    return np.asarray(near[:, :-1] / near[:, -1:], np.float32)


def _trust(here: Hole, at: Indices, error: Floats, change: Floats) -> Floats:
    """Least-squares weight of the temporal expert, [h * w].

    Args:
        here: The hole.
        at: Ring pixels, flat.
        error: [n, C], spatial expert minus truth.
        change: [n, C], spatial expert minus temporal expert.
    """
    products = np.stack([(error * change).mean(1), np.square(change).mean(1)], axis=1)
    near, far = _windows(here, at, products)
    sums = near + _FAR_SHARE * far
    return np.asarray(np.clip(sums[:, 0] / (sums[:, 1] + np.float32(1e-3)), 0, 1), np.float32)


def _windows(here: Hole, at: Indices, values: Floats) -> tuple[Floats, Floats]:
    """Means of values [n, K] at flat pixels under a near and a far Gaussian window: [h * w, K] each.

    Nothing lies beyond the border. Both are smooth, so they are taken at a fraction of the size.
    """
    image = np.zeros((*here.ringed.shape, values.shape[1]), np.float32)
    image.reshape(-1, values.shape[1])[at] = values
    near, far = _window(image, _NEAR_PX, 2), _window(image, _NEAR_PX * _FAR, 8)
    return near.reshape(-1, values.shape[1]), far.reshape(-1, values.shape[1])


def _window(image: Floats, sigma_px: float, factor: int) -> Floats:
    height, width = image.shape[:2]
    small = cv2.resize(image, (-(-width // factor), -(-height // factor)), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), sigma_px / factor, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
