"""A hole in a still picture filled from the rest of it, patch by patch, coarse to fine.

The fill minimises the distance of every patch that overlaps the hole to its nearest patch outside, and takes each
pixel from all patches that cover it (Wexler, Shechtman, Irani, "Space-time completion of video", IEEE TPAMI 2007).
Local gradient strength belongs to the patches, so that texture is copied where texture belongs (Newson et al., "Video
inpainting of complex scenes", SIAM J. Imaging Sci. 2014). Fine levels search by passing matches between neighbours
(Barnes et al., "PatchMatch", SIGGRAPH 2009), all pixels at once and without random numbers.

Channels and weights are whole numbers and sums stay below 2**53: the result is the same on every machine, whatever
order a library adds in.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.restore.membrane import Membrane

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]

_R = 3  # patches are 7x7
_SIDE = 2 * _R + 1
_TEXTURE = 6.0  # weight of a grey level of gradient against one of colour
_TEXTURE_WINDOW_PX = 9
_GUIDE_PX = 8.0
_GUIDE = 0.5 * _SIDE  # the centre's low-pass counts half, as a whole window
_COARSEST_RADIUS_PX, _LEAST_SIDE_PX, _MOST_LEVELS = 3.0, 48, 6
_LEAST_SOURCES = 200
_EXACT = 6e7  # targets times sources up to which every pair is compared
_ROUNDS, _ROUNDS_FINEST = 4, 3
_DONE = 0.3  # levels of mean change
_FALL, _LEAST_WEIGHT = 1.3, 0.15  # trust in a hidden pixel per px from the rim
_UNIT = 64  # weights are whole numbers of 1/64
_BLOCK = 512, 4096


@dataclass
class _Level:
    """One size of the picture.

    Attributes:
        values: [H, W, K] whole numbers: colours, texture, then guidance, which is not searched as a window.
        hidden: bool [H, W].
        sources: Flat indices of the centres of patches that may be copied.
        targets: Flat indices of the centres of patches that overlap the hole.
        legal: bool [H, W], the sources as a map.
        weight: [H, W], trust in each pixel, whole numbers.
    """

    values: Floats
    hidden: Bools
    sources: Indices
    targets: Indices
    legal: Bools
    weight: Floats


def exemplar_fill(plate: NDArray[np.floating], hidden: Bools, usable: Bools, *, luma: Floats) -> Floats | None:
    """Fill a hole with what fits its surroundings.

    Args:
        plate: [H, W, C] in 8-bit levels.
        hidden: bool [H, W], what is to be filled.
        usable: bool [H, W], what may be copied from.
        luma: [H, W] in 8-bit levels.

    Returns:
        float64 [H, W, C], the plate with its hole filled, in whole levels; None where there is too little to copy from.
    """
    colours = plate.shape[2]
    levels = _levels(np.asarray(plate, np.float64), hidden, usable, luma)
    filled: Floats | None = None
    shifts: NDArray[np.intp] | None = None
    for number in range(len(levels) - 1, -1, -1):
        level = levels[number]
        if len(level.sources) < _LEAST_SOURCES:
            continue
        if shifts is None:
            filled = _peeled(level, colours + 2)
            shifts = np.zeros((len(level.targets), 2), np.intp)
        else:
            shifts = _legal(level, _doubled(levels[number + 1], level, shifts))
            filled = _vote(level, level.values, shifts, None)
        filled, shifts = _refined(level, filled, shifts, colours + 2, _ROUNDS if number else _ROUNDS_FINEST)
    return None if filled is None else filled[..., :colours]


def _levels(plate: Floats, hidden: Bools, usable: Bools, luma: Floats) -> list[_Level]:
    values = _channels(plate, hidden, usable, luma)
    usable = usable & ~hidden
    levels = [_level(values, hidden, usable)]
    while len(levels) < _MOST_LEVELS and min(hidden.shape) >= _LEAST_SIDE_PX and _radius(hidden) > _COARSEST_RADIUS_PX:
        known = ~hidden
        colours = values.shape[2] - 2 - plate.shape[2]
        shares = _halved(known[..., None].astype(np.float64))
        seen = _halved(values[..., :colours] * known[..., None]) / np.maximum(shares, 1)
        rest = _halved(values[..., colours:]) / _halved(np.ones((*known.shape, 1)))
        cells = _halved(np.ones((*known.shape, 1)))[..., 0]
        values = np.rint(np.concatenate([seen, rest], axis=2))
        usable = _halved(usable[..., None].astype(np.float64))[..., 0] == cells
        hidden = 2 * shares[..., 0] < cells
        levels.append(_level(values, hidden, usable & ~hidden))
    return levels


def _level(values: Floats, hidden: Bools, usable: Bools) -> _Level:
    legal = cv2.erode(usable.astype(np.uint8), np.ones((_SIDE, _SIDE)), borderType=cv2.BORDER_CONSTANT) != 0
    legal[:_R] = legal[-_R:] = False
    legal[:, :_R] = legal[:, -_R:] = False
    targets = cv2.dilate(hidden.astype(np.uint8), np.ones((_SIDE, _SIDE))) != 0
    trust = np.maximum(_FALL ** -_depth(hidden), _LEAST_WEIGHT)
    weight = np.where(hidden, np.rint(_UNIT * trust), float(_UNIT))
    return _Level(values, hidden, np.flatnonzero(legal), np.flatnonzero(targets), legal, weight)


def _depth(hidden: Bools) -> Floats:
    """Distance of each hidden pixel to the rim, px; 0 outside."""
    return np.asarray(cv2.distanceTransform(hidden.astype(np.uint8), cv2.DIST_L2, 3), np.float64)


def _radius(hidden: Bools) -> float:
    return float(cv2.distanceTransform(np.pad(hidden, 1).astype(np.uint8), cv2.DIST_L2, 3).max())


def _halved(values: Floats) -> Floats:
    """Sums over 2x2 cells; an odd last row or column stands alone."""
    height, width = values.shape[:2]
    padded = np.pad(values, ((0, height % 2), (0, width % 2), (0, 0)))
    return padded[0::2, 0::2] + padded[1::2, 0::2] + padded[0::2, 1::2] + padded[1::2, 1::2]


def _channels(plate: Floats, hidden: Bools, usable: Bools, luma: Floats) -> Floats:
    """Colours, texture in x and y, and the low-pass of the colours as guidance; all whole numbers."""
    known = usable & ~hidden
    texture = _texture(luma, hidden)
    guide = _low_pass(plate, known)
    parts = [np.where(hidden[..., None], 0, plate), texture * _TEXTURE, guide * _GUIDE]
    return np.asarray(np.rint(np.concatenate(parts, axis=2)), np.float64)


def _texture(luma: Floats, hidden: Bools) -> Floats:
    """Mean strength of the differences in x and y around each pixel, carried smoothly into the hole."""
    clear = cv2.dilate(hidden.astype(np.uint8), np.ones((3, 3))) == 0
    image = np.rint(luma).astype(np.float64)
    steps = np.zeros((*luma.shape, 2))
    steps[:, 1:-1, 0] = np.abs(image[:, 2:] - image[:, :-2])
    steps[1:-1, :, 1] = np.abs(image[2:] - image[:-2])
    window = (_TEXTURE_WINDOW_PX, _TEXTURE_WINDOW_PX)
    sums = cv2.boxFilter(steps * clear[..., None], cv2.CV_64F, window, normalize=False)
    counts = cv2.boxFilter(clear.astype(np.float64), cv2.CV_64F, window, normalize=False)
    return _spread(sums / np.maximum(counts, 1)[..., None], counts == 0)


def _low_pass(plate: Floats, known: Bools) -> Floats:
    weight = known.astype(np.float64)
    soft = cv2.GaussianBlur(np.rint(plate) * weight[..., None], (0, 0), _GUIDE_PX).reshape(plate.shape)
    share = np.maximum(cv2.GaussianBlur(weight, (0, 0), _GUIDE_PX), 1e-3)
    return _spread(soft / share[..., None], ~known)


def _spread(values: Floats, unknown: Bools) -> Floats:
    """Values with the unknown ones filled by the membrane."""
    out = values.copy()
    if unknown.any() and not unknown.all():
        membrane = Membrane(unknown)
        x0, y0, x1, y1 = membrane.box
        out[unknown] = membrane.fill(values[y0:y1, x0:x1].astype(np.float32))
    return out


def _windows(values: Floats, centres: Indices, width: int) -> Floats:
    """The windows of some pixels, [n, 49 * K]; beyond the border the edge repeats."""
    padded = np.pad(values, ((_R, _R), (_R, _R), (0, 0)), mode="edge")
    view = np.lib.stride_tricks.sliding_window_view(padded, (_SIDE, _SIDE), axis=(0, 1))
    y, x = np.divmod(centres, width)
    return view[y, x].reshape(len(centres), -1)


def _features(values: Floats, centres: Indices, searched: int) -> Floats:
    """Windows over the searched channels and the guidance of the centre."""
    width = values.shape[1]
    guide = values.reshape(-1, values.shape[2])[centres, searched:]
    return np.concatenate([_windows(values[..., :searched], centres, width), guide], axis=1)


def _weights(weight: Floats, centres: Indices, searched: int, guides: int) -> Floats:
    """Weights of the features: each pixel's own in every channel, the window's mean for the guidance."""
    window = _windows(weight[..., None], centres, weight.shape[1])
    mean = np.rint(window.mean(axis=1, keepdims=True))
    return np.concatenate([np.tile(window, (1, searched)), np.repeat(mean, guides, axis=1)], axis=1)


def _nearest(wanted: Floats, weights: Floats, features: Floats) -> tuple[Indices, Floats]:
    """Of each wanted patch the nearest source, by place in the list, and its distance; the first of equals."""
    best = np.zeros(len(wanted), np.intp)
    cost = np.full(len(wanted), np.inf)
    for first in range(0, len(features), _BLOCK[1]):
        block = features[first : first + _BLOCK[1]]
        squares = block * block
        for begin in range(0, len(wanted), _BLOCK[0]):
            part = slice(begin, begin + _BLOCK[0])
            found = weights[part] @ squares.T - 2 * ((weights[part] * wanted[part]) @ block.T)
            place = found.argmin(axis=1)
            least = found[np.arange(len(place)), place]
            better = least < cost[part]
            cost[part] = np.where(better, least, cost[part])
            best[part] = np.where(better, first + place, best[part])
    own = (weights * wanted * wanted).sum(axis=1)
    return best, (cost + own) / np.maximum(weights.sum(axis=1), 1)


def _peeled(level: _Level, searched: int) -> Floats:
    """The first fill: layer by layer from the rim, each pixel from the centre of its nearest source."""
    values, known, left = level.values.copy(), ~level.hidden, level.hidden.copy()
    flat = values.reshape(-1, values.shape[2])
    flat[level.hidden.ravel(), :searched] = 0
    source = level.values.reshape(-1, values.shape[2])
    features = _features(level.values, level.sources, searched)
    while left.any():
        layer = left & (cv2.dilate(known.astype(np.uint8), np.ones((3, 3))) != 0)
        at = np.flatnonzero(layer)
        weights = _weights(known.astype(np.float64), at, searched, values.shape[2] - searched)
        place, _ = _nearest(_features(values, at, searched), weights, features)
        flat[at, :searched] = source[level.sources[place], :searched]
        known |= layer
        left &= ~layer
    return values


def _refined(
    level: _Level, filled: Floats, shifts: NDArray[np.intp], searched: int, rounds: int
) -> tuple[Floats, NDArray[np.intp]]:
    """Match and vote in turn until little changes."""
    exact = len(level.targets) * len(level.sources) < _EXACT
    features = _features(level.values, level.sources, searched) if exact else None
    weights = _weights(level.weight, level.targets, searched, filled.shape[2] - searched)
    width = filled.shape[1]
    for _ in range(rounds):
        wanted = _features(filled, level.targets, searched)
        if features is not None:
            place, distance = _nearest(wanted, weights, features)
            y, x = np.divmod(level.sources[place], width)
            ty, tx = np.divmod(level.targets, width)
            shifts = np.stack([y - ty, x - tx], axis=1)
        else:
            shifts, distance = _Search(level, wanted, weights, searched).run(shifts)
        voted = _vote(level, filled, shifts, distance)
        change = np.abs(voted - filled)[level.hidden].mean()
        filled = voted
        if change < _DONE:
            break
    return filled, shifts


class _Search:
    """Better matches for all targets from those of their neighbours and from around their own."""

    def __init__(self, level: _Level, wanted: Floats, weights: Floats, searched: int) -> None:
        self._level, self._wanted, self._weights, self._searched = level, wanted, weights, searched
        self._sums = np.maximum(weights.sum(axis=1), 1)
        height, width = level.hidden.shape
        self._size = height, width
        self._y, self._x = np.divmod(level.targets, width)
        self._place = np.full((height, width), -1, np.intp)
        self._place.ravel()[level.targets] = np.arange(len(level.targets))

    def run(self, shifts: NDArray[np.intp]) -> tuple[NDArray[np.intp], Floats]:
        """Shifts (y, x) of all targets and the distances there."""
        best = shifts.copy()
        cost = self._cost(best, np.arange(len(best)))
        for _ in range(2):
            for step in (8, 4, 2, 1):
                for dy, dx in ((0, step), (0, -step), (step, 0), (-step, 0)):
                    self._attempt(best, cost, best[self._neighbour(dy, dx)])
            for reach in (1, 2):
                for dy in (-reach, 0, reach):
                    for dx in (-reach, 0, reach):
                        self._attempt(best, cost, best + np.array([dy, dx]))
        return best, cost

    def _neighbour(self, dy: int, dx: int) -> Indices:
        height, width = self._size
        found = self._place[np.clip(self._y + dy, 0, height - 1), np.clip(self._x + dx, 0, width - 1)]
        return np.where(found < 0, np.arange(len(found)), found)

    def _attempt(self, best: NDArray[np.intp], cost: Floats, tried: NDArray[np.intp]) -> None:
        y, x = self._y + tried[:, 0], self._x + tried[:, 1]
        height, width = self._size
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width) & (tried != best).any(axis=1)
        inside[inside] = self._level.legal[y[inside], x[inside]]
        which = np.flatnonzero(inside)
        if not len(which):
            return
        found = self._cost(tried[which], which)
        better = found < cost[which]
        best[which[better]] = tried[which[better]]
        cost[which[better]] = found[better]

    def _cost(self, shifts: NDArray[np.intp], which: Indices) -> Floats:
        centres = (self._y[which] + shifts[:, 0]) * self._size[1] + self._x[which] + shifts[:, 1]
        out = np.empty(len(which))
        for begin in range(0, len(which), _BLOCK[1]):
            part = slice(begin, begin + _BLOCK[1])
            gap = _features(self._level.values, centres[part], self._searched) - self._wanted[which[part]]
            out[part] = np.einsum("ij,ij,ij->i", gap, gap, self._weights[which[part]])
        return np.asarray(out / self._sums[which], np.float64)


def _doubled(coarse: _Level, fine: _Level, shifts: NDArray[np.intp]) -> NDArray[np.intp]:
    """The shifts of the next coarser level for the targets of this one."""
    height, width = coarse.hidden.shape
    field = np.zeros((height * width, 2), np.intp)
    field[coarse.targets] = shifts
    y, x = np.divmod(fine.targets, fine.hidden.shape[1])
    return np.asarray(2 * field[np.minimum(y // 2, height - 1) * width + np.minimum(x // 2, width - 1)], np.intp)


def _legal(level: _Level, shifts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Shifts to the nearest legal source where they lead to none."""
    height, width = level.hidden.shape
    ty, tx = np.divmod(level.targets, width)
    y, x = np.clip(ty + shifts[:, 0], 0, height - 1), np.clip(tx + shifts[:, 1], 0, width - 1)
    wrong = ~level.legal[y, x]
    if wrong.any():
        labels = cv2.distanceTransformWithLabels(
            (~level.legal).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )[1]
        home = np.zeros(labels.max() + 1, np.intp)
        home[labels.ravel()[level.sources]] = level.sources
        y[wrong], x[wrong] = np.divmod(home[labels[y[wrong], x[wrong]]], width)
    return np.stack([y - ty, x - tx], axis=1)


