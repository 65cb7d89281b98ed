"""The layers of an overlay: each has one opacity and one colour, as marks, plates and their letters have.

Every layer is a line, shown = (1 - opacity) hidden + opacity colour, through the pixels and frames it explains; it is
found by iteratively reweighted least squares from several beginnings (Holland and Welsch, "Robust regression using
iteratively reweighted least-squares", 1977), and layers are taken greedily by how much of the overlay they explain. In
what one layer covers the background varies over space, too: that makes still shots measurable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.restore.unblend.gamut import Gamut
from waterz_spool.restore.unblend.moments import Bools, Doubles, Sums, smooth

NOISE = 6.0
"""Variance of what a codec does to a sample, in 8-bit levels."""

TRANSLUCENT = 0.1, 0.87
"""Opacities that are undone: less is hardly seen, more leaves noise."""

LARGEST_REST = 0.45
"""Of the change that a layer makes, what may be left of it when it is undone."""

_MOST_LAYERS = 4
_CLUSTERS = 4
_ITERATIONS = 12
_PIXELS = 6000
_LEAST_PX = 30
_LEAST_CHANGE = 30.0  # variance over time from which a pixel's own slope is believed
_LEAST_TINT = 12.0  # levels of change of the mean, over all channels
_DISTINCT = 0.03, 12.0  # layers nearer than this in opacity and colour are one
_AKIN = 0.2, 40.0  # of two that would share their pixels, the better is taken
_LEAST_GAIN = 0.03  # of the mean gain in likelihood of a hidden pixel
_LEAST_CORRELATION = 0.15  # squared
_LEAST_FREE_CORRELATION = 0.5  # of a layer whose colour had to be found with its opacity: the one is paid by the other
_STRANGE = 5.0  # times the variance that is to be expected
_EDGE_PX = 3  # around a layer: its edge, partly covered
_LEAST_CONTRAST = 3.0  # squared, of a layer against what its surroundings do not predict
_PLAIN = 1.4  # what white and black count more than other colours: most marks are of these
_LASTING = 0.1  # of an error that changes over time, what its mean keeps of it
_LARGEST_GAIN = 20.0  # of one pixel


@dataclass(frozen=True, eq=False)
class Layer:
    """Part of an overlay.

    Attributes:
        slope: Share of light that comes through: 1 - opacity.
        colour: float64 [C], in 8-bit levels.
        correlation: Squared correlation of shown and hidden over its pixels and frames: how well both are known.
    """

    slope: float
    colour: Doubles
    correlation: float

    @property
    def translucent(self) -> bool:
        """Whether it is of use to undo it, and well enough known."""
        return TRANSLUCENT[0] <= 1 - self.slope <= TRANSLUCENT[1] and self.correlation >= _LEAST_CORRELATION

    def rounded(self) -> Layer:
        """The same layer in few digits."""
        return Layer(round(self.slope, 5), np.round(self.colour, 3), round(self.correlation, 4))


@dataclass(frozen=True)
class Found:
    """The layers of an overlay.

    Attributes:
        layers: Those found, the one that explains most first.
        labels: int [h, w]: 0 where nothing lies over the picture, else a layer's number from 1.
        strange: bool [h, w]: near no layer, and yet unlike what is thought to lie there.
    """

    layers: tuple[Layer, ...]
    labels: NDArray[np.intp]
    strange: Bools


def find_layers(sums: Sums, hidden: Bools, *, colours: Gamut, error: float, rest: float = LARGEST_REST) -> Found:
    """The layers that explain an overlay best.

    Args:
        sums: Of its frames.
        hidden: bool [h, w], its mask.
        colours: Those that there are.
        error: Variance of what is thought to lie under it, as its surroundings tell; used where time does not tell.
        rest: As for `explains`.
    """
    at = _some(hidden)
    few, slopes = sums.at(at), sums.slopes(60.0, sigma_px=1.0).ravel()[at]
    error = _error(few, slopes, error)
    candidates: list[tuple[Layer, float]] = []
    free = chain(_beginnings(few, slopes, colours), _tinted(few, colours))
    begun = [(slope, colour, _kept(colour), _PLAIN) for slope, colour in _plain(few, colours)]
    begun += [(slope, colour, colours.clip, 1.0) for slope, colour in free]
    for slope, colour, nearest, weight in begun:
        layer = _refined(few, slope, colour, error, nearest)
        if layer is not None and not any(_alike(layer, other) for other, _ in candidates):
            candidates.append((layer, weight))
    return label(sums, hidden, _chosen(few, candidates, error, rest), error)


def _some(hidden: Bools) -> NDArray[np.intp]:
    """Enough of the hidden pixels to measure layers with, evenly spread."""
    at = np.flatnonzero(hidden)
    return at[:: -(-len(at) // _PIXELS)]


def _error(sums: Sums, slopes: Doubles, otherwise: float) -> float:
    """Variance of what is thought to lie under the overlay, from what a slope over time leaves unexplained."""
    known = (sums.change() > _LEAST_CHANGE) & (slopes < 0.9) & (slopes > 0.2)
    if np.count_nonzero(known) < _LEAST_PX:
        return otherwise
    offset = sums.shown_mean - slopes[..., None] * sums.under_mean
    colour = offset / np.maximum(1 - slopes, 0.02)[..., None]
    left = sums.misfit(slopes, colour) / sums.channels.sum()
    return float(np.clip(np.median(left[known] / slopes[known] ** 2), 40.0, 1500.0))


def _beginnings(sums: Sums, slopes: Doubles, colours: Gamut) -> Iterator[tuple[float, Doubles]]:
    """Slopes and colours to begin with: clusters of what single pixels tell over time."""
    known = (slopes < 0.9) & (sums.change() > _LEAST_CHANGE)
    if np.count_nonzero(known) >= 2 * _LEAST_PX:
        offset = sums.shown_mean - slopes[..., None] * sums.under_mean
        own = (offset / np.maximum(1 - slopes, 0.02)[..., None])[known]
        for members in _clusters(np.clip(own, -40, 300)):
            if len(members) >= _LEAST_PX:
                colour = colours.clip(np.median(own[members], axis=0))
                for share in (0.4, 0.7):
                    yield float(np.quantile(slopes[known][members], share)), colour


def _plain(sums: Sums, colours: Gamut) -> Iterator[tuple[float, Doubles]]:
    """Slopes with white and with black: marks are mostly of these, and where the colour is known the slope is sure."""
    change = np.abs(sums.shown_mean - sums.under_mean)[..., 0]
    for colour in (colours.white, colours.black):
        own, common, _ = sums.about(colour)
        slope = common / np.maximum(own, 1)
        marked = slope[(change > 12) & (slope < 0.92)]
        if len(marked) >= _LEAST_PX:
            for share in (0.25, 0.5, 0.75):
                yield float(np.quantile(marked, share)), colour


def _tinted(sums: Sums, colours: Gamut) -> Iterator[tuple[float, Doubles]]:
    """Beginnings from clusters of how the mean is changed, with some opacities: for what stands still."""
    change = sums.shown_mean - sums.under_mean
    marked = np.abs(change) @ sums.channels > _LEAST_TINT
    if np.count_nonzero(marked) < 2 * _LEAST_PX:
        return
    changes, under = change[marked], sums.under_mean[marked]
    for members in _clusters(changes):
        if len(members) >= _LEAST_PX:
            middle, base = np.median(changes[members], axis=0), np.median(under[members], axis=0)
            for opacity in (0.35, 0.65):
                yield 1 - opacity, colours.clip(base + middle / opacity)


def explains(sums: Sums, region: Bools, layer: Layer, rest: float = LARGEST_REST) -> bool:
    """Whether what a layer leaves of its pixels, when it is undone, lies near what is thought to lie under them."""
    before = sums.misfit(1.0, layer.colour)[region].sum()
    after = sums.misfit(layer.slope, layer.colour)[region].sum() / layer.slope**2
    return bool(after < rest * before)


def _clusters(colours: Doubles) -> list[NDArray[np.intp]]:
    cv2.setRNGSeed(1)
    data = colours.astype(np.float32)
    criteria = cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.5
    count = min(_CLUSTERS, len(data))
    _, labels, _ = cv2.kmeans(data, count, np.zeros((len(data), 1), np.int32), criteria, 3, cv2.KMEANS_PP_CENTERS)
    return [np.flatnonzero(labels[:, 0] == each) for each in range(count)]


def _kept(colour: Doubles) -> Callable[[Doubles], Doubles]:
    return lambda free: colour


def _refined(
    sums: Sums, slope: float, colour: Doubles, error: float, nearest: Callable[[Doubles], Doubles]
) -> Layer | None:
    """The line nearby that explains most; None where it explains next to nothing."""
    slope = float(np.clip(slope, 0.05, 0.95))
    correlation = 0.0
    for step in range(_ITERATIONS):
        scale = (slope**2 * error + NOISE) * sums.channels.sum() * (4.0 if step < 4 else 1.5)
        misfit = sums.misfit(slope, colour)
        weight = 1 / (1 + misfit / scale) ** 2
        weight[sums.misfit(1.0, colour) <= 3 * misfit] = 0  # what is hardly changed tells nothing
        weight[weight < 0.05] = 0
        if np.count_nonzero(weight > 0.25) < _LEAST_PX:
            return None
        slope, offset, correlation = sums.line(weight)
        slope = float(np.clip(slope, 0.03, 0.97))
        free = offset / (1 - slope)
        colour = nearest(free)
        if np.abs(colour - free).max() > 1:
            own, common, _ = sums.about(colour)
            slope = float(np.clip((common * weight).sum() / (own * weight).sum(), 0.03, 0.97))
    return Layer(slope, colour, correlation)


def _alike(one: Layer, other: Layer, limits: tuple[float, float] = _DISTINCT) -> bool:
    near = abs(one.slope - other.slope) < limits[0]
    return bool(near and np.abs(one.colour - other.colour).max() < limits[1])


def _allowed(sums: Sums, region: Bools, layer: Layer, error: float, rest: float) -> float:
    """What a layer may leave: less where its change is hardly more than what a still picture itself may do there."""
    change = np.square((1 - layer.slope) * (layer.colour - sums.under_mean[region])) @ sums.channels
    doubt = error * sums.stillness()[region].mean() * sums.channels.sum()
    return min(rest, float(change.mean() / doubt) / _LEAST_CONTRAST)


def _cost(sums: Sums, slope: float, colour: Doubles, error: float) -> Doubles:
    """Twice the negative logarithm of how likely each pixel is under a layer."""
    variance = slope * slope * error + NOISE
    return np.asarray(sums.misfit(slope, colour) / variance + np.log(variance) * sums.channels.sum())


def _chosen(sums: Sums, candidates: list[tuple[Layer, float]], error: float, rest: float) -> tuple[Layer, ...]:
    """The layers that together explain most, greedily."""
    best = _cost(sums, 1.0, np.zeros(len(sums.channels)), error)
    picked: list[Layer] = []
    left = [(layer, weight, _cost(sums, layer.slope, layer.colour, error)) for layer, weight in candidates]
    while left and len(picked) < _MOST_LAYERS:
        gains = [weight * float(np.clip(best - each, 0, _LARGEST_GAIN).mean()) for _, weight, each in left]
        at = int(np.argmax(gains))
        if gains[at] < _LEAST_GAIN:
            break
        layer, weight, its = left.pop(at)
        if weight < _PLAIN and layer.translucent and layer.correlation < _LEAST_FREE_CORRELATION:
            continue
        if any(_alike(layer, other, _AKIN) for other in picked):
            continue  # another wording of a layer that is there
        if explains(sums, its < best, layer, _allowed(sums, its < best, layer, error, rest)):
            picked.append(layer)
            best = np.minimum(best, its)
    return tuple(picked)


def label(sums: Sums, hidden: Bools, layers: tuple[Layer, ...], error: float) -> Found:
    """Which layer each pixel of an overlay belongs to.

    Args:
        sums: Of its frames.
        hidden: bool [h, w], its mask.
        layers: Its layers.
        error: Variance of what is thought to lie under it.
    """
    nothing = _cost(sums, 1.0, np.zeros(len(sums.channels)), error) * hidden
    costs = [nothing, *(_cost(sums, layer.slope, layer.colour, error) * hidden for layer in layers)]
    labels = np.argmin([smooth(cost, 1.0) for cost in costs], axis=0)
    lasting = np.square(sums.shown_mean - sums.under_mean) @ sums.channels
    variance = error * (sums.stillness() + _LASTING) + NOISE
    unlikely = smooth(lasting / variance * hidden, 1.0) > _STRANGE * sums.channels.sum()
    near = cv2.dilate((labels > 0).astype(np.uint8), np.ones((2 * _EDGE_PX + 1,) * 2)) != 0
    return Found(layers, labels, hidden & ~near & unlikely)
