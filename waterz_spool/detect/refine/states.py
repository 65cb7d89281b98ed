"""States of an overlay: ranges of frames in which the same strokes stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.refine.change import changing, without_scene
from waterz_spool.detect.refine.presence import Details, Seen
from waterz_spool.detect.refine.scene import Look, Place, mean_of
from waterz_spool.detect.refine.steady import Mask
from waterz_spool.detect.refine.strokes import Style, core, faint

SEED = 9  # frames whose majority makes a new state
STANDS = 0.2  # of the usual number of px: fewer are no text
GONE = 0.5  # of its contrast: a letter with less is not there
CHANGED = 0.015  # of the px whose letters are gone: then it is another state
LETTER_PX = 12  # side of a letter at 432 lines, and about so many px are its strokes
SHORT = 5  # frames: a shorter state belongs to its neighbour


@dataclass(frozen=True)
class State:
    """Strokes that stand unchanged.

    Attributes:
        start: First frame, counted in the chunk.
        stop: One past the last.
        strokes: Bool [h, w]: all that is stroke in it, faint parts too.
        core: Bool [h, w]: what is stroke in most of its frames.
        mean: Mean of the filtered frames, float32 [h, w, 3].
    """

    start: int
    stop: int
    strokes: Mask
    core: Mask
    mean: NDArray[np.float32]


def states_of(looks: Sequence[Look], seen: Seen, style: Style, place: Place) -> list[State]:
    """The states in consecutive frames, given filtered and as they are."""
    cores = without_scene(np.stack([core(look, style, place) for look in looks]), changing(looks, place))
    found = [_state(span, cores, looks, style, place) for span in _ranges(cores, looks, seen, style, place)]
    return [state for state in found if state.core.sum() > STANDS * style.area]


def _state(span: tuple[int, int], cores: NDArray[np.bool_], looks: Sequence[Look], style: Style, place: Place) -> State:
    start, stop = span
    length, weak = stop - start, np.zeros(place.shape, np.int32)
    for look, each in zip(looks[start:stop], cores[start:stop], strict=True):
        weak += faint(look, each, style, place)
    strokes = cores[start:stop].sum(0) >= max(min(2, length), min(4, 0.15 * length))
    strokes |= weak >= max(1, 0.3 * length)
    quarter = length // 4 if length >= 4 else 0
    middle = slice(start + quarter, stop - quarter)
    mean = mean_of([look.picture for look in looks[middle]])
    return State(start, stop, strokes, cores[middle].mean(0) > 0.5, mean)


def _ranges(
    cores: NDArray[np.bool_], looks: Sequence[Look], seen: Seen, style: Style, place: Place
) -> list[tuple[int, int]]:
    """Ranges of frames in which no letter goes; one that comes makes a new range only where others go."""
    areas = cores.reshape(len(cores), -1).sum(1)
    done: list[tuple[int, int]] = []
    at = 0
    while at < len(cores):
        start, at = at, at + 1
        if areas[start] <= STANDS * style.area:
            continue
        letters = _Letters(cores[start : start + SEED], looks[start : start + SEED], seen, place)
        if letters.area <= STANDS * style.area:
            continue
        while at < len(cores) and letters.stand(at):
            at += 1
        if done and done[-1][1] == start and min(at - start, start - done[-1][0]) < SHORT:
            start = done.pop()[0]
        done.append((start, at))
    return done


class _Letters:
    """The letters that stand at the beginning of a state, followed one by one."""

    def __init__(self, cores: NDArray[np.bool_], looks: Sequence[Look], seen: Seen, place: Place) -> None:
        self._seen = seen
        self._where = 2 * cores.sum(0) > len(cores)
        self.area = int(self._where.sum())
        labels = _pieces(self._where, place.px(LETTER_PX))
        mean = mean_of([look.picture for look in looks])
        self._label = labels[self._where]
        self._wanted: Details = seen.wanted(mean, self._where)
        self._energy = np.bincount(self._label, (self._wanted**2).sum(1))
        self._sizes = np.bincount(self._label)
        self._counts = self._sizes >= LETTER_PX * place.scale**2
        self._limit = max(LETTER_PX * place.scale**2, CHANGED * self.area)

    def stand(self, index: int) -> bool:
        """Whether nearly all of them are there in a frame."""
        both = (self._seen.detail(index, self._where) * self._wanted).sum(1)
        strength = np.bincount(self._label, both) / np.maximum(self._energy, 1e-3)
        return bool(self._sizes[self._counts & (strength < GONE)].sum() <= self._limit)


def _pieces(where: Mask, side: int) -> NDArray[np.int32]:
    """A number for each pixel's connected part within a square of so many px: about a letter."""
    rows, columns = (np.arange(length) // side for length in where.shape)
    squares = rows[:, None] * (int(columns[-1]) + 1) + columns[None]
    _, parts = cv2.connectedComponents(where.view(np.uint8), connectivity=8)
    both = np.asarray(parts, np.int64) * (int(squares.max()) + 1) + squares
    _, numbers = np.unique(both[where], return_inverse=True)
    done = np.zeros(where.shape, np.int32)
    done[where] = numbers
    return done
