"""Optical flow by RAFT, the large variant, from the published checkpoint raft-things.pth.

Paper: Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020.
Layers: torchvision's raft_large modules (BSD-3-Clause). Licence of the weights: BSD-3-Clause (princeton-vl/RAFT).
Always float32, whatever the rest of the pipeline runs in.
"""

from __future__ import annotations

import re

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.optical_flow import RAFT, raft_large

from propainter.correlation import correlation_pyramid, lookup
from propainter.gru import FusedUpdate

MIN_SIDE_PX = 128  # below this the coarsest correlation level is 1 px wide and its coordinates divide by zero
HIDDEN = 128

_RENAMES = (
    (r"^module\.", ""),
    (r"^fnet\.", "feature_encoder."),
    (r"^cnet\.", "context_encoder."),
    (r"^(feature|context)_encoder\.conv1\.", r"\1_encoder.convnormrelu.0."),
    (r"^(feature|context)_encoder\.norm1\.", r"\1_encoder.convnormrelu.1."),
    (r"^(feature|context)_encoder\.conv2\.", r"\1_encoder.conv."),
    (r"(layer\d\.\d)\.conv(\d)\.", r"\1.convnormrelu\2.0."),
    (r"(layer\d\.\d)\.norm([12])\.", r"\1.convnormrelu\2.1."),
    (r"^update_block\.encoder\.conv([cf])(\d)\.", r"update_block.motion_encoder.conv\1\2.0."),
    (r"\.convc(\d)\.0\.", r".convcorr\1.0."),
    (r"\.convf(\d)\.0\.", r".convflow\1.0."),
    (r"^update_block\.encoder\.conv\.", "update_block.motion_encoder.conv.0."),
    (r"^update_block\.gru\.conv([zrq])(\d)\.", r"update_block.recurrent_block.convgru\2.conv\1."),
    (r"^update_block\.mask\.0\.", "mask_predictor.convrelu.0."),
    (r"^update_block\.mask\.2\.", "mask_predictor.conv."),
)


