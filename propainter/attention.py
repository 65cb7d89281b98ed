"""Sparse window attention: windows that touch the hole see all frames, the others only themselves.

Paper: Zhou et al., ProPainter, ICCV 2023, section 3.3.
Licence of the weights (ProPainter.pth): NTU S-Lab License 1.0, non-commercial use only; not shipped.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIM = 512
HEADS = 4
HEAD_DIM = DIM // HEADS
WINDOW = (5, 9)
WINDOW_TOKENS = WINDOW[0] * WINDOW[1]
POOL = 4
SHIFTS = ((-3, -5), (-3, 5), (3, -5), (3, 5))  # half a window, rounded up, to the four diagonals
ROLLED_TOKENS = 148  # of 4*45, those not already in the window
GATHERED_BYTES = {"cpu": 16 << 20, "gpu": 512 << 20}  # gathered at a time; a GPU wants large batches


class AttentionPlan(NamedTuple):
    """What all blocks of one window of frames share.

    Attributes:
        padded: Token grid (rows, columns) padded to whole windows.
        masked: [M] indices of windows that touch the hole in some local frame.
        free: [U] indices of the other windows.
    """

    padded: tuple[int, int]
    masked: Tensor
    free: Tensor


def plan_attention(token_mask: Tensor) -> AttentionPlan:
    """Sort windows by whether any local frame's hole touches them.

    Args:
        token_mask: [L,rows,columns], above 0 where a token touches the hole.
    """
    rows, columns = token_mask.shape[-2:]
    padded = (-(-rows // WINDOW[0]) * WINDOW[0], -(-columns // WINDOW[1]) * WINDOW[1])
    mask = F.pad(token_mask.float(), (0, padded[1] - columns, 0, padded[0] - rows))
    touched = F.max_pool2d(mask[:, None], WINDOW, stride=WINDOW).sum(0).flatten() > 0  # (windows,)
    return AttentionPlan(padded, touched.nonzero()[:, 0], (~touched).nonzero()[:, 0])


@lru_cache(maxsize=16)
def rolled_positions(padded: tuple[int, int]) -> Tensor:
    """Where the 4*45 rolled slots of every window come from: [windows,180] int64 positions in window order."""
    rows, columns = padded
    grid = torch.arange(rows * columns).reshape(1, -1, WINDOW_TOKENS, 1)
    position = from_windows(grid, padded)  # (1, rows, columns, 1): the position in window order of each place
    return torch.cat([to_windows(position.roll(shift, dims=(1, 2)))[0, :, :, 0] for shift in SHIFTS], dim=1)


def to_windows(x: Tensor) -> Tensor:
    """[T,rows,columns,C] to [T,windows,45,C], tokens row-major in the window."""
    t, rows, columns, channels = x.shape
    high, wide = WINDOW
    x = x.reshape(t, rows // high, high, columns // wide, wide, channels)
    return x.transpose(2, 3).reshape(t, -1, WINDOW_TOKENS, channels)


def from_windows(x: Tensor, padded: tuple[int, int]) -> Tensor:
    """[T,windows,45,C] to [T,rows,columns,C]."""
    t, _, _, channels = x.shape
    (rows, columns), (high, wide) = padded, WINDOW
    x = x.reshape(t, rows // high, columns // wide, high, wide, channels)
    return x.transpose(2, 3).reshape(t, rows, columns, channels)


def heads_first(x: Tensor) -> Tensor:
    """[N,L,512] to [N,4,L,128]."""
    return x.unflatten(-1, (HEADS, HEAD_DIM)).transpose(1, 2)


class SparseWindowAttention(nn.Module):
    """Multi-head attention over 5x9 windows, with rolled and pooled keys for windows that touch the hole."""

    def __init__(self) -> None:
        super().__init__()
        self.key = nn.Linear(DIM, DIM)
        self.query = nn.Linear(DIM, DIM)
        self.value = nn.Linear(DIM, DIM)
        self.proj = nn.Linear(DIM, DIM)
        self.pool_layer = nn.Conv2d(DIM, DIM, POOL, stride=POOL, groups=DIM)
        self.register_buffer("valid_ind_rolled", torch.zeros(ROLLED_TOKENS, dtype=torch.int64))

    def forward(self, z: Tensor, plan: AttentionPlan, *, parity: int, queries: int) -> Tensor:
        """Attend within one window of frames.

        Args:
            z: [T,rows,columns,512], normed tokens, local frames first.
            plan: From ``plan_attention``.
            parity: 0 or 1: keys come from frame positions of this parity.
            queries: Only the first ``queries`` frames ask and are returned.

        Returns:
            [queries,rows,columns,512].
        """
        rows, columns = z.shape[1:3]
        # padded tokens are zero here and carry the biases as key and value: they take part, by design
        if plan.padded != (rows, columns):  # padding by nothing would copy
            z = F.pad(z, (0, 0, 0, plan.padded[1] - columns, 0, plan.padded[0] - rows))
        windows, pooled = to_windows(z), self._pooled(z[parity::2])  # (T, windows, 45, 512)
        kv = (self.key(windows[parity::2]), self.value(windows[parity::2]))
        out = kv[0].new_empty(windows[:queries].shape)
        if len(plan.free):
            self._attend_free(out, windows, kv, (plan.free, parity))
        if len(plan.masked):
            self._attend_masked(out, windows, (kv, pooled), plan)
        return from_windows(out, plan.padded)[:, :rows, :columns]

    def _attend_free(self, out: Tensor, windows: Tensor, kv: tuple[Tensor, Tensor], chosen: tuple[Tensor, int]) -> None:
        """Fill in the windows that see only themselves; some frames at a time, and half of those have their keys."""
        free, parity = chosen
        some = max(1, _limit(out) // (3 * len(free) * WINDOW_TOKENS * DIM * out.element_size()))
        for side in (0, 1):
            for frames in torch.arange(side, len(out), 2, device=out.device)[:, None].split(some):
                own = windows[frames, free]  # (some, U, 45, 512)
                k, v = (x[frames // 2, free] for x in kv) if side == parity else (self.key(own), self.value(own))
                out[frames, free] = self.proj(_attend_alone(self.query(own), k, v))

    def _attend_masked(
        self, out: Tensor, windows: Tensor, keys: tuple[tuple[Tensor, Tensor], ...], plan: AttentionPlan
    ) -> None:
        """Fill in the windows that touch the hole, a few at a time: what they attend to is many times what they are."""
        kv, pooled = keys
        for some in plan.masked.split(_together(kv[0], pooled[0])):
            k, v = (self._gather(x, plan.padded, some, p) for x, p in zip(kv, pooled, strict=True))
            out[:, some] = self.proj(_attend_across(self.query(windows[: len(out), some]), k, v))

    def _pooled(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [S,P,512] of the pooled tokens of frames [S,rows,columns,512]."""
        tokens = self.pool_layer(z.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
        return self.key(tokens), self.value(tokens)

    def _gather(self, x: Tensor, padded: tuple[int, int], some: Tensor, pooled: Tensor) -> Tensor:
        """Own, rolled and pooled entries of M windows: [M,S*(45+148+P),512] from x [S,windows,45,512]."""
        slots = rolled_positions(padded).to(x.device)[some]
        slots = slots[:, self.valid_ind_rolled]  # (M, 148)
        own = x[:, some]  # (S, M, 45, 512)
        rolled = x.flatten(1, 2)[:, slots]  # (S, M, 148, 512)
        shared = pooled[:, None].expand(-1, len(some), -1, -1)  # (S, M, P, 512)
        entries = torch.cat((own, rolled, shared), dim=2)
        return entries.transpose(0, 1).flatten(1, 2)  # frame slow, entry fast


def _together(keys: Tensor, pooled: Tensor) -> int:
    """How many windows may gather what they attend to at once; keys [S,windows,45,512], pooled [S,P,512]."""
    entries = len(keys) * (WINDOW_TOKENS + ROLLED_TOKENS + pooled.shape[1])
    return max(1, _limit(keys) // (entries * DIM * keys.element_size()))


def _limit(like: Tensor) -> int:
    return GATHERED_BYTES["cpu" if like.device.type == "cpu" else "gpu"]


def _attend_alone(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Every window of every frame by itself: all [T,U,45,512]."""
    t, u = q.shape[:2]
    q, k, v = (heads_first(x.flatten(0, 1)) for x in (q, k, v))
    out = F.scaled_dot_product_attention(q, k, v)  # (T*U, 4, 45, 128)
    return out.transpose(1, 2).reshape(t, u, WINDOW_TOKENS, DIM)


def _attend_across(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """All frames' queries [T,M,45,512] of a window against its keys and values [M,L,512]."""
    t, m = q.shape[:2]
    q = heads_first(q.transpose(0, 1).flatten(1, 2))  # (M, 4, T*45, 128)
    out = F.scaled_dot_product_attention(q, heads_first(k), heads_first(v))
    return out.transpose(1, 2).reshape(m, t, WINDOW_TOKENS, DIM).transpose(0, 1)
