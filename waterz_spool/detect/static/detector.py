"""Overlays that stay while the picture moves, or jump from place to place, found without learned weights.

At the edges of a static overlay the signed gradient persists through time, while gradients of a moving picture average
out; and what is painted over the picture changes less than the picture around it. Where the picture itself does not
move the two cannot be told apart: then the detector abstains and says so.

Needs frames that show the background moving under the overlay; 32 frames spread over the clip are enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.config import DetectConfig
from waterz_spool.detect import patches
from waterz_spool.detect.base import Detector, Findings, Found, Luma, Rejected, Reread, Setting
from waterz_spool.detect.static import bars
from waterz_spool.detect.static.evidence import Evidence, drift_px, gather, telling
from waterz_spool.detect.static.jumping import jumping
from waterz_spool.detect.static.jumps import BLOCKS, JumpWatch
from waterz_spool.detect.static.plates import open_side, rectangle
from waterz_spool.detect.static.shapes import Image, Mask, closed, disc, filled, plate, trimmed
from waterz_spool.detect.static.windows import BLOCK, Shares, Windows, eight_bits, small
from waterz_spool.records import Box

FRAMES = 32
LOOK_RATE = 25.0  # frames per second from which on what moves is told from what stays

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
HALF_FOUND = 0.6  # confidence of what has more edges beside it
AROUND_PX, MIN_RING_PX = (3, 24), 20
MAX_SPAN = 0.9  # of the frame's width or height
MIN_FILL = 0.25  # of a known box: rows times columns that hold something of the overlay
MIN_SPAN_SHARE = 0.6  # of a known box, or of all edges that belong together: what the found pixels span
MIN_SHARE = 0.5  # of the short windows in which an overlay's edge persists; half of it at the end of a plate
NEAR_PX = 8  # of a candidate: there its own edges lie
MAX_STATIC_SCENE = 0.2  # share of the scene's own edges that may persist


class Sampler:
    """Keeps frames spread evenly over a video whose length is not known beforehand.

    Every ``stride``-th frame is kept; when twice the wanted number is reached, every other one is dropped and the
    stride doubles. Memory is bounded by 2 * FRAMES small pictures.

    Attributes:
        size: Width and height of the frames in px.
    """

    def __init__(self) -> None:
        self.size = (0, 0)
        self._stride = 1
        self._kept: list[NDArray[Any]] = []

    def add(self, index: int, luma: NDArray[Any]) -> None:
        """Look at the luma plane [H, W] of frame ``index``; frames come in order, without gaps."""
        if index % self._stride:
            return
        self.size = (luma.shape[1], luma.shape[0])
        self._kept.append(small(luma))
        if len(self._kept) == 2 * FRAMES:
            del self._kept[1::2]
            self._stride *= 2

    def frames(self) -> list[NDArray[Any]]:
        """At most FRAMES small frames in order of time, evenly spread."""
        wanted = np.unique(np.linspace(0, len(self._kept) - 1, min(FRAMES, len(self._kept))).round().astype(int))
        return [self._kept[index] for index in wanted]


class StaticDetector(Detector):
    """Finds overlays that stay for the whole video, and overlays that rest in one place, then another.

    Memory: about 200 MB per megapixel of the small picture (600 lines at most: 0.52 megapixels of 1080p) while frames
    are added, and 1000 MB per megapixel more for a moment at the end; measured for 1080p: 98 and 490 MiB, whatever the
    length of the video. Beside that a number per frame while an overlay that jumps stands somewhere.

    Args:
        bits: Bits per sample of the video.
        rate: Mean frames per second; of fast videos every other frame, or fewer, are looked at.
    """

    name = "static"
    outlines = True

    @classmethod
    def made_for(cls, setting: Setting) -> Self:
        """One for a video."""
        rate = setting.info.average_rate
        return cls(setting.info.bits, rate=rate[0] / rate[1] if rate else 25.0)

    @classmethod
    def automatic(cls, options: DetectConfig) -> bool:
        """Always, except beside weights whose classes are named: the user wants these and nothing else."""
        return not (options.weights and options.classes)

    def __init__(self, bits: int, *, rate: float = 25.0) -> None:
        self._bits = bits
        self._step = max(1, round(rate / LOOK_RATE))
        self._sampler = Sampler()
        self._windows, self._shares = Windows(BLOCKS), Shares()
        self._jumps = JumpWatch(self._windows)
        self._count = 0

    def add(self, index: int, picture: Any, luma: Luma) -> None:
        """Look at the luma of a frame."""
        self._sampler.add(index, luma)
        self._count += 1
        if index % self._step:
            return
        seen = eight_bits(small(luma), self._bits)
        if self._windows.add(seen) and self._windows.blocks >= Shares.SPAN:
            self._shares.add(self._windows.persistent(Shares.SPAN))
        self._jumps.add(seen)

    def finish(self, reread: Reread) -> Findings:
        """Masks with their frames, or why there are none."""
        found = detect(self._sampler.frames(), share=self._shares.share(), bits=self._bits, size=self._sampler.size)
        patch = (patches.whole(found.mask, 0, self._count),) if found.overlays else ()

        def pictures() -> Iterator[NDArray[np.uint8]]:
            for _, luma in reread():
                yield eight_bits(small(luma), self._bits)

        jumps = jumping(self._jumps.templates, pictures, size=self._sampler.size)
        rejected = (*found.rejected, *jumps.rejected)
        if not patch and not jumps.patches:
            return Findings((), found.reason, rejected)
        return Findings((*patch, *jumps.patches), "", rejected, jumps.scores)


def detect(frames: Sequence[NDArray[Any]], *, share: Image, bits: int, size: tuple[int, int]) -> Found:
    """Static overlays in frames spread over a video.

    Args:
        frames: Luma planes of one size as `small` makes them, uint8 or uint16, in order of time.
        share: In which share of short windows each pixel's edge persists, 0 to 1, [H, W] as the frames.
        bits: Bits per sample.
        size: Width and height in px of the video, and of the mask.

    Returns:
        The mask covers each overlay with its antialiased rim.
    """
    width, height = size
    empty = np.zeros((height, width), np.uint8)
    if len(frames) < Shares.SPAN * BLOCK:
        return Found(empty, (), "the video is too short to tell an overlay from the scene")
    scale = frames[0].shape[0] / height
    luma = [frame.astype(np.float32) / np.float32(1 << (bits - 8)) for frame in telling(frames)]
    evidence = gather(luma)
    taken, rejected = _beside_bars(luma, evidence, share)
    boxes = tuple(replace(item, box=_scaled(item.box, scale, size)) for item in rejected)
    if not taken.any():
        return Found(empty, (), _why_nothing(evidence, rejected), boxes)
    mask = cv2.resize(taken * np.uint8(255), (width, height), interpolation=cv2.INTER_LINEAR)
    mask = np.where(mask > 64, np.uint8(255), np.uint8(0))  # what is left out of a px of the small picture is less
    return Found(mask, tuple(_boxes(mask)), "", boxes)


def inside(frames: Sequence[NDArray[Any]], *, bits: int, box: Box) -> Mask | None:
    """The pixels of an overlay that is known to lie in a box.

    Args:
        frames: Luma [H, W] around the box, scaled down, in order of time.
        bits: Bits per sample.
        box: Where the overlay lies in them.

    Returns:
        uint8 [H, W] of 0 and 1 within the box; None where the background stands still or nothing fills the box.
    """
    if len(frames) < 8:
        return None
    evidence = gather([frame.astype(np.float32) / np.float32(1 << (bits - 8)) for frame in frames])
    x0, y0, x1, y1 = box
    within = np.zeros(frames[0].shape, np.uint8)
    within[y0:y1, x0:x1] = 1
    around = float(np.median(evidence.activity[within == 0])) if (within == 0).any() else 0.0
    if around < MIN_ACTIVITY:
        return None
    edges = evidence.persistent.astype(np.uint8) & within
    steady = (evidence.activity < 0.3 * around).astype(np.uint8) & within
    joined = cv2.morphologyEx(edges | cv2.morphologyEx(steady, cv2.MORPH_OPEN, disc(1)), cv2.MORPH_CLOSE, disc(5))
    own = cv2.dilate(filled(joined), disc(2)) & within
    rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
    if not len(rows) or len(rows) * len(columns) < MIN_FILL * (x1 - x0) * (y1 - y0):
        return None
    spans = (rows[-1] + 1 - rows[0]) * (columns[-1] + 1 - columns[0])
    return own if spans >= MIN_SPAN_SHARE * (x1 - x0) * (y1 - y0) else None


def _why_nothing(evidence: Evidence, rejected: list[Rejected]) -> str:
    if any(item.reason in (bars.IN_BAR, bars.GOES_ON) for item in rejected):
        return "what stays in place stands in a bar beside the picture, where nothing moves behind it; give its box"
    if any(item.reason == _STATIC for item in rejected) or _scene_is_static(evidence, np.zeros_like(evidence.busy)):
        return (
            "the camera seems to stand still, so that an overlay looks like the scene; "
            "give a box or a mask, or YOLO weights"
        )
    return "nothing stays in place while the picture moves"


_STATIC = "the background is static too"


def _beside_bars(luma: Sequence[Image], evidence: Evidence, share: Image) -> tuple[Mask, list[Rejected]]:
    """Overlays of the small picture as one mask of 0 and 1, and what was rejected; bars are no part of the picture."""
    mean = np.asarray(sum(luma[1:], start=luma[0]) / np.float32(len(luma)), np.float32)
    picture = bars.picture_box(evidence.activity, mean)
    if picture == (0, 0, mean.shape[1], mean.shape[0]):
        return _candidates(luma, evidence, share)
    x0, y0, x1, y1 = inner = bars.without_seam(picture, mean.shape)
    part = slice(y0, y1), slice(x0, x1)
    seen, rejected = _candidates([each[part] for each in luma], evidence.within(inner), share[part])
    rejected = [replace(item, box=_moved(item.box, x0, y0)) for item in rejected]
    sides = (y0 - picture[1], picture[3] - y1), (x0 - picture[0], picture[2] - x1)
    taken = np.zeros(mean.shape, np.uint8)
    taken[picture[1] : picture[3], picture[0] : picture[2]] = np.pad(seen, sides, mode="edge")
    found = bars.marks(mean, picture)
    half = bars.reaching(found, taken | evidence.persistent | (evidence.activity <= bars.STILL), picture)
    _, labels = cv2.connectedComponents(taken)
    whole = taken & ~np.isin(labels, np.unique(labels[half > 0]))
    return whole, rejected + bars.told(found, beside=half)


def _candidates(luma: Sequence[Image], evidence: Evidence, share: Image) -> tuple[Mask, list[Rejected]]:
    """Overlays of a picture without bars as one mask of 0 and 1, and what was rejected."""
    edges = evidence.persistent.astype(np.uint8)
    joined = cv2.morphologyEx(edges, cv2.MORPH_CLOSE, disc(9))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    taken, plates = np.zeros_like(edges), np.zeros_like(edges)
    slow = bool(evidence.busy.any()) and float(share[evidence.busy].mean()) > SLOW_SHARE
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
        mask, plate_px, doubts = _judged(candidate, luma, evidence, share, slow=slow)
        why = min(doubts, key=lambda each: doubts[each])
        if doubts[why] < 1:
            rejected.append(Rejected(box, why, math.prod(min(1.0, max(0.0, near)) for near in doubts.values())))
        else:
            taken |= mask | plate_px
            plates |= plate_px
    much = int((taken & (1 - plates)).sum()) > MAX_AREA * edges.size
    if much or _scene_is_static(evidence, taken):
        rejected = [replace(item, confidence=0.0) for item in rejected]
        rejected += [Rejected(_boxes(taken)[0], _STATIC)] if taken.any() else []
        return np.zeros_like(taken), rejected
    return taken, rejected


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


def _shape_is_wrong(box: Box, shape: tuple[int, ...], *, plated: bool) -> str:
    """Why an overlay does not look like that; empty where it may."""
    width, height = box[2] - box[0], box[3] - box[1]
    if width * height > (MAX_PLATE_AREA if plated else MAX_AREA) * shape[0] * shape[1]:
        return "too large for an overlay"
    return "a border of the picture" if width > MAX_SPAN * shape[1] or height > MAX_SPAN * shape[0] else ""


def _judged(
    candidate: _Candidate, luma: Sequence[Image], evidence: Evidence, share: Image, *, slow: bool
) -> tuple[Mask, Mask, dict[str, float]]:
    """A candidate's own pixels, its plate's, and what speaks against it: how near it is to what it must be."""
    area, own, activity = candidate.area, candidate.own, evidence.activity
    around = _activity_around(area, candidate.joined, activity)
    inner = float(np.quantile(activity[own], INNER_SHARE))
    doubts = {
        _STATIC: min(around / MIN_ACTIVITY, _activity_around(area, candidate.joined, evidence.motion) / MIN_MOTION),
        _STATIC if slow else "it changes as much as its surroundings": (
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
    if mask.any() and open_side(evidence.slopes, _hull(mask | plate_px)):
        doubts["a straight edge beside it stays, too: there is more of it than was found"] = HALF_FOUND
    if _spans(_hull(mask | plate_px) if mask.any() else (0, 0, 0, 0)) < MIN_SPAN_SHARE * _spans(candidate.box):
        doubts["its edges enclose a part of it only"] = HALF_FOUND
    return mask, plate_px, doubts


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


def _scene_is_static(evidence: Evidence, taken: NDArray[np.generic]) -> bool:
    """Whether too many of the scene's own edges persist: then the camera stands still and nothing is proven."""
    outside = cv2.dilate((taken != 0).astype(np.uint8), np.ones((21, 21), np.uint8)) == 0
    busy = int((evidence.busy & outside).sum())
    return busy > 0 and int((evidence.persistent & outside).sum()) > MAX_STATIC_SCENE * busy


def _moved(box: Box, right: int, down: int) -> Box:
    return box[0] + right, box[1] + down, box[2] + right, box[3] + down


def _hull(mask: Mask) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _spans(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _boxes(mask: Mask) -> list[Box]:
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    return [(int(x), int(y), int(x + w), int(y + h)) for x, y, w, h in stats[1:count, :4]]


def _scaled(box: Box, scale: float, size: tuple[int, int]) -> Box:
    x0, y0, x1, y1 = (round(value / scale) for value in box)
    return x0, y0, min(x1, size[0]), min(y1, size[1])