def _vote(level: _Level, values: Floats, shifts: NDArray[np.intp], distance: Floats | None) -> Floats:
    """Each hidden pixel as the mean of what the patches that cover it bring; guidance stays."""
    height, width = level.hidden.shape
    ty, tx = np.divmod(level.targets, width)
    share = np.full(len(ty), float(_UNIT))
    if distance is not None:
        scale = max(0.7 * float(np.percentile(distance, 75)), 0.7)
        share = np.rint(4096 * np.exp(-distance / scale) * _FALL ** -_depth(level.hidden)[ty, tx]) + 1
    source = level.values.reshape(-1, values.shape[2])
    sums, total = np.zeros((height * width, values.shape[2])), np.zeros(height * width)
    for dy in range(-_R, _R + 1):
        for dx in range(-_R, _R + 1):
            y, x = ty + dy, tx + dx
            which = np.flatnonzero((y >= 0) & (y < height) & (x >= 0) & (x < width))
            which = which[level.hidden[y[which], x[which]]]
            at = y[which] * width + x[which]
            brought = source[at + shifts[which, 0] * width + shifts[which, 1]]
            sums[at] += share[which, None] * brought  # each pixel once for a given offset
            total[at] += share[which]
    out = values.copy()
    hidden = level.hidden.ravel() & (total > 0)
    guides = values.reshape(-1, values.shape[2])[hidden]
    mean = np.rint(sums[hidden] / total[hidden, None])
    searched = values.shape[2] - (values.shape[2] - 2) // 2
    mean[:, searched:] = guides[:, searched:]
    out.reshape(-1, values.shape[2])[hidden] = mean
    return out
