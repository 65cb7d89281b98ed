"""Camera motion around an overlay: one affine transform per pair of consecutive frames.

Direct alignment of the visible pixels: robust Gauss-Newton over an image pyramid (Baker and Matthews, "Lucas-Kanade 20
years on", IJCV 2004; Odobez and Bouthemy, "Robust multiresolution estimation of parametric motion models", JVCIR 1995)
with gain and bias (Bartoli, "Groupwise geometric and photometric direct image registration", PAMI 2008). Each pair is
estimated from its own two frames alone, so that a result never depends on where a segment begins.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.restore.base import Clip
from waterz_spool.restore.masks import MaskGroups
from waterz_spool.restore.search import Spectra, best_shift, spectra

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]

GUARD_PX = 4  # pixels this close to an overlay are not trusted
_REACH_PX = 48.0  # weight falls by e over this distance from the overlay
_LEVELS = 4
_SMALLEST_PX = 24  # a level is halved only while its shorter side is at least this
_ITERATIONS = 6
_CLOSE = 0.003  # normalised flow: below it a level has converged
_BLUR_PX = 0.8
_STEP = 1.5
_ESM=120
_HIDDEN = np.float32(1e5)  # sample value of what must not be used: its residual gets no weight
_SEARCH_PX = 24000  # largest level to search
_ROW = 256
_FEWEST = 60
_COST_SCALE = 3.0  # 8-bit levels
_TRANSLATION = [0, 3]
_CUT_RESIDUAL = 25.0
_CUT_INLIERS = 0.15


@dataclass(frozen=True)
class Motion:
    """How one frame moves to the next.

    Attributes:
        matrix: 3x3, pixel position in the frame to position in the next one.
        residual: Robust standard deviation of the aligned luma, 8-bit levels.
        inliers: Share of usable pixels within 2.5 residuals.
    """

    matrix: Matrix
    residual: float
    inliers: float

    @property
    def cut(self) -> bool:
        """Whether the two frames show different scenes, or cannot be compared."""
        return self.residual > _CUT_RESIDUAL or self.inliers < _CUT_INLIERS


@dataclass(frozen=True)
class _Support:
    """The usable pixels of one level under one mask, in rows of _ROW (the last row is filled with weight 0)."""

    shape: tuple[int, int]
    usable: NDArray[np.bool_]
    index: NDArray[np.intp]  # [n, ROW] into the flat level
    x: Floats
    y: Floats
    across: Floats  # x, y from the centre, in [-1, 1] along the longer side
    down: Floats
    weight: Floats
    count: int


@dataclass(frozen=True)
class _View:
    """One frame at one level."""

    image: Floats  # blurred; _HIDDEN where it must not be used
    samples: Floats  # [n, ROW] of the support
    columns: Floats  # [n, 8, ROW]: Jacobian of the residual by motion (6), gain, bias
    slopes: tuple[Floats, Floats]
    spectra: Spectra | None = None


@dataclass(frozen=True)
class _Fit:
    flow: Matrix  # 6 normalised affine coefficients, px of the level
    light: Matrix  # gain, bias
    residual: float = 1e3
    inliers: float = 0.0
    cost: float = 1.0  # 0..1, to choose between fits


_REST = _Fit(np.zeros(6), np.zeros(2))


class Motions:
    """Motion between the frames of a clip, estimated when first asked for.

    Args:
        clip: The clip.
        groups: Its masks.
    """

    def __init__(self, clip: Clip, groups: MaskGroups) -> None:
        self._clip, self._groups = clip, groups
        self._known: dict[int, Motion] = {}
        self._views: OrderedDict[int, list[_View]] = OrderedDict()
        height, width = clip.frames.shape[1:3]
        self._shapes = _level_shapes(height, width)
        areas = [rows * columns for rows, columns in self._shapes]
        self._search_level = next((i for i, a in enumerate(areas) if i and a <= _SEARCH_PX), len(areas) - 1)

    def between(self, frame: int) -> Motion:
        """Motion from a frame to the next one."""
        if frame not in self._known:
            self._known[frame] = self._estimate(frame)
        return self._known[frame]

    def _estimate(self, frame: int) -> Motion:
        supports = self._supports(frame)
        here, there = self._view(frame), self._view(frame + 1)
        fit = _REST
        for level in range(len(self._shapes) - 1, -1, -1):
            starts = [replace(fit, flow=fit.flow * 2)]
            if level == self._search_level:
                starts.append(_shifted(supports[level], here[level], there[level]))
            fits = [_align(supports[level], here[level], there[level], start) for start in starts]
            fit = min(fits, key=lambda fit: fit.cost)
        return Motion(_to_matrix(fit.flow, self._shapes[0]), fit.residual, fit.inliers)

    def _supports(self, frame: int) -> list[_Support]:
        return self._groups.cached("motion", self._groups.keys[frame], lambda hidden: _supports(hidden, self._shapes))

    def _view(self, frame: int) -> list[_View]:
        if frame not in self._views:
            self._views[frame] = _views(luma(self._clip, frame), self._supports(frame), self._search_level)
            while len(self._views) > 4:
                self._views.popitem(last=False)
        return self._views[frame]


def luma(clip: Clip, frame: int) -> Floats:
    """Brightness of a frame as float32 [H, W] on the 8-bit scale."""
    scale = 2.0 ** (8 - clip.bits)
    pixels = clip.frames[frame]
    if clip.family != "rgb":
        return np.multiply(pixels[..., 0], scale, dtype=np.float32)
    weights = np.array([[0.299, 0.587, 0.114]], np.float32) * np.float32(scale)
    return np.asarray(cv2.transform(pixels.astype(np.float32), weights), np.float32)


def _level_shapes(height: int, width: int) -> list[tuple[int, int]]:
    levels = 1
    while levels < _LEVELS and min(height, width) >> (levels - 1) >= _SMALLEST_PX:
        levels += 1
    step = 1 << (levels - 1)
    height, width = height // step * step, width // step * step
    return [(height >> level, width >> level) for level in range(levels)]


def _supports(hidden: NDArray[np.bool_], shapes: list[tuple[int, int]]) -> list[_Support]:
    height, width = shapes[0]
    hidden_here = hidden[:height, :width].astype(np.uint8)
    near = cv2.dilate(hidden_here, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * GUARD_PX + 1,) * 2))
    usable = (near == 0).astype(np.float32)
    if hidden_here.any():
        distance = cv2.distanceTransform(1 - hidden_here, cv2.DIST_L2, 3)
        weight = np.exp(distance / np.float32(-_REACH_PX))
    else:
        weight = np.ones((height, width), np.float32)
    out = [_support(usable > 0.7, weight)]
    for rows, columns in shapes[1:]:
        usable = cv2.resize(usable, (columns, rows), interpolation=cv2.INTER_AREA)
        weight = cv2.resize(weight, (columns, rows), interpolation=cv2.INTER_AREA)
        out.append(_support(usable > 0.7, weight))
        usable = (usable > 0.7).astype(np.float32)
    return out


def _support(usable: NDArray[np.bool_], weight: Floats) -> _Support:
    flat = np.flatnonzero(usable)
    rows = max(-(-len(flat) // _ROW), 1)
    index = np.zeros(rows * _ROW, np.intp)
    index[: len(flat)] = flat
    weights = np.zeros(rows * _ROW, np.float32)
    weights[: len(flat)] = weight.ravel()[flat]
    y, x = np.divmod(index, usable.shape[1])
    height, width = usable.shape
    half = max(height, width) / 2
    parts = (x, y, (x - (width - 1) / 2) / half, (y - (height - 1) / 2) / half, weights)
    grid = [part.astype(np.float32).reshape(rows, _ROW) for part in parts]
    return _Support((height, width), usable, index.reshape(rows, _ROW), *grid, len(flat))


def _views(gray: Floats, supports: list[_Support], search_level: int) -> list[_View]:
    height, width = supports[0].shape
    gray = gray[:height, :width]
    views = []
    for level, support in enumerate(supports):
        if level:
            gray = cv2.resize(gray, support.shape[::-1], interpolation=cv2.INTER_AREA)
        view = _one_view(gray, support)
        views.append(view if level != search_level else replace(view, spectra=spectra(gray, support.usable)))
    return views


def _one_view(gray: Floats, support: _Support) -> _View:
    image = cv2.GaussianBlur(gray, (0, 0), _BLUR_PX)
    slopes = [cv2.Scharr(image, cv2.CV_32F, *order, scale=1 / 32) for order in ((1, 0), (0, 1))]
    samples = image.ravel()[support.index]
    columns = np.empty((len(samples), 8, _ROW), np.float32)
    _set_columns(columns, support, *(slope.ravel()[support.index] for slope in slopes))
    np.multiply(samples, np.float32(-1 / 128), out=columns[:, 6])
    columns[:, 7] = -1
    image[~support.usable] = _HIDDEN
    return _View(image, samples, columns, (slopes[0], slopes[1]))


def _set_columns(columns: Floats, support: _Support, slope_x: Floats, slope_y: Floats) -> None:
    """The Jacobian by the six motion coefficients, into the first columns."""
    for first, slope in ((0, slope_x), (3, slope_y)):
        columns[:, first] = slope
        np.multiply(slope, support.across, out=columns[:, first + 1])
        np.multiply(slope, support.down, out=columns[:, first + 2])


def _shifted(support: _Support, here: _View, there: _View) -> _Fit:
    """The best translation of all, refined."""
    if here.spectra is None or there.spectra is None:
        return _REST
    x, y = best_shift(here.spectra, there.spectra)
    return _align(support, here, there, replace(_REST, flow=np.array([x, 0, 0, y, 0, 0], np.float64)), _TRANSLATION)


def _align(support: _Support, here: _View, there: _View, start: _Fit, free: Any = slice(None)) -> _Fit:
    """Refine a fit at one level; it keeps the start, marked as failed, where too little can be compared."""
    fit, failed = start, replace(start, residual=1e3, inliers=0.0, cost=1.0)
    if support.count < _FEWEST:
        return failed
    for _ in range(_ITERATIONS):
        at = _places(support, fit)
        error = _residuals(here, there, fit, at)
        size = np.abs(error).ravel()[: support.count]
        seen = size[size < 500]
        if len(seen) < _FEWEST:
            return failed
        residual = 1.4826 * float(_median(seen)) + 0.5
        weight = support.weight / np.square(1 + np.square(error * np.float32(0.5 / residual)))
        step = np.zeros(8)
        step[free] = _STEP * _solve(_columns(support, here, there, at)[:, free], weight, error)
        inliers = np.count_nonzero(seen < 2.5 * residual) / len(seen)
        cost = 1 - float((1 / (1 + np.square(seen / np.float32(_COST_SCALE)))).mean())
        fit = _Fit(fit.flow + step[:6], fit.light + step[6:] * (1 / 128, 1), residual, inliers, cost)
        if np.abs(step[:6]).max() < _CLOSE:
            break
    return fit


def _median(values: Floats) -> float:
    thinned = values[::4] if len(values) > 2000 else values
    return float(np.partition(thinned, len(thinned) // 2)[len(thinned) // 2])


def _places(support: _Support, fit: _Fit) -> tuple[Floats, Floats]:
    """Where the usable pixels lie in the next frame."""
    m = _to_matrix(fit.flow, support.shape).astype(np.float32)
    along_x = support.x * m[0, 0] + support.y * m[0, 1] + m[0, 2]
    along_y = support.x * m[1, 0] + support.y * m[1, 1] + m[1, 2]
    return along_x, along_y


def _residuals(here: _View, there: _View, fit: _Fit, at: tuple[Floats, Floats]) -> Floats:
    """Next frame sampled along the flow minus this frame; huge where the next frame shows nothing usable."""
    moved = cv2.remap(
        there.image, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(float(_HIDDEN),)
    )
    moved -= here.samples * np.float32(1 + fit.light[0])
    moved -= np.float32(fit.light[1])
    return np.asarray(moved, np.float32)


def _columns(support: _Support, here: _View, there: _View, at: tuple[Floats, Floats]) -> Floats:
    """The Jacobian with the mean slope of both frames, which widens the basin (Malis, "Improving vision-based control
    using efficient second-order minimization techniques", ICRA 2004); at the finest level this frame's alone will do.
    """
    if max(support.shape) > _ESM:
        return here.columns
    columns = here.columns.copy()
    means = [
        (columns[:, place] + cv2.remap(slope, *at, cv2.INTER_LINEAR)) / 2
        for place, slope in zip((0, 3), there.slopes, strict=True)
    ]
    _set_columns(columns, support, *means)
    return columns


def _solve(columns: Floats, weight: Floats, error: Floats) -> Matrix:
    """Levenberg step of the weighted normal equations.

    Products are taken per row of _ROW pixels: matrices that small are never split over threads, which keeps the bytes
    of the sums independent of their number.
    """
    weighted = columns * weight[:, None]
    normal = np.matmul(weighted, columns.transpose(0, 2, 1)).sum(0, dtype=np.float64)
    right = np.matmul(weighted, error[..., None])[..., 0].sum(0, dtype=np.float64)
    normal[np.diag_indices(len(normal))] += 1e-4 * np.trace(normal) / len(normal) + 1e-3
    return np.asarray(np.linalg.solve(normal, -right))


def _to_matrix(flow: Matrix, shape: tuple[int, int]) -> Matrix:
    """Normalised affine flow coefficients as a 3x3 matrix over pixel positions."""
    height, width = shape
    half = max(height, width) / 2
    matrix = np.eye(3)
    for row, (constant, along_x, along_y) in enumerate(np.reshape(flow, (2, 3))):
        matrix[row, :2] += along_x / half, along_y / half
        matrix[row, 2] = constant - (along_x * (width - 1) + along_y * (height - 1)) / (2 * half)
    return matrix
