"""The door of the package: a box goes in, masks with their frames come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from waterz_spool.detect import patches
from waterz_spool.detect.refine import doubt
from waterz_spool.detect.refine.chunk import Layer, layers_of
from waterz_spool.detect.refine.plates import plate
from waterz_spool.detect.refine.reading import Crops
from waterz_spool.detect.refine.scene import Footage, Place, mean_of, place_of
from waterz_spool.detect.refine.strokes import style_of
from waterz_spool.detect.refine.turned import turned, turned_back, turned_size, upright
from waterz_spool.records import Box, MaskPatch

NEAR_FRAMES = 8  # around a state: there it may stand, too
WEAK = "its colours are too much like the scene's"
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


def refine(crops: Crops, box: Box, span: tuple[int, int], *, size: tuple[int, int], rotation: int = 0) -> Refined:
    """The overlay's own pixels inside a box.

    Args:
        crops: Reads the video around the box.
        box: Half-open, in coded px; it holds the whole overlay, best with some px to spare.
        span: Frames [start, stop) in which the overlay may stand.
        size: Width and height of the picture in px.
        rotation: By how many degrees counter-clockwise a player turns it: 0, 90, 180 or 270.
    """
    if rotation:
        there = _refined(upright(crops, size, rotation), turned(box, size, rotation), span, turned_size(size, rotation))
        return replace(there, patches=tuple(turned_back(each, size, rotation) for each in there.patches))
    return _refined(crops, box, span, size)


def _refined(crops: Crops, box: Box, span: tuple[int, int], size: tuple[int, int]) -> Refined:
    place = place_of(box, size)
    footage = Footage(crops, place, span)
    samples = footage.samples()
    style = style_of(samples, place)
    still = plate(mean_of([look.picture for look in samples]), place)
    layers: list[Layer] = []
    reasons: list[str] = []
    for start, stop in footage.chunks():
        found, reason = layers_of(footage, start, stop, style, still)
        layers += found
        reasons += [reason] if reason else []
    if not layers:
        return Refined((patches.filled(box, *span),), certain=False, reason=NOTHING)
    together = np.any([layer.mask for layer in layers], axis=0)
    if style is not None and style.weak and still is None:
        return Refined((patches.filled(box, *span),), certain=False, reason=WEAK)
    if left_out := doubt.far(together, place):
        return Refined((patches.filled(box, *span),), certain=False, reason=left_out)
    return Refined(tuple(_patch(layer, place) for layer in _joined(layers)), not reasons, reasons[0] if reasons else "")


def _joined(layers: Sequence[Layer]) -> list[Layer]:
    """Layers of neighbouring chunks that are the same overlay, as one."""
    done: list[Layer] = []
    for layer in layers:
        same = next((at for at, other in enumerate(done) if other.stop == layer.start and _alike(other, layer)), None)
        if same is None:
            done.append(layer)
        else:
            done[same] = Layer(done[same].start, layer.stop, done[same].mask | layer.mask)
    return done


def _alike(a: Layer, b: Layer) -> bool:
    return int((a.mask ^ b.mask).sum()) <= 0.1 * int(min(a.mask.sum(), b.mask.sum()))


def _patch(layer: Layer, place: Place) -> MaskPatch:
    rows, columns = np.flatnonzero(layer.mask.any(1)), np.flatnonzero(layer.mask.any(0))
    part = layer.mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    corner = (layer.start, place.window[0] + int(columns[0]), place.window[1] + int(rows[0]))
    return patches.patch(part * np.uint8(255), layer.start, layer.stop, (corner,))
