"""Modulated deformable convolution (Zhu et al., Deformable ConvNets v2, CVPR 2019), 3x3, stride 1, padding 1.

Two variants with the same numbers: torchvision's compiled operator, and a pure torch twin for builds or devices
that have no such operator. No weights of its own; the modules below hold those of ProPainter (see ``weights``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Variant = Literal["torchvision", "torch"]

GROUPS = 16  # offset groups: consecutive blocks of input channels
TAPS = 9
SLAB_SAMPLES = 1 << 18  # samples per step of the twin: its temporaries stay in the cache


@cache
def has_torchvision_op() -> bool:
    """Whether torchvision is here with its compiled deformable convolution."""
    try:
        import torchvision.ops  # noqa: F401
    except ImportError:
        return False
    return hasattr(torch.ops.torchvision, "deform_conv2d")


_forced: ContextVar[Variant | None] = ContextVar("deform_variant", default=None)


@contextmanager
def using(variant: Variant) -> Iterator[None]:
    """Use one variant for every deformable convolution run inside the ``with`` block (this thread only)."""
    token = _forced.set(variant)
    try:
        yield
    finally:
        _forced.reset(token)


def pick_variant(device: torch.device) -> Variant:
    """The variant used on ``device``: the one forced by ``using``, else the faster one there.

    On the CPU the twin is faster: torchvision's loop is neither vectorised nor threaded for one image
    (benchmarks/PROPAINTER.md). Without torchvision's operator the twin is the only one.
    """
    if not has_torchvision_op():
        return "torch"
    return _forced.get() or ("torchvision" if device.type == "cuda" else "torch")


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
        variant: Which implementation; None asks ``pick_variant``.

    Returns:
        [N,O,H,W].
    """
    if (variant or pick_variant(x.device)) == "torch":
        return _deform_torch(x, offset, mask, weight=weight, bias=bias)
    from torchvision.ops import deform_conv2d

    return deform_conv2d(x, offset, weight, bias, padding=1, mask=mask)


def _deform_torch(x: Tensor, offset: Tensor, mask: Tensor, *, weight: Tensor, bias: Tensor) -> Tensor:
    """Every sample is a weighted sum of 4 table rows, one row per pixel and group: torch's embedding_bag."""
    n, channels, height, width = x.shape
    depth = channels // GROUPS
    images = x.float().reshape(n, GROUPS, depth, height, width)
    # zero border on all sides and one spare row and column, so that clamped samples outside read only zeros
    table = F.pad(images, (1, 2, 1, 2)).permute(0, 1, 3, 4, 2).reshape(-1, depth)
    # (O, C, 3, 3) -> (G*9*C/G, O): group slow, then tap, then channel within the group
    kernel = weight.float().reshape(-1, GROUPS, depth, TAPS).permute(1, 3, 2, 0).reshape(channels * TAPS, -1)
    slab = max(1, SLAB_SAMPLES // (n * width * GROUPS * TAPS))
    parts = []
    for top in range(0, height, slab):
        rows = slice(top, min(height, top + slab))
        index, shares = _corners(offset[:, :, rows], mask[:, :, rows], top=top, height=height)
        columns = F.embedding_bag(index, table, per_sample_weights=shares, mode="sum")
        columns = columns.reshape(n, rows.stop - top, width, channels * TAPS)
        parts.append(columns @ kernel + bias.float())  # (N, slab, W, O)
    return torch.cat(parts, dim=1).permute(0, 3, 1, 2).to(x.dtype)


def _corners(offset: Tensor, mask: Tensor, *, top: int, height: int) -> tuple[Tensor, Tensor]:
    """Table rows and bilinear shares of the 4 corners of every sample of some image rows, the first being ``top``.

    Returns:
        int32 and float32, both [N*rows*W*16*9, 4].
    """
    n, _, high, width = offset.shape
    # (N, 288, rows, W) -> (2, N, rows, W, G, 9)
    moves = offset.float().reshape(n, GROUPS, TAPS, 2, high, width).permute(3, 0, 4, 5, 1, 2)
    gate = mask.float().reshape(n, GROUPS, TAPS, high, width).permute(0, 3, 4, 1, 2)
    tap = torch.arange(TAPS, device=offset.device)
    row = torch.arange(top, top + high, device=offset.device)[:, None, None, None] + (tap // 3 - 1)
    column = torch.arange(width, device=offset.device)[:, None, None] + (tap % 3 - 1)
    y, x = (moves[0] + row).clamp_(-1, height), (moves[1] + column).clamp_(-1, width)
    above, left = y.floor(), x.floor()
    lower = gate * y.sub_(above)
    upper = gate - lower
    x.sub_(left)
    lower_right, upper_right = lower * x, upper * x
    shares = torch.stack((upper.sub_(upper_right), upper_right, lower.sub_(lower_right), lower_right), dim=-1)
    stride = width + 3
    plane = torch.arange(n * GROUPS, device=offset.device, dtype=torch.int32).reshape(n, 1, 1, GROUPS, 1)
    first = (above.int() + 1) * stride + (left.int() + 1) + plane * ((height + 3) * stride)
    step = torch.tensor((0, 1, stride, stride + 1), device=offset.device, dtype=torch.int32)
    return (first[..., None] + step).reshape(-1, 4), shares.reshape(-1, 4)


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
