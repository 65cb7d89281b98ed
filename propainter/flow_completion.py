"""Recurrent flow completion: fills the hole in optical flow, both directions with the same network.

Paper: Zhou et al., ProPainter: Improving Propagation and Transformer for Video Inpainting, ICCV 2023, section 3.1.
Licence of the weights (recurrent_flow_completion.pth): NTU S-Lab License 1.0, non-commercial use only; not shipped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from propainter.deform import DeformAlign
from propainter.layers import SpatialConv, TemporalConv, UpConv
from propainter.region import Box, Part, decode_region, needed_box

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

    def forward(self, steps: list[Tensor], again: Iterable[Tensor]) -> Iterator[Tensor]:
        """Features [N,128,h,w] in time order to the same.

        Args:
            steps: Emptied on the way: one set of features for all frames is enough to hold.
            again: The same features, for the second sweep.
        """
        lasts = (steps.pop() for _ in range(len(steps)))
        backward = list(self._sweep("backward_", ((s, (s,)) for s in lasts)))  # t = T-1 first
        held: list[tuple[Tensor, Tensor]] = []

        def both() -> Iterator[tuple[Tensor, tuple[Tensor, ...]]]:
            for step in again:
                held.append((step, backward.pop()))
                yield step, held[-1]

        for f in self._sweep("forward_", both()):
            step, b = held.pop()
            yield self.fusion(torch.cat((b, f), dim=1)) + step

    def _sweep(self, direction: str, steps: Iterable[tuple[Tensor, tuple[Tensor, ...]]]) -> Iterator[Tensor]:
        """One direction, in the order given: pairs of a feature and what the backbone gets beside the state."""
        align, backbone = self.deform_align[direction], self.backbone[direction]
        n1: Tensor | None = None  # output one step back
        n2: Tensor | None = None  # two steps back
        for step, beside in steps:
            p = zero = torch.zeros_like(step)
            if n1 is not None:
                n2 = zero if n2 is None else n2
                p = align(torch.cat((n1, n2), dim=1), torch.cat((n1, step, n2), dim=1))
            n1, n2 = p + backbone(torch.cat((*beside, p), dim=1)), n1
            yield n1


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

    def forward(self, inputs: Callable[[], Iterable[Tensor]]) -> Iterator[Tensor]:
        """Completed flow of one direction [N,2,H,W], px, everywhere; see ``states``."""
        for state, skip in self.states(inputs):
            yield self.decode(state, skip)

    def states(self, inputs: Callable[[], Iterable[Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """What the flow of each frame is decoded from, frame by frame.

        Per-frame layers see one frame at a time and temporal ones a handful; only one set of features at 1/8 of the
        size is kept for all frames. What else is needed again is computed again, which costs an eighth of the
        time, rather than kept, which would need three times the memory.

        Args:
            inputs: Gives, each time it is called, [N,3,H,W] in the order of the recurrence: flow (x, y) in px, zero
                inside the hole, and the mask.

        Yields:
            State [N,128,H/8,W/8] and skip [N,64,H/4,W/4].
        """
        steps = list(self._reduced(self._encode(inputs())))
        skips: deque[Tensor] = deque()  # a few: temporal layers run ahead

        def encoded() -> Iterator[Tensor]:
            for skip in self._encode(inputs()):
                skips.append(skip)
                yield skip

        for state in self.feat_prop_module(steps, self._reduced(encoded())):
            yield state, skips.popleft()

    def _encode(self, inputs: Iterable[Tensor]) -> Iterator[Tensor]:
        """Features [N,64,H/4,W/4] of each frame."""
        return _run(self.encoder1, map(self.downsample, inputs))

    def _reduced(self, encoded: Iterable[Tensor]) -> Iterator[Tensor]:
        """Features [N,128,H/8,W/8] of each frame, for the sweeps."""
        return map(self.mid_dilation, _run(self.encoder2, encoded))

    def decode(self, state: Tensor, skip: Tensor) -> Tensor:
        """Flow [N,2,8h,8w] of single frames from state [N,128,h,w] and skip [N,64,2h,2w]."""
        return self.upsample(self.decoder1(self.decoder2(state) + skip))

    def decode_region(self, state: Tensor, skip: Tensor, box: Box) -> Tensor:
        """The same [N,2,bottom-top,right-left] for one box of the flow only, at its cost."""
        last, size = [*self.decoder1, *self.upsample], tuple(skip.shape[2:])
        near = needed_box(last, box, size)
        near_state = decode_region(self.decoder2, state, near)
        return decode_region(last, Part(near_state + skip[..., *near.cut], near, size), box)


def _run(layers: nn.Sequential, frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """A sequence of temporal blocks and per-frame layers over a stream of frames."""
    for layer in layers:
        frames = layer(frames) if isinstance(layer, P3DBlock) else map(layer, frames)
    return iter(frames)


def masked_inputs(
    flows: Sequence[Tensor], masks: Sequence[Tensor], device: torch.device
) -> Callable[[], Iterator[Tensor]]:
    """What ``FlowCompletion.states`` asks for, on the device, from flows [N,2,H,W] and masks [N,1,H,W]."""

    def inputs() -> Iterator[Tensor]:
        for flow, mask in zip(flows, masks, strict=True):
            flow, mask = flow.to(device), mask.to(device).float()
            yield torch.cat((flow * (1 - mask), mask), dim=1)

    return inputs


def complete_one_way(
    net: FlowCompletion, flows: Sequence[Tensor], masks: Sequence[Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Complete the flow of one direction and keep what was measured outside the hole.

    Args:
        net: The network.
        flows: [N,2,H,W] each, px, in the order of the recurrence.
        masks: [N,1,H,W] each, float or bool, 1 inside the hole, on the grid of its flow.

    Yields:
        The raw prediction and the combined flow, like ``flows``.
    """
    found = net(masked_inputs(flows, masks, flows[0].device))
    for prediction, flow, mask in zip(found, flows, masks, strict=True):
        raw, inside = prediction.float(), mask.float()
        yield raw, raw * inside + flow * (1 - inside)


def complete_bidirectional(
    net: FlowCompletion,
    flows: tuple[Sequence[Tensor], Sequence[Tensor]],
    masks: Sequence[Tensor],
) -> tuple[list[Tensor], list[Tensor]]:
    """Both directions with the same network, the backward one reversed in time.

    Args:
        net: The network.
        flows: Forward (t to t+1) and backward (t+1 to t), each T-1 tensors [N,2,H,W], px.
        masks: T tensors [N,1,H,W], float, 1 inside the hole.

    Returns:
        The combined flows, forward and backward, each T-1 tensors [N,2,H,W].
    """
    forward = [flow for _, flow in complete_one_way(net, flows[0], masks[:-1])]
    reverse = complete_one_way(net, flows[1][::-1], masks[1:][::-1])
    return forward, [flow for _, flow in reverse][::-1]
