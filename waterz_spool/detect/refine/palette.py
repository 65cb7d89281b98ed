"""The colours of strokes: such that narrow things in a box have again and again, and the scene beside it has not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.refine.scene import Look, Place
from waterz_spool.detect.refine.steady import Mask

CELL = 16  # grey levels
SIDE = 256 // CELL + 2  # cells, with an empty one at both ends
NARROW = 24  # grey levels by which a stroke differs from its surroundings
MOST_WEIGHT = 80
RARE = 0.002  # added to the scene's share: a colour it never had in a few samples may still be its own
LEAST_LIFT = 3.0
LEAST_SHARE = 0.06
SURE_LIFT = 20.0  # measured: fills and outlines 5 to 500, the scene's own colours 1 to 4
MOST_COLOURS = 4
LUMA = np.array([0.114, 0.587, 0.299])

Histogram = NDArray[np.float64]


@dataclass(frozen=True)
class Colour:
    """A colour of strokes.

    Attributes:
        bgr: Its mean, float [3].
        bright: Whether it is brighter than its surroundings.
        share: Of what is narrow in the box, 0 to 1.
        lift: How many times more often it is in the box's strokes than in the scene.
    """

    bgr: NDArray[np.float64]
    bright: bool
    share: float
    lift: float

    @property
    def luma(self) -> float:
        """Brightness, 0 to 255."""
        return float(self.bgr @ LUMA)

    @property
    def sure(self) -> bool:
        """Whether the colour alone proves a stroke."""
        return self.lift > SURE_LIFT


def colours(looks: Sequence[Look], place: Place) -> list[Colour]:
    """Bright and dark colours, the likeliest of each first."""
    scene = _summed(_histogram(look.picture[place.ring]) for look in looks)
    found = []
    for bright in (True, False):
        strokes = np.zeros((SIDE, SIDE, SIDE))
        for look in looks:
            hat = look.bright if bright else look.dark
            narrow = place.zone & (hat > NARROW)
            strokes += _histogram(look.picture[narrow], np.minimum(hat[narrow], MOST_WEIGHT))
        found += _peaks(strokes, scene, bright=bright)
    return found


def _summed(parts: Iterable[Histogram]) -> Histogram:
    done = np.zeros((SIDE, SIDE, SIDE))
    for part in parts:
        done += part
    return done


def _histogram(pixels: NDArray[np.uint8], weights: NDArray[np.uint8] | None = None) -> Histogram:
    """How often each colour occurs in pixels [n, 3]."""
    cells = pixels.astype(np.int32) // CELL + 1
    flat = (cells[:, 0] * SIDE + cells[:, 1]) * SIDE + cells[:, 2]
    return np.bincount(flat, weights, SIDE**3).reshape(SIDE, SIDE, SIDE).astype(np.float64)


def widened(histogram: Histogram) -> Histogram:
    """Every cell with its 26 neighbours."""
    for axis in range(3):
        histogram = histogram + np.roll(histogram, 1, axis) + np.roll(histogram, -1, axis)
    return histogram


def unknown(pixels: NDArray[np.uint8], scene: NDArray[np.uint8]) -> float:
    """Share of pixels [n, 3] whose colour, or one near it, is nowhere in the scene's pixels [m, 3]."""
    known = widened(_histogram(scene)) > 0
    cells = pixels.astype(np.int32) // CELL + 1
    return float(1 - known[cells[:, 0], cells[:, 1], cells[:, 2]].mean()) if len(pixels) else 0.0


def _peaks(strokes: Histogram, scene: Histogram, *, bright: bool) -> list[Colour]:
    total = strokes.sum()
    if total < 20 * NARROW:
        return []
    rare = widened(scene) / max(1.0, scene.sum()) + RARE
    left = strokes.copy()
    found: list[Colour] = []
    for _ in range(MOST_COLOURS):
        mass = widened(left) / total
        lift = mass / rare
        good = (lift > (SURE_LIFT if found else LEAST_LIFT)) & (mass > LEAST_SHARE)
        if not good.any():
            break
        score = np.where(good, mass * np.log(np.maximum(lift, 1.01)) ** 2, 0)
        at = np.unravel_index(int(score.argmax()), score.shape)
        found.append(Colour(_taken(left, at), bright, float(mass[at]), float(lift[at])))
    return found


def _taken(left: Histogram, at: tuple[np.intp, ...]) -> NDArray[np.float64]:
    """The mean colour of a cell and its neighbours, which are emptied."""
    near = tuple(slice(max(0, int(i) - 1), int(i) + 2) for i in at)
    weights = left[near].copy()
    places = np.stack(np.meshgrid(*(np.arange(part.start, min(part.stop, SIDE)) for part in near), indexing="ij"), -1)
    left[near] = 0
    mean: NDArray[np.float64] = (weights[..., None] * (places - 0.5) * CELL).sum((0, 1, 2)) / max(weights.sum(), 1e-9)
    return mean


def near(look: Look, colour: Colour, tolerance: float, hat: float) -> Mask:
    """Narrow pixels of a colour: every channel within the tolerance, and so much brighter or darker than around."""
    low, high = np.clip(np.ceil(colour.bgr - tolerance), 0, 255), np.clip(np.floor(colour.bgr + tolerance), 0, 255)
    alike = cv2.inRange(look.picture, low, high)
    return np.asarray((alike > 0) & ((look.bright if colour.bright else look.dark) > hat), np.bool_)
