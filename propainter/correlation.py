"""All-pairs correlation of RAFT: the pyramid, and the lookup of a 9x9 neighbourhood at every level.

Paper: Teed and Deng, RAFT, ECCV 2020, section 3.2. No weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 4
RADIUS = 4


def correlation_pyramid(first: Tensor, second: Tensor, *, both_ways: bool = False) -> list[Tensor]:
    """Correlation of every position of one frame with every position of the other, averaged to 4 levels.

    Args:
        first: [N,C,h,w] features.
        second: [N,C,h,w] features.
        both_ways: Append the N volumes of (second, first), which are the transposed ones.

    Returns:
        Level l: [N*h*w, 1, h//2^l, w//2^l], the batch axis running over positions of the querying frame; twice as
        many with ``both_ways``.
    """
    n, channels, h, w = first.shape
    # filled in place: at 720p one volume is 0.8 GB, and a concatenation would hold all of them twice
    level = first.new_empty((2 * n if both_ways else n, h * w, h * w))
    torch.matmul(first.flatten(2).transpose(1, 2), second.flatten(2), out=level[:n])
    level[:n] *= channels**-0.5
    if both_ways:
        level[n:] = level[:n].transpose(1, 2)
    pyramid = [level.reshape(-1, 1, h, w)]
    for _ in range(LEVELS - 1):
        pyramid.append(F.avg_pool2d(pyramid[-1], 2, stride=2))
    return pyramid


def lookup(pyramid: list[Tensor], coords: Tensor) -> Tensor:
    """Bilinear samples of each level around ``coords``; zero outside.

    Args:
        pyramid: Levels from ``correlation_pyramid``.
        coords: [N,2,h,w] (x, y) in px of the finest level.

    Returns:
        [N,324,h,w]: channels level*81 + a*9 + b, where a (slow) moves x and b (fast) moves y, the order the
        checkpoint was trained with.
    """
    n, _, h, w = coords.shape
    points = coords.permute(0, 2, 3, 1).reshape(n * h * w, 2)  # one row per querying position
    taps = [_neighbourhood(level, points / 2**index) for index, level in enumerate(pyramid)]
    # (N*h*w, 4*81) -> (N, 324, h, w)
    return torch.cat(taps, dim=1).reshape(n, h, w, -1).permute(0, 3, 1, 2)


def _neighbourhood(level: Tensor, points: Tensor) -> Tensor:
    """81 taps [M,81] of level [M,1,h,w] around points [M,2]."""
    height, width = level.shape[-2:]
    shift = torch.arange(-RADIUS, RADIUS + 1, device=points.device, dtype=points.dtype)
    x = points[:, 0, None, None] + shift[:, None]  # (M, 9, 1): slow index
    y = points[:, 1, None, None] + shift  # (M, 1, 9): fast index
    u, v = torch.broadcast_tensors(2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1)
    taps = F.grid_sample(level, torch.stack((u, v), dim=-1), align_corners=True)
    return taps.flatten(1)
