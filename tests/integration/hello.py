"""A package of other people that brings a restorer and a detector, both called hello; docs/backends.md shows it."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect import Detector, Findings, Luma, Reread, Setting
from waterz_spool.detect.patches import whole
from waterz_spool.records import Confidence
from waterz_spool.restore import Check, Clip, Restored, Restorer, no_check


class HelloRestorer(Restorer):
    """Fills a hole with the mean of what is known around it."""

    name = "hello"

    def restore(self, clip: Clip, *, check: Check = no_check) -> Restored:
        """Fill the masked pixels of the clip's target frames."""
        out = clip.frames[clip.start : clip.stop].copy()
        hidden_px = 0
        for frame, mask in zip(out, clip.masks[clip.start : clip.stop], strict=True):
            check()
            hidden = mask > 0
            known = frame[~hidden] if not hidden.all() else np.zeros((1, frame.shape[2]))
            frame[hidden] = known.mean(axis=0).round()
            hidden_px += int(hidden.sum())
        told = Confidence(seen=0.0, weight=0.0, hidden_px=hidden_px) if hidden_px else None
        return Restored(frames=out, confidence=told)


class HelloDetector(Detector):
    """Finds pixels that hardly change while most of the picture does."""

    name = "hello"

    def __init__(self, bits: int) -> None:
        self._steps = 2 ** (bits - 8)
        self._least: NDArray[Any] | None = None
        self._most: NDArray[Any] | None = None
        self._count = 0

    @classmethod
    def made_for(cls, setting: Setting) -> Self:
        """One for a video."""
        return cls(setting.info.bits)

    def add(self, index: int, picture: Any, luma: Luma) -> None:
        """Look at a frame."""
        self._count += 1
        self._least = luma.copy() if self._least is None else np.minimum(self._least, luma)
        self._most = luma.copy() if self._most is None else np.maximum(self._most, luma)

    def finish(self, reread: Reread) -> Findings:
        """What stood still in all frames."""
        if self._least is None or self._most is None:
            return Findings((), "there are no frames")
        stood = (self._most - self._least) // self._steps <= 12
        if not 0.001 < stood.mean() < 0.2:
            return Findings((), "nothing stands still in a picture that moves")
        return Findings((whole(stood.astype(np.uint8) * 255, 0, self._count),))
