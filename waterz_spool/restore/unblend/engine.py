"""Engine B: a translucent overlay is undone where the frames prove what it is; the rest is engine A's.

For each pixel shown = (1 - opacity) hidden + opacity colour. Engine A says what is hidden, well enough for opacity and
colour to be measured over all pixels and frames of a layer; then the light that came through is given back, mixed with
what engine A says by how sure each of the two is. An overlay that lets no light through is engine A's alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Confidence
from waterz_spool.restore.base import Check, Clip, Masks, Restored, no_check
from waterz_spool.restore.masks import MaskGroups, bounding_box
from waterz_spool.restore.membrane import Membrane, fill_frames, round_to
from waterz_spool.restore.propagate import PropagateRestorer
from waterz_spool.restore.unblend.gamut import Gamut
from waterz_spool.restore.unblend.layers import LARGEST_REST, NOISE, Found, Layer, explains, find_layers, label
from waterz_spool.restore.unblend.mixing import undone
from waterz_spool.restore.unblend.model import Model, model_of
from waterz_spool.restore.unblend.moments import Bools, Sums, sums_of, weights_of

_FRAMES = 24  # that are measured, evenly spread
_GLANCE_FRAMES = 8
_GLANCE_REST = 2.0  # a membrane is far off under a wide overlay
_LEAST_FRAMES = 8
_LEAST_SHARE = 0.08  # of the hidden pixels that translucent layers must cover
_CONTEXT = 60  # frames around those that are measured
_MARGIN_PX = 2
_RING_PX = 3
_DEEP_PX, _LEAST_INNER = 4, 0.05  # inside of an overlay, and the least share of it that tells something
_MOVING = 60.0  # variance over time
_OPAQUE = 0.01  # of the variance around it, inside
_DEEPER = 2.0  # times the error, inside the overlay
_ERROR = 30.0, 1500.0  # variance of what surroundings predict, at least and at most


@dataclass(frozen=True)
class _State:
    """An overlay that does not change while a clip lasts.

    Attributes:
        key: Of its mask.
        frames: Target frames that show it.
        box: Around it.
        hidden: bool [h, w] of the box.
    """

    key: int
    frames: list[int]
    box: tuple[int, int, int, int]
    hidden: Bools

    def cut(self, pictures: NDArray[Any], frame: int) -> NDArray[Any]:
        x0, y0, x1, y1 = self.box
        return np.asarray(pictures[frame, y0:y1, x0:x1])

    def some(self, count: int) -> list[int]:
        places = np.linspace(0, len(self.frames) - 1, min(count, len(self.frames))).round()
        return [self.frames[int(place)] for place in places]


class UnblendRestorer(PropagateRestorer):
    """Undoes what a translucent overlay did where that can be proved, else fills as ``propagate`` does.

    Its options are those of ``propagate``.
    """

    name = "unblend"
    measures = True

    def restore(self, clip: Clip, *, check: Check = no_check) -> Restored:
        """Restore the masked pixels of the clip's target frames.

        Raises:
            Stop: ``check`` asked for it.
        """
        state = None if clip.layers == () else _state(clip)
        error = _glance(clip, state, sure=clip.layers is not None) if state is not None else None
        if state is None or error is None:
            return super().restore(clip, check=check)
        filled, trust = self._judged(clip, check)
        model = _proved(clip, state, (filled.frames, trust), error)
        if model is None:
            return filled if clip.plate is None else super().restore(clip, check=check)
        return _given_back(clip, state, model, (filled, trust), check)

    def measure(self, clip: Clip, *, check: Check = no_check) -> tuple[Layer, ...]:
        """The layers of the overlay of a clip, from its middle frames; none where it is not to be undone.

        Raises:
            Stop: ``check`` asked for it.
        """
        part = _middle(clip)
        state = _state(part)
        error = _glance(part, state) if state is not None else None
        if state is None or error is None:
            return ()
        filled, trust = self._judged(part, check)
        found = _agreed(part, state, (filled.frames, trust), error)
        return () if found is None else tuple(layer.rounded() for layer in found[0].layers)

    def _judged(self, clip: Clip, check: Check) -> tuple[Restored, Masks]:
        """What engine A makes of the clip without texture, and how far it trusts what it saw."""
        trust = np.zeros((clip.stop - clip.start, *clip.masks.shape[1:]), np.uint8)
        return self._filled(replace(clip, plate=None), check, trust), trust


def _middle(clip: Clip) -> Clip:
    """The middle target frames, with as much around them as engine A looks at."""
    first = max(clip.start, (clip.start + clip.stop) // 2 - _FRAMES)
    last = min(clip.stop, first + 2 * _FRAMES)
    begin, end = max(0, first - _CONTEXT), min(len(clip.frames), last + _CONTEXT)
    frames, masks = clip.frames[begin:end], clip.masks[begin:end]
    return replace(clip, frames=frames, masks=masks, start=first - begin, stop=last - begin, plate=None)


def _state(clip: Clip) -> _State | None:
    """The one state of a clip's overlay; None where it changes, moves or pauses: engine A sees behind it then."""
    groups = MaskGroups(clip.masks)
    keys = groups.keys
    if clip.stop - clip.start < _LEAST_FRAMES:
        return None
    key = max(sorted(set(keys[clip.start : clip.stop])), key=keys[clip.start : clip.stop].count)
    frames = [frame for frame in range(clip.start, clip.stop) if keys[frame] == key]
    if groups.empty(key) or len(frames) < _LEAST_FRAMES or keys.count(key) < 0.9 * len(keys):
        return None
    hidden = groups.hidden(key)
    box = bounding_box(hidden, _MARGIN_PX)
    return _State(key, frames, box, hidden[box[1] : box[3], box[0] : box[2]])


