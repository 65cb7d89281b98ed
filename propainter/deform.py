"""Modulated deformable convolution (Zhu et al., Deformable ConvNets v2, CVPR 2019), 3x3, stride 1, padding 1.

Two variants with the same numbers: torchvision's compiled operator, and a pure torch twin for builds or devices
that have no such operator. No weights of its own; the modules below hold those of ProPainter (see ``weights``).
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Variant = Literal["torchvision", "torch"]

GROUPS = 16  # offset groups: consecutive blocks of input channels
TAPS = 9


@cache
def has_torchvision_op() -> bool:
    """Whether torchvision is here with its compiled deformable convolution."""
    try:
        import torchvision.ops  # noqa: F401
    except ImportError:
        return False
    return hasattr(torch.ops.torchvision, "deform_conv2d")


def pick_variant(device: torch.device) -> Variant:
    """The variant used on ``device`` unless a caller names one.

    On the CPU the twin is the faster one (its gathers are vectorised and threaded, see benchmarks/PROPAINTER.md).
    """
    return "torchvision" if device.type == "cuda" and has_torchvision_op() else "torch"


def deform_conv(
    x: Tensor, offset: Tensor, mask: Tensor, *, weight: Tensor, bias: Tensor, variant: Variant | None = None
) -> Tensor:
    """Deformable convolution v2 with 16 offset groups, bilinear on a zero-padded image.

    Args:
        x: [N,C,H,W], C a multiple of 16.
        offset: [N,288,H,W], px, channels (group*9 + tap)*2 + {0: y, 1: x}, taps row-major.
        mask: [N,144,H,W], channels group*9 + tap, usually 0..1.
        weight: [O,C,3,3].
        bias: [O].
        variant: Which implementation; None picks by device.

    Returns:
        [N,O,H,W].
    """
    if (variant or pick_variant(x.device)) == "torch":
        return _deform_torch(x, offset, mask, weight=weight, bias=bias)
    from torchvision.ops import deform_conv2d

    return deform_conv2d(x, offset, weight, bias, padding=1, mask=mask)


def _deform_torch(x: Tensor, offset: Tensor, mask: Tensor, *, weight: Tensor, bias: Tensor) -> Tensor:
    n, channels, height, width = x.shape
    grid = _tap_grid(offset)
    # (N*G, C/G, H, W) sampled at (N*G, 9*H, W) positions
    images = x.float().reshape(n * GROUPS, channels // GROUPS, height, width)
    taps = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    taps = taps * mask.float().reshape(n * GROUPS, 1, TAPS * height, width)
    # (N*G, C/G, 9*H, W) -> (N, C*9, H*W): channel slow, tap fast, as the weight is laid out
    columns = taps.reshape(n, channels * TAPS, height * width)
    out = torch.matmul(weight.to(columns.dtype).flatten(1), columns) + bias.to(columns.dtype)[:, None]
    return out.reshape(n, -1, height, width).to(x.dtype)


def _tap_grid(offset: Tensor) -> Tensor:
    """Normalised float32 positions of all taps: [N*16, 9*H, W, 2]."""
    n, _, height, width = offset.shape
    # (N, 288, H, W) -> (N*G, 9, 2, H, W)
    moves = offset.float().reshape(n * GROUPS, TAPS, 2, height, width)
    tap = torch.arange(TAPS, device=offset.device)
    rows = torch.arange(height, device=offset.device)[:, None] + (tap // 3 - 1)[:, None, None]  # (9, H, 1)
    columns = torch.arange(width, device=offset.device) + (tap % 3 - 1)[:, None, None]  # (9, 1, W)
    v = (moves[:, :, 0] + rows) * (2.0 / max(height - 1, 1)) - 1.0
    u = (moves[:, :, 1] + columns) * (2.0 / max(width - 1, 1)) - 1.0
    # (N*G, 9, H, W, 2) -> (N*G, 9*H, W, 2)
    return torch.stack((u, v), dim=-1).reshape(n * GROUPS, TAPS * height, width, 2)


def offset_head(in_channels: int, channels: int) -> nn.Sequential:
    """The small network that predicts offsets and masks: 4 convolutions, 432 = 288 + 144 outputs."""
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=1),
        nn.LeakyReLU(0.1),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.LeakyReLU(0.1),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.LeakyReLU(0.1),
        nn.Conv2d(channels, 3 * TAPS * GROUPS, 3, padding=1),
    )


class DeformAlign(nn.Module):
    """A deformable convolution whose offsets and masks come from a condition tensor.

    Args:
        in_channels: Channels of the tensor that is sampled.
        cond_channels: Channels of the condition.
        out_channels: Channels of the result and inside the offset head.
        reach_px: Largest offset the head itself can ask for, in px of the feature grid.
    """

    def __init__(self, in_channels: int, cond_channels: int, out_channels: int, *, reach_px: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.conv_offset = offset_head(cond_channels, out_channels)
        self.reach_px = reach_px

    def forward(self, x: Tensor, cond: Tensor, flow: Tensor | None = None) -> Tensor:
        """Align ``x`` [N,C,H,W] under ``cond`` [N,D,H,W]; ``flow`` [N,2,H,W] is added to every offset."""
        o1, o2, gate = self.conv_offset(cond).chunk(3, dim=1)
        offset = self.reach_px * torch.tanh(torch.cat((o1, o2), dim=1))  # (N, 288, H, W)
        if flow is not None:
            # offsets are (y, x) while flow is (x, y)
            offset = offset + flow.flip(1).repeat(1, TAPS * GROUPS, 1, 1)
        return deform_conv(x, offset, torch.sigmoid(gate), weight=self.weight, bias=self.bias)
