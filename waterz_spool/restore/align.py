"""Robust affine alignment of one pyramid level of two masked images.

Gauss-Newton on brightness differences (Baker and Matthews, "Lucas-Kanade 20 years on", IJCV 2004) with Geman-McClure
weights (Odobez and Bouthemy, "Robust multiresolution estimation of parametric motion models", JVCIR 1995), gain and
bias (Bartoli, "Groupwise geometric and photometric direct image registration", PAMI 2008), and the mean slope
of both images (Malis, "Improving vision-based control using efficient second-order minimization", 2004).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]
Places = tuple[Floats, Floats]

TRANSLATION = [0, 3]
_BLUR_PX = 0.8
_ITERATIONS = 6
_CLOSE = 0.003  # normalised flow: below it a level has converged
_FAR = 0.25  # px: a step this long calls for new slopes
_STRIDE = 1.5  # reweighted least squares steps too short: the mean curvature of the cost is 0.58 of that of its weights
_HIDDEN = np.float32(1e5)  # sample value of what must not be used: its residual gets no weight
_UNSEEN = np.float32(500)  # a residual above this comes from such a sample
_ROW = 256
_FEW_POINTS = 24000  # up to this many are all used
_PATCH_PX = 15
_STEEP = np.float32(0.5)
_FEWEST_POINTS = 60
_COST_SCALE = np.float32(3.0)  # 8-bit levels


@dataclass(frozen=True)
class Grid:
    """Where the points of a level lie and how much each counts, [n, _ROW]; the last row is filled up with weight 0."""

    index: NDArray[np.intp]  # flat
    x: Floats
    y: Floats
    across: Floats  # x, y from the centre, in [-1, 1] along the longer side
    down: Floats
    weight: Floats
    count: int


@dataclass(frozen=True)
class Support:
    """The usable pixels of one level under one mask."""

    usable: NDArray[np.bool_]
    grid: Grid

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the level."""
        return self.usable.shape[0], self.usable.shape[1]


@dataclass(frozen=True)
class Points:
    """The pixels of a frame that are aligned."""

    grid: Grid
    samples: Floats  # [n, _ROW]
    columns: Floats  # [n, 8, _ROW]: Jacobian of the residual by motion (6), gain, bias


@dataclass(frozen=True)
class View:
    """One frame at one level."""

    image: Floats  # blurred; _HIDDEN where it must not be used
    slopes: tuple[Floats, Floats]
    points: Points

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the level."""
        return self.image.shape[0], self.image.shape[1]


@dataclass(frozen=True)
class Fit:
    """An alignment: flow [6] in px of the level along normalised positions, gain and bias [2], and how good it is."""

    flow: Matrix
    light: Matrix
    residual: float = 1e3  # robust standard deviation, 8-bit levels
    inliers: float = 0.0  # share of visible points within 2.5 residuals

    def doubled(self) -> Fit:
        """The same motion on a level twice as large."""
        return replace(self, flow=self.flow * 2)


REST = Fit(np.zeros(6), np.zeros(2))


def translation(x: float, y: float) -> Fit:
    """A fit to start from: everything moves by (x, y) px."""
    return replace(REST, flow=np.array([x, 0, 0, y, 0, 0], np.float64))


def support(usable: NDArray[np.bool_], weight: Floats) -> Support:
    """The usable pixels, bool [h, w], with their weights, float32 [h, w]."""
    index = np.flatnonzero(usable)
    return Support(usable, _grid(index, weight.ravel()[index], (usable.shape[0], usable.shape[1])))


def _grid(index: NDArray[np.intp], weight: Floats, shape: tuple[int, int]) -> Grid:
    height, width = shape
    half = max(height, width) / 2
    y, x = np.divmod(index, width)
    parts = (x, y, (x - (width - 1) / 2) / half, (y - (height - 1) / 2) / half, weight)
    size = max(-(-len(index) // _ROW), 1) * _ROW
    rows = np.zeros((len(parts), size), np.float32)
    rows[:, : len(index)] = parts
    padded = np.zeros(size, np.intp)
    padded[: len(index)] = index
    columns, lines, across, down, weights = rows.reshape(len(parts), -1, _ROW)
    return Grid(padded.reshape(-1, _ROW), columns, lines, across, down, weights, len(index))


def view(gray: Floats, here: Support) -> View:
    """Prepare a frame's level, float32 [h, w] in 8-bit levels."""
    image = cv2.GaussianBlur(gray, (0, 0), _BLUR_PX)
    slope_x = cv2.Scharr(image, cv2.CV_32F, 1, 0, scale=1 / 32)
    slope_y = cv2.Scharr(image, cv2.CV_32F, 0, 1, scale=1 / 32)
    points = _points(image, (slope_x, slope_y), here)
    image[~here.usable] = _HIDDEN
    return View(image, (slope_x, slope_y), points)


