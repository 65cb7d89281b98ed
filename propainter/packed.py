"""Propagated frames in 4 bytes a pixel, and pixel propagation that holds clips only in that form.

Pixel propagation copies whole pixels, so every value is one of the 256 of the input, or the zero of an unfilled
hole: bytes and two flags hold it exactly. Method: see ``propagation``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propainter.options import Frames
from propainter.propagation import fill

MISSING, EMPTY = 1, 2  # flag bits: pixel propagation found nothing; the pixel holds no colour


class Packed(NamedTuple):
    """One propagated frame on the host.

    Attributes:
        colour: uint8 [3,H,W].
        flags: uint8 [H,W], bits MISSING and EMPTY.
    """

    colour: Tensor
    flags: Tensor


def pixels(frame: Tensor) -> Tensor:
    """uint8 [3,H,W] to float32 [1,3,H,W] in [-1,1]."""
    return (frame.float() / 255 * 2 - 1)[None]


def pack(image: Tensor, missing: Tensor) -> Packed:
    """From image [1,3,H,W] and mask [1,1,H,W] as pixel propagation gives them, on any device, to the host."""
    empty = (image[0] == 0).all(0)  # no byte value maps to exactly 0
    flags = (missing[0, 0] > 0).to(torch.uint8) * MISSING + empty.to(torch.uint8) * EMPTY
    return Packed(((image[0] + 1) * 127.5).round().to(torch.uint8).cpu(), flags.cpu())


def unpack(packed: Packed, device: torch.device) -> tuple[Tensor, Tensor]:
    """Image float32 [1,3,H,W] in [-1,1] and missing mask [1,1,H,W], the values that were packed."""
    flags = packed.flags.to(device)
    image = pixels(packed.colour.to(device)) * ((flags & EMPTY) == 0)
    return image, ((flags & MISSING) > 0).float()[None, None]


def propagate_packed(
    frames: Sequence[Frames],
    holes: Sequence[NDArray[np.bool_]],
    flows: Sequence[tuple[Tensor, Tensor]],
    device: torch.device,
) -> list[Packed]:
    """The same as ``propagation.propagate_pixels``, one frame on the device at a time.

    Args:
        frames: T times uint8 [H,W,3].
        holes: T times bool [H,W].
        flows: T-1 pairs (forward, backward) of completed flow [1,2,H,W] on the host, px.
        device: Where to compute.
    """
    masks = [torch.from_numpy(hole) for hole in holes]
    first = []
    for frame, mask in zip(frames, masks, strict=True):
        colour = torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))
        flags = mask.to(torch.uint8) * (MISSING + EMPTY)
        first.append(Packed(colour, flags))
    backward = _sweep(first[::-1], flows[::-1], device)[::-1]
    return _sweep(backward, [(b, f) for f, b in flows], device)


def _sweep(steps: Sequence[Packed], flows: Iterable[tuple[Tensor, Tensor]], device: torch.device) -> list[Packed]:
    """One pass in the order of ``steps``; ``flows[i]`` leads from step i+1 to step i, and back."""
    out = [steps[0]]
    source = unpack(steps[0], device)
    for step, (flow, opposite) in zip(steps[1:], flows, strict=True):
        image, mask = unpack(step, device)
        source = fill(image, mask, source, (flow.to(device), opposite.to(device)))
        out.append(pack(*source))
    return out
