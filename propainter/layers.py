"""Small layers shared by the networks: per-frame and temporal convolutions, upsampling, slicing over frames."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SpatialConv(nn.Module):
    """A (1,k,k) Conv3d of the checkpoint, run as a plain 2-D convolution on frames [N,C,H,W]."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        replicate: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 1, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.stride, self.padding, self.dilation, self.replicate = stride, padding, dilation, replicate

    def forward(self, x: Tensor) -> Tensor:
        """[N,C,H,W] to [N,C',H',W']."""
        padding = self.padding
        if self.replicate:
            x, padding = F.pad(x, (padding,) * 4, mode="replicate"), 0
        return F.conv2d(x, self.weight[:, :, 0], self.bias, self.stride, padding, self.dilation)


class TemporalConv(nn.Module):
    """A (3,1,1) Conv3d of the checkpoint with zero padding in time, on [B,T,C,H,W]."""

    def __init__(self, in_channels: int, out_channels: int, *, dilation: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 1, 1))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.dilation = dilation

    def forward(self, x: Tensor) -> Tensor:
        """[B,T,C,H,W] to [B,T,C',H,W]."""
        steps, kernel = x.shape[1], self.weight[..., 0]  # (C', C, 3, 1)
        out = []
        for t in range(steps):
            near = [(k, t + (k - 1) * self.dilation) for k in range(3)]
            near = [(k, s) for k, s in near if 0 <= s < steps]
            # one 1x1 convolution over the stacked neighbours that exist; the others are the zero padding
            stacked = torch.cat([x[:, s] for _, s in near], dim=1)
            weight = torch.cat([kernel[:, :, k : k + 1] for k, _ in near], dim=1)
            out.append(F.conv2d(stacked, weight, self.bias))
        return torch.stack(out, dim=1)


class UpConv(nn.Module):
    """Bilinear upsampling by 2 with aligned corners, then a 3x3 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N,C,h,w] to [N,C',2h,2w]."""
        return self.conv(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))


def map_slices(layer: Callable[..., Tensor], x: Tensor, slice_frames: int | None, *beside: Tensor) -> Tensor:
    """Run a per-frame layer over [B,T,...] tensors, at most ``slice_frames`` time steps at once (None: all).

    Args:
        layer: Takes [N,C,H,W] tensors (one per tensor given) and gives [N,C',H',W'].
        x: [B,T,C,H,W].
        slice_frames: Time steps per call.
        *beside: Further tensors [B,T,...] the layer takes.

    Returns:
        [B,T,C',H',W'].
    """
    batch, steps = x.shape[:2]
    size = slice_frames or steps
    parts = []
    for start in range(0, steps, size):
        cut = [tensor[:, start : start + size] for tensor in (x, *beside)]
        out = layer(*(tensor.flatten(0, 1) for tensor in cut))  # (B, t, ...) -> (B*t, ...)
        parts.append(out.unflatten(0, (batch, -1)))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
