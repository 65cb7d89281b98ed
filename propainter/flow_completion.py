"""Recurrent flow completion: fills the hole in optical flow, both directions with the same network.

Paper: Zhou et al., ProPainter: Improving Propagation and Transformer for Video Inpainting, ICCV 2023, section 3.1.
Licence of the weights (recurrent_flow_completion.pth): NTU S-Lab License 1.0, non-commercial use only; not shipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from propainter.deform import DeformAlign
from propainter.layers import SpatialConv, TemporalConv, UpConv

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

    def forward(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Frames [N,C,H,W] in time order to frames [N,C',H/s,W/s]."""
        return self.conv2(map(self.conv1, frames))


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

    def forward(self, steps: list[Tensor]) -> Iterator[Tensor]:
        """Features [N,128,h,w] in time order to the same."""
        backward = self._sweep("backward_", steps[::-1], [(s,) for s in steps[::-1]])[::-1]
        forward = self._sweep("forward_", steps, list(zip(steps, backward, strict=True)))
        for step, b, f in zip(steps, backward, forward, strict=True):
            yield self.fusion(torch.cat((b, f), dim=1)) + step

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

    def forward(self, inputs: Iterable[Tensor], *, home: torch.device | None = None) -> Iterator[Tensor]:
        """Completed flow of one direction, frame by frame.

        Per-frame layers see one frame at a time and temporal ones a handful, so memory is that of the features at
        1/8 (and 1/4, see ``home``) of the size, not of the clip at full size.

        Args:
            inputs: [N,3,H,W] in the order of the recurrence: flow (x, y) in px, zero inside the hole, and the mask.
            home: Where the features at 1/4 of the size wait for the decoder; None leaves them where they are.

        Yields:
            [N,2,H,W], px, everywhere (also outside the hole).
        """
        skips: list[Tensor] = []
        state = list(map(self.mid_dilation, _run(self.encoder2, self._encode(inputs, skips, home))))
        for fused, skip in zip(self.feat_prop_module(state), skips, strict=True):
            yield self.decode(fused, skip.to(fused.device))

    def _encode(self, inputs: Iterable[Tensor], skips: list[Tensor], home: torch.device | None) -> Iterator[Tensor]:
        """Features [N,64,H/4,W/4] of each frame, which are also left in ``skips``."""
        for feature in _run(self.encoder1, map(self.downsample, inputs)):
            skips.append(feature if home is None else feature.to(home))
            yield feature

    def decode(self, state: Tensor, skip: Tensor) -> Tensor:
        """Flow [N,2,8h,8w] of single frames from state [N,128,h,w] and skip [N,64,2h,2w]."""
        return self.upsample(self.decoder1(self.decoder2(state) + skip))


def _run(layers: nn.Sequential, frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """A sequence of temporal blocks and per-frame layers over a stream of frames."""
    for layer in layers:
        frames = layer(frames) if isinstance(layer, P3DBlock) else map(layer, frames)
    return iter(frames)


def complete_one_way(
    net: FlowCompletion, flows: Sequence[Tensor], masks: Sequence[Tensor], *, device: torch.device | None = None
) -> tuple[list[Tensor], list[Tensor]]:
    """Complete the flow of one direction and keep what was measured outside the hole.

    Args:
        net: The network.
        flows: [N,2,H,W] each, px, in the order of the recurrence.
        masks: [N,1,H,W] each, float, 1 inside the hole, on the grid of its flow.
        device: Where to compute, when the tensors live elsewhere.

    Returns:
        The raw predictions and the combined flows, like ``flows``, where ``flows`` live.
    """
    target = device or flows[0].device

    def inputs() -> Iterator[Tensor]:
        for flow, mask in zip(flows, masks, strict=True):
            flow, mask = flow.to(target), mask.to(target)
            yield torch.cat((flow * (1 - mask), mask), dim=1)

    home = None if target == flows[0].device else flows[0].device
    raw = [prediction.float().to(flows[0].device) for prediction in net(inputs(), home=home)]
    pairs = zip(raw, flows, masks, strict=True)
    return raw, [pred * mask + flow * (1 - mask) for pred, flow, mask in pairs]


def complete_bidirectional(
    net: FlowCompletion, flows: tuple[Sequence[Tensor], Sequence[Tensor]], masks: Sequence[Tensor], **options: Any
) -> tuple[tuple[list[Tensor], list[Tensor]], tuple[list[Tensor], list[Tensor]]]:
    """Both directions with the same network, the backward one reversed in time.

    Args:
        net: The network.
        flows: Forward (t to t+1) and backward (t+1 to t), each T-1 tensors [N,2,H,W], px.
        masks: T tensors [N,1,H,W], float, 1 inside the hole.
        **options: Passed to ``complete_one_way``.

    Returns:
        The raw predictions and the combined flows, each (forward, backward) of T-1 tensors [N,2,H,W].
    """
    pred_f, comb_f = complete_one_way(net, flows[0], masks[:-1], **options)
    pred_b, comb_b = complete_one_way(net, flows[1][::-1], masks[1:][::-1], **options)
    return (pred_f, pred_b[::-1]), (comb_f, comb_b[::-1])
