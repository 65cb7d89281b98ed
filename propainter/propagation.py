"""Flow-guided propagation: of pixels (no parameters) and of features (deformable alignment).

Paper: Zhou et al., ProPainter, ICCV 2023, section 3.2 (dual-domain propagation).
Licence of the weights (ProPainter.pth): NTU S-Lab License 1.0, non-commercial use only; not shipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from propainter.deform import DeformAlign
from propainter.warp import consistent, warp

FILLED = 0.1  # a warped mask above this counts as hole
CHANNELS = 128
OFFSET_REACH_PX = 3.0


class Flows(NamedTuple):
    """Both flows of consecutive pairs: forward t to t+1 on grid t, backward t+1 to t on grid t+1; [T-1,2,H,W], px."""

    forward: Tensor
    backward: Tensor


def propagate_pixels(frames: Tensor, masks: Tensor, flows: Flows) -> tuple[Tensor, Tensor]:
    """Copy pixels into the hole along consistent flow, backward in time and then forward.

    Args:
        frames: [T,3,H,W] float32 in [-1,1]; the hole's content is not read.
        masks: [T,1,H,W] float32, 1 inside the hole.
        flows: Completed flows, each [T-1,2,H,W], px.

    Returns:
        Frames with the reachable part of the hole filled (0 where nothing reached), and masks of what is missing.
    """
    first = backward_pass(frames * (1 - masks), masks, flows)
    images, missing = forward_pass(*first, flows)
    return frames * (1 - masks) + images * masks, missing


def backward_pass(images: Tensor, masks: Tensor, flows: Flows) -> tuple[Tensor, Tensor]:
    """Fill from the future: [T,3,H,W] images and [T,1,H,W] masks, t = T-1 first."""
    out, missing = [images[-1:]], [masks[-1:]]
    for t in range(len(images) - 2, -1, -1):
        near = (flows.forward[t : t + 1], flows.backward[t : t + 1])
        step = fill(images[t : t + 1], masks[t : t + 1], (out[-1], missing[-1]), near)
        out.append(step[0])
        missing.append(step[1])
    return torch.cat(out[::-1]), torch.cat(missing[::-1])


def forward_pass(images: Tensor, masks: Tensor, flows: Flows) -> tuple[Tensor, Tensor]:
    """Fill from the past: [T,3,H,W] images and [T,1,H,W] masks, t = 0 first."""
    out, missing = [images[:1]], [masks[:1]]
    for t in range(1, len(images)):
        near = (flows.backward[t - 1 : t], flows.forward[t - 1 : t])
        step = fill(images[t : t + 1], masks[t : t + 1], (out[-1], missing[-1]), near)
        out.append(step[0])
        missing.append(step[1])
    return torch.cat(out), torch.cat(missing)


def fill(
    image: Tensor, mask: Tensor, source: tuple[Tensor, Tensor], flows: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """One step of a pass: copy from a neighbour where its pixel is known and the two flows agree.

    Args:
        image: [1,3,H,W], this frame.
        mask: [1,1,H,W], 1 where it is unknown.
        source: The neighbour's image and mask after its own step.
        flows: From this frame to the neighbour, and back; [1,2,H,W], px.

    Returns:
        Image and mask of this frame.
    """
    flow, opposite = flows
    warped = warp(source[0], flow, "nearest")
    hole_there = _binary(warp(source[1], flow))
    valid = consistent(flow, opposite)
    usable = _binary(mask * valid * (1 - hole_there))
    filled = usable * warped + (1 - usable) * image
    return filled, _binary(mask * (1 - valid * (1 - hole_there)))


def _binary(value: Tensor) -> Tensor:
    return (value > FILLED).to(value.dtype)


class FeaturePropagation(nn.Module):
    """First-order bidirectional propagation of features, guided by completed flow."""

    def __init__(self) -> None:
        super().__init__()
        names = ("backward_1", "forward_1")
        cond = 2 * CHANNELS + 2 + 1 + 2  # current, warped, flow, valid, masks
        self.deform_align = nn.ModuleDict(
            {n: DeformAlign(CHANNELS, cond, CHANNELS, reach_px=OFFSET_REACH_PX) for n in names}
        )
        self.backbone = nn.ModuleDict({n: _two_convs() for n in names})
        self.fuse = _two_convs()

    def forward(self, features: Sequence[Tensor], flows: Flows, masks: Tensor) -> Tensor:
        """Propagate within one window of consecutive frames.

        Args:
            features: T tensors [1,128,h,w].
            flows: Each [T-1,2,h,w], px of the feature grid.
            masks: [T,2,h,w]: hole, and what pixel propagation left missing.

        Returns:
            [T,128,h,w].
        """
        known = masks.split(1)
        valid_f = consistent(flows.forward, flows.backward).split(1)
        valid_b = consistent(flows.backward, flows.forward).split(1)
        guides_b = list(zip(flows.forward.split(1), valid_f, strict=True))[::-1]
        guides_f = list(zip(flows.backward.split(1), valid_b, strict=True))
        backward = list(self._sweep("backward_1", features[::-1], guides_b, known[::-1]))[::-1]
        out = features[0].new_empty(len(features), *features[0].shape[1:])
        forward = self._sweep("forward_1", backward, guides_f, known)
        for index, (b, f, mask) in enumerate(zip(backward, forward, known, strict=True)):
            fused = self.fuse(torch.cat((b, f, mask), dim=1))  # from (1, 258, h, w)
            out[index] = (fused + features[index])[0]
        return out

    def _sweep(
        self, name: str, steps: Sequence[Tensor], guides: list[tuple[Tensor, Tensor]], known: Sequence[Tensor]
    ) -> Iterator[Tensor]:
        """One direction, in the order given; ``guides[i]`` leads from step i to step i+1."""
        align, backbone = self.deform_align[name], self.backbone[name]
        before: Tensor | None = None
        for index, (current, masks) in enumerate(zip(steps, known, strict=True)):
            p = current
            if before is not None:
                flow, valid = guides[index - 1]
                cond = torch.cat((current, warp(before, flow), flow, valid, masks), dim=1)  # (1, 261, h, w)
                p = align(before, cond, flow)
            before = p + backbone(torch.cat((current, p, masks), dim=1))
            yield before


def _two_convs() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2 * CHANNELS + 2, CHANNELS, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
    )
