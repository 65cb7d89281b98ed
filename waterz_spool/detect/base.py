"""What a detector sees and what it says about a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Box, MaskPatch

Luma = NDArray[Any]
Reread = Callable[[], Iterator[tuple[int, Luma]]]
"""Decodes the video again: index and luma plane [H, W] of every frame in order."""


@dataclass(frozen=True)
class Rejected:
    """A place that looked like an overlay and was not taken.

    Detectors take only what is certain. What may be an overlay is told with its confidence, so that people can decide;
    what is known to be none has no confidence.

    Attributes:
        box: Where, in px of the frame.
        reason: Why not, in words.
        confidence: That it is an overlay after all, 0 to 1.
        start: First frame.
        stop: One past the last; None is the end of the video.
    """

    box: Box
    reason: str
    confidence: float = 0.0
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True)
class Found:
    """What a detector says about one stretch of a video.

    Attributes:
        mask: uint8 [H, W], 255 where an overlay hides the picture in every frame.
        overlays: Box of each overlay; empty when nothing was found.
        reason: Why nothing was found; empty otherwise.
        rejected: Candidates that were not taken.
    """

    mask: NDArray[np.uint8]
    overlays: tuple[Box, ...]
    reason: str = ""
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, order=True)
class Detection:
    """One overlay in one frame.

    Attributes:
        box: Half-open, in coded px.
        score: Confidence, 0 to 1.
        label: Class name of the model.
    """

    box: Box
    score: float
    label: str = ""


@dataclass(frozen=True)
class Findings:
    """What a detector says about a whole video.

    Attributes:
        patches: Masks with place and frames of what is certain; empty when nothing is.
        reason: Why nothing was found; empty otherwise.
        rejected: What was not taken, likely overlays and others.
        scores: Confidence of each detection by frame, for people to look at.
        boxes: Masks that are boxes around what is certain, too; its own pixels are still to be found.
    """

    patches: tuple[MaskPatch, ...]
    reason: str = ""
    rejected: tuple[Rejected, ...] = ()
    scores: tuple[tuple[int, Detection], ...] = ()
    boxes: tuple[MaskPatch, ...] = ()


class Detector(Protocol):
    """Looks at every frame once, then says where the overlays are."""

    name: str

    def add(self, index: int, picture: Any, luma: Luma) -> None:
        """Look at a frame; frames come in order, without gaps.

        Args:
            index: Frame index.
            picture: The decoded ``av.VideoFrame``.
            luma: Its first plane, uint8 or uint16 [H, W].
        """
        ...

    def finish(self, reread: Reread) -> Findings:
        """What was found in all frames added."""
        ...
