"""Recurrent flow completion: fills the hole in optical flow, both directions with the same network.

Paper: Zhou et al., ProPainter: Improving Propagation and Transformer for Video Inpainting, ICCV 2023, section 3.1.
Licence of the weights (recurrent_flow_completion.pth): NTU S-Lab License 1.0, non-commercial use only; not shipped.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from propainter.deform import DeformAlign
from propainter.layers import SpatialConv, TemporalConv, UpConv, map_slices

CHANNELS = 128
OFFSET_REACH_PX = 5.0
DIRECTIONS = ("backward_", "forward_")


class P3DBlock(nn.Module):
    """Pseudo-3D block: a spatial convolution, then a temporal one with dilation 2; no residual."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        spatial = SpatialConv(in_channels, out_channels, 3, stride=stride, padding=1)
        self.conv1 = nn.Sequential(spatial, nn.LeakyReLU(0.2))
        self.conv2 = nn.Sequential(TemporalConv(out_channels, out_channels, dilation=2))

    def forward(self, x: Tensor, slice_frames: int | None = None) -> Tensor:
        """[B,T,C,H,W] to [B,T,C',H/s,W/s]."""
        return self.conv2(map_slices(self.conv1, x, slice_frames))


class EdgeDetector(nn.Module):
    """Training-only head; present because the checkpoint carries its tensors and loading is strict."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Sequential(nn.Conv2d(2, 16, 3, padding=1))
        self.mid_layer_1 = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1))
        self.mid_layer_2 = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1))
        self.out_layer = nn.Conv2d(16, 1, 1)


class SecondOrderPropagation(nn.Module):
    """Bidirectional recurrent propagation that looks two steps back, aligned by deformable convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.deform_align = nn.ModuleDict(
            {d: DeformAlign(2 * CHANNELS, 3 * CHANNELS, CHANNELS, reach_px=OFFSET_REACH_PX) for d in DIRECTIONS}
        )
        self.backbone = nn.ModuleDict(
            {d: _backbone((2 + i) * CHANNELS) for i, d in enumerate(DIRECTIONS)}  # forward_ also sees backward_
        )
        self.fusion = nn.Conv2d(2 * CHANNELS, CHANNELS, 1)

    def forward(self, features: Tensor) -> Tensor:
        """[B,T,128,h,w] to the same shape."""
        steps = list(features.unbind(1))
        backward = self._sweep("backward_", steps[::-1], [(s,) for s in steps[::-1]])[::-1]
        forward = self._sweep("forward_", steps, list(zip(steps, backward, strict=True)))
        fused = [self.fusion(torch.cat((b, f), dim=1)) + s for s, b, f in zip(steps, backward, forward, strict=True)]
        return torch.stack(fused, dim=1)

    def _sweep(self, direction: str, steps: list[Tensor], seen: list[tuple[Tensor, ...]]) -> list[Tensor]:
        """One direction, in the order of ``steps``; ``seen`` is what the backbone gets beside the state."""
        align, backbone = self.deform_align[direction], self.backbone[direction]
        zero = torch.zeros_like(steps[0])
        out: list[Tensor] = []
        for step, beside in zip(steps, seen, strict=True):
            p = zero
            if out:
                n1, n2 = out[-1], out[-2] if len(out) > 1 else zero
                p = align(torch.cat((n1, n2), dim=1), torch.cat((n1, step, n2), dim=1))
            out.append(p + backbone(torch.cat((*beside, p), dim=1)))
        return out


def _backbone(in_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, CHANNELS, 3, padding=1),
        nn.LeakyReLU(0.1),
        nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
    )


class FlowCompletion(nn.Module):
    """Completes masked flows of one direction."""

    def __init__(self) -> None:
        super().__init__()
        act = nn.LeakyReLU(0.2)
        self.downsample = nn.Sequential(SpatialConv(3, 32, 5, stride=2, padding=2, replicate=True), act)
        self.encoder1 = nn.Sequential(P3DBlock(32, 32, stride=1), act, P3DBlock(32, 64, stride=2), act)
        self.encoder2 = nn.Sequential(P3DBlock(64, 64, stride=1), act, P3DBlock(64, CHANNELS, stride=2), act)
        dilated = [SpatialConv(CHANNELS, CHANNELS, 3, padding=d, dilation=d) for d in (3, 2, 1)]
        self.mid_dilation = nn.Sequential(*(layer for conv in dilated for layer in (conv, act)))
        self.feat_prop_module = SecondOrderPropagation()
        self.decoder2 = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), act, UpConv(CHANNELS, 64), act)
        self.decoder1 = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), act, UpConv(64, 32), act)
        self.upsample = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), act, UpConv(32, 2))
        self.edgeDetector = EdgeDetector()

    def forward(self, flows: Tensor, masks: Tensor, *, slice_frames: int | None = None) -> Tensor:
        """Completed flow of one direction.

        Args:
            flows: [B,T,2,H,W] float, px, zero inside the hole.
            masks: [B,T,1,H,W] float, 1 inside the hole.
            slice_frames: At most this many frames go through a per-frame layer at once; None is all. It bounds
                memory and changes no number.

        Returns:
            [B,T,2,H,W], px, everywhere (also outside the hole).
        """
        e1 = self.encode(torch.cat((flows, masks), dim=2), slice_frames)
        e2 = e1
        for layer in self.encoder2:
            e2 = layer(e2, slice_frames) if isinstance(layer, P3DBlock) else layer(e2)
        state = self.feat_prop_module(map_slices(self.mid_dilation, e2, slice_frames))
        return map_slices(self.decode, state, slice_frames, e1)

    def encode(self, x: Tensor, slice_frames: int | None) -> Tensor:
        """[B,T,3,H,W] to the skip feature [B,T,64,H/4,W/4]."""
        x = map_slices(self.downsample, x, slice_frames)
        for layer in self.encoder1:
            x = layer(x, slice_frames) if isinstance(layer, P3DBlock) else layer(x)
        return x

    def decode(self, state: Tensor, skip: Tensor) -> Tensor:
        """Flow [N,2,8h,8w] of single frames from state [N,128,h,w] and skip [N,64,2h,2w]."""
        return self.upsample(self.decoder1(self.decoder2(state) + skip))


def complete_bidirectional(
    net: FlowCompletion, flows: tuple[Tensor, Tensor], masks: Tensor, *, slice_frames: int | None = None
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Complete forward and backward flow and keep what was measured outside the hole.

    Args:
        net: The network.
        flows: Forward (t to t+1) and backward (t+1 to t) flow, each [B,T-1,2,H,W], px.
        masks: [B,T,1,H,W] float, 1 inside the hole.
        slice_frames: See ``FlowCompletion.forward``.

    Returns:
        The raw predictions and the combined flows, each (forward, backward) of [B,T-1,2,H,W].
    """
    forward, backward = flows
    at_start, at_end = masks[:, :-1], masks[:, 1:]  # each flow is masked on the grid it lives on
    pred_f = net(forward * (1 - at_start), at_start, slice_frames=slice_frames)
    reverse = (backward * (1 - at_end)).flip(1)
    pred_b = net(reverse, at_end.flip(1), slice_frames=slice_frames).flip(1)
    combined = (
        pred_f * at_start + forward * (1 - at_start),
        pred_b * at_end + backward * (1 - at_end),
    )
    return (pred_f, pred_b), combined
