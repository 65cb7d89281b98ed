"""The colours that a clip can hold, in its own colour model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

_BT709 = 1  # AVCOL_SPC_BT709
_LUMA = {_BT709: (0.2126, 0.0722)}  # weights of red and blue in luma
_BT601 = 0.299, 0.114


@dataclass(frozen=True)
class Gamut:
    """The colours of a clip.

    Attributes:
        family: "yuv", "rgb" or "gray".
        matrix: AVCOL_SPC_* integer of a "yuv" clip.
        full_range: Whether luma uses 0 to 255.
    """

    family: str
    matrix: int = 2
    full_range: bool = False

    @property
    def black(self) -> Doubles:
        """The darkest colour, in 8-bit levels."""
        return self._shade(0.0)

    @property
    def white(self) -> Doubles:
        """The brightest colour, in 8-bit levels."""
        return self._shade(1.0)

    def clip(self, colour: Doubles) -> Doubles:
        """The nearest colour whose red, green and blue exist: each is clipped by itself."""
        if self.family != "yuv":
            return np.clip(colour, self.black, self.white)
        red, blue = _LUMA.get(self.matrix, _BT601)
        (dark, bright), chroma = self._range()
        luma = (colour[0] - dark) / (bright - dark)
        cb, cr = (colour[1:] - 128) / chroma
        r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
        g = (luma - red * r - blue * b) / (1 - red - blue)
        r, g, b = (float(np.clip(each, 0, 1)) for each in (r, g, b))
        luma = red * r + (1 - red - blue) * g + blue * b
        cb, cr = (b - luma) / (2 * (1 - blue)), (r - luma) / (2 * (1 - red))
        return np.array([dark + luma * (bright - dark), 128 + cb * chroma, 128 + cr * chroma])

    def _range(self) -> tuple[tuple[float, float], float]:
        """Luma of black and white, and the span of chroma."""
        return ((0.0, 255.0), 255.0) if self.full_range else ((16.0, 235.0), 224.0)

    def _shade(self, brightness: float) -> Doubles:
        if self.family == "rgb":
            return np.full(3, 255.0 * brightness)
        dark, bright = self._range()[0]
        luma = dark + brightness * (bright - dark)
        return np.array([luma] if self.family == "gray" else [luma, 128.0, 128.0])
