"""Small layers shared by the networks: per-frame and temporal convolutions, upsampling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
    """A (3,1,1) Conv3d of the checkpoint with zero padding in time."""

    def __init__(self, in_channels: int, out_channels: int, *, dilation: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 1, 1))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.dilation = dilation

    def forward(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Frames [N,C,H,W] in time order to frames [N,C',H,W]; only 2*dilation+1 are held at once."""
        held: dict[int, Tensor] = {}
        count = 0
        for count, frame in enumerate(frames, start=1):
            held[count - 1] = frame
            if (centre := count - 1 - self.dilation) >= 0:
                yield self._at(centre, held)
                held.pop(centre - self.dilation, None)
        for centre in range(max(0, count - self.dilation), count):
            yield self._at(centre, held)

    def _at(self, centre: int, held: dict[int, Tensor]) -> Tensor:
        """One output: a 1x1 convolution over the stacked neighbours that exist; the others are the zero padding."""
        near = [(tap, centre + (tap - 1) * self.dilation) for tap in range(3)]
        near = [(tap, time) for tap, time in near if time in held]
        stacked = torch.cat([held[time] for _, time in near], dim=1)
        weight = torch.cat([self.weight[:, :, tap] for tap, _ in near], dim=1)
        return F.conv2d(stacked, weight, self.bias)


class UpConv(nn.Module):
    """Bilinear upsampling by 2 with aligned corners, then a 3x3 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N,C,h,w] to [N,C',2h,2w]."""
        return self.conv(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))
