"""Mask-guided sparse video transformer: soft split, window attention, fusion feed-forward, soft composition.

Papers: Zhou et al., ProPainter, ICCV 2023, section 3.3; Liu et al., FuseFormer, ICCV 2021 (soft split/composition).
Licence of the weights (ProPainter.pth): NTU S-Lab License 1.0, non-commercial use only; not shipped.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from propainter.attention import DIM, SparseWindowAttention, plan_attention

KERNEL, STRIDE, PAD = 7, 3, 3
TAPS = KERNEL * KERNEL
BLOCKS = 8
FFN_CHANNELS = 40


class Grid(NamedTuple):
    """Feature size (h, w) in px and token grid (rows, columns) of the soft split."""

    h: int
    w: int

    @property
    def rows(self) -> int:
        """Token rows."""
        return (self.h - 1) // STRIDE + 1

    @property
    def columns(self) -> int:
        """Token columns."""
        return (self.w - 1) // STRIDE + 1

    @property
    def spare(self) -> tuple[int, int]:
        """Output padding that brings a transposed convolution from the token grid back to (h, w)."""
        return self.h - (STRIDE * self.rows - 2), self.w - (STRIDE * self.columns - 2)


class SoftSplit(nn.Module):
    """Overlapping 7x7 patches, stride 3, to tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(128 * TAPS, DIM)

    def forward(self, x: Tensor) -> Tensor:
        """Features [T,128,h,w] to tokens [T,rows,columns,512]; the unfold and the matrix are one convolution."""
        weight = self.embedding.weight.reshape(DIM, 128, KERNEL, KERNEL)  # (512, 6272): channel slow, tap fast
        return F.conv2d(x, weight, self.embedding.bias, STRIDE, PAD).permute(0, 2, 3, 1)


class SoftComp(nn.Module):
    """Tokens back to features: overlapping patches are summed, not averaged, then smoothed by a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(DIM, 128 * TAPS)
        self.bias_conv = nn.Conv2d(128, 128, 3, padding=1)

    def forward(self, tokens: Tensor, grid: Grid, *, as_conv: bool = False) -> Tensor:
        """Tokens [T,rows,columns,512] to features [T,128,h,w]; as_conv: see ``FusionFeedForward.forward``."""
        if as_conv:
            image, bias, _ = spread_patches(tokens, self.embedding, grid)
            return self.bias_conv(image.add_(bias))
        patches = self.embedding(tokens.flatten(1, 2)).transpose(1, 2)  # (T, 6272, rows*columns)
        return self.bias_conv(F.fold(patches, tuple(grid), KERNEL, padding=PAD, stride=STRIDE))


def spread_patches(tokens: Tensor, linear: nn.Linear, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """A linear layer to patches and their overlapping sum, as one transposed convolution.

    Args:
        tokens: [T,rows,columns,512].
        linear: 512 to C*49, channel slow and tap fast.
        grid: Feature grid.

    Returns:
        The sum without the layer's bias [T,C,h,w], what the bias sums to [1,C,h,w], and how many patches cover
        each pixel [1,1,h,w].
    """
    kernel = linear.weight.t().reshape(DIM, -1, KERNEL, KERNEL)  # (C*49, 512) -> (512, C, 7, 7)
    image = F.conv_transpose2d(tokens.permute(0, 3, 1, 2), kernel, None, STRIDE, PAD, grid.spare)
    bias = linear.bias.reshape(1, -1, KERNEL, KERNEL)
    both = torch.cat((bias, torch.ones_like(bias[:, :1])), dim=1)
    ones = torch.ones((1, 1, grid.rows, grid.columns), device=tokens.device, dtype=bias.dtype)
    summed = F.conv_transpose2d(ones, both, None, STRIDE, PAD, grid.spare)
    return image, summed[:, :-1], summed[:, -1:]


class FusionFeedForward(nn.Module):
    """MLP whose hidden layer is overlapping patches, averaged where they overlap."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Sequential(nn.Linear(DIM, FFN_CHANNELS * TAPS))
        self.fc2 = nn.Sequential(nn.GELU(), nn.Linear(FFN_CHANNELS * TAPS, DIM))

    def forward(self, x: Tensor, grid: Grid, *, as_conv: bool = False) -> Tensor:
        """Tokens [T,rows,columns,512] to the same shape.

        Args:
            x: Tokens.
            grid: Feature grid they stand for.
            as_conv: Run fold and unfold as strided convolutions on the 40-channel map; same numbers up to
                rounding, since GELU acts on single values and commutes with unfolding.
        """
        return self._convolutions(x, grid) if as_conv else self._patches(x, grid)

    def _patches(self, x: Tensor, grid: Grid) -> Tensor:
        t, rows, columns, _ = x.shape
        patches = self.fc1(x.flatten(1, 2)).transpose(1, 2)  # (T, 40*49, rows*columns)
        ones = torch.ones_like(patches[:1, :TAPS])
        overlap = F.fold(ones, tuple(grid), KERNEL, padding=PAD, stride=STRIDE)
        image = F.fold(patches, tuple(grid), KERNEL, padding=PAD, stride=STRIDE) / overlap  # (T, 40, h, w)
        patches = F.unfold(image, KERNEL, padding=PAD, stride=STRIDE).transpose(1, 2)
        return self.fc2(patches).reshape(t, rows, columns, DIM)

    def _convolutions(self, x: Tensor, grid: Grid) -> Tensor:
        image, bias, overlap = spread_patches(x, self.fc1[0], grid)
        image = F.gelu(image.add_(bias).div_(overlap))
        last = self.fc2[1]
        collect = last.weight.reshape(DIM, FFN_CHANNELS, KERNEL, KERNEL)
        return F.conv2d(image, collect, last.bias, STRIDE, PAD).permute(0, 2, 3, 1)


class Block(nn.Module):
    """One transformer block: attention, then the fusion feed-forward, both pre-normed with residuals."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = SparseWindowAttention()
        self.norm1 = nn.LayerNorm(DIM)
        self.norm2 = nn.LayerNorm(DIM)
        self.mlp = FusionFeedForward()


class SparseTransformer(nn.Module):
    """Eight blocks; even blocks attend to even frame positions, odd blocks to odd ones."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer = nn.ModuleList([Block() for _ in range(BLOCKS)])

    def forward(self, x: Tensor, token_mask: Tensor, grid: Grid, *, fast: bool = False) -> Tensor:
        """Tokens of local and reference frames, mixed.

        Args:
            x: [T,rows,columns,512], the local frames first, T at least 2; overwritten.
            token_mask: [L,rows,columns], above 0 where a token of a local frame touches the hole.
            grid: Feature grid.
            fast: Convolutions in the feed-forward, and only the L local frames in the last block (nothing reads
                the others after it).

        Returns:
            [T or L,rows,columns,512].
        """
        plan = plan_attention(token_mask)
        for index, block in enumerate(self.transformer):
            keep = len(token_mask) if fast and index == BLOCKS - 1 else len(x)
            x = x[:keep].add_(block.attention(block.norm1(x), plan, parity=index % 2, queries=keep))
            x = x.add_(block.mlp(block.norm2(x), grid, as_conv=fast))
        return x
