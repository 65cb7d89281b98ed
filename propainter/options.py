"""Options of the pipeline, their ranges, and the checks on frames and masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from propainter.errors import InputError

Mode = Literal["default", "reference"]
Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Options:
    """What a run may vary.

    Attributes:
        subvideo_length: Frames per chunk of flow completion and pixel propagation; also the longest clip whose
            generator windows see references from everywhere. At least 1.
        neighbor_length: Local frames per generator window reach neighbor_length // 2 to each side. At least 2.
        ref_stride: Distance between reference frames. At least 1.
        mask_dilation: Steps by which masks grow, px (a diamond). At least 0.
        raft_iter: Updates of the optical flow. At least 1.
    """

    subvideo_length: int = 80
    neighbor_length: int = 10
    ref_stride: int = 10
    mask_dilation: int = 4
    raft_iter: int = 20

    def __post_init__(self) -> None:
        least = {"subvideo_length": 1, "neighbor_length": 2, "ref_stride": 1, "mask_dilation": 0, "raft_iter": 1}
        for name, low in least.items():
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < low:
                raise InputError(f"{name}={value!r}", todo=f"Give an integer of at least {low}.")

    @property
    def step(self) -> int:
        """Distance between window centres, frames; windows reach as far to each side."""
        return self.neighbor_length // 2


def checked_mode(mode: str) -> Mode:
    """The mode, if there is one of that name.

    Raises:
        InputError: There is none.
    """
    if mode not in ("default", "reference"):
        raise InputError(f"mode={mode!r}", todo="Use 'default' or 'reference'.")
    return mode  # type: ignore[return-value]


def checked_clip(frames: Any, masks: Any) -> tuple[Frames, Frames]:
    """Frames, and masks as uint8 0/255, of agreeing shapes; one single mask is repeated for every frame.

    Args:
        frames: uint8 [T,H,W,3] RGB, T at least 1.
        masks: uint8 or bool [T,H,W], [1,H,W] or [H,W], nonzero inside the hole.

    Raises:
        InputError: Another type or shape.
    """
    frames, masks = np.asarray(frames), np.asarray(masks)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) == 0:
        raise InputError(f"frames are {frames.dtype} {frames.shape}", todo="Give uint8 [T,H,W,3] RGB, T >= 1.")
    if masks.dtype not in (np.uint8, np.bool_):
        raise InputError(f"masks are {masks.dtype}", todo="Give uint8 [T,H,W], nonzero inside the hole.")
    if masks.ndim == 2:
        masks = masks[None]
    if masks.shape[1:] != frames.shape[1:3] or masks.shape[0] not in (1, len(frames)):
        raise InputError(f"masks {masks.shape} do not fit frames {frames.shape}", todo="Give one mask per frame.")
    holes = (masks != 0).astype(np.uint8) * np.uint8(255)
    return frames, np.broadcast_to(holes, frames.shape[:3])
