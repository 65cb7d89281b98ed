"""From detections to tracks: which overlay is where, from which frame to which.

A single missed or false frame changes nothing. Detections are linked from frame to frame where place and size agree;
pieces of one overlay are joined over short gaps, looking from both ends; a jump ends a track exactly where the next
begins.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from waterz_spool.detect.base import Detection, Rejected
from waterz_spool.detect.masks import area, overlap_px, union
from waterz_spool.records import Box

Seen = tuple[Detection, ...]


@dataclass(frozen=True, kw_only=True)
class LinkRules:
    """What makes a track.

    Attributes:
        position_px: A box may move so far from frame to frame.
        size_share: And change its width and height by this share.
        gap_frames: Longest gap that is filled.
        fade_frames: A track is prolonged by so many frames on both sides, for fades.
        conf: Confidence that makes an overlay; weaker detections only continue one.
        min_frames: Confident frames that make an overlay.
        min_share: Share of its frames in which it must be seen.
        max_area: Share of the picture that an overlay may cover.
    """

    position_px: float = 5.0
    size_share: float = 0.10
    gap_frames: int = 30
    fade_frames: int = 4
    conf: float = 0.25
    min_frames: int = 3
    min_share: float = 0.2
    max_area: float = 0.25


@dataclass(frozen=True)
class Track:
    """One overlay over contiguous frames.

    Attributes:
        start: First frame, fade margin included.
        boxes: Its box in each frame.
        seen: First and one past the last frame in which it was seen.
        score: Mean confidence where it was seen.
        label: Class name.
    """

    start: int
    boxes: tuple[Box, ...]
    seen: tuple[int, int]
    score: float
    label: str = ""

    @property
    def stop(self) -> int:
        """One past the last frame."""
        return self.start + len(self.boxes)

    @property
    def hull(self) -> Box:
        """The smallest box that contains the overlay in all frames."""
        return _hull(self.boxes)


@dataclass(frozen=True)
class Linked:
    """Tracks ordered by start and place, and what was not taken."""

    tracks: tuple[Track, ...]
    rejected: tuple[Rejected, ...]


def link(frames: Sequence[Seen], *, size: tuple[int, int], rules: LinkRules) -> Linked:
    """Tracks of a video.

    Args:
        frames: Detections of every frame, in any order within a frame.
        size: Width and height of the picture in px.
        rules: What makes a track.

    Returns:
        The result depends on the detections, not on their order.
    """
    pieces = _pieces(frames, rules)
    chains = _chains(pieces, rules)
    taken, rejected = [], []
    for chain in chains:
        if reason := _implausible(chain, len(frames), size, rules):
            rejected.append(Rejected(_hull([one.box for _, one in chain]), reason))
        else:
            taken.append(chain)
    tracks = [_track(chain, taken, len(frames), rules) for chain in taken]
    return Linked(
        tuple(sorted(tracks, key=lambda t: (t.start, t.boxes))),
        tuple(sorted(rejected, key=lambda r: (r.box, r.reason))),
    )


def same_places(a: Seen, b: Seen, rules: LinkRules) -> bool:
    """Whether two frames show the same overlays at the same places."""
    return len(a) == len(b) and len(_pairs([one.box for one in a], [one.box for one in b], rules)) == len(a)


_Piece = list[tuple[int, Detection]]  # frame and what was seen there, frames increasing


def _pieces(frames: Sequence[Seen], rules: LinkRules) -> list[_Piece]:
    """Runs of consecutive frames in which place and size agree."""
    done: list[_Piece] = []
    running: list[_Piece] = []
    for index, seen in enumerate(frames):
        fresh = _distinct(seen)
        pairs = _pairs([piece[-1][1].box for piece in running], [one.box for one in fresh], rules)
        for i, j in pairs:
            running[i].append((index, fresh[j]))
        ended = set(range(len(running))) - {i for i, _ in pairs}
        done += [running[i] for i in sorted(ended)]
        running = [piece for i, piece in enumerate(running) if i not in ended]
        running += [[(index, one)] for j, one in enumerate(fresh) if j not in {j for _, j in pairs}]
    return sorted(done + running, key=lambda piece: (piece[0][0], piece[0][1]))


def _distinct(seen: Seen) -> list[Detection]:
    """Detections of one frame without those mostly inside a more confident one: a model may see one overlay twice."""
    kept: list[Detection] = []
    for one in sorted(seen, key=lambda d: (-d.score, d.box, d.label)):
        if all(overlap_px(one.box, other.box) < 0.6 * min(area(one.box), area(other.box)) for other in kept):
            kept.append(one)
    return sorted(kept)


def _pairs(a: Sequence[Box], b: Sequence[Box], rules: LinkRules) -> list[tuple[int, int]]:
    """Which boxes of two frames are the same overlay, the nearest first."""
    near = [
        (distance, x, y, i, j)
        for i, x in enumerate(a)
        for j, y in enumerate(b)
        if (distance := _distance(x, y)) <= rules.position_px and _same_size(x, y, rules)
    ]
    pairs: list[tuple[int, int]] = []
    for _, _, _, i, j in sorted(near):
        if all(i != other[0] and j != other[1] for other in pairs):
            pairs.append((i, j))
    return sorted(pairs)


def _distance(a: Box, b: Box) -> float:
    """Between centres, the larger of the two directions, px."""
    return max(abs(a[0] + a[2] - b[0] - b[2]), abs(a[1] + a[3] - b[1] - b[3])) / 2


def _same_size(a: Box, b: Box, rules: LinkRules) -> bool:
    """Within the share, or as many px as a place may be off."""
    sides = ((a[2] - a[0], b[2] - b[0]), (a[3] - a[1], b[3] - b[1]))
    return all(abs(p - q) <= max(rules.size_share * max(p, q), rules.position_px) for p, q in sides)


def _chains(pieces: list[_Piece], rules: LinkRules) -> list[_Piece]:
    """Pieces of one overlay joined over gaps, the shortest gaps first."""
    starts = [piece[0][0] for piece in pieces]
    joins = []
    for i, a in enumerate(pieces):
        after = a[-1][0] + 1
        for j in range(bisect_left(starts, after + 1), bisect_left(starts, after + rules.gap_frames + 1)):
            distance = _gap_distance(a, pieces[j], rules)
            if distance <= rules.position_px and not _elsewhere(pieces, i, j, rules):
                joins.append((starts[j] - after, distance, i, j))
    follows: dict[int, int] = {}
    for _, _, i, j in sorted(joins):
        if i not in follows and j not in follows.values():
            follows[i] = j
    chains = []
    for i in sorted(set(range(len(pieces))) - set(follows.values())):
        chain, at = list(pieces[i]), i
        while at in follows:
            at = follows[at]
            chain += pieces[at]
        chains.append(chain)
    return chains


def _gap_distance(a: _Piece, b: _Piece, rules: LinkRules) -> float:
    """How far apart two pieces are over a gap: standing still, or going on as either did."""
    (last, x), (first, y) = a[-1], b[0]
    if not _same_size(x.box, y.box, rules):
        return float("inf")
    ahead, back = _moved(x.box, _speed(a[-10:]), first - last), _moved(y.box, _speed(b[:10]), last - first)
    return min(_distance(x.box, y.box), _distance(ahead, y.box), _distance(x.box, back))


def _speed(piece: _Piece) -> tuple[float, float]:
    """Mean motion in px per frame."""
    (first, a), (last, b) = piece[0], piece[-1]
    steps = max(1, last - first) * 2
    return (b.box[0] + b.box[2] - a.box[0] - a.box[2]) / steps, (b.box[1] + b.box[3] - a.box[1] - a.box[3]) / steps


def _moved(box: Box, speed: tuple[float, float], frames: int) -> Box:
    dx, dy = round(speed[0] * frames), round(speed[1] * frames)
    return box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy


def _elsewhere(pieces: list[_Piece], i: int, j: int, rules: LinkRules) -> bool:
    """Whether the gap between two pieces is explained: the overlay jumped away and back."""
    start, stop, box = pieces[i][-1][0] + 1, pieces[j][0][0], pieces[i][-1][1].box
    return any(
        len(piece) >= rules.min_frames
        and abs(piece[0][0] - start) <= 2
        and abs(piece[-1][0] + 1 - stop) <= 2
        and _same_size(piece[0][1].box, box, rules)
        for piece in pieces
        if start - 2 <= piece[0][0] < stop
    )


def _implausible(chain: _Piece, frame_count: int, size: tuple[int, int], rules: LinkRules) -> str:
    confident = sum(one.score >= rules.conf for _, one in chain)
    if confident < min(rules.min_frames, frame_count):
        return "seen in too few frames"
    if len(chain) < rules.min_share * (chain[-1][0] + 1 - chain[0][0]):
        return "seen only now and then"
    if max(area(one.box) for _, one in chain) > rules.max_area * size[0] * size[1]:
        return "too large for an overlay"
    return ""


def _track(chain: _Piece, taken: Sequence[_Piece], frame_count: int, rules: LinkRules) -> Track:
    first, last = chain[0][0], chain[-1][0] + 1
    box_in, box_out = chain[0][1].box, chain[-1][1].box
    others = [other for other in taken if other is not chain]
    # A jump is exact: where the same overlay goes on elsewhere there is no fade.
    ends = [o[-1][0] + 1 for o in others if o[-1][0] < first and _same_size(o[-1][1].box, box_in, rules)]
    begins = [o[0][0] for o in others if o[0][0] >= last and _same_size(o[0][1].box, box_out, rules)]
    start = max(0, first - rules.fade_frames, *ends)
    stop = min(frame_count, last + rules.fade_frames, *begins)
    boxes = [box_in] * (first - start) + _filled(chain) + [box_out] * (stop - last)
    score = sum(one.score for _, one in chain) / len(chain)
    return Track(start, tuple(_steady(boxes, rules)), (first, last), round(score, 4), chain[0][1].label)


def _filled(chain: _Piece) -> list[Box]:
    """A box per frame; in gaps on the line between their ends."""
    indexes = np.arange(chain[0][0], chain[-1][0] + 1)
    known = np.array([index for index, _ in chain])
    sides = np.array([one.box for _, one in chain], float)
    x0, y0, x1, y1 = (np.interp(indexes, known, side) for side in sides.T)
    lines = np.floor(x0), np.floor(y0), np.ceil(x1), np.ceil(y1)
    return [(int(a), int(b), int(c), int(d)) for a, b, c, d in zip(*lines, strict=True)]


def _steady(boxes: list[Box], rules: LinkRules) -> list[Box]:
    """One box for all frames when the overlay stands still and only the model's eye trembles."""
    middle = [float(value) for value in np.median(np.array(boxes), axis=0)]
    if any(abs(side - mid) > rules.position_px for box in boxes for side, mid in zip(box, middle, strict=True)):
        return boxes
    return [_hull(boxes)] * len(boxes)


def _hull(boxes: Sequence[Box]) -> Box:
    found = boxes[0]
    for box in boxes[1:]:
        found = union(found, box)
    return found
