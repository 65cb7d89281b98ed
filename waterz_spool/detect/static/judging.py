"""Which groups of edges that stay are overlays: all of what is asked of one, else it is told how near it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.base import Rejected
from waterz_spool.detect.static.evidence import Evidence, drift_px
from waterz_spool.detect.static.plates import open_side, rectangle
from waterz_spool.detect.static.remains import remains
from waterz_spool.detect.static.shapes import Image, Mask, closed, disc, filled, plate, trimmed
from waterz_spool.records import Box

MIN_EDGE_PX = 60
MAX_AREA = 0.12  # of the frame, all overlays together; that of a plate with four straight sides apart
MAX_PLATE_AREA = 0.2
MIN_MOTION = 0.8  # of the surroundings from one picture to the next, grey levels; measured: 1.0 and more, stills 0
MIN_ACTIVITY = 1.5  # deviation in time of the surroundings; measured: from 2.0, structures of a still scene up to 1.0
INNER_SHARE = 0.35  # of an overlay's edges at least lie on it, the others just outside
MAX_INNER_ACTIVITY = 0.85  # of the surroundings'; measured: overlays at most 0.70, structures of the scene from 0.93
SLOW_SHARE = 0.6  # of the short windows in which the scene's edges persist: the camera hardly moves
SLOW_INNER_ACTIVITY = 0.45  # then; measured: opaque overlays at most 0.40, soft scenes that creep from 0.51
MAX_DRIFT_PX = 0.6  # measured: overlays at most 0.24; fixed points of zooms, soft scenes that creep from 1.7
MAX_RING_SHARE = 0.55  # of the short windows; measured: overlays at most 0.40, fixed points of zooms 0.33 to 0.85
NEARLY = 0.5  # confidence from which on something is there, though it is not certain which pixels are its own
HALF_FOUND = 0.6  # confidence of what has more edges beside it
AROUND_PX, MIN_RING_PX = (3, 24), 20
MAX_SPAN = 0.9  # of the frame's width or height
MIN_SPAN_SHARE = 0.6  # of a known box, or of all edges that belong together: what the found pixels span
MIN_SHARE = 0.5  # of the short windows in which an overlay's edge persists; half of it at the end of a plate
MAX_THING, MAX_BESIDE = 0.25, 0.05  # of the picture: what moves, of a face-sized thing, and elsewhere
OVER_NOISE, MAX_NOISE = 3.0, 2.0  # times the noise is movement; grey levels, of a quarter that stands still
NEAR_PX = 8  # of a candidate: there its own edges lie
MAX_STATIC_SCENE = 0.2  # share of the scene's own edges that may persist

STATIC = "the background is static too"
ON_A_THING = "it lies on a small part of the picture that moves by itself, as a face does"
MORE = "an edge beside it stays, too: there is more of it than was found"


def judged(luma: Sequence[Image], evidence: Evidence, share: Image) -> tuple[Mask, list[Rejected]]:
    """Overlays of a picture without bars as one mask of 0 and 1, and what was rejected."""
    edges = evidence.persistent.astype(np.uint8)
    joined = cv2.morphologyEx(edges, cv2.MORPH_CLOSE, disc(9))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    slow = bool(evidence.busy.any()) and float(share[evidence.busy].mean()) > SLOW_SHARE
    looks: list[_Look] = []
    rejected: list[Rejected] = []
    for label in range(1, count):
        x, y, w, h = (int(value) for value in stats[label, :4])
        part, box = labels == label, (x, y, x + w, y + h)
        if int(edges[part].sum()) < MIN_EDGE_PX or min(w, h) < 5:
            continue
        plate_box = rectangle(evidence.slopes, box)
        if why := _shape_is_wrong(box, edges.shape, plated=plate_box is not None):
            rejected.append(Rejected(box, why))
            continue
        candidate = _Candidate(box, filled(part), part & evidence.persistent, joined, plate_box)
        look = _look_at(candidate, luma, evidence, share, slow=slow)
        if look.half or look.why:
            confidence = look.near * (HALF_FOUND if look.half else 1.0)
            rejected.append(Rejected(box, look.why or look.half, confidence, missing=look.near >= NEARLY))
        else:
            looks.append(look)
    taken, plates = _sum_of([look.mask for look in looks], edges), _sum_of([look.plate for look in looks], edges)
    much = int((taken & (1 - plates)).sum()) > MAX_AREA * edges.size
    if much or scene_is_static(evidence, taken):
        rejected = [replace(item, confidence=0.0, missing=False) for item in rejected]
        rejected += [Rejected(boxes_of(taken)[0], STATIC)] if taken.any() else []
        return np.zeros_like(taken), rejected
    whole, halves = _whole(looks, taken, share, evidence)
    return whole, rejected + halves


def _sum_of(masks: Sequence[Mask], like: Mask) -> Mask:
    done = np.zeros_like(like)
    for mask in masks:
        done |= mask
    return done


def _whole(looks: Sequence[_Look], taken: Mask, share: Image, evidence: Evidence) -> tuple[Mask, list[Rejected]]:
    """What was found wholly as one mask; and the rest with all that stays beside it, and what may belong to a face."""
    whole, halves = np.zeros_like(taken), list[Rejected]()
    for look in looks:
        rest = remains(look.mask, taken, share, evidence.activity, around=look.around)
        if rest.any() or _on_a_moving_thing(look.mask, evidence):
            why = MORE if rest.any() else ON_A_THING
            halves.append(Rejected(_hull(look.mask | rest), why, HALF_FOUND, missing=True))
        else:
            whole |= look.mask
    return whole, halves


@dataclass(frozen=True)
class _Candidate:
    """A group of edges that stay.

    Attributes:
        box: Of it.
        area: What its edges enclose, 0 and 1.
        own: Its edges.
        joined: All candidates, 0 and 1.
        plate: The rectangle behind it; None where there is none.
    """

    box: Box
    area: Mask
    own: NDArray[np.bool_]
    joined: Mask
    plate: Box | None


@dataclass(frozen=True)
class _Look:
    """What a look at a candidate says.

    Attributes:
        mask: Its own pixels and its plate's, 0 and 1.
        plate: Its plate's alone.
        around: How much the picture changes around it.
        doubts: How near it is to what an overlay must be, each with what it means where it is less than 1.
        half: Why it was found in part only; empty where it was not.
    """

    mask: Mask
    plate: Mask
    around: float
    doubts: dict[str, float]
    half: str

    @property
    def near(self) -> float:
        """How near it is to an overlay, 0 to 1."""
        return math.prod(min(1.0, max(0.0, each)) for each in self.doubts.values())

    @property
    def why(self) -> str:
        """Why it is none; empty where it is one."""
        least = min(self.doubts, key=lambda each: self.doubts[each])
        return least if self.doubts[least] < 1 else ""


def _shape_is_wrong(box: Box, shape: tuple[int, ...], *, plated: bool) -> str:
    """Why an overlay does not look like that; empty where it may."""
    width, height = box[2] - box[0], box[3] - box[1]
    if width * height > (MAX_PLATE_AREA if plated else MAX_AREA) * shape[0] * shape[1]:
        return "too large for an overlay"
    return "a border of the picture" if width > MAX_SPAN * shape[1] or height > MAX_SPAN * shape[0] else ""


def _look_at(candidate: _Candidate, luma: Sequence[Image], evidence: Evidence, share: Image, *, slow: bool) -> _Look:
    """A candidate as it is, and as it must be."""
    area, own, activity = candidate.area, candidate.own, evidence.activity
    around = _activity_around(area, candidate.joined, activity)
    inner = float(np.quantile(activity[own], INNER_SHARE))
    doubts = {
        STATIC: min(around / MIN_ACTIVITY, _activity_around(area, candidate.joined, evidence.motion) / MIN_MOTION),
        STATIC if slow else "it changes as much as its surroundings": (
            (SLOW_INNER_ACTIVITY if slow else MAX_INNER_ACTIVITY) * around / max(inner, 1e-6)
        ),
        "it does not stand quite still": MAX_DRIFT_PX / max(drift_px(luma, own), 1e-6),
        "edges around it stay, too": MAX_RING_SHARE / max(_share_around(area, evidence, share), 1e-6),
    }
    mask = _own_pixels(area, share, activity, around=around, box=candidate.box)
    plate_px = np.zeros_like(mask)
    if candidate.plate:
        x0, y0, x1, y1 = candidate.plate
        plate_px[y0:y1, x0:x1] = int((x1 - x0) * (y1 - y0) <= MAX_PLATE_AREA * mask.size)
    return _Look(mask | plate_px, plate_px, around, doubts, _half(mask | plate_px, candidate.box, evidence))


def _on_a_moving_thing(mask: Mask, evidence: Evidence) -> bool:
    """Whether a mask lies on a small part of the picture that moves by itself, as a face does, before a still one."""
    noise = float(np.quantile(evidence.motion, 0.25))
    moving = evidence.motion >= max(MIN_MOTION, OVER_NOISE * noise)
    joined = cv2.morphologyEx(moving.astype(np.uint8), cv2.MORPH_CLOSE, disc(NEAR_PX)) | mask
    _, labels = cv2.connectedComponents(joined)
    thing = np.isin(labels, np.unique(labels[mask > 0]))
    small = int(thing.sum()) < MAX_THING * mask.size and int(moving[~thing].sum()) < MAX_BESIDE * mask.size
    return small and noise < MAX_NOISE


def _half(mask: Mask, box: Box, evidence: Evidence) -> str:
    """Why a mask is a part of a candidate only; empty where it is all of it."""
    if mask.any() and open_side(evidence.slopes, _hull(mask)):
        return MORE
    spans = _spans(_hull(mask)) if mask.any() else 0
    return "its edges enclose a part of it only" if spans < MIN_SPAN_SHARE * _spans(box) else ""


def _share_around(area: Mask, evidence: Evidence, share: Image) -> float:
    """In which share of the short windows the edges around a candidate stay; 0 where there are too few to tell."""
    inner, outer = (np.ones((2 * px + 1, 2 * px + 1), np.uint8) for px in AROUND_PX)
    ring = (cv2.dilate(area, outer) > 0) & (cv2.dilate(area, inner) == 0) & evidence.busy
    return float(share[ring].mean()) if ring.sum() > MIN_RING_PX else 0.0


def _own_pixels(area: Mask, share: Image, activity: Image, *, around: float, box: Box) -> Mask:
    """The overlay that was found as an area: what its edges enclose, and its plate."""
    edges = (share >= MIN_SHARE) & (cv2.dilate(area, disc(NEAR_PX)) > 0)
    core = trimmed(closed(edges))
    return core | plate(core | trimmed(area), share >= MIN_SHARE / 2, activity, around=around, box=box)


def _activity_around(area: Mask, joined: Mask, activity: Image) -> float:
    """How much the picture changes in a ring 3 to 10 px around a candidate, other candidates left out."""
    inner = cv2.dilate(area, np.ones((7, 7), np.uint8)) | cv2.dilate(joined, np.ones((3, 3), np.uint8))
    ring = (cv2.dilate(area, np.ones((21, 21), np.uint8)) > 0) & (inner == 0)
    return float(np.median(activity[ring])) if ring.any() else 0.0


def scene_is_static(evidence: Evidence, taken: NDArray[np.generic]) -> bool:
    """Whether too many of the scene's own edges persist: then the camera stands still and nothing is proven."""
    outside = cv2.dilate((taken != 0).astype(np.uint8), np.ones((21, 21), np.uint8)) == 0
    busy = int((evidence.busy & outside).sum())
    return busy > 0 and int((evidence.persistent & outside).sum()) > MAX_STATIC_SCENE * busy


def _hull(mask: Mask) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _spans(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def boxes_of(mask: Mask) -> list[Box]:
    """Of each connected part of a mask."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    return [(int(x), int(y), int(x + w), int(y + h)) for x, y, w, h in stats[1:count, :4]]
