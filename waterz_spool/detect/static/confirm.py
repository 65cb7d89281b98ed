"""Whether a shape that stands now here, now there is painted over the picture, and which pixels are its own.

At every place the picture is compared with and without the shape, shortly before and after it comes and goes: what the
two differ by is the overlay, on a tripod shot as in a pan. What is painted over the picture differs in the same pixels
by the same slopes at every place, comes and goes at one frame with all of it, is never at two places at a time, leaves
its old place entirely, and its surroundings do not come along. A head that holds a pose, moves and holds another fails
in several of these; what moves over a picture that is itself still, as on a screen or a slide, cannot be told from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.static.follow import FADE_FRAMES, Stand
from waterz_spool.detect.static.shapes import Mask, closed, disc, trimmed
from waterz_spool.detect.static.templates import Place, Template, template_of
from waterz_spool.detect.static.windows import Edges, Image, gradient, persistent

NEAR_FRAMES = 12  # on both sides of a change
MOST_STANDS = 24  # that are compared, evenly spread
REACH = 5.0, 1.5  # of the shape's height: parts of the overlay lie that far beside it, and above and below it
OWN_SLOPE = 3.0  # grey levels per px, of the mean difference
OWN_SHARE = 0.6  # of the places, in which an edge stays
STILL_SHARE, SCENE_SHARE = 0.4, 0.1  # of the places, where more than so many edges of the scene stay, too
OWN_COHERENCE = 0.65  # share of the differences' power that their mean holds
RING_PX = 3, 12  # from the mask

# What must be. In parentheses: overlays that jump, made over eight clips; clean clips.
MIN_STANDS = 3
MIN_MOVED = 0.75  # (1.0; heads 0.0)
MIN_SAME = 0.7
MAX_ALONG = 0.45
MAX_LEFT = 0.15
MIN_TEXTURE = 2.5
MIN_ALIVE = 0.05  # (0.10; screens, slides 0.00)
MAX_AREA = 0.06
MIN_COVERED = 0.9
MIN_ROAM = 0.33  # (0.92; within a face less)


@dataclass(frozen=True)
class Proof:
    """What speaks for an overlay that jumps, all of it for one shape.

    Attributes:
        stands: How often it stood somewhere.
        moved: Share of its moves that lead wholly out of its old place, and are over at once.
        same: Correlation of what it is at one place with what it is at the others, median.
        along: Strength of what comes along around it, as a share of its own.
        left: Strength of it that is seen at its places while it is elsewhere, median.
        texture: Slopes in the picture around it, grey levels per px, median.
        alive: Share of the pixels around it that change from one frame to the next, median.
        area: Of the picture, share.
        covered: Share of the frames in which it is seen.
        roam: How far apart its places are, as a share of the picture's shorter side.
    """

    stands: int
    moved: float
    same: float
    along: float
    left: float
    texture: float
    alive: float
    area: float
    covered: float
    roam: float

    @property
    def doubts(self) -> dict[str, float]:
        """What is not as it must be, in words, each with how near it is to what it must be, 0 to 1."""
        checks = {
            "it is seen at fewer than three places": self.stands / MIN_STANDS,
            "it does not leave its old place wholly and at once": self.moved / MIN_MOVED,
            "it is not the same at all places": self.same / MIN_SAME,
            "its surroundings come along": MAX_ALONG / max(self.along, 1e-6),
            "its old place still shows it": MAX_LEFT / max(abs(self.left), 1e-6),
            "the picture around it is plain": self.texture / MIN_TEXTURE,
            "the picture around it stands still": self.alive / MIN_ALIVE,
            "it is too large": MAX_AREA / max(self.area, 1e-6),
            "it is not seen in all frames": self.covered / MIN_COVERED,
            "it stays within a part of the picture as large as a face": self.roam / MIN_ROAM,
        }
        return {why: max(0.0, near) for why, near in checks.items() if near < 1}

    @property
    def confidence(self) -> float:
        """0 to 1: how near all of it together is to what must be."""
        return math.prod(self.doubts.values())


class _Place:
    """Sums over the frames shortly before and after one stand begins and ends."""

    def __init__(self, stand: Stand, corner: Place, size: tuple[int, int]) -> None:
        self.stand, self.corner, self.size = stand, corner, size
        shape = size[::-1]
        self.sums = np.zeros((2, 3, *shape), np.float32)  # without, with: slopes across, down, and their squares
        self.counts = [0, 0]
        self.changes = np.zeros(shape, np.float32)
        self.shown = np.zeros(shape, bool)
        self._before: NDArray[Any] | None = None

    def _state(self, index: int) -> int | None:
        """1 where it stands, 0 where it does not yet or no more; None too far away, or at a change."""
        start, stop = self.stand.start, self.stand.stop
        if start < index < stop - 1:
            return 1 if index <= start + NEAR_FRAMES or index >= stop - 1 - NEAR_FRAMES else None
        return 0 if start - 1 - NEAR_FRAMES <= index < start - 1 or stop < index <= stop + NEAR_FRAMES else None

    def add(self, index: int, picture: NDArray[np.uint8]) -> None:
        """The next frame."""
        state, before = self._state(index), self._before
        self._before = None
        if state is None:
            return
        part, self.shown = _cut(picture, self.corner, self.size)
        across, down = gradient(part)
        for total, one in zip(self.sums[state], (across, down, across * across + down * down), strict=True):
            total += one
        self.counts[state] += 1
        if state and before is not None:
            self.changes += cv2.absdiff(part, before) > 0
        self._before = part

    def mean(self, state: int) -> NDArray[np.float32]:
        """Mean slopes, float32 [2, h, w]."""
        return np.asarray(self.sums[state, :2] / max(1, self.counts[state]), np.float32)

    def difference(self) -> NDArray[np.float32]:
        """Mean slopes with it, less those without it, float32 [2, h, w]."""
        return np.asarray((self.mean(1) - self.mean(0)) * self.shown, np.float32)

    def stays(self) -> NDArray[np.bool_]:
        """Edges that stay while it stands."""
        across, down, power = self.sums[1]
        return persistent(across, down, power, self.counts[1]) & self.shown

    def around(self, ring: NDArray[np.bool_]) -> tuple[float, float]:
        """Mean slope of its surroundings, and the share of their pixels that change from frame to frame."""
        ring = ring & self.shown
        if not ring.any():
            return 0.0, 0.0
        slope = float(np.sqrt(self.sums[1, 2][ring] / max(1, self.counts[1])).mean())
        return slope, float(self.changes[ring].mean()) / max(1, self.counts[1] - 2)


def _cut(picture: NDArray[np.uint8], corner: Place, size: tuple[int, int]) -> tuple[NDArray[np.uint8], Edges]:
    """A part of a picture that may reach beyond it, and which of its pixels lie inside, one px from the edge."""
    (x, y), (width, height) = corner, size
    x0, y0, x1, y1 = max(0, x), max(0, y), min(picture.shape[1], x + width), min(picture.shape[0], y + height)
    inside = np.zeros(size[::-1], bool)
    inside[y0 - y + (y < 0) : y1 - y - (y + height > y1), x0 - x + (x < 0) : x1 - x - (x + width > x1)] = True
    edge = y0 - y, y + height - y1, x0 - x, x + width - x1
    return np.asarray(cv2.copyMakeBorder(picture[y0:y1, x0:x1], *edge, cv2.BORDER_REPLICATE), np.uint8), inside


class Confirm:
    """Looks at the video once more, at the places of one shape.

    Memory: five float32 pictures as large as the shape and its surroundings, for each of MOST_STANDS.

    Args:
        template: The shape.
        stands: Where and when it stood, in order.
    """

    def __init__(self, template: Template, stands: Sequence[Stand]) -> None:
        self._template, self._stands = template, stands
        self.pad = round(REACH[0] * template.size[1]), round(REACH[1] * template.size[1])
        self._size = size = template.size[0] + 2 * self.pad[0], template.size[1] + 2 * self.pad[1]
        chosen = np.unique(np.linspace(0, len(stands) - 1, min(MOST_STANDS, len(stands))).round().astype(int))
        self._places = [
            _Place(stands[i], (stands[i].place[0] - self.pad[0], stands[i].place[1] - self.pad[1]), size)
            for i in chosen
        ]
        self._picture_px, self._side_px, self._count = 1, 1, 0

    def add(self, index: int, picture: NDArray[np.uint8]) -> None:
        """The next frame, small."""
        self._picture_px, self._side_px, self._count = picture.size, min(picture.shape), index + 1
        for place in self._places:
            place.add(index, picture)

    def finish(self) -> tuple[Template, Mask, Proof]:
        """The shape without its background, its mask of 0 and 1 with `pad` px around it, and what speaks for it."""
        seen = [place for place in self._places if min(place.counts) >= 2]
        empty = np.zeros(self._size[::-1], np.uint8)
        if len(seen) < 2:
            return self._template, empty, Proof(len(self._stands), *([0.0] * 9))
        differences = np.stack([place.difference() for place in seen])
        times = np.maximum(1, np.sum([place.shown for place in seen], axis=0))
        mean = np.asarray(differences.sum(axis=0) / times, np.float32)
        own, share = _own(differences, mean, times), np.sum([place.stays() for place in seen], axis=0) / times
        beside = cv2.dilate(own.astype(np.uint8), disc(RING_PX[0])) == 0
        still = beside.any() and float(share[beside].mean()) > SCENE_SHARE
        edges = own & (share >= (STILL_SHARE if still else OWN_SHARE)) & (2 * times > len(seen))
        mask = trimmed(closed(edges))
        return self._better(mean, edges), mask, self._proof(seen, differences, mean, mask)

    def _better(self, mean: Image, edges: Edges) -> Template:
        (x, y), (width, height) = self.pad, self._template.size
        part = slice(y, y + height), slice(x, x + width)
        if not edges[part].any() or edges[part].sum() < 0.5 * self._template.edges.sum():
            return self._template
        rows, columns = (np.flatnonzero(edges[part].any(axis=axis)) for axis in (1, 0))
        part = slice(y + rows[0], y + rows[-1] + 1), slice(x + columns[0], x + columns[-1] + 1)
        return template_of(mean[:, part[0], part[1]].transpose(1, 2, 0), edges[part])

    def _proof(self, seen: Sequence[_Place], differences: Image, mean: Image, mask: Mask) -> Proof:
        own = mask > 0
        ring = (cv2.dilate(mask, disc(RING_PX[1])) > 0) & (cv2.dilate(mask, disc(RING_PX[0])) == 0)
        power = [float(np.square(mean[:, where]).sum(axis=0).mean()) if where.any() else 0.0 for where in (own, ring)]
        texture, alive = np.median([place.around(ring) for place in seen], axis=0)
        return Proof(
            stands=len(self._stands),
            moved=self._moved(),
            same=float(np.median([_same(differences, k, own) for k in range(len(seen))])),
            along=float(np.sqrt(power[1] / max(1e-6, power[0]))),
            left=float(np.median([_strength(place.mean(0), mean, own) for place in seen])),
            texture=float(texture),
            alive=float(alive),
            area=float(own.sum()) / self._picture_px,
            covered=self._covered(),
            roam=self._roam(),
        )

    def _roam(self) -> float:
        places = np.array([stand.place for stand in self._stands])
        return float(np.ptp(places, axis=0).max()) / self._side_px

    def _moved(self) -> float:
        good = [
            any(abs(a - b) >= side for a, b, side in zip(old.place, new.place, self._template.size, strict=True))
            and abs(new.start - old.stop) <= FADE_FRAMES
            for old, new in pairwise(self._stands)
        ]
        return sum(good) / max(1, len(good))

    def _covered(self) -> float:
        shown = np.zeros(max(1, self._count), bool)
        for stand in self._stands:
            shown[stand.start : stand.stop] = True
        return float(shown.mean())


def _own(differences: Image, mean: Image, times: NDArray[np.int_]) -> Edges:
    """Edges [h, w] of the overlay: the same at all places, whatever lies behind."""
    power = np.square(differences).sum(axis=(0, 1)) / times
    own = np.square(mean).sum(axis=0)
    return np.asarray((own >= OWN_SLOPE**2) & (own >= OWN_COHERENCE * power))


def _same(differences: Image, k: int, mask: NDArray[np.bool_]) -> float:
    one = differences[k][:, mask].ravel()
    others = np.delete(differences, k, axis=0).mean(axis=0)[:, mask].ravel()
    return float(one @ others) / float(np.sqrt(max(1e-6, (one @ one) * (others @ others))))


def _strength(slopes: Image, own: Image, mask: NDArray[np.bool_]) -> float:
    there, mine = slopes[:, mask].ravel(), own[:, mask].ravel()
    return float(there @ mine) / max(1e-6, float(mine @ mine))
