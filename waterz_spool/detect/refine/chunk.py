"""The overlays in some consecutive frames: strokes and plates, each with its mask and the frames in which it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.refine import doubt
from waterz_spool.detect.refine.change import came_and_went, with_change
from waterz_spool.detect.refine.plates import filled, is_all, line_plates, plate, rim
from waterz_spool.detect.refine.presence import STANDS, Seen, even, stands, strength
from waterz_spool.detect.refine.reach import MARGIN_PX, distance, reach_of
from waterz_spool.detect.refine.scene import Footage, Place, mean_of
from waterz_spool.detect.refine.states import SHORT, State, states_of
from waterz_spool.detect.refine.staying import staying, steadier
from waterz_spool.detect.refine.steady import Mask
from waterz_spool.detect.refine.strokes import Style, lines
from waterz_spool.records import Box

NEAR_FRAMES = 8  # around a state: there it may stand, too
BODY = 0.2  # of the px of the strokes: then what stays beside them has frames of its own
FULL = 0.9  # of its contrast: an overlay stands fully
MOSTLY = 0.4  # of a state's frames in which it does
CHANGE_PX = 2  # what is added around a change that was seen


@dataclass(frozen=True)
class Layer:
    """A mask, bool [h, w], and the frames [start, stop) in which it holds."""

    start: int
    stop: int
    mask: Mask


@dataclass(frozen=True)
class _Held:
    """A state, how much of it each frame has, and in which it stands."""

    state: State
    strength: NDArray[np.float64]
    on: NDArray[np.bool_]


def layers_of(
    footage: Footage, start: int, stop: int, style: Style | None, still: Box | None
) -> tuple[list[Layer], str]:
    """The layers of frames [start, stop), and why the box is taken whole in them, if it is.

    Args:
        footage: The frames around the box.
        start: First frame.
        stop: One past the last.
        style: How strokes look; None where there are none.
        still: A plate that stands in most of the video; None where there is none.
    """
    place = footage.place
    frames, looks = footage.looks(start, stop)
    seen = Seen(frames, place)
    held = _held(states_of(looks, seen, style, place) if style else [], seen, place)
    masks = list(zip(_masks(held, seen, place), (each.on for each in held), strict=True))
    masks += [body for each in held if (body := _body(each, seen, place))]
    mean = mean_of(frames)
    for found, usual in _plates(mean, held, still, place):
        fits = strength(seen, usual, rim(found, place))
        on = stands(fits, np.ones(len(seen), np.bool_))
        masks = [(filled(found, place), on)] if is_all(found, place) else [*masks, (filled(found, place), on)]
    layers = [Layer(start + a, start + b, mask) for mask, on in masks for a, b in _runs(on)]
    union = np.any([layer.mask for layer in layers], axis=0) if layers else np.zeros(place.shape, np.bool_)
    reason = doubt.missed(mean, union, place) if layers else ""
    return ([Layer(start, stop, place.inner)], reason) if reason else (layers, "")


def _held(states: Sequence[State], seen: Seen, place: Place) -> list[_Held]:
    """The states that are overlays, with their frames."""
    real = []
    for state in states:
        fits = strength(seen, state.mean, state.core)
        inside = np.zeros(len(seen), np.bool_)
        inside[state.start : state.stop] = fits[state.start : state.stop] > FULL
        often = inside.sum() >= MOSTLY * (state.stop - state.start)
        if often and even(fits, state.start, state.stop) and steadier(seen, inside, state.core, place):
            real.append((state, fits))
    kept = [state for state, _ in real]
    return [_Held(state, fits, stands(fits, _may_stand(state, kept, len(seen)))) for state, fits in real]


def _may_stand(state: State, states: Sequence[State], count: int) -> NDArray[np.bool_]:
    """The frames of a state and some around it, without those of other states."""
    done = np.zeros(count, np.bool_)
    done[max(0, state.start - NEAR_FRAMES) : state.stop + NEAR_FRAMES] = True
    for other in states:
        if other is not state:
            done[other.start : other.stop] = False
    return done


def _masks(held: Sequence[_Held], seen: Seen, place: Place) -> list[Mask]:
    """One mask per state."""
    reach = reach_of([each.state for each in held], place)
    own = []
    for each in held:
        strokes = each.state.strokes
        mask = distance(strokes) <= reach
        for found in line_plates(each.state.mean, _line_boxes(each.state, place), place):
            mask |= filled(found, place)
        own.append(mask & place.inner)
    return [_with_change(number, held, own, seen, place) for number in range(len(held))]


def _body(held: _Held, seen: Seen, place: Place) -> tuple[Mask, NDArray[np.bool_]] | None:
    """What stays with a state and has not its colours, and in which frames it stands: perhaps for longer."""
    stays = staying(seen, held.on, place)
    if stays is None or not (more := stays & (distance(held.state.strokes) > 1)).any():
        return None
    on = held.on
    if more.sum() >= BODY * held.state.strokes.sum():
        on = on.copy()
        for a, b in _runs(strength(seen, held.state.mean, more) > STANDS):
            on[a:b] |= b - a >= SHORT
    return (distance(stays) <= MARGIN_PX) & place.inner, on


def _with_change(number: int, held: Sequence[_Held], own: Sequence[Mask], seen: Seen, place: Place) -> Mask:
    """The mask of a state, and what else comes and goes with it."""
    each = held[number]
    others: list[Mask | None] = [None] * len(seen)
    for at, other in enumerate(held):
        for index in np.flatnonzero(other.on) if at != number else ():
            before = others[index]
            others[index] = own[at] if before is None else before | own[at]
    change = came_and_went(seen, each.strength, each.on, others, place)
    if change is None:
        return own[number]
    strokes = each.state.strokes & place.inner
    found = (distance(strokes) <= MARGIN_PX) | (distance(with_change(strokes, change, place)) <= CHANGE_PX)
    return found & place.inner


def _plates(
    mean: NDArray[np.float32], held: Sequence[_Held], still: Box | None, place: Place
) -> list[tuple[Box, NDArray[np.float32]]]:
    """Plates that the box was drawn around, and how they look."""
    if still is not None:
        return [(still, mean)]
    found = [(each, one.state.mean) for one in held if (each := plate(one.state.mean, place))]
    return found[:1]


def _line_boxes(state: State, place: Place) -> list[Box]:
    """Boxes of the lines of text."""
    count, labels = cv2.connectedComponents(lines(state.core, place).view(np.uint8))
    done = []
    for label in range(1, count):
        part = (labels == label) & state.core
        rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
        if len(rows):
            done.append((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
    return done


def _runs(on: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Ranges of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
