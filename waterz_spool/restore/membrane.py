"""Membrane fill: the smoothest surface over the known pixels (Laplace's equation with the surroundings as boundary).

A coarse-to-fine solve: the pull phase averages known pixels down a pyramid, the push phase interpolates back and
relaxes each level (Gortler et al., "The Lumigraph", 1996, for pull-push; Young, "Iterative solution of large linear
systems", 1971, for red-black successive over-relaxation). Everything that depends on the mask alone is prepared once
and many frames are solved side by side as columns of one array.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Confidence
from waterz_spool.restore.base import Check, Clip, Restored, Restorer, no_check
from waterz_spool.restore.masks import MaskGroups, bounding_box

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

_SWEEPS = 5
_OMEGA = np.float32(1.6)
_FRAMES_AT_ONCE = 16
_REACH_PX = 2  # known pixels around the hole that enter the pull phase


@dataclass(frozen=True)
class _Colour:
    """The unknown pixels of one colour of the chessboard and their four neighbours, as flat indices."""

    at: NDArray[np.intp]
    around: tuple[NDArray[np.intp], ...]


@dataclass(frozen=True)
class _Level:
    shape: tuple[int, int]
    known: Floats  # [h, w], 1 or 0
    unknown: NDArray[np.intp]
    colours: tuple[_Colour, ...]
    corners: tuple[tuple[NDArray[np.intp], Floats], ...]  # four coarser pixels around each unknown, their shares


class Membrane:
    """The membrane over one hole, ready to be solved for any number of frames.

    Args:
        hidden: bool [H, W]; True where the surface is wanted.
    """

    def __init__(self, hidden: Bools) -> None:
        self.box = bounding_box(hidden, _REACH_PX)
        x0, y0, x1, y1 = self.box
        self.hidden = hidden[y0:y1, x0:x1]
        self._levels = _pyramid(self.hidden)

    def fill(self, values: Floats) -> Floats:
        """Solve for the hidden pixels.

        Args:
            values: float32 [H, W, K] inside `box`; K columns are independent. What is hidden is not read, unless all of
                the box is: then the surface is the mean of each column.

        Returns:
            float32 [n, K], the hidden pixels in row-major order.
        """
        if self.hidden.all():
            mean = values.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
            return np.repeat(mean[None], self.hidden.size, axis=0)
        pulled = [values.reshape(-1, values.shape[2])]
        for fine, coarse in zip(self._levels, self._levels[1:], strict=False):
            pulled.append(_pull(pulled[-1], fine, coarse))
        surface = self._top(pulled[-1])
        for number in range(len(self._levels) - 2, -1, -1):
            surface = self._push(surface, pulled[number], number)
        return np.asarray(surface[self._levels[0].unknown])

    def _top(self, values: Floats) -> Floats:
        """The coarsest level: fill with the mean of what is known there."""
        level = self._levels[-1]
        surface = values.copy()
        if len(level.unknown):
            weight = level.known.reshape(-1, 1)
            surface[level.unknown] = (values * weight).sum(0) / weight.sum()
        return _relax(surface, level)

    def _push(self, coarse: Floats, values: Floats, number: int) -> Floats:
        level = self._levels[number]
        surface = values.copy()
        surface[level.unknown] = sum(coarse[corner] * share for corner, share in level.corners)
        return _relax(surface, level)


def _pyramid(hidden: Bools) -> list[_Level]:
    known = (~hidden).astype(np.float32)
    levels = [_level(known)]
    while len(levels[-1].unknown) and min(known.shape) > 2:
        known = (_halve(known[..., None])[..., 0] > 0).astype(np.float32)
        levels.append(_level(known))
    return levels


def _level(known: Floats) -> _Level:
    height, width = known.shape
    unknown = np.flatnonzero(known == 0)
    y, x = np.divmod(unknown, width)
    up, down = np.maximum(y - 1, 0) * width + x, np.minimum(y + 1, height - 1) * width + x
    left, right = y * width + np.maximum(x - 1, 0), y * width + np.minimum(x + 1, width - 1)
    parts = [(x + y) % 2 == colour for colour in (0, 1)]
    colours = tuple(_Colour(unknown[p], (up[p], down[p], left[p], right[p])) for p in parts if p.any())
    return _Level((height, width), known, unknown, colours, _corners(unknown, (height, width)))


def _halve(values: Floats) -> Floats:
    """Sums over 2x2 cells; an odd last row or column stands alone."""
    height, width = values.shape[:2]
    rows = values[0::2].copy()
    rows[: height // 2] += values[1::2]
    out = rows[:, 0::2].copy()
    out[:, : width // 2] += rows[:, 1::2]
    return out


def _pull(values: Floats, fine: _Level, coarse: _Level) -> Floats:
    weight = fine.known[..., None]
    sums = _halve(values.reshape(*fine.shape, -1) * weight)
    return np.asarray((sums / np.maximum(_halve(weight), 1)).reshape(-1, values.shape[1]), np.float32)


def _corners(unknown: NDArray[np.intp], shape: tuple[int, int]) -> tuple[tuple[NDArray[np.intp], Floats], ...]:
    """Bilinear interpolation from the next coarser level at the unknown pixels."""
    height, width = (shape[0] + 1) // 2, (shape[1] + 1) // 2
    y, x = np.divmod(unknown, shape[1])
    rows, columns = _between(y, height), _between(x, width)
    return tuple((row * width + column, fy * fx) for row, fy in rows for column, fx in columns)


def _between(at: NDArray[np.intp], length: int) -> tuple[tuple[NDArray[np.intp], Floats], ...]:
    """Two coarse neighbours of a fine position, each with its share, [n, 1]."""
    place = np.clip(at / 2 - 0.25, 0, length - 1)
    low = place.astype(np.intp)
    share = (place - low).astype(np.float32)[:, None]
    return (low, 1 - share), (np.minimum(low + 1, length - 1), share)


def _relax(surface: Floats, level: _Level) -> Floats:
    """Red-black over-relaxation, in place."""
    longest = max((len(colour.at) for colour in level.colours), default=0)
    buffers = np.empty((2, longest, surface.shape[1]), np.float32)
    for _ in range(_SWEEPS if len(level.unknown) else 0):
        for colour in level.colours:
            mean, part = (buffer[: len(colour.at)] for buffer in buffers)
            np.take(surface, colour.around[0], axis=0, out=mean, mode="clip")
            for neighbour in colour.around[1:]:
                mean += np.take(surface, neighbour, axis=0, out=part, mode="clip")
            mean *= _OMEGA / 4
            np.take(surface, colour.at, axis=0, out=part, mode="clip")
            part *= 1 - _OMEGA
            mean += part
            surface[colour.at] = mean
    return surface


def round_to(values: Floats, dtype: np.dtype[Any], bits: int) -> NDArray[Any]:
    """Nearest whole sample values within the range of the bit depth."""
    return np.clip(np.rint(values), 0, (1 << bits) - 1).astype(dtype)


class MembraneRestorer(Restorer):
    """Fills each frame from its own surroundings: smooth, flicker-free where they are, and never texture."""

    name = "membrane"
    heaviness = 0.3

    def restore(self, clip: Clip, *, check: Check = no_check) -> Restored:
        """Fill the masked pixels of the clip's target frames with the membrane of each frame.

        Raises:
            Stop: ``check`` asked for it.
        """
        out = clip.frames[clip.start : clip.stop].copy()
        groups = MaskGroups(clip.masks)
        hidden_px = done = 0
        for key, frames in groups.runs(clip.start, clip.stop, _FRAMES_AT_ONCE):
            check()
            hidden = groups.hidden(key)
            hidden_px += int(hidden.sum()) * len(frames)
            if hidden.any():
                membrane = groups.cached("membrane", key, Membrane)
                for frame, values in zip(frames, fill_frames(membrane, clip, frames), strict=True):
                    out[frame - clip.start][hidden] = round_to(values, out.dtype, clip.bits)
            done += len(frames)
            clip.tell(done / (clip.stop - clip.start))
        confidence = Confidence(seen=0.0, weight=0.0, hidden_px=hidden_px) if hidden_px else None
        return Restored(frames=out, confidence=confidence)


def fill_frames(membrane: Membrane, clip: Clip, frames: list[int]) -> Floats:
    """The membrane of several frames that share a mask: float32 [len(frames), n, C]."""
    x0, y0, x1, y1 = membrane.box
    channels = clip.frames.shape[3]
    crops = np.stack([clip.frames[frame, y0:y1, x0:x1] for frame in frames], axis=2)
    solved = membrane.fill(crops.reshape(y1 - y0, x1 - x0, -1).astype(np.float32))
    return solved.reshape(-1, len(frames), channels).transpose(1, 0, 2)