def _points(image: Floats, slopes: tuple[Floats, Floats], here: Support) -> Points:
    grid = here.grid
    if grid.count > _FEW_POINTS:
        grid = _steepest(slopes, here)
    samples, slope_x, slope_y = (part.ravel()[grid.index] for part in (image, *slopes))
    columns = np.empty((len(samples), 8, _ROW), np.float32)
    _set_motion(columns, (slope_x, slope_y), grid)
    np.multiply(samples, np.float32(-1 / 128), out=columns[:, 6])
    columns[:, 7] = -1
    return Points(grid, samples, columns)


def _steepest(slopes: tuple[Floats, Floats], here: Support) -> Grid:
    """The points that are not much flatter than their surroundings: the others say little about motion."""
    steep = np.square(slopes[0]) + np.square(slopes[1])
    usual = cv2.blur(steep, (_PATCH_PX, _PATCH_PX))
    count = here.grid.count
    index, weight = here.grid.index.ravel()[:count], here.grid.weight.ravel()[:count]
    kept = np.flatnonzero((steep >= _STEEP * usual).ravel()[index])
    return _grid(index[kept], weight[kept], here.shape)


def _set_motion(columns: Floats, slopes: tuple[Floats, Floats], grid: Grid) -> None:
    for first, slope in zip((0, 3), slopes, strict=True):
        columns[:, first] = slope
        np.multiply(slope, grid.across, out=columns[:, first + 1])
        np.multiply(slope, grid.down, out=columns[:, first + 2])


def promise(here: View, there: View, start: Fit) -> float:
    """Cost of a fit as it stands, 0..1."""
    seen = _seen(here.points, _residuals(here.points, there, start, _places(here, start)))
    return _cost(seen) if len(seen) >= _FEWEST_POINTS else 1.0


def _seen(points: Points, error: Floats) -> Floats:
    """Sizes of the residuals of visible points."""
    size = np.abs(error).ravel()[: points.grid.count]
    return np.asarray(size[size < _UNSEEN])


def _cost(seen: Floats) -> float:
    return 1 - float(np.mean(1 / (1 + np.square(seen / _COST_SCALE))))


def align(here: View, there: View, start: Fit, *, free: Any = slice(None), steps: int = _ITERATIONS) -> Fit:
    """Refine a fit.

    Args:
        here: The frame whose points are followed.
        there: The frame they are looked for in.
        start: Where to start; returned, marked as failed, where too little can be compared.
        free: Which of the eight parameters may change.
        steps: At most this many steps.
    """
    fit, points = start, here.points
    columns = None
    for _ in range(steps):
        at = _places(here, fit)
        error = _residuals(points, there, fit, at)
        seen = _seen(points, error)
        if len(seen) < _FEWEST_POINTS:
            return replace(start, residual=1e3, inliers=0.0)
        residual = 1.4826 * _median(seen) + 0.5
        weight = points.grid.weight / np.square(1 + np.square(error * np.float32(0.5 / residual)))
        if columns is None:
            columns = _mean_columns(points, there, at)
        step = np.zeros(8)
        step[free] = _STRIDE * _solve(columns[:, free], weight, error)
        inliers = np.count_nonzero(seen < 2.5 * residual) / len(seen)
        fit = Fit(fit.flow + step[:6], fit.light + step[6:] * (1 / 128, 1), residual, inliers)
        largest = np.abs(step[:6]).max()
        if largest < _CLOSE:
            break
        if largest > _FAR:
            columns = None
    return fit


def _median(values: Floats) -> float:
    thin = values[::4] if len(values) > 2000 else values
    return float(np.partition(thin, len(thin) // 2)[len(thin) // 2])


def _places(here: View, fit: Fit) -> Places:
    """Where the points lie in the other frame."""
    m = to_matrix(fit.flow, here.shape).astype(np.float32)
    points = here.points.grid
    along_x = points.x * m[0, 0] + points.y * m[0, 1] + m[0, 2]
    along_y = points.x * m[1, 0] + points.y * m[1, 1] + m[1, 2]
    return along_x, along_y


def _residuals(points: Points, there: View, fit: Fit, at: Places) -> Floats:
    """Other frame at the points' places minus this frame; huge where it shows nothing usable."""
    outside = (float(_HIDDEN),)
    moved = cv2.remap(there.image, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=outside)
    moved -= points.samples * np.float32(1 + fit.light[0])
    moved -= np.float32(fit.light[1])
    return np.asarray(moved, np.float32)


def _mean_columns(points: Points, there: View, at: Places) -> Floats:
    columns = points.columns.copy()
    moved = [cv2.remap(slope, *at, cv2.INTER_LINEAR) for slope in there.slopes]
    means = (columns[:, 0] + moved[0]) / 2, (columns[:, 3] + moved[1]) / 2
    _set_motion(columns, means, points.grid)
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


def to_matrix(flow: Matrix, shape: tuple[int, int]) -> Matrix:
    """Flow coefficients as a 3x3 matrix over pixel positions."""
    height, width = shape
    half = max(height, width) / 2
    matrix = np.eye(3)
    for row, (constant, along_x, along_y) in enumerate(np.reshape(flow, (2, 3))):
        matrix[row, :2] += along_x / half, along_y / half
        matrix[row, 2] = constant - (along_x * (width - 1) + along_y * (height - 1)) / (2 * half)
    return matrix
