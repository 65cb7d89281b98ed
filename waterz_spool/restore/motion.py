"""Camera motion around an overlay: one affine transform per pair of consecutive frames.

Coarse to fine over the visible pixels, those near the overlay counting most. Each pair is estimated from its own two
frames alone, so that a result never depends on where a segment begins.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.restore.align import (
    REST,
    TRANSLATION,
    Fit,
    Support,
    View,
    align,
    promise,
    support,
    to_matrix,
    translation,
    view,
)
from waterz_spool.restore.base import Clip
from waterz_spool.restore.masks import MaskGroups
from waterz_spool.restore.search import Spectra, best_shift, spectra

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]

_GUARD_PX = 4  # pixels this close to an overlay are not trusted
_REACH_PX = 48.0  # weight falls by e over this distance from the overlay
_SMALLEST_PX = 24  # a level is halved only while its shorter side is at least this
_SEARCH_PX = 24000  # the coarsest level has at most this area
_USABLE = 0.7  # share of a coarse pixel that must be usable
_FRAMES_KEPT = 4
_CUT_RESIDUAL = 25.0
_CUT_INLIERS = 0.15


@dataclass(frozen=True)
class Motion:
    """How one frame moves to the next.

    Attributes:
        matrix: 3x3, pixel position in the frame to position in the next one.
        inverse: The way back.
        residual: Robust standard deviation of the aligned luma, 8-bit levels.
        inliers: Share of usable pixels within 2.5 residuals.
    """

    matrix: Matrix
    inverse: Matrix
    residual: float
    inliers: float

    @property
    def cut(self) -> bool:
        """Whether the two frames show different scenes, or cannot be compared."""
        return self.residual > _CUT_RESIDUAL or self.inliers < _CUT_INLIERS


@dataclass(frozen=True)
class _Pyramid:
    """One frame, fine to coarse, with what the search needs of the coarsest level."""

    views: list[View]
    spectra: Spectra


class Motions:
    """Motion between the frames of a clip, estimated when first asked for; threads may share it.

    Args:
        clip: The clip.
        groups: Its masks.
        tell: Told how many motions are known.
    """

    def __init__(self, clip: Clip, groups: MaskGroups, *, tell: Callable[[int], None] = lambda motions: None) -> None:
        self._clip, self._groups, self._tell = clip, groups, tell
        self._lock = threading.Lock()
        self._known: dict[int, Motion] = {}
        self._pyramids: OrderedDict[int, _Pyramid] = OrderedDict()
        self._shapes = _level_shapes(*clip.frames.shape[1:3])

    def between(self, frame: int) -> Motion:
        """Motion from a frame to the next one."""
        with self._lock:
            if frame not in self._known:
                self._known[frame] = _estimate(self._pyramid(frame), self._pyramid(frame + 1))
                self._tell(len(self._known))
            return self._known[frame]

    def _pyramid(self, frame: int) -> _Pyramid:
        if frame not in self._pyramids:
            key = self._groups.keys[frame]
            levels = self._groups.cached("motion", key, lambda hidden: _supports(hidden, self._shapes))
            self._pyramids[frame] = _pyramid(luma(self._clip, frame), levels)
            while len(self._pyramids) > _FRAMES_KEPT:
                self._pyramids.popitem(last=False)
        return self._pyramids[frame]


def luma(clip: Clip, frame: int) -> Floats:
    """Brightness of a frame as float32 [H, W] on the 8-bit scale."""
    scale = 2.0 ** (8 - clip.bits)
    pixels = clip.frames[frame]
    if clip.family != "rgb":
        return np.asarray(np.multiply(pixels[..., 0], scale, dtype=np.float32))
    weights = np.array([[0.299, 0.587, 0.114]], np.float32) * np.float32(scale)
    return np.asarray(cv2.transform(pixels.astype(np.float32), weights), np.float32)


def _level_shapes(height: int, width: int) -> list[tuple[int, int]]:
    """Halved at least once where the size allows, then until a search is cheap; all sides divide exactly."""
    levels = 1
    while min(height, width) >> (levels - 1) >= _SMALLEST_PX and (
        levels == 1 or (height * width) >> (2 * (levels - 1)) > _SEARCH_PX
    ):
        levels += 1
    step = 1 << (levels - 1)
    height, width = height // step * step, width // step * step
    return [(height >> level, width >> level) for level in range(levels)]


def _supports(hidden: NDArray[np.bool_], shapes: list[tuple[int, int]]) -> list[Support]:
    height, width = shapes[0]
    mask = hidden[:height, :width].astype(np.uint8)
    near = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _GUARD_PX + 1,) * 2))
    usable = (near == 0).astype(np.float32)
    weight = np.ones((height, width), np.float32)
    if mask.any():
        weight = np.exp(cv2.distanceTransform(1 - mask, cv2.DIST_L2, 3) / np.float32(-_REACH_PX))
    levels = []
    for rows, columns in shapes:
        if (rows, columns) != usable.shape:
            usable, weight = (
                cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA) for part in (usable, weight)
            )
        levels.append(support(usable > _USABLE, weight))
        usable = levels[-1].usable.astype(np.float32)
    return levels


def _pyramid(gray: Floats, levels: list[Support]) -> _Pyramid:
    height, width = levels[0].shape
    gray = gray[:height, :width]
    views = []
    for level in levels:
        if level.shape != gray.shape:
            gray = cv2.resize(gray, level.shape[::-1], interpolation=cv2.INTER_AREA)
        views.append(view(gray, level))
    return _Pyramid(views, spectra(gray, levels[-1].usable))


def _estimate(here: _Pyramid, there: _Pyramid) -> Motion:
    fit = _first(here, there)
    for number in range(len(here.views) - 2, -1, -1):
        fit = align(here.views[number], there.views[number], fit.doubled())
    matrix = to_matrix(fit.flow, here.views[0].shape)
    return Motion(matrix, np.asarray(np.linalg.inv(matrix), np.float64), fit.residual, fit.inliers)


def _first(here: _Pyramid, there: _Pyramid) -> Fit:
    """The coarsest level, from rest or from the best shift of all, whichever promises more."""
    pair = here.views[-1], there.views[-1]
    starts = [REST]
    shift = best_shift(here.spectra, there.spectra)
    if shift != (0, 0):
        starts.append(align(*pair, translation(*shift), free=TRANSLATION, steps=2))
    return align(*pair, min(starts, key=lambda start: promise(*pair, start)))
