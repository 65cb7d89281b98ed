"""The door of the package: a box goes in, masks with their frames come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect import patches
from waterz_spool.detect.refine import doubt
from waterz_spool.detect.refine.plates import filled, is_all, line_plates, plate, rim
from waterz_spool.detect.refine.presence import Seen, stands, strength
from waterz_spool.detect.refine.reach import distance, reach_of
from waterz_spool.detect.refine.reading import Crops
from waterz_spool.detect.refine.scene import Footage, Place, mean_of, place_of
from waterz_spool.detect.refine.states import State, states_of
from waterz_spool.detect.refine.steady import Mask
from waterz_spool.detect.refine.strokes import Style, lines, style_of
from waterz_spool.records import Box, MaskPatch

NEAR_FRAMES = 8  # around a state: there it may stand, too
NOTHING = "nothing in it stands out from the scene"


@dataclass(frozen=True)
class Refined:
    """What lies in a box.

    Attributes:
        patches: Masks with place and frames, all inside the box; frames without any show no overlay.
        certain: False where the box is taken whole in some or all frames.
        reason: Why it is, in words; empty otherwise.
    """

    patches: tuple[MaskPatch, ...]
    certain: bool
    reason: str = ""


@dataclass(frozen=True)
class _Layer:
    """A mask, bool [h, w], and the frames [start, stop) in which it holds."""

    start: int
    stop: int
    mask: Mask


def refine(crops: Crops, box: Box, span: tuple[int, int], *, size: tuple[int, int]) -> Refined:
    """The overlay's own pixels inside a box.

    Args:
        crops: Reads the video around the box.
        box: Half-open, in coded px; it holds the whole overlay, best with some px to spare.
        span: Frames [start, stop) in which the overlay may stand.
        size: Width and height of the picture in px.
    """
    place = place_of(box, size)
    footage = Footage(crops, place, span)
    samples = footage.samples()
    style = style_of(samples, place)
    still = plate(mean_of([look.picture for look in samples]), place)
    layers: list[_Layer] = []
    reasons: list[str] = []
    for start, stop in footage.chunks():
        found, reason = _chunk(footage, start, stop, style, still)
        layers += found
        reasons += [reason] if reason else []
    if not layers:
        return Refined((patches.filled(box, *span),), certain=False, reason=NOTHING)
    together = np.any([layer.mask for layer in layers], axis=0)
    if left_out := doubt.far(together, place):
        return Refined((patches.filled(box, *span),), certain=False, reason=left_out)
    return Refined(tuple(_patch(layer, place) for layer in _joined(layers)), not reasons, reasons[0] if reasons else "")


def _chunk(footage: Footage, start: int, stop: int, style: Style | None, still: Box | None) -> tuple[list[_Layer], str]:
    """The layers of frames [start, stop), and why the box is taken whole in them, if it is."""
    place = footage.place
    frames, looks = footage.looks(start, stop)
    seen = Seen(frames, place)
    states = states_of(looks, seen, style, place) if style else []
    reach = reach_of(states, place)
    masks: list[tuple[Mask, NDArray[np.bool_]]] = []
    for state in states:
        masks.append(_of_state(state, seen, _may_stand(state, states, len(frames)), reach, place))
    mean = mean_of(frames)
    for found in _plates(mean, states, still, place):
        usual = mean if found == still else next(iter(states)).mean
        on = stands(strength(seen, usual, rim(found, place)), np.ones(len(frames), np.bool_))
        masks = [(filled(found, place), on)] if is_all(found, place) else [*masks, (filled(found, place), on)]
    layers = [_Layer(start + a, start + b, mask) for mask, on in masks for a, b in _runs(on)]
    union = np.any([layer.mask for layer in layers], axis=0) if layers else np.zeros(place.shape, np.bool_)
    reason = doubt.missed(mean, union, place) if layers else ""
    return ([_Layer(start, stop, place.inner)], reason) if reason else (layers, "")


def _plates(mean: NDArray[np.float32], states: Sequence[State], still: Box | None, place: Place) -> list[Box]:
    if still is not None:
        return [still]
    found = [each for state in states if (each := plate(state.mean, place))]
    return found[:1]


def _may_stand(state: State, states: Sequence[State], count: int) -> NDArray[np.bool_]:
    """The frames of a state and some around it, without those of other states."""
    done = np.zeros(count, np.bool_)
    done[max(0, state.start - NEAR_FRAMES) : state.stop + NEAR_FRAMES] = True
    for other in states:
        if other is not state:
            done[other.start : other.stop] = False
    return done


def _of_state(
    state: State, seen: Seen, may: NDArray[np.bool_], reach: int, place: Place
) -> tuple[Mask, NDArray[np.bool_]]:
    """A state's mask and its frames."""
    mask = distance(state.strokes) <= reach
    for found in line_plates(state.mean, _line_boxes(state, place), place):
        mask |= filled(found, place)
    return mask & place.inner, stands(strength(seen, state.mean, state.core), may)


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


def _joined(layers: Sequence[_Layer]) -> list[_Layer]:
    """Layers of neighbouring chunks that are the same overlay, as one."""
    done: list[_Layer] = []
    for layer in layers:
        same = next((at for at, other in enumerate(done) if other.stop == layer.start and _alike(other, layer)), None)
        if same is None:
            done.append(layer)
        else:
            done[same] = _Layer(done[same].start, layer.stop, done[same].mask | layer.mask)
    return done


def _alike(a: _Layer, b: _Layer) -> bool:
    return int((a.mask ^ b.mask).sum()) <= 0.1 * int(min(a.mask.sum(), b.mask.sum()))


def _patch(layer: _Layer, place: Place) -> MaskPatch:
    rows, columns = np.flatnonzero(layer.mask.any(1)), np.flatnonzero(layer.mask.any(0))
    part = layer.mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    corner = (layer.start, place.window[0] + int(columns[0]), place.window[1] + int(rows[0]))
    return patches.patch(part * np.uint8(255), layer.start, layer.stop, (corner,))