def _glance(clip: Clip, state: _State, *, sure: bool = False) -> float | None:
    """Whether a few frames against their own surroundings look as if light came through, unless that is sure.

    Returns:
        How well surroundings predict what lies beside them (the variance of their error), or None when it is opaque.
    """
    frames = state.some(_GLANCE_FRAMES)
    hidden = clip.masks[state.key] != 0
    wide = cv2.dilate(hidden.astype(np.uint8), np.ones((2 * _RING_PX + 1,) * 2)) != 0
    fills = fill_frames(Membrane(wide), clip, frames)
    ring, error, pairs = ~hidden[wide], 0.0, []
    counts = weights_of(clip.frames.shape[3])
    for frame, fill in zip(frames, fills, strict=True):
        picture = _levels(clip.frames[frame], clip.bits)
        smooth = picture.copy()
        smooth[wide] = np.rint(fill / np.float32(1 << (clip.bits - 8)))
        apart = picture[wide][ring].astype(np.float64) - smooth[wide][ring]
        error += float((apart**2 @ counts).mean()) / counts.sum() / len(frames)
        x0, y0, x1, y1 = state.box
        shown, under = picture[y0:y1, x0:x1], smooth[y0:y1, x0:x1]
        pairs.append((shown, under, np.zeros(state.hidden.shape, np.uint8)))
    error = min(max(error, _ERROR[0]), _ERROR[1])
    through = sure or _through(clip, frames, hidden, wide)
    if through is not None:
        return error if through else None
    found = _found(clip, sums_of(pairs, state.hidden), state.hidden, _DEEPER * error, rest=_GLANCE_REST)
    return error if found is not None else None


def _through(clip: Clip, frames: list[int], hidden: Bools, wide: Bools) -> bool | None:
    """Whether what lies inside an overlay changes as its surroundings do, or it is thin; None where little moves."""
    inner = cv2.erode(hidden.astype(np.uint8), np.ones((2 * _DEEP_PX + 1,) * 2), borderValue=0) != 0
    around = wide & ~hidden
    if np.count_nonzero(inner) < _LEAST_INNER * np.count_nonzero(hidden):
        return True
    stack = np.stack([_levels(clip.frames[frame][..., 0], clip.bits) for frame in frames]).astype(np.float64)
    within, beside = (float(np.median(stack[:, part].var(axis=0))) for part in (inner, around))
    if beside < _MOVING:
        return None
    return within > _OPAQUE * beside + NOISE


