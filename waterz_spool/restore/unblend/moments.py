"""Sums over the frames of one mask state: what the pixels under an overlay show against what is thought to lie there.

Everything that is estimated afterwards follows from these sums, so that frames pass by once and memory does not depend
on their number. Samples and weights are whole numbers: the sums are exact, whatever order a library adds in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]

_CHROMA = 0.5  # what a channel of chroma counts beside luma: it is smoother, and its edges lie a pixel off
_UNSEEN, _SEEN = 2.0, 13.0  # weight of a guess; of what was seen in other frames, more
_STILL = 30.0  # variance over time from which a pixel counts as moving
_LEAST_CORRELATION = 0.1  # squared


@dataclass(frozen=True)
class Sums:
    """Weighted sums over frames, [h, w] or [h, w, C] (flat: [n] or [n, C]), in 8-bit levels.

    Attributes:
        count: Sum of the weights.
        under: Of what is thought to lie under the overlay.
        shown: Of what is shown.
        under2, cross, shown2: Of their squares and product.
    """

    count: Doubles
    under: Doubles
    shown: Doubles
    under2: Doubles
    cross: Doubles
    shown2: Doubles

    @property
    def channels(self) -> Doubles:
        """What each channel counts."""
        return weights_of(self.under.shape[-1])

    @property
    def under_mean(self) -> Doubles:
        """Mean of what is thought to lie under the overlay, [h, w, C]."""
        return self.under / self.count[..., None]

    @property
    def shown_mean(self) -> Doubles:
        """Mean of what is shown, [h, w, C]."""
        return self.shown / self.count[..., None]

    def change(self) -> Doubles:
        """Variance over time of what is thought to lie under the overlay, [h, w], mean of the channels."""
        variance = self.under2 - self.under**2 / self.count[..., None]
        return np.asarray(np.maximum(variance @ self.channels, 0) / self.count / self.channels.sum())

    def stillness(self) -> Doubles:
        """How far the error of what is thought to lie under the overlay stays the same over time, 0 to 1, [h, w]."""
        return np.asarray(_STILL / (_STILL + self.change()))

    def at(self, pixels: NDArray[np.intp]) -> Sums:
        """The sums of some pixels, flat."""
        channels = self.under.shape[-1]
        parts = (self.under, self.shown, self.under2, self.cross, self.shown2)
        return Sums(self.count.ravel()[pixels], *(part.reshape(-1, channels)[pixels] for part in parts))

    def slopes(self, error: float, *, sigma_px: float) -> Doubles:
        """Slope of the shown on the hidden over time, [h, w], pooled over a window; the noise of the latter is known.

        Args:
            error: Variance of what is thought to lie under the overlay.
            sigma_px: Of the window.
        """
        count = self.count[..., None]
        own = (self.under2 - self.under**2 / count) @ self.channels
        common = (self.cross - self.under * self.shown / count) @ self.channels
        own = np.maximum(own - error * self.count * self.channels.sum(), 0.15 * own)
        return np.clip(smooth(common, sigma_px) / (smooth(own, sigma_px) + 1e-3), 0.05, 1.05)

    def about(self, colour: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """Sums of squares about a colour: of the hidden, of its product with the shown, of the shown, [h, w] each."""
        count = self.count[..., None]
        square = colour * colour * count
        own = self.under2 - 2 * colour * self.under + square
        common = self.cross - colour * (self.under + self.shown) + square
        shown = self.shown2 - 2 * colour * self.shown + square
        return own @ self.channels, common @ self.channels, shown @ self.channels

    def misfit(self, slope: float | Doubles, colour: Doubles) -> Doubles:
        """Mean square of what an overlay of that colour and of opacity 1 - slope leaves unexplained, [h, w]."""
        own, common, shown = self.about(colour)
        return np.maximum(shown - 2 * slope * common + slope * slope * own, 0) / self.count

    def line(self, weight: Doubles) -> tuple[float, Doubles, float]:
        """Slope, offset and squared correlation of the line through weighted flat pixels and all frames.

        Half way between least squares and the reduced major axis (Ricker, "Linear regressions in fishery research",
        1973): what is thought to lie under an overlay is partly too smooth, partly plainly wrong.
        """
        count = float(weight @ self.count)
        parts = (self.under, self.shown, self.under2, self.cross, self.shown2)
        under, shown, under2, cross, shown2 = (weight @ part for part in parts)
        own, common, other = under2 - under**2 / count, cross - under * shown / count, shown2 - shown**2 / count
        across, both, along = (float(part @ self.channels) for part in (own, common, other))
        correlation = both * both / max(across * along, 1e-9)
        slope = both / max(across, 1e-6) / max(correlation, _LEAST_CORRELATION) ** 0.25
        return slope, (shown - slope * under) / count, correlation


def weights_of(channels: int) -> Doubles:
    """What each of the channels counts."""
    return np.array([1.0, _CHROMA, _CHROMA][:channels])


def smooth(image: NDArray[Any], sigma_px: float) -> Doubles:
    """Gaussian window; nothing lies beyond the border."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_CONSTANT), np.float64)


def sums_of(pairs: Iterable[tuple[NDArray[Any], NDArray[Any], NDArray[np.uint8]]], hidden: Bools) -> Sums:
    """The sums of some frames.

    Args:
        pairs: For each frame what is shown and what is thought to lie there, [h, w, C] in whole 8-bit levels, and the
            weight of what was seen in other frames, uint8 [h, w].
        hidden: bool [h, w]; other pixels have a count of 1 and sums of 0.
    """
    totals: list[Doubles] = []
    for shown, under, trust in pairs:
        weight = np.where(hidden, _UNSEEN + np.rint(trust.astype(np.float64) * (_SEEN / 255)), 0)
        j, x = shown.astype(np.float64), under.astype(np.float64)
        wx, wj = weight[..., None] * x, weight[..., None] * j
        parts = [weight, wx, wj, wx * x, wx * j, wj * j]
        totals = [total + part for total, part in zip(totals, parts, strict=True)] if totals else parts
    totals[0] = np.where(hidden, totals[0], 1)
    return Sums(*totals)
