"""Backward warping by optical flow, and the forward-backward consistency test.

Flow channel 0 is x (columns, right positive), channel 1 is y (rows, down positive), in pixels of the flow's grid.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

# Fraction of the summed squared lengths, and absolute slack in px^2, that two flows may disagree by.
CONSISTENCY_SLOPE = 0.01
CONSISTENCY_SLACK_PX2 = 0.5


def sampling_grid(flow: Tensor) -> Tensor:
    """Normalised sampling positions p + f(p), always float32: half precision moves them by up to a pixel.

    Args:
        flow: [N,2,H,W], px.

    Returns:
        [N,H,W,2] float32 in grid_sample's align_corners=True coordinates.
    """
    height, width = flow.shape[-2:]
    flow = flow.float()
    x = torch.arange(width, device=flow.device, dtype=torch.float32)
    y = torch.arange(height, device=flow.device, dtype=torch.float32)[:, None]
    u = 2.0 * (x + flow[:, 0]) / max(width - 1, 1) - 1.0  # (N,H,W)
    v = 2.0 * (y + flow[:, 1]) / max(height - 1, 1) - 1.0
    return torch.stack((u, v), dim=-1)


def warp(image: Tensor, flow: Tensor, mode: Literal["bilinear", "nearest"] = "bilinear") -> Tensor:
    """Sample ``image`` at p + flow(p); zero outside.

    Args:
        image: [N,C,H,W] of any float type.
        flow: [N,2,H,W], px.
        mode: Interpolation; nearest rounds half to even.

    Returns:
        [N,C,H,W] of the type of ``image``.
    """
    sampled = F.grid_sample(image.float(), sampling_grid(flow), mode=mode, padding_mode="zeros", align_corners=True)
    return sampled.to(image.dtype)


def consistent(flow: Tensor, opposite: Tensor) -> Tensor:
    """Where a flow and its opposite, read at the target, cancel out.

    Args:
        flow: [N,2,H,W], px, the flow used for propagation.
        opposite: [N,2,H,W], px, defined on the target grid of ``flow``.

    Returns:
        [N,1,H,W] float32, 1 where consistent.
    """
    flow = flow.float()  # squared lengths above 256 px overflow half precision
    back = warp(opposite.float(), flow)
    error = (flow + back).square().sum(1, keepdim=True)
    length = flow.square().sum(1, keepdim=True) + back.square().sum(1, keepdim=True)
    return (error < CONSISTENCY_SLOPE * length + CONSISTENCY_SLACK_PX2).float()
