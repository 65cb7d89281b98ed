"""Overlays that jump, from their shapes to masks with exact frames: only what is proven."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect import patches
from waterz_spool.detect.base import Detection, Rejected
from waterz_spool.detect.static.confirm import Confirm, Proof
from waterz_spool.detect.static.follow import Follower, Stand
from waterz_spool.detect.static.shapes import Mask
from waterz_spool.detect.static.templates import Place, Template
from waterz_spool.detect.static.windows import shrink_of
from waterz_spool.records import MaskPatch

Pictures = Callable[[], Iterator[NDArray[np.uint8]]]
"""Decodes the video again: its small pictures in order."""

COVERED = 0.9  # of a shape's pixels: then another shape's mask holds it, too
AGAIN = 0.4  # confidence from which on a better shape is worth another look at the video


@dataclass(frozen=True)
class Jumping:
    """What was found.

    Attributes:
        patches: Masks with their frames, of what is proven.
        scores: First frame, place and fit of each stand.
        rejected: What is not proven.
    """

    patches: tuple[MaskPatch, ...]
    scores: tuple[tuple[int, Detection], ...]
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True)
class _Shape:
    """One shape in the whole video; the mask reaches `pad` px beyond the stands' places."""

    stands: list[Stand]
    mask: Mask
    pad: Place
    proof: Proof
    better: Template

    def patches(self, size: tuple[int, int]) -> list[MaskPatch]:
        return [standing(self.mask, stand, pad=self.pad, size=size) for stand in self.stands]


def jumping(templates: Sequence[Template], pictures: Pictures, *, size: tuple[int, int]) -> Jumping:
    """Look at the whole video for shapes that seem to jump.

    The video is decoded twice, and twice more when a shape that may be an overlay can be told better from its
    background by then.

    Args:
        templates: The shapes.
        pictures: Decodes the video again.
        size: Width and height of the video in px.
    """
    shapes = _looked_at(templates, pictures)
    hopeful = [number for number, shape in enumerate(shapes) if AGAIN <= shape.proof.confidence < 1]
    for number, again in zip(hopeful, _looked_at([shapes[i].better for i in hopeful], pictures), strict=True):
        shapes[number] = max(shapes[number], again, key=lambda shape: shape.proof.confidence)
    taken, scores, rejected = list[MaskPatch](), list[tuple[int, Detection]](), list[Rejected]()
    for shape in sorted(shapes, key=lambda shape: -int(shape.mask.sum())):
        if not shape.mask.any() or not shape.stands:
            continue
        mine = shape.patches(size)
        if shape.proof.doubts:
            rejected.append(_doubted(shape, mine, size))
        elif not _held(mine[0], taken):
            taken += mine
            scores += [
                (s.start, Detection(patches.box_of(m), round(s.fit, 3)))
                for s, m in zip(shape.stands, mine, strict=True)
            ]
    return Jumping(tuple(taken), tuple(sorted(scores)), tuple(rejected))


def _looked_at(templates: Sequence[Template], pictures: Pictures) -> list[_Shape]:
    followers = [Follower(template) for template in templates]
    for picture in pictures() if followers else ():
        for follower in followers:
            follower.add(picture)
    stands = [follower.finish() for follower in followers]
    looks = [Confirm(template, where) for template, where in zip(templates, stands, strict=True)]
    for index, picture in enumerate(pictures() if any(stands) else ()):
        for look in looks:
            look.add(index, picture)
    done = []
    for look, where in zip(looks, stands, strict=True):
        better, mask, proof = look.finish()
        done.append(_Shape(where, mask, look.pad, proof, better))
    return done


def _doubted(shape: _Shape, mine: Sequence[MaskPatch], size: tuple[int, int]) -> Rejected:
    """The longest stand of a shape that is not proven."""
    why = min(shape.proof.doubts, key=lambda each: shape.proof.doubts[each])
    longest = max(mine, key=lambda each: each.stop - each.start)
    x0, y0, x1, y1 = patches.box_of(longest)
    box = max(0, x0), max(0, y0), min(size[0], x1), min(size[1], y1)
    return Rejected(box, why, shape.proof.confidence, longest.start, longest.stop)


def _held(patch: MaskPatch, taken: Sequence[MaskPatch]) -> bool:
    """Whether masks that are taken hide what a patch hides at its start."""
    mine = patches.decoded(patch) > 0
    x0, y0, x1, y1 = patches.box_of(patch)
    hidden = np.zeros_like(mine)
    for other in taken:
        if other.start <= patch.start + 1 < other.stop:
            a0, b0, a1, b1 = patches.box_of(other)
            left, top, right, bottom = max(x0, a0), max(y0, b0), min(x1, a1), min(y1, b1)
            if left < right and top < bottom:
                theirs = patches.decoded(other)[top - b0 : bottom - b0, left - a0 : right - a0] > 0
                hidden[top - y0 : bottom - y0, left - x0 : right - x0] |= theirs
    return bool((mine & hidden).sum() >= COVERED * mine.sum())


def standing(mask: Mask, stand: Stand, *, pad: Place, size: tuple[int, int]) -> MaskPatch:
    """A stand as a patch of the video.

    Args:
        mask: Of the overlay, 0 and 1, px of the small picture.
        stand: Where and when.
        pad: How far the mask reaches beyond the stand's place, px of the small picture.
        size: Width and height of the video in px.
    """
    scale = shrink_of(size[1])
    height, width = (side * scale for side in mask.shape)
    large = cv2.resize(mask * np.uint8(255), (width, height), interpolation=cv2.INTER_LINEAR)
    x, y = ((value - beyond) * scale for value, beyond in zip(stand.place, pad, strict=True))
    own = np.where(large > 64, np.uint8(255), np.uint8(0))
    rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
    part = own[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return patches.patch(part, stand.start, stand.stop, ((stand.start, x + int(columns[0]), y + int(rows[0])),))
