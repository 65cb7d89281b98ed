"""What a detector sees and what it says about a video."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from waterz_spool.config import DetectConfig
from waterz_spool.records import Box, MaskPatch, VideoInfo

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
        missing: Whether something is painted there, as far as can be told: what else was found is not all.
    """

    box: Box
    reason: str
    confidence: float = 0.0
    start: int = 0
    stop: int | None = None
    missing: bool = False


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
        boxes: Boxes around what is certain, too; its own pixels are still to be found. A mask that is not filled marks
            what of its box certainly belongs to it.
    """

    patches: tuple[MaskPatch, ...]
    reason: str = ""
    rejected: tuple[Rejected, ...] = ()
    scores: tuple[tuple[int, Detection], ...] = ()
    boxes: tuple[MaskPatch, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a detector is made for.

    Attributes:
        options: The configuration.
        info: Facts of the video.
        sha256: Bytes that the user's weights must have; empty where none are used.
        spool: Weights inside it are refused.
    """

    options: DetectConfig
    info: VideoInfo
    sha256: str = ""
    spool: Path | None = None


class Detector(ABC):
    """Looks at every frame once, then says where the overlays are.

    Attributes:
        name: By which it is chosen.
        outlines: Whether it knows the outlines and exact frames of what it finds. Beside others, its masks are taken as
            they are, and those of a detector that knows only boxes yield to them.
        needs_weights: Whether it looks with the user's weights (``detect.weights``).
    """

    name: str
    outlines: ClassVar[bool] = False
    needs_weights: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def made_for(cls, setting: Setting) -> Self:
        """One for a video.

        Raises:
            SetupError: Its library or weights are missing here, or not those pinned.
        """

    @classmethod
    def automatic(cls, options: DetectConfig) -> bool:
        """Whether it is one of those that ``auto`` stands for; asked only of the detectors of this package."""
        del options
        return False

    @classmethod
    def listing(cls) -> list[dict[str, str]]:
        """The files of weights that it brings, for `models list`: file, licence, what, source, present, sha256."""
        return []

    @abstractmethod
    def add(self, index: int, picture: Any, luma: Luma) -> None:
        """Look at a frame; frames come in order, without gaps.

        Args:
            index: Frame index.
            picture: The decoded ``av.VideoFrame``.
            luma: Its first plane, uint8 or uint16 [H, W]; not to be written.
        """

    @abstractmethod
    def finish(self, reread: Reread) -> Findings:
        """What was found in all frames added: only what is certain, else a reason why there is nothing."""
