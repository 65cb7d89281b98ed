"""Decoders on a part of the image: the same numbers as on the whole, at the cost of the part.

Only pixels inside the hole are used, and a convolution needs nothing beyond its reach. Weights: see ``generator`` and
``flow_completion``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from propainter.layers import UpConv


class Box(NamedTuple):
    """Rows [top, bottom) and columns [left, right), px of one grid."""

    top: int
    bottom: int
    left: int
    right: int

    def grown(self, px: int) -> Box:
        """The box with ``px`` more on every side, possibly beyond the image."""
        return Box(self.top - px, self.bottom + px, self.left - px, self.right + px)

    @property
    def cut(self) -> tuple[slice, slice]:
        """Rows and columns, for indexing."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def inside(self, size: tuple[int, int]) -> Box:
        """The part within an image of ``size`` (height, width)."""
        return Box(max(0, self.top), min(size[0], self.bottom), max(0, self.left), min(size[1], self.right))


def hole_box(hole: NDArray[np.bool_]) -> Box | None:
    """Bounding box of a hole, None when empty."""
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    if len(rows) == 0:
        return None
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


class Part(NamedTuple):
    """The values [N,C,h',w'] of ``box`` within an image of ``size`` (height, width)."""

    values: Tensor
    box: Box
    size: tuple[int, int]


def decode_region(decoder: Iterable[nn.Module], features: Tensor | Part, box: Box) -> Tensor:
    """Run a decoder for one box of its output.

    Args:
        decoder: Up-convolutions, 3x3 convolutions and activations.
        features: [N,C,h,w], the whole image, or at least the part of it that ``needed_box`` names.
        box: Wanted part of the output [N,C',H',W'], inside it.

    Returns:
        [N,C',bottom-top,right-left].
    """
    if isinstance(features, Tensor):
        features = Part(features, Box(0, features.shape[2], 0, features.shape[3]), tuple(features.shape[2:]))
    layers, part = list(decoder), features
    for layer, want in zip(layers, _wanted(layers, box, part.size)[1:], strict=True):
        if isinstance(layer, UpConv):
            part = _convolve(layer.conv, _enlarge(part, want.grown(1)), want)
        elif isinstance(layer, nn.Conv2d):
            part = _convolve(layer, part, want)
        else:
            part = part._replace(values=layer(part.values))
    return part.values


def needed_box(decoder: Iterable[nn.Module], box: Box, size: tuple[int, int]) -> Box:
    """The part of the features, in an image of ``size`` (height, width), that one box of the output depends on."""
    return _wanted(list(decoder), box, size)[0]


def _wanted(layers: list[nn.Module], box: Box, size: tuple[int, int]) -> list[Box]:
    """The box that is needed of the input, and the output box that every layer must give."""
    scale = 2 ** sum(isinstance(layer, UpConv) for layer in layers)
    size, wanted = (size[0] * scale, size[1] * scale), [box]
    for layer in layers[::-1]:
        if isinstance(layer, UpConv | nn.Conv2d):
            box = box.grown(1).inside(size)
        if isinstance(layer, UpConv):
            # output row r reads input rows r*(n-1)/(2n-1), under r/2, and the next one
            small = (size[0] // 2, size[1] // 2)
            box = Box(box.top // 2 - 1, box.bottom // 2 + 2, box.left // 2 - 1, box.right // 2 + 2).inside(small)
            size = small
        wanted.append(box)
    return wanted[::-1]


def _convolve(conv: nn.Conv2d, part: Part, want: Box) -> Part:
    """3x3 convolution for the box ``want``; zero padding only where the image itself ends."""
    need = want.grown(1)
    have = need.inside(part.size)
    values = _cut(part, have)
    border = (have.left - need.left, need.right - have.right, have.top - need.top, need.bottom - have.bottom)
    return Part(F.conv2d(F.pad(values, border), conv.weight, conv.bias), want, part.size)


def _enlarge(part: Part, want: Box) -> Part:
    """Bilinear upsampling by 2 with aligned corners for the box ``want`` of the larger grid."""
    size = (part.size[0] * 2, part.size[1] * 2)
    want = want.inside(size)
    values = _stretch(part.values, 2, (want.top, want.bottom), (part.box.top, part.size[0]))
    values = _stretch(values, 3, (want.left, want.right), (part.box.left, part.size[1]))
    return Part(values, want, size)


def _stretch(x: Tensor, dim: int, span: tuple[int, int], source: tuple[int, int]) -> Tensor:
    """Rows (or columns) ``span`` of the doubled axis; ``source`` is (first index held, whole length)."""
    first, length = source
    position = torch.arange(*span, device=x.device, dtype=torch.float32) * ((length - 1) / (2 * length - 1))
    low = position.long().clamp_(max=length - 1)
    share = (position - low).to(x.dtype).reshape([-1 if axis == dim else 1 for axis in range(4)])
    near = x.index_select(dim, low - first)
    far = x.index_select(dim, (low + 1).clamp_(max=length - 1) - first)
    return torch.lerp(near, far, share)


def _cut(part: Part, box: Box) -> Tensor:
    top, left = part.box.top, part.box.left
    return part.values[:, :, box.top - top : box.bottom - top, box.left - left : box.right - left]
