"""Hidden pixels taken from the frames that show them, along the chain of camera motion.

Each source is sampled from its original frame, never from a restored one, so errors do not pile up.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Box
from waterz_spool.restore.base import Clip
from waterz_spool.restore.holes import Hole, hole
from waterz_spool.restore.masks import MaskGroups, bounding_box
from waterz_spool.restore.motion import Motions

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How far and how densely sources are looked for.

    Attributes:
        frames: Largest distance of a source in time.
        sources: Sources per pixel and direction.
    """

    frames: int = 60
    sources: int = 2


@dataclass(frozen=True)
class Seen:
    """What other frames show of a hole and its ring, in the hole's box.

    Attributes:
        colour: float32 [h, w, C]: weighted mean of the sources; 0 where there is none.
        has: bool [h, w]: some source shows the pixel.
    """

    colour: Floats
    has: Bools


class _Sums:
    """Running weighted sums over the sources of one frame."""

    def __init__(self, shape: tuple[int, int], channels: int) -> None:
        self.colour = np.zeros((*shape, channels), np.float32)
        self.weight = np.zeros(shape, np.float32)

    def seen(self) -> Seen:
        weight = np.maximum(self.weight, 1e-6)
        colour = self.colour / weight[..., None]
        return Seen(colour, self.weight > 0)


class Sources:
    """Finds and collects sources for the frames of a clip.

    Args:
        clip: The clip.
        groups: Its masks.
        motions: Its motions.
        reach: How far to look.
    """

    def __init__(self, clip: Clip, groups: MaskGroups, motions: Motions, reach: Reach) -> None:
        self._clip, self._groups, self._motions, self._reach = clip, groups, motions, reach

    def collect(self, frame: int) -> Seen:
        """What the frames before and after show of this frame's hole."""
        here = self._hole(frame)
        sums = _Sums(here.inside.shape, self._clip.frames.shape[3])
        for direction in (1, -1):
            self._walk(frame, here, direction, sums)
        return sums.seen()

    def _hole(self, frame: int) -> Hole:
        return self._groups.cached("hole", self._groups.keys[frame], hole)

    def _walk(self, frame: int, here: Hole, direction: int, sums: _Sums) -> None:
        wanted = _Wanted(here)
        chain = np.eye(3)
        tried, tried_key = here.corners[:2], self._groups.keys[frame]
        for distance in range(1, self._reach.frames + 1):
            source = frame + direction * distance
            link = self._link(source, direction)
            if link is None:
                return
            chain = link @ chain
            corners, key = (chain @ here.corners)[:2], self._groups.keys[source]
            if key == tried_key and np.abs(corners - tried).max() < here.step_px:
                continue
            tried, tried_key = corners, key
            if self._apart(corners):
                continue
            found = self._visible(source, chain, here, wanted)
            if found.any():
                self._add(source, chain, here, (found, wanted.box), sums, np.float32(1 / distance))
                if wanted.done(found, self._reach.sources):
                    return

    def _link(self, source: int, direction: int) -> Matrix | None:
        """Motion of the last step to a source; None past the clip's end or a cut."""
        if not 0 <= source < len(self._clip.frames):
            return None
        motion = self._motions.between(source - 1 if direction > 0 else source)
        if motion.cut:
            return None
        return motion.matrix if direction > 0 else motion.inverse

    def _apart(self, corners: Matrix) -> bool:
        """Whether a moved hole lies wholly outside the crop."""
        height, width = self._clip.frames.shape[1:3]
        low, high = corners.min(1), corners.max(1)
        return bool(high[0] < 0 or high[1] < 0 or low[0] > width or low[1] > height)

    def _visible(self, source: int, chain: Matrix, here: Hole, wanted: _Wanted) -> Bools:
        """Which wanted pixels a source shows, in the wanted box."""
        x0, y0, x1, y1 = wanted.box
        valid = cv2.warpAffine(
            self._hole(source).valid,
            _shifted(chain, here.box[0] + x0, here.box[1] + y0),
            (x1 - x0, y1 - y0),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(0, 0),
        )
        part = slice(y0, y1), slice(x0, x1)
        return np.asarray(
            ((valid[..., 0] >= 254) & wanted.inside[part]) | ((valid[..., 1] >= 254) & wanted.ring[part])
        )

    def _add(
        self, source: int, chain: Matrix, here: Hole, found: tuple[Bools, Box], sums: _Sums, weight: np.float32
    ) -> None:
        part, (left, top, _, _) = found
        x0, y0, x1, y1 = bounding_box(part)
        share = part[y0:y1, x0:x1] * weight
        x0, y0, x1, y1 = x0 + left, y0 + top, x1 + left, y1 + top
        colour = cv2.warpAffine(
            self._clip.frames[source],
            _shifted(chain, here.box[0] + x0, here.box[1] + y0),
            (x1 - x0, y1 - y0),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ).reshape(y1 - y0, x1 - x0, -1)
        sums.colour[y0:y1, x0:x1] += colour * share[..., None]
        sums.weight[y0:y1, x0:x1] += share


class _Wanted:
    """The pixels of a hole and its ring that still lack sources."""

    def __init__(self, here: Hole) -> None:
        self.inside, self.ring = here.inside.copy(), here.ring.copy()
        self._count = np.zeros(here.inside.shape, np.uint8)
        self.box: Box = (0, 0, here.inside.shape[1], here.inside.shape[0])

    def done(self, found: Bools, sources: int) -> bool:
        """Count sources found in the box; whether nothing is wanted any more."""
        x0, y0, x1, y1 = self.box
        part = slice(y0, y1), slice(x0, x1)
        self._count[part] += found
        lacking = self._count[part] < sources
        self.inside[part] &= lacking
        self.ring[part] &= lacking
        left, top, right, bottom = bounding_box(self.inside[part] | self.ring[part])
        self.box = x0 + left, y0 + top, x0 + right, y0 + bottom
        return right == left


def _shifted(chain: Matrix, x: int, y: int) -> Matrix:
    """The chain as a 2x3 matrix over positions relative to (x, y)."""
    matrix = chain[:2].copy()
    matrix[:, 2] += chain[:2, 0] * x + chain[:2, 1] * y
    return np.asarray(matrix)
