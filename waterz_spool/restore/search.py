"""Exhaustive search for the translation between two small masked images, to start an alignment from.

Local contrast is normalised first, so that faint texture of a large background counts as much as one moving thing in
front of it. Then the masked sum of squared differences of every shift at once, by FFT (Padfield, "Masked object
registration in the Fourier domain", IEEE TIP 2012, with differences in place of correlation).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

_FINE_PX = 1.5  # structure finer than this is kept
_CONTRAST_PX = 3.0
_FAINTEST = np.float32(0.5)  # 8-bit levels of contrast that are not amplified
_LEAST_OVERLAP = 0.35  # of the usable pixels


@dataclass(frozen=True)
class Spectra:
    """Transforms of a masked image: weight, weighted value, weighted square."""

    shape: tuple[int, int]
    weight: Floats
    value: Floats
    square: Floats
    total: float


def spectra(image: Floats, usable: Bools) -> Spectra:
    """Prepare one image for `best_shift`; what is not usable is not read."""
    height, width = image.shape
    padded = np.zeros((3, cv2.getOptimalDFTSize(height * 3 // 2), cv2.getOptimalDFTSize(width * 3 // 2)), np.float32)
    weight, value, square = padded[:, :height, :width]
    weight[:] = usable
    value[:] = _normalised(image, weight)
    np.multiply(value, value, out=square)
    parts = [cv2.dft(part) for part in padded]
    return Spectra((height, width), parts[0], parts[1], parts[2], float(np.count_nonzero(usable)))


def best_shift(here: Spectra, there: Spectra) -> tuple[int, int]:
    """Shift (x, y) in px that brings a pixel of one image onto the same content in the other."""
    differences = cv2.mulSpectrums(there.square, here.weight, 0, conjB=True)
    differences += cv2.mulSpectrums(there.weight, here.square, 0, conjB=True)
    differences -= 2 * cv2.mulSpectrums(there.value, here.value, 0, conjB=True)
    overlap = _back(cv2.mulSpectrums(there.weight, here.weight, 0, conjB=True))
    cost = _back(differences) / np.maximum(overlap, 1)
    cost[overlap < _LEAST_OVERLAP * max(here.total, 1.0)] = np.inf
    y, x = divmod(int(np.argmin(cost)), cost.shape[1])
    if not np.isfinite(cost[y, x]):
        return 0, 0
    rows, columns = cost.shape
    return (x - columns if x > columns // 2 else x), (y - rows if y > rows // 2 else y)


def _back(spectrum: Floats) -> Floats:
    return np.asarray(cv2.dft(spectrum, flags=cv2.DFT_INVERSE | cv2.DFT_SCALE), np.float32)


def _normalised(image: Floats, weight: Floats) -> Floats:
    """Deviation from the local mean in units of the local contrast."""
    mean = _local_mean(image * weight, weight, _FINE_PX)
    detail = (image - mean) * weight
    contrast = np.sqrt(_local_mean(detail * detail, weight, _CONTRAST_PX))
    return np.asarray(detail / (contrast + _FAINTEST), np.float32)


def _local_mean(values: Floats, weight: Floats, sigma_px: float) -> Floats:
    share = np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma_px), np.float32(1e-3))
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma_px) / share, np.float32)
