"""One overlay of a segment: restored, looked at once more, and tried again with a larger mask where some of it is left.

The second try is the only one, and whether it is made follows from the pixels alone: whoever works on a segment, and
how often, the result has the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Box, Confidence, CropSpec, Residue
from waterz_spool.restore import Check, Clip, Restorer
from waterz_spool.restore.base import Frames, Masks
from waterz_spool.restore.residue import look, rank

GROWN_PX = 4  # in a picture of 720 lines or less
_LINES = 180  # of a larger picture, for each px


@dataclass(frozen=True)
class Cleared:
    """One overlay's place as it goes into the result.

    Attributes:
        frames: Restored target frames of the crop, [T, H, W, C].
        masks: uint8 [T, H, W]: weights of what replaces the picture, of this overlay alone.
        confidence: None when no pixel was hidden.
        residue: What is left beside the mask; None where that cannot be told.
    """

    frames: Frames
    masks: Masks
    confidence: Confidence | None
    residue: Residue | None


def clear(restorer: Restorer, clip: Clip, spec: CropSpec, *, within: Box | None, lines: int, check: Check) -> Cleared:
    """Restore an overlay's place and look at it.

    Args:
        restorer: The back end.
        clip: The crop with its masks.
        spec: Where crop and overlay lie.
        within: Coded px that a larger mask may cover; None: the mask is the user's own and stays as it is.
        lines: Height of the whole picture in px.
        check: Called between windows of frames; raises to stop.
    """
    hole = _moved(spec.hole, spec.box)
    first = _once(restorer, clip, hole, check)
    if within is None or first.residue is None or first.residue.verdict == "clean":
        return first
    px = max(GROWN_PX, lines // _LINES)
    room = _moved(_common(within, spec.box), spec.box)
    wider = _common((hole[0] - px, hole[1] - px, hole[2] + px, hole[3] + px), room)
    if wider == hole:
        return first
    masks = np.stack([_grown(mask, hole, wider, px) for mask in clip.masks])
    second = _once(restorer, replace(clip, masks=masks), wider, check)
    best, grown_px = (second, px) if _better(second.residue, first.residue) else (first, 0)
    assert best.residue is not None
    said = msgspec.structs.replace(best.residue, first=first.residue.verdict, grown_px=grown_px)
    return replace(best, residue=said)


def _once(restorer: Restorer, clip: Clip, hole: Box, check: Check) -> Cleared:
    restored = restorer.restore(clip, check=check)
    masks = clip.masks[clip.start : clip.stop] & _inside(hole, clip.masks.shape[1:])
    return Cleared(restored.frames, masks, restored.confidence, look(clip, restored.frames, hole))


def _better(second: Residue | None, first: Residue) -> bool:
    return second is not None and (rank(second.verdict), second.levels) < (rank(first.verdict), first.levels)


def _grown(mask: NDArray[np.uint8], hole: Box, wider: Box, px: int) -> NDArray[np.uint8]:
    """A mask whose own overlay is larger by some px; other overlays in the crop stay as they are."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * px + 1, 2 * px + 1))
    own = cv2.dilate(mask & _inside(hole, mask.shape), disc)
    return np.asarray(np.maximum(mask, own & _inside(wider, mask.shape)), np.uint8)


def _inside(box: Box, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """255 in a box: what lies outside is another overlay, and its own crop's work."""
    keep = np.zeros(shape, np.uint8)
    keep[box[1] : box[3], box[0] : box[2]] = 255
    return keep


def _moved(box: Box, crop: Box) -> Box:
    """A box in px of the crop."""
    return box[0] - crop[0], box[1] - crop[1], box[2] - crop[0], box[3] - crop[1]


def _common(a: Box, b: Box) -> Box:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
