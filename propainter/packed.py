"""What waits on the host between stages, in few bytes: only what differs from the input, which is inside the hole.

Pixel propagation copies whole pixels, so every value is one of the 256 of the input, or the zero of an unfilled
hole: bytes and two flags hold it exactly. Flow completion changes nothing outside the hole. Method: see
``propagation`` and ``flow_completion``.
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
from propainter.region import Box, hole_box

MISSING, EMPTY = 1, 2  # flag bits: pixel propagation found nothing; the pixel holds no colour
NOTHING = Box(0, 0, 0, 0)

FlowPair = tuple[Tensor, Tensor]


class Patch(NamedTuple):
    """A rectangle of one flow: its place, and values [1,2,h,w], px, on the host."""

    box: Box
    values: Tensor


class Completed(NamedTuple):
    """Both completed flows of one pair of frames, on the host.

    Attributes:
        measured: Flows (forward, backward) before completion, [1,2,H,W], px; shared, not copied.
        filled: What completion made of each where the hole is.
    """

    measured: FlowPair
    filled: tuple[Patch, Patch]

    def pair(self, device: torch.device) -> FlowPair:
        """Completed flows, forward and backward, [1,2,H,W] each."""
        forward, backward = (_patched(*side, device) for side in zip(self.measured, self.filled, strict=True))
        return forward, backward


def cut_patch(flow: Tensor, hole: NDArray[np.bool_]) -> Patch:
    """A copy of the part of flow [1,2,H,W] that a hole [H,W] may have changed."""
    box = hole_box(hole) or NOTHING
    return Patch(box, flow[..., *box.cut].clone())


def _patched(flow: Tensor, patch: Patch, device: torch.device) -> Tensor:
    whole = flow.to(device, copy=True)
    whole[..., *patch.box.cut] = patch.values.to(device)
    return whole


class Packed(NamedTuple):
    """One propagated frame on the host.

    Attributes:
        frame: uint8 [H,W,3], the input; shared, not copied.
        box: Where the hole is.
        colour: uint8 [3,h,w] of the box.
        flags: uint8 [h,w] of the box, bits MISSING and EMPTY.
    """

    frame: Frames
    box: Box
    colour: Tensor
    flags: Tensor

    def missing(self, device: torch.device) -> Tensor:
        """Mask [1,1,H,W], 1 where pixel propagation found nothing."""
        mask = torch.zeros(1, 1, *self.frame.shape[:2], device=device)
        mask[..., *self.box.cut] = ((self.flags.to(device) & MISSING) > 0).float()
        return mask


def pixels(frame: Tensor) -> Tensor:
    """uint8 [3,H,W] to float32 [1,3,H,W] in [-1,1]."""
    return (frame.float() / 255 * 2 - 1)[None]


def pack(image: Tensor, missing: Tensor, before: Packed) -> Packed:
    """From image [1,3,H,W] and mask [1,1,H,W] as pixel propagation gives them, on any device, to the host.

    Args:
        image: Equal to the input outside the box of ``before``.
        missing: 0 outside that box.
        before: The same frame at an earlier stage.
    """
    image, missing = image[0][:, *before.box.cut], missing[0, 0][before.box.cut]
    empty = (image == 0).all(0)  # no byte value maps to exactly 0
    flags = (missing > 0).to(torch.uint8) * MISSING + empty.to(torch.uint8) * EMPTY
    return before._replace(colour=((image + 1) * 127.5).round().to(torch.uint8).cpu(), flags=flags.cpu())


def pack_input(frame: Frames, hole: NDArray[np.bool_]) -> Packed:
    """A frame uint8 [H,W,3] before propagation: nothing is known inside the hole bool [H,W]."""
    box = hole_box(hole) or NOTHING
    colour = torch.from_numpy(frame[box.cut].transpose(2, 0, 1).copy())
    return Packed(frame, box, colour, torch.from_numpy(hole[box.cut]).to(torch.uint8) * (MISSING + EMPTY))


def unpack(packed: Packed, device: torch.device) -> tuple[Tensor, Tensor]:
    """Image float32 [1,3,H,W] in [-1,1] and missing mask [1,1,H,W], the values that were packed."""
    image = pixels(torch.from_numpy(np.ascontiguousarray(packed.frame.transpose(2, 0, 1))).to(device))
    known = (packed.flags.to(device) & EMPTY) == 0
    image[..., *packed.box.cut] = pixels(packed.colour.to(device)) * known
    return image, packed.missing(device)


def propagate_packed(
    frames: Sequence[Frames],
    holes: Sequence[NDArray[np.bool_]],
    flows: Sequence[Completed],
    device: torch.device,
) -> list[Packed]:
    """The same as ``propagation.propagate_pixels``, one frame on the device at a time.

    Args:
        frames: T times uint8 [H,W,3].
        holes: T times bool [H,W].
        flows: T-1 pairs of completed flow.
        device: Where to compute.
    """
    first = [pack_input(frame, hole) for frame, hole in zip(frames, holes, strict=True)]
    backward = _sweep(first[::-1], (near.pair(device) for near in flows[::-1]), device)[::-1]
    return _sweep(backward, (near.pair(device)[::-1] for near in flows), device)


def _sweep(steps: Sequence[Packed], flows: Iterable[FlowPair], device: torch.device) -> list[Packed]:
    """One pass in the order of ``steps``; ``flows[i]`` leads from step i+1 to step i, and back."""
    out = [steps[0]]
    source = unpack(steps[0], device)
    for step, near in zip(steps[1:], flows, strict=True):
        image, mask = unpack(step, device)
        source = fill(image, mask, source, near)
        out.append(pack(*source, step))
    return out