def remap(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of raft-things.pth turned into torchvision's; the norm3 aliases of downsample.1 are dropped.

    Raises:
        RuntimeError: An alias is absent or differs from the tensor it should repeat.
    """
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        if ".norm3." in key:
            twin = state.get(key.replace(".norm3.", ".downsample.1."))
            if twin is None or not torch.equal(twin, value):
                raise RuntimeError(f"{key} does not repeat its downsample.1 tensor")
            continue
        for pattern, replacement in _RENAMES:
            key = re.sub(pattern, replacement, key)
        out[key] = value
    if len(state) - len(out) != 10:
        raise RuntimeError(f"{len(state) - len(out)} norm3 aliases, expected 10")
    return out


class Raft(RAFT):
    """torchvision's RAFT, whose own ``forward`` is the published one, and a leaner loop over the same layers.

    ``bidirectional`` is the published way: both frames of every pair are encoded, and every update upsamples.
    ``both_ways`` gives the same flows: each frame is encoded once, both directions share one correlation volume, the
    context's share of the gates is computed once, and only the last update is upsampled.
    """

    def __init__(self) -> None:
        parts = raft_large(weights=None, progress=False)
        super().__init__(
            feature_encoder=parts.feature_encoder,
            context_encoder=parts.context_encoder,
            corr_block=parts.corr_block,
            update_block=parts.update_block,
            mask_predictor=parts.mask_predictor,
        )

    def features(self, frames: Tensor) -> Tensor:
        """Matching features [N,256,H/8,W/8] of frames [N,3,H,W] in [-1,1]."""
        return self.feature_encoder(frames)

    def context(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Start of the hidden state and the context, both [N,128,H/8,W/8], of frames [N,3,H,W] in [-1,1]."""
        hidden, context = self.context_encoder(frames).split(HIDDEN, dim=1)
        return torch.tanh(hidden), F.relu(context)

    def refine(
        self, pyramid: list[Tensor], hidden: Tensor, context: Tensor, *, iters: int, start: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Iterate the update block as published, one operator per layer.

        Args:
            pyramid: Correlation levels from ``correlation_pyramid``.
            hidden: [N,128,h,w] start of the recurrent state.
            context: [N,128,h,w].
            iters: Number of updates, at least 1.
            start: [N,2,h,w] initial flow in px of the 1/8 grid; None is zero.

        Returns:
            Flow [N,2,h,w] in px of the 1/8 grid, and the final hidden state.
        """
        base = pixel_grid(hidden)
        coords = base if start is None else base + start
        for _ in range(iters):
            hidden, delta = self.update_block(hidden, context, lookup(pyramid, coords), coords - base)
            coords = coords + delta  # accumulated as coordinates, as published: the rounding is part of the numbers
        return coords - base, hidden

    def upsample(self, flow: Tensor, hidden: Tensor) -> Tensor:
        """Full-resolution flow [N,2,8h,8w] from flow [N,2,h,w] and hidden state [N,128,h,w]."""
        return convex_upsample(flow, self.mask_predictor(hidden))

    def bidirectional(self, frames: Tensor, *, iters: int) -> tuple[Tensor, Tensor]:
        """Flows of all consecutive pairs as published: one batch per direction, nothing shared.

        Args:
            frames: [T,3,H,W] float32 in [-1,1], H and W multiples of 8 and at least 128.
            iters: Number of updates.

        Returns:
            Forward [T-1,2,H,W] (t to t+1) and backward (t+1 to t) flows, px.
        """
        forward = self(frames[:-1], frames[1:], num_flow_updates=iters)[-1]
        backward = self(frames[1:], frames[:-1], num_flow_updates=iters)[-1]
        self.corr_block.corr_pyramid = []  # torchvision would keep the last one, hundreds of MB
        return forward, backward

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features, hidden start and context of frames [N,3,H,W]: all that depends on one frame alone."""
        return (self.features(frames), *self.context(frames))

    def both_ways(self, encoded: tuple[Tensor, Tensor, Tensor], *, iters: int) -> tuple[Tensor, Tensor]:
        """The same flows as ``bidirectional`` from frames encoded once.

        Args:
            encoded: What ``encode`` gave for T consecutive frames.
            iters: Number of updates.

        Returns:
            Forward and backward flows, each [T-1,2,H,W] float32, px.
        """
        features, hidden, context = encoded
        pyramid = correlation_pyramid(features[:-1], features[1:], both_ways=True)
        hidden = torch.cat((hidden[:-1], hidden[1:]))
        update = FusedUpdate(self.update_block, torch.cat((context[:-1], context[1:])))
        coords = base = pixel_grid(hidden)
        for _ in range(iters):
            hidden, delta = update(hidden, lookup(pyramid, coords), coords - base)
            coords = coords + delta
        forward, backward = self.upsample(coords - base, hidden).chunk(2)
        return forward, backward


def pixel_grid(like: Tensor) -> Tensor:
    """Pixel coordinates (x, y) as [N,2,h,w] float32 on the grid of ``like`` [N,*,h,w]."""
    n, _, height, width = like.shape
    y, x = torch.meshgrid(
        torch.arange(height, device=like.device, dtype=torch.float32),
        torch.arange(width, device=like.device, dtype=torch.float32),
        indexing="ij",
    )
    return torch.stack((x, y)).expand(n, 2, height, width)


def convex_upsample(flow: Tensor, mask: Tensor) -> Tensor:
    """Each fine flow is a convex combination of its 3x3 coarse neighbours (RAFT, section 3.3).

    Args:
        flow: [N,2,h,w] in px of the coarse grid.
        mask: [N,576,h,w] logits, channels neighbour*64 + row*8 + column.

    Returns:
        [N,2,8h,8w] in px of the fine grid.
    """
    n, _, h, w = flow.shape
    # (N, 576, h, w) -> (N*h*w, 9, 64): per coarse pixel, a small matrix
    weight = mask.permute(0, 2, 3, 1).reshape(n * h * w, 9, 64).softmax(dim=1)
    near = F.unfold(8.0 * flow, 3, padding=1)  # (N, 2*9, h*w)
    near = near.transpose(1, 2).reshape(n * h * w, 2, 9)
    fine = torch.bmm(near, weight).reshape(n, h, w, 2, 8, 8)
    return fine.permute(0, 3, 1, 4, 2, 5).reshape(n, 2, 8 * h, 8 * w)
