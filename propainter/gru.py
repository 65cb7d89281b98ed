"""RAFT's update block with everything that does not change between iterations computed once.

Paper: Teed and Deng, RAFT, ECCV 2020, section 3.3. Weights: those of ``propainter.raft``.
The same sums as the published block, in another order: a convolution is linear in its input channels, so the
context's share of each gate is added as a constant, and the gates z and r come from one convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN = 128


class FusedUpdate:
    """One update step, prepared for a fixed context.

    Args:
        block: torchvision's UpdateBlock.
        context: [N,128,h,w].
    """

    def __init__(self, block: nn.Module, context: Tensor) -> None:
        self.motion = block.motion_encoder
        self.flow_head = block.flow_head
        self.gates = [
            FusedGate(gru, context) for gru in (block.recurrent_block.convgru1, block.recurrent_block.convgru2)
        ]

    def __call__(self, hidden: Tensor, taps: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """New hidden state [N,128,h,w] and flow step [N,2,h,w] from correlation taps [N,324,h,w]."""
        # one channels-first tensor would make every concatenation after it channels-first, and copied again
        motion = self._motion(flow.contiguous(memory_format=torch.channels_last), taps)
        hidden = hidden.contiguous(memory_format=torch.channels_last)
        for gate in self.gates:
            hidden = gate(hidden, motion)
        return hidden, self.flow_head(hidden)

    def _motion(self, flow: Tensor, taps: Tensor) -> Tensor:
        """Motion features [N,128,h,w]; the 1x1 convolution as a matrix product, which CPUs run faster."""
        first = self.motion.convcorr1[0]
        corr = F.linear(taps.permute(0, 2, 3, 1), first.weight.flatten(1), first.bias).relu_().permute(0, 3, 1, 2)
        corr = self.motion.convcorr2(corr)
        both = torch.cat((corr, self.motion.convflow2(self.motion.convflow1(flow))), dim=1)
        return torch.cat((self.motion.conv(both), flow), dim=1)


class FusedGate:
    """One separable ConvGRU pass with the context's share precomputed.

    Args:
        gru: torchvision's ConvGRU, input channels ordered hidden, context, motion (128 each).
        context: [N,128,h,w].
    """

    def __init__(self, gru: nn.Module, context: Tensor) -> None:
        convs = (gru.convz, gru.convr, gru.convq)
        self.padding = gru.convz.padding
        weight = torch.cat([conv.weight for conv in convs])  # (384, 384, kh, kw)
        bias = torch.cat([conv.bias for conv in convs])
        state, fixed, motion = weight.split(HIDDEN, dim=1)
        varying = torch.cat((state, motion), dim=1)
        layout = torch.channels_last
        self.weight_zr = varying[: 2 * HIDDEN].contiguous(memory_format=layout)
        self.weight_q = varying[2 * HIDDEN :].contiguous(memory_format=layout)
        share = F.conv2d(context, fixed.contiguous(memory_format=layout), bias, padding=self.padding)
        self.share_zr = share[:, : 2 * HIDDEN].contiguous(memory_format=layout)
        self.share_q = share[:, 2 * HIDDEN :].contiguous(memory_format=layout)

    def __call__(self, h: Tensor, motion: Tensor) -> Tensor:
        """New hidden state [N,128,h,w] from hidden state and motion features [N,128,h,w], channels last."""
        both = torch.cat((h, motion), dim=1)
        zr = F.conv2d(both, self.weight_zr, padding=self.padding).add_(self.share_zr).sigmoid_()
        both[:, :HIDDEN] *= zr[:, HIDDEN:]  # r * h, in place of h
        q = F.conv2d(both, self.weight_q, padding=self.padding).add_(self.share_q).tanh_()
        return torch.lerp(h, q, zr[:, :HIDDEN])  # (1 - z) h + z q
