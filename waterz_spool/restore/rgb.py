"""Samples of a clip as 8 bit RGB and back, for networks that know nothing else."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_KR_KB = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593), 4: (0.30, 0.11), 7: (0.212, 0.087)}
_BT601 = (0.299, 0.114)


class Colours(Protocol):
    """What must be known about samples; a clip says it."""

    @property
    def bits(self) -> int:
        """Bits per sample."""

    @property
    def family(self) -> str:
        """Colour family: "yuv", "rgb" or "gray"."""

    @property
    def matrix(self) -> int:
        """AVCOL_SPC_* integer of "yuv" samples."""

    @property
    def full_range(self) -> bool:
        """Whether luma uses 0..2**bits - 1."""


def _scale(of: Colours) -> tuple[float, float, float]:
    """Black level, luma span and chroma half-span of the samples."""
    unit = float(1 << (of.bits - 8))
    top = float((1 << of.bits) - 1)
    return (0.0, top, top / 2) if of.full_range else (16 * unit, 219 * unit, 112 * unit)


def to_rgb(frame: NDArray[Any], of: Colours) -> NDArray[np.uint8]:
    """One frame [H, W, C], of whatever type, as RGB uint8 [H, W, 3]."""
    values = frame.astype(np.float32)
    if of.family == "yuv":
        kr, kb = _KR_KB.get(of.matrix, _BT601)
        black, span, half = _scale(of)
        middle = float(1 << (of.bits - 1))
        luma, cb, cr = (
            (values[..., 0] - black) / span,
            (values[..., 1] - middle) / half,
            (values[..., 2] - middle) / half,
        )
        red, blue = luma + (1 - kr) * cr, luma + (1 - kb) * cb
        green = (luma - kr * red - kb * blue) / (1 - kr - kb)
        rgb = np.stack([red, green, blue], axis=-1) * 255
    else:
        rgb = np.broadcast_to(values * (255 / ((1 << of.bits) - 1)), (*frame.shape[:2], 3))
    return np.asarray(np.clip(np.rint(rgb), 0, 255), np.uint8)


def from_rgb(rgb: NDArray[np.uint8], of: Colours) -> NDArray[Any]:
    """One RGB frame [H, W, 3] in another colour model and depth, [H, W, C], uint8 or uint16."""
    top = (1 << of.bits) - 1
    unit = rgb.astype(np.float32) / 255
    if of.family == "rgb":
        values = unit * top
    else:
        kr, kb = _KR_KB.get(of.matrix, _BT601)
        black, span, half = _scale(of)
        luma = kr * unit[..., 0] + (1 - kr - kb) * unit[..., 1] + kb * unit[..., 2]
        if of.family == "gray":
            values = (unit.mean(axis=-1) * top)[..., None]
        else:
            middle = float(1 << (of.bits - 1))
            cb, cr = (unit[..., 2] - luma) / (1 - kb), (unit[..., 0] - luma) / (1 - kr)
            values = np.stack([black + span * luma, middle + half * cb, middle + half * cr], axis=-1)
    return np.asarray(np.clip(np.rint(values), 0, top), np.uint8 if of.bits == 8 else np.uint16)