def _found(clip: Clip, sums: Sums, hidden: Bools, error: float, *, rest: float = LARGEST_REST) -> Found | None:
    """The layers of an overlay, if enough of it is translucent."""
    colours = Gamut(clip.family, clip.matrix, clip.full_range)
    found = find_layers(sums, hidden, colours=colours, error=error, rest=rest)
    return found if _enough(found, hidden) else None


def _enough(found: Found, hidden: Bools) -> bool:
    """Whether translucent layers cover enough of an overlay."""
    numbers = [number for number, layer in enumerate(found.layers, 1) if layer.translucent]
    covered = np.count_nonzero(np.isin(found.labels, numbers) & hidden)
    return bool(covered >= _LEAST_SHARE * np.count_nonzero(hidden))


def _proved(clip: Clip, state: _State, made: tuple[NDArray[Any], Masks], error: float) -> Model | None:
    """The overlay, from the clip's layers if it brings them, else as far as its own frames prove it."""
    if clip.layers and any(layer.translucent for layer in clip.layers):
        sums = _sums(clip, state, made, state.some(_FRAMES))
        agreed: tuple[Found, Sums] | None = label(sums, state.hidden, clip.layers, error), sums
    else:
        agreed = _agreed(clip, state, made, error)
    if agreed is None:
        return None
    found, sums = agreed
    steps = clip.steps if clip.family == "yuv" else (1, 1)
    frames = min(_FRAMES, len(state.frames))
    return model_of(sums, state.hidden, found, box=state.box, steps=steps, frames=frames)


def _agreed(clip: Clip, state: _State, made: tuple[NDArray[Any], Masks], error: float) -> tuple[Found, Sums] | None:
    """The layers and the sums they follow from, if every second of the frames proves what the others tell."""
    frames = state.some(2 * _FRAMES)
    learnt, held = (_sums(clip, state, made, part) for part in (frames[::2], frames[1::2]))
    found = _found(clip, learnt, state.hidden, error)
    if found is None:
        return None
    kept = tuple(
        layer
        for number, layer in enumerate(found.layers, 1)
        if not layer.translucent or explains(held, state.hidden & (found.labels == number), layer)
    )
    if len(kept) < len(found.layers):
        found = label(learnt, state.hidden, kept, error)
    return (found, learnt) if _enough(found, state.hidden) else None


def _sums(clip: Clip, state: _State, made: tuple[NDArray[Any], Masks], frames: Sequence[int]) -> Sums:
    filled, trust = made

    def pairs() -> Any:
        for frame in frames:
            at = frame - clip.start
            shown, under = state.cut(clip.frames, frame), state.cut(filled, at)
            yield _levels(shown, clip.bits), _levels(under, clip.bits), state.cut(trust, at)

    return sums_of(pairs(), state.hidden)


def _levels(pixels: NDArray[Any], bits: int) -> NDArray[Any]:
    """Whole 8-bit levels."""
    return pixels if bits == 8 else np.rint(pixels / np.float32(1 << (bits - 8)))


def _given_back(clip: Clip, state: _State, model: Model, made: tuple[Restored, Masks], check: Check) -> Restored:
    """What engine A made, with the overlay undone in place."""
    filled, trust = made
    scale = np.float32(1 << (clip.bits - 8))
    believed = hidden_px = 0.0
    for frame in state.frames:
        check()
        at = frame - clip.start
        shown, fill = state.cut(clip.frames, frame) / scale, state.cut(filled.frames, at)
        mixed, share = undone(shown, fill / scale, model)
        fill[state.hidden] = round_to(mixed[state.hidden] * scale, fill.dtype, clip.bits)
        known = state.cut(trust, at)[state.hidden] / np.float32(255)
        believed += float((1 - (1 - known) * (1 - share[state.hidden])).sum(dtype=np.float64))
        hidden_px += float(known.size)
    return replace(filled, confidence=_confidence(filled.confidence, believed / max(hidden_px, 1)))


def _confidence(found: Confidence | None, weight: float) -> Confidence | None:
    """The confidence of a fill, with what was undone counted as known."""
    if found is None:
        return None
    return Confidence(seen=found.seen, weight=weight, hidden_px=found.hidden_px, invented=found.invented)
