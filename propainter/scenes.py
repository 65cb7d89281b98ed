"""Scene cuts: nothing may be propagated across them, since optical flow there is garbage.

A cut is a jump of the picture that stays: the frame after next must differ from the last one, too, so that a flash
is no cut. Pixels inside a hole do not count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from propainter.options import Frames

CELLS = 16  # frames are compared as a grid of 16x16 mean colours
JUMP = 0.10  # mean difference, fraction of full scale
RATIO = 4.0  # and this much above the recent usual
SPREAD = 0.35  # and this share of the colour histogram moves, unless the difference is twice JUMP


class Seen(NamedTuple):
    """One frame in the stream.

    Attributes:
        frame: uint8 [H,W,3].
        hole: bool [H,W].
        cut: Whether a new scene starts here.
    """

    frame: Frames
    hole: NDArray[np.bool_]
    cut: bool


class _Look(NamedTuple):
    grid: NDArray[np.float32]
    known: NDArray[np.float32]
    histogram: NDArray[np.float32]


def mark_cuts(clip: Iterable[tuple[Frames, NDArray[np.bool_]]], cuts: Collection[int] | str | None) -> Iterator[Seen]:
    """Pass frames on, marking those that start a scene; at most one frame is held back.

    Args:
        clip: Pairs of frame and hole.
        cuts: Indices that start a scene, "auto" to find them, None for no cuts.
    """
    if cuts == "auto":
        yield from _find_cuts(clip)
        return
    known = frozenset(() if cuts is None else cuts)
    for index, (frame, hole) in enumerate(clip):
        yield Seen(frame, hole, index in known)


def _find_cuts(clip: Iterable[tuple[Frames, NDArray[np.bool_]]]) -> Iterator[Seen]:
    usual: list[float] = []
    last: _Look | None = None  # the last frame that was no flash
    held: tuple[Frames, NDArray[np.bool_], _Look] | None = None
    for frame, hole in clip:
        look = _look(frame, hole)
        if held is not None:
            jumped = last is not None and _jumps(last, held[2], usual)
            cut = jumped and last is not None and _jumps(last, look, usual)
            yield Seen(held[0], held[1], cut)
            if cut or not jumped:
                usual = [] if cut or last is None else [*usual, _distance(last, held[2])][-8:]
                last = held[2]
        held = (frame, hole, look)
    if held is not None:
        yield Seen(held[0], held[1], last is not None and _jumps(last, held[2], usual))


def _look(frame: Frames, hole: NDArray[np.bool_]) -> _Look:
    """Mean colours of the cells, how much of each is known, and the colour histogram outside the hole."""
    every = max(1, min(hole.shape) // (8 * CELLS))  # 8 px a cell are plenty
    frame, hole = frame[::every, ::every], hole[::every, ::every]
    rows = np.linspace(0, frame.shape[0], CELLS + 1).astype(int)[:-1]
    columns = np.linspace(0, frame.shape[1], CELLS + 1).astype(int)[:-1]
    weight = (~hole).astype(np.float32)
    summed = np.add.reduceat(np.add.reduceat(frame * weight[..., None], rows, axis=0), columns, axis=1)
    area = np.add.reduceat(np.add.reduceat(weight, rows, axis=0), columns, axis=1)
    coarse = (frame >> 6).astype(np.int64)  # 4 levels a channel: 64 colours
    colour = (coarse[..., 0] * 4 + coarse[..., 1]) * 4 + coarse[..., 2]
    counted = np.bincount(colour.ravel(), weights=weight.ravel(), minlength=64)
    histogram = (counted / max(1.0, float(counted.sum()))).astype(np.float32)
    grid = (summed / np.maximum(area, 1.0)[..., None] / 255).astype(np.float32, copy=False)
    return _Look(grid, area, histogram)


def _distance(a: _Look, b: _Look) -> float:
    """Mean colour difference over cells known in both, 0..1."""
    weight = np.minimum(a.known, b.known)
    return float((np.abs(a.grid - b.grid).mean(axis=-1) * weight).sum() / max(1.0, float(weight.sum())))


def _jumps(a: _Look, b: _Look, usual: list[float]) -> bool:
    distance = _distance(a, b)
    moved = 0.5 * float(np.abs(a.histogram - b.histogram).sum())
    typical = float(np.median(usual)) if usual else 0.0
    return distance > max(JUMP, RATIO * typical) and (moved > SPREAD or distance > 2 * JUMP)
