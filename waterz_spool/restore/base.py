"""The base of restorers: what every back end that fills masked pixels is and promises.

A restorer is a pure function of the clip it is given: same clip, same bytes, whatever the machine, the number of
threads or the segments restored before. It never sees files, jobs or the rest of the video.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from waterz_spool.config import RestoreConfig
from waterz_spool.errors import SetupError
from waterz_spool.records import Confidence
from waterz_spool.restore.texture.plate import PlaceOfPlate
from waterz_spool.restore.unblend.layers import Layer
from waterz_spool.restore.weights import WeightFile, WeightState, absent, verified, weights_folder

Frames = NDArray[np.uint8] | NDArray[np.uint16]
Masks = NDArray[np.uint8]


def _arrived(count: int) -> None:
    """A clip whose frames are all there."""


def _untold(share: float) -> None:
    """A clip whose progress nobody asks for."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Decoded frames of one crop with context on both sides.

    Attributes:
        frames: uint8, or uint16 above 8 bit, [T, H, W, C] with C = 1 (gray) or 3, values 0..2**bits - 1, in the
            source's own colour model at full chroma resolution: Y, Cb, Cr (family "yuv"), R, G, B ("rgb") or gray.
        masks: uint8 [T, H, W]; 0 is known, anything else hidden by an overlay, in context frames too.
        start: First frame to restore.
        stop: One past the last frame to restore; frames outside [start, stop) are context.
        bits: Bits per sample.
        family: "yuv", "rgb" or "gray".
        matrix: AVCOL_SPC_* integer of a "yuv" clip (back ends that need RGB use it).
        full_range: Whether luma uses 0..2**bits - 1.
        wait: Returns when the first ``count`` frames and masks are there; raises what stopped their reader. Only a
            restorer with ``streams`` gets a clip whose frames are still being read.
        plate: What the shot looks like around the overlay, for texture; None where there is none to be had.
        layers: Of its overlay, measured elsewhere in the video; empty: it is not to be undone; None: not measured.
        steps: Luma columns and rows per chroma sample of a "yuv" source.
        tell: Told how much of the work is done, 0..1, for progress; in any thread.
    """

    frames: Frames
    masks: Masks
    start: int
    stop: int
    bits: int
    family: str
    matrix: int = 2
    full_range: bool = False
    wait: Callable[[int], None] = _arrived
    plate: PlaceOfPlate | None = None
    layers: tuple[Layer, ...] | None = None
    steps: tuple[int, int] = (2, 2)
    tell: Callable[[float], None] = _untold


@dataclass(frozen=True, kw_only=True)
class Restored:
    """Restored target frames.

    Attributes:
        frames: [stop - start, H, W, C], dtype and range of the clip; outside the masks equal to the input.
        confidence: None when no pixel was hidden.
    """

    frames: Frames
    confidence: Confidence | None


class Stop(Exception):  # noqa: N818 - a request, not an error
    """Raised out of a restorer when its ``check`` asks it to stop (fenced, cancelled, preempted)."""


Check = Callable[[], None]
"""Called between windows of frames; raises Stop when the work should end."""


def no_check() -> None:
    """A check that never asks to stop."""


class Restorer(ABC):
    """A back end that fills masked pixels; a class says what it is, an object is ready to work.

    A worker makes one object per job, with ``threads`` and the options that `pinned` stored in the job.

    Args:
        threads: How many it may use. On a CPU the result must not depend on it.

    Attributes:
        name: By which it is chosen.
        needs_gpu: Whether it is hardly of use without one: ``auto`` takes it only where there is a GPU, and `run`
            starts one worker per GPU.
        automatic: Whether ``auto`` may choose it; asked only of the restorers of this package.
        streams: Whether it computes beside the CPU (on a GPU) and takes frames as they arrive: then reading and
            encoding go on in threads beside it.
        weights: The files that it needs, none of which is shipped or downloaded.
        margin_px: Least margin that it wants to see around an overlay; the configuration may give more.
        size_px: Least (width, height) of what it wants to see, where the picture is that large.
        context_frames: Least number of frames that it wants on both sides of a segment.
        texture: Whether it makes use of a clip's plate.
        measures: Whether `measure` tells something that all segments of a video must know alike.
        heaviness: How much longer it takes for a pixel than ``propagate`` does, about; for progress alone.
    """

    name: ClassVar[str]
    needs_gpu: ClassVar[bool] = False
    automatic: ClassVar[bool] = False
    streams: bool = False
    weights: ClassVar[tuple[WeightFile, ...]] = ()
    margin_px: ClassVar[int] = 0
    size_px: ClassVar[tuple[int, int]] = (0, 0)
    context_frames: ClassVar[int] = 0
    texture: ClassVar[bool] = False
    measures: ClassVar[bool] = False
    heaviness: ClassVar[float] = 1.0

    def __init__(self, *, threads: int = 1) -> None:
        del threads  # whoever has a use for them says so

    @classmethod
    def pinned(cls, options: RestoreConfig) -> dict[str, Any]:
        """The keyword options that all workers of a job must use, for they decide about its result; plain data.

        Raises:
            SetupError: It cannot be used here.
        """
        del options
        return {}

    @classmethod
    def require(cls) -> None:
        """Make sure that it can be used here, as far as that is quickly told.

        Raises:
            SetupError: A library or file is missing; says which, where to get it, and what works without.
        """
        for file in absent(cls.weights):
            raise SetupError(
                f"the weight file {file.name} is missing ({file.what}; {file.licence})",
                where=str(weights_folder()),
                todo=f"get it from {file.source} and put it there (WATERZ_MODELS names another folder); "
                "--engine propagate and --engine membrane need no weights",
            )

    @classmethod
    def verified(cls) -> list[WeightState]:
        """Whether each of its weight files is what it should be; reads them whole."""
        return verified(cls.weights)

    def measure(self, clip: Clip, *, check: Check = no_check) -> tuple[Layer, ...] | None:
        """The layers of an overlay, from a clip of it, for all segments of the video alike; None: it knows nothing."""
        del clip, check
        return None

    @abstractmethod
    def restore(self, clip: Clip, *, check: Check = no_check) -> Restored:
        """Fill the masked pixels of the clip's target frames.

        Raises:
            Stop: ``check`` asked for it.
        """
