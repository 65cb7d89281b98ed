"""The edges of one overlay, how well they fit a place, and where in a picture they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.static.windows import Edges, Image, gradient

Place = tuple[int, int]
"""x, y of the upper left corner in px of the small picture."""

FIT = 0.6  # correlation that is this overlay; measured: overlays from 0.83, the rest of a picture up to 0.45
AMBIGUOUS = 0.75  # of the best fit, elsewhere: then the shape is too simple to be known again
APART_PX = 8  # two places nearer than this are one
COARSE_FROM_PX = 300  # higher pictures are searched at half their size first


@dataclass(frozen=True)
class Template:
    """Mean slopes of an overlay, zero where it has no edges.

    Attributes:
        slopes: float32 [h, w, 2], across and down.
        edges: float32 [h, w], 1 at its edges.
    """

    slopes: Image
    edges: Image

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.edges.shape[1], self.edges.shape[0]

    @cached_property
    def power(self) -> float:
        """Sum of the squared slopes."""
        return float(np.square(self.slopes).sum())

    def inside(self, picture: NDArray[Any], place: Place) -> bool:
        """Whether it would lie in the picture."""
        return (
            min(place) >= 0
            and place[0] + self.size[0] <= picture.shape[1]
            and place[1] + self.size[1] <= picture.shape[0]
        )

    @cached_property
    def _weights(self) -> Image:
        """Its slopes' own slopes, one px larger on all sides: slopes are linear, so pixels can be weighted instead."""
        across, down = (np.pad(self.slopes[..., i], 2) for i in range(2))
        return np.asarray(-(gradient(across)[0] + gradient(down)[1])[1:-1, 1:-1] / self.power, np.float32)

    def strengths(self, pictures: Sequence[NDArray[Any]], place: Place) -> NDArray[np.float32]:
        """How much of it each picture shows there: 1 as where it was learned, 0 nothing; with noise."""
        (x, y), (width, height) = place, self.size
        left, top = min(1, x), min(1, y)
        parts = np.stack([picture[y - top : y + height + 1, x - left : x + width + 1] for picture in pictures])
        edge = ((0, 0), (1 - top, height + 1 + top - parts.shape[1]), (1 - left, width + 1 + left - parts.shape[2]))
        if any(map(any, edge)):
            parts = np.pad(parts, edge, mode="reflect")
        return np.asarray(parts.reshape(len(parts), -1).astype(np.float32) @ self._weights.ravel(), np.float32)

    def fit(self, picture: NDArray[Any], place: Place) -> float:
        """Correlation at its edges, -1 to 1, whatever the strength."""
        there = slopes_at(picture, place, self.size) * self.edges[..., None]
        return float((there * self.slopes).sum()) / float(np.sqrt(max(1e-6, np.square(there).sum()) * self.power))

    def find(self, picture: NDArray[Any]) -> tuple[Place, float] | None:
        """The one place in a picture where it fits, and how well; None where none or several do."""
        slopes = np.asarray(cv2.merge(gradient(picture)), np.float32)
        if picture.shape[0] <= COARSE_FROM_PX:
            return self._only_place(slopes)
        found = self._halved._only_place(_halved(slopes))
        if found is None:
            return None
        (x, y), size = found[0], picture.shape
        x0, y0 = max(0, 2 * x - 3), max(0, 2 * y - 3)
        x1, y1 = min(size[1], 2 * x + self.size[0] + 3), min(size[0], 2 * y + self.size[1] + 3)
        near = self._only_place(slopes[y0:y1, x0:x1])
        return None if near is None else ((near[0][0] + x0, near[0][1] + y0), near[1])

    @cached_property
    def _halved(self) -> Template:
        return Template(_halved(self.slopes), (_halved(self.edges) > 0).astype(np.float32))

    def _only_place(self, slopes: Image) -> tuple[Place, float] | None:
        if self.size[0] > slopes.shape[1] or self.size[1] > slopes.shape[0]:
            return None
        along = cv2.matchTemplate(slopes, self.slopes, cv2.TM_CCORR)
        energy = cv2.matchTemplate(slopes[..., 0] ** 2 + slopes[..., 1] ** 2, self.edges, cv2.TM_CCORR)
        # A place must have slopes of at least a tenth of the overlay's: a smooth one fits by chance.
        fits = along / np.sqrt(np.maximum(energy, 0.01 * self.power) * self.power)
        _, best, _, (x, y) = cv2.minMaxLoc(fits)
        fits[max(0, y - APART_PX) : y + APART_PX + 1, max(0, x - APART_PX) : x + APART_PX + 1] = -1
        return ((x, y), best) if best >= FIT and fits.max() <= AMBIGUOUS * best else None


def _halved(image: Image) -> Image:
    size = max(1, image.shape[1] // 2), max(1, image.shape[0] // 2)
    return np.asarray(cv2.resize(image[: 2 * size[1], : 2 * size[0]], size, interpolation=cv2.INTER_AREA), np.float32)


def slopes_at(picture: NDArray[Any], place: Place, size: tuple[int, int]) -> Image:
    """Slopes of a part of a picture, float32 [h, w, 2]; as those of the whole picture, its border too."""
    (x, y), (width, height) = place, size
    left, top = min(1, x), min(1, y)
    part = picture[y - top : y + height + 1, x - left : x + width + 1]
    return np.asarray(cv2.merge(gradient(part)), np.float32)[top : top + height, left : left + width]


def template_of(slopes: Image, edges: Edges) -> Template:
    """The template of mean slopes [h, w, 2] where there are edges."""
    own = edges.astype(np.float32)
    return Template(slopes * own[..., None], own)


def mean_of(frames: Sequence[NDArray[np.uint8]]) -> Image:
    """Mean picture, float32."""
    total = np.zeros(frames[0].shape, np.float32)
    for frame in frames:
        cv2.accumulate(frame, total)
    return np.asarray(total / len(frames), np.float32)
