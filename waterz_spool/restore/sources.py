"""Hidden pixels taken from the frames that show them, along the chain of camera motion.

Each source is sampled from its original frame, never from a restored one, so errors do not pile up.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Box
from waterz_spool.restore.base import Clip
from waterz_spool.restore.holes import UNWANTED, Hole, hole
from waterz_spool.restore.masks import MaskGroups, bounding_box
from waterz_spool.restore.motion import Motions

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Matrix = NDArray[np.float64]
Pixels = NDArray[Any]


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
        colour: float32 [h, w, C]: mean of the sources, the nearer direction in time counting more.
        has: bool [h, w]: some source shows the pixel.
    """

    colour: Floats
    has: Bools


class _Wanted:
    """One direction's search: which pixels still lack sources, and the mean of those found.

    Attributes:
        box: Where pixels are still wanted, in the hole's box.
        colour: float32 [h, w, C]: mean of the sources.
        weight: float32 [h, w]: one over the distance of the nearest source; 0 where there is none.
    """

    def __init__(self, here: Hole, channels: int, sources: int) -> None:
        self._need = here.need.copy()
        self._count = np.zeros(here.need.shape, np.uint8)
        self._sources = sources
        self._lacking = self._at_shrink = len(here.inside) + len(here.ring)
        self.box: Box = (0, 0, here.need.shape[1], here.need.shape[0])
        self.colour = np.zeros((*here.need.shape, channels), np.float32)
        self.weight = np.zeros(here.need.shape, np.float32)

    @property
    def done(self) -> bool:
        """Whether every pixel has its sources."""
        return self._lacking == 0

    def among(self, shown: NDArray[np.uint8]) -> Bools:
        """Wanted pixels of the box that a source shows, given what each of its pixels may stand for."""
        return np.asarray(shown >= self._need[_part(self.box)])

    def add(self, found: Bools, box: Box, colour: Pixels, distance: int) -> None:
        """Add a source: the pixels found, in a box, and what it shows of that box."""
        part = _part(box)
        count, mean, left = self._count[part], self.colour[part], found
        for before in range(self._sources):
            which = left & (count == before) if before < self._sources - 1 else left
            cv2.accumulateWeighted(colour, mean, 1 / (before + 1), mask=which.view(np.uint8))
            if before == 0:
                np.copyto(self.weight[part], np.float32(1 / distance), where=which)
            left = left & ~which
        complete = found & (count == self._sources - 1)
        count += found
        np.copyto(self._need[part], UNWANTED, where=complete)
        self._lacking -= int(np.count_nonzero(complete))
        if self._lacking < 0.8 * self._at_shrink:
            self._shrink()

    def _shrink(self) -> None:
        self._at_shrink = self._lacking
        wanted = self._need[_part(self.box)] != UNWANTED
        left, top, right, bottom = bounding_box(wanted)
        x0, y0 = self.box[:2]
        self.box = x0 + left, y0 + top, x0 + right, y0 + bottom


class Sources:
    """Finds and collects sources for the frames of a clip; threads may share it.

    Args:
        clip: The clip.
        groups: Its masks.
        motions: Its motions.
        reach: How far to look.
    """

    def __init__(self, clip: Clip, groups: MaskGroups, motions: Motions, reach: Reach) -> None:
        self._clip, self._groups, self._motions, self._reach = clip, groups, motions, reach
        self._lock = threading.Lock()
        self._rimmed: OrderedDict[int, Pixels] = OrderedDict()

    def collect(self, frame: int) -> Seen:
        """What the frames before and after show of this frame's hole."""
        after, before = (self._walk(frame, direction) for direction in (1, -1))
        total = after.weight + before.weight
        share = after.weight / np.maximum(total, np.float32(1e-6))
        colour = before.colour + share[..., None] * (after.colour - before.colour)
        return Seen(colour, total > 0)

    def _hole(self, frame: int) -> Hole:
        return self._groups.cached("hole", self._groups.keys[frame], hole)

    def _image(self, frame: int) -> Pixels:
        """A frame whose rim of the mask repeats the known pixels beside it."""
        if self._groups.empty(self._groups.keys[frame]):
            return np.asarray(self._clip.frames[frame])
        with self._lock:
            if frame not in self._rimmed:
                self._rimmed[frame] = self._with_rim(frame)
                while len(self._rimmed) > 2 * self._reach.frames:
                    self._rimmed.popitem(last=False)
            return self._rimmed[frame]

    def _with_rim(self, frame: int) -> Pixels:
        rim, neighbour = self._hole(frame).rim
        image: Pixels = self._clip.frames[frame].copy()
        flat = image.reshape(-1, image.shape[2])
        flat[rim] = flat[neighbour]
        return image

    def _walk(self, frame: int, direction: int) -> _Wanted:
        here = self._hole(frame)
        wanted = _Wanted(here, self._clip.frames.shape[3], self._reach.sources)
        chain = np.eye(3)
        tried, tried_key = here.corners[:2], self._groups.keys[frame]
        for distance in range(1, self._reach.frames + 1):
            source = frame + direction * distance
            link = self._link(source, direction)
            if link is None:
                break
            chain = link @ chain
            corners, key = (chain @ here.corners)[:2], self._groups.keys[source]
            if key == tried_key and np.abs(corners - tried).max() < here.step_px:
                continue
            tried, tried_key = corners, key
            if not self._apart(corners):
                self._look(source, chain, here, wanted, distance)
            if wanted.done:
                break
        return wanted

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

    def _look(self, source: int, chain: Matrix, here: Hole, wanted: _Wanted, distance: int) -> None:
        """Take what a source shows of the wanted pixels."""
        shown = _warp(self._hole(source).serves, chain, here, wanted.box, cv2.INTER_NEAREST)
        found = wanted.among(shown)
        left, top, right, bottom = bounding_box(found)
        if left == right:
            return
        x0, y0 = wanted.box[:2]
        box = x0 + left, y0 + top, x0 + right, y0 + bottom
        colour = _warp(self._image(source), chain, here, box, cv2.INTER_CUBIC)
        wanted.add(found[top:bottom, left:right], box, colour, distance)


def _part(box: Box) -> tuple[slice, slice]:
    return slice(box[1], box[3]), slice(box[0], box[2])


def _warp(image: Pixels, chain: Matrix, here: Hole, box: Box, interpolation: int) -> Pixels:
    """A source image as the frame sees it, in a part of the hole's box."""
    x, y = here.box[0] + box[0], here.box[1] + box[1]
    matrix = chain[:2].copy()
    matrix[:, 2] += chain[:2, 0] * x + chain[:2, 1] * y
    size = box[2] - box[0], box[3] - box[1]
    nearest = interpolation == cv2.INTER_NEAREST
    warped = cv2.warpAffine(
        image,
        matrix,
        size,
        flags=interpolation | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT if nearest else cv2.BORDER_REPLICATE,
        borderValue=(0,),
    )
    return np.asarray(warped)
