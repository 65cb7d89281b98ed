"""Hidden pixels taken from the frames that show them, along the chain of camera motion.

Each source is sampled from its original frame, never from a restored one, so errors do not pile up.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.restore.base import Clip
from waterz_spool.restore.holes import Hole, hole
from waterz_spool.restore.masks import MaskGroups, bounding_box
from waterz_spool.restore.motion import Motions

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Matrix = NDArray[np.float64]


_STEP=4
@dataclass(frozen=True, kw_only=True)
class Reach:
    """How far and how densely sources are looked for.

    Attributes:
        frames: Largest distance of a source in time.
        sources: Sources per pixel and direction.
        step_px: A frame is tried only if the hole moved this far since the last one tried.
    """

    frames: int = 60
    sources: int = 2
    step_px: float = _STEP


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
        need = here.ringed
        count = np.zeros(need.shape, np.uint8)
        chain = np.eye(3)
        tried, tried_key = here.corners[:2], self._groups.keys[frame]
        for distance in range(1, self._reach.frames + 1):
            source = frame + direction * distance
            link = self._link(source, direction)
            if link is None:
                return
            chain = link @ chain
            corners, key = (chain @ here.corners)[:2], self._groups.keys[source]
            if key == tried_key and np.abs(corners - tried).max() < _STEP:
                continue
            tried, tried_key = corners, key
            found = self._visible(source, chain, here) & need
            if found.any():
                self._add(source, chain, here, found, sums, np.float32(1 / distance))
                count += found
                need &= count < self._reach.sources
                if not need.any():
                    return

    def _link(self, source: int, direction: int) -> Matrix | None:
        """Motion of the last step to a source; None past the clip's end or a cut."""
        if not 0 <= source < len(self._clip.frames):
            return None
        motion = self._motions.between(source - 1 if direction > 0 else source)
        if motion.cut:
            return None
        return motion.matrix if direction > 0 else np.asarray(np.linalg.inv(motion.matrix))

    def _visible(self, source: int, chain: Matrix, here: Hole) -> Bools:
        x0, y0, x1, y1 = here.box
        valid = cv2.warpAffine(
            self._hole(source).valid,
            _shifted(chain, x0, y0),
            (x1 - x0, y1 - y0),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(0, 0),
        )
        return np.asarray(((valid[..., 0] >= 254) & here.inside) | ((valid[..., 1] >= 254) & here.ring))

    def _add(self, source: int, chain: Matrix, here: Hole, found: Bools, sums: _Sums, weight: np.float32) -> None:
        x0, y0, x1, y1 = bounding_box(found)
        colour = cv2.warpAffine(
            self._clip.frames[source],
            _shifted(chain, here.box[0] + x0, here.box[1] + y0),
            (x1 - x0, y1 - y0),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ).reshape(y1 - y0, x1 - x0, -1)
        share = found[y0:y1, x0:x1] * weight
        sums.colour[y0:y1, x0:x1] += colour * share[..., None]
        sums.weight[y0:y1, x0:x1] += share


def _shifted(chain: Matrix, x: int, y: int) -> Matrix:
    """The chain as a 2x3 matrix over positions relative to (x, y)."""
    return np.asarray((chain @ np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]]))[:2])
