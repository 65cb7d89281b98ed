"""How long a plan will take and how large its result will be, from what short pieces of it took.

Everything is linear in what was measured: frames decoded, crops cut, the effort of a restorer and a fixed part for
each overlay of a shot, frames encoded, frames verified. Limit: scenes that no piece lies in may cost more or less than
those measured.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from waterz_spool.plan.pieces import Shot, before, effort, needed, shot_of
from waterz_spool.records import SegmentSpec


@dataclass(frozen=True)
class Took:
    """What something took.

    Attributes:
        wall_s: Seconds by the clock, under the load that the machine has.
        cpu_s: Seconds of processors, whatever else the machine does.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0

    def __add__(self, other: Took) -> Took:
        return Took(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)

    def __sub__(self, other: Took) -> Took:
        return Took(max(0.0, self.wall_s - other.wall_s), max(0.0, self.cpu_s - other.cpu_s))

    def __mul__(self, by: float) -> Took:
        return Took(self.wall_s * by, self.cpu_s * by)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one piece took, step by step, and what came out of it.

    Attributes:
        piece: The piece.
        cut: Decoding its frames and writing its crops.
        restore: Filling its crops.
        fixed: The part of that which does not grow with the frames, such as making texture.
        encode: Decoding its own frames and encoding them.
        verify: Decoding its result.
        key_bytes: Of the key frames of its result, one for each.
        other_bytes: Of its other frames together.
    """

    piece: SegmentSpec
    cut: Took = Took()
    restore: Took = Took()
    fixed: Took = Took()
    encode: Took = Took()
    verify: Took = Took()
    key_bytes: tuple[int, ...] = ()
    other_bytes: int = 0

    @property
    def frames(self) -> int:
        """Frames of the piece."""
        return self.piece.stop - self.piece.start


@dataclass(frozen=True, kw_only=True)
class Source:
    """What the source tells without being decoded.

    Attributes:
        frames: Bytes of each frame, as they are shown.
        keys: Indexes of its key frames.
        others: Bytes of all that a result carries on unchanged.
    """

    frames: Sequence[int]
    keys: Sequence[int]
    others: int


@dataclass(frozen=True, kw_only=True)
class Once:
    """What a run does once, as measured.

    Attributes:
        begin: Starting one process.
        pin: Keeping and summing the source.
        look: The look at the whole video.
    """

    begin: Took = Took()
    pin: Took = Took()
    look: Took = Took()


@dataclass(frozen=True)
class Forecast:
    """What a plan will take.

    Attributes:
        segments: The plan.
        cuts: First frames of its scenes, without 0.
        source: Of the video.
        measured: At least one piece.
        decode: One frame of the source.
        once: What is done once.
    """

    segments: Sequence[SegmentSpec]
    cuts: Sequence[int]
    source: Source
    measured: Sequence[Measured]
    decode: Took
    once: Once

    @cached_property
    def _rates(self) -> _Rates:
        return _rates(self.measured, self.source, self.decode)

    def seconds(self, workers: int) -> float:
        """By the clock, with so many workers that each have what one has here.

        The first worker looks and cuts; each segment can be taken as soon as it is cut; the last one joins.
        """
        begun = 2 * self.once.begin.wall_s + self.once.pin.wall_s + self.once.look.wall_s
        free = [(begun + (self._cut().wall_s if number == 0 else 0.0), number) for number in range(workers)]
        heapq.heapify(free)
        known: list[set[Shot]] = [set() for _ in range(workers)]
        cut = begun
        for segment in self.segments:
            cut += self._cut_of(segment).wall_s
            at, number = heapq.heappop(free)
            heapq.heappush(free, (max(cut, at) + self._work_of(segment, known[number]).wall_s, number))
        return max(cut, max(free)[0]) + self._final().wall_s

    def cpu_s(self, workers: int = 1) -> float:
        """Of all processors together."""
        whole = self.once.begin * (1 + workers) + self.once.pin + self.once.look + self._cut() + self._final()
        known: list[set[Shot]] = [set() for _ in range(workers)]
        work = (self._work_of(segment, known[place % workers]) for place, segment in enumerate(self.segments))
        return (whole + _sum(work)).cpu_s

    def bytes(self) -> int:
        """Of the result."""
        return self.source.others + round(sum(map(self._bytes_of, self.segments)))

    @cached_property
    def _cropped(self) -> tuple[int, int]:
        """First frames of the first and the last segment with crops: all between them is decoded for cutting."""
        starts = [segment.start for segment in self.segments if segment.crops]
        return min(starts, default=0), max(starts, default=-1)

    def _cut_of(self, segment: SegmentSpec) -> Took:
        first, last = self._cropped
        decoded = segment.stop - segment.start if first <= segment.start <= last else 0
        return self.decode * decoded + self._rates.cut * len(segment.crops)

    def _cut(self) -> Took:
        return sum(map(self._cut_of, self.segments), Took())

    def _work_of(self, segment: SegmentSpec, known: set[Shot]) -> Took:
        """What a worker takes for a segment; what is fixed is done once for each overlay of a shot, and kept."""
        if segment.copy:
            return Took()
        frames = segment.stop - segment.start
        decoded = segment.stop - before(self.source.keys, segment.start)
        found = self._rates.encode * frames + self.decode * decoded
        shots = {shot_of(crop, self.cuts) for crop in segment.crops}
        found += self._rates.fixed * len(shots - known) + self._rates.effort * sum(map(effort, segment.crops))
        known |= shots
        return found

    def _final(self) -> Took:
        copied = sum(segment.stop - segment.start for segment in self.segments if segment.copy)
        whole = self._rates.verify * sum(segment.stop - segment.start for segment in self.segments)
        return whole + self.decode * copied  # they are compared with the source's

    def _bytes_of(self, segment: SegmentSpec) -> float:
        if segment.copy:
            return sum(self.source.frames[segment.start : segment.stop])
        frames = segment.stop - segment.start
        keys = -(-frames // _KEY_EVERY)
        weight = _weight(self.source, segment)
        return keys * self._rates.key_bytes + (frames - keys) * self._rates.frame_bytes + self._rates.growth * weight


@dataclass(frozen=True, kw_only=True)
class _Rates:
    cut: Took  # per crop: opening and closing its files outweighs its pixels
    fixed: Took  # per overlay of a shot
    effort: Took  # per unit of effort
    encode: Took  # per frame
    verify: Took  # per frame
    key_bytes: float  # of a key frame
    frame_bytes: float  # of another frame, whatever it shows
    growth: float  # and for each byte of the source's frame


_KEY_EVERY = 250  # frames: what encoders do where nothing else asks for a key frame


def _rates(measured: Sequence[Measured], source: Source, decode: Took) -> _Rates:
    restored = [each for each in measured if each.piece.crops]
    crops = [crop for each in restored for crop in each.piece.crops]
    fixed = _sum(each.fixed for each in restored)
    frames = 1 / max(1, sum(each.frames for each in measured))
    keys = [size for each in measured for size in each.key_bytes]
    frame_bytes, growth = _weights(measured, source)
    return _Rates(
        cut=_sum(_cutting(each, source, decode) for each in restored) * (1 / max(1, len(crops))),
        fixed=fixed * (1 / max(1, len(crops))),
        effort=(_sum(each.restore for each in restored) - fixed) * (1 / max(1, sum(map(effort, crops)))),
        encode=_sum(_encoding(each, source, decode) for each in measured) * frames,
        verify=_sum(each.verify for each in measured) * frames,
        key_bytes=sum(keys) / max(1, len(keys)),
        frame_bytes=frame_bytes,
        growth=growth,
    )


def _sum(parts: Iterable[Took]) -> Took:
    return sum(parts, Took())


def _cutting(each: Measured, source: Source, decode: Took) -> Took:
    start, stop = needed(each.piece)
    return each.cut - decode * (stop - before(source.keys, start))


def _encoding(each: Measured, source: Source, decode: Took) -> Took:
    return each.encode - decode * (each.piece.stop - before(source.keys, each.piece.start))


_STANDS_OUT = 4.0
"""Times as slow as all other steps: then a step holds something that is done once."""


def fixed_part(told: Sequence[tuple[float, Took]]) -> Took:
    """What of the work on a crop does not grow with its frames: the excess of one step over all others.

    Args:
        told: How much was done, 0..1, and what it had taken by then; rising.
    """
    steps = [(after[0] - before_[0], after[1] - before_[1]) for before_, after in pairwise(told)]
    if len(steps) < 2:
        return Took()
    share, took = max(steps, key=lambda step: step[1].cpu_s)
    rest = _sum(each[1] for each in steps) - took
    others = rest * (share / max(1e-9, told[-1][0] - told[0][0] - share))
    return took - others if took.cpu_s > _STANDS_OUT * others.cpu_s else Took()


def _weights(measured: Sequence[Measured], source: Source) -> tuple[float, float]:
    """Bytes of frames that are no key frames: those that all have, and those that each byte of the source's brings."""
    others = [each.frames - len(each.key_bytes) for each in measured]
    weights = [_weight(source, each.piece) for each in measured]
    return _fit(others, weights, [each.other_bytes for each in measured])


def _weight(source: Source, segment: SegmentSpec) -> float:
    """Bytes of the source's frames in a segment, as if its key frames were like the others."""
    keys = {key for key in source.keys if segment.start <= key < segment.stop}
    sizes = [source.frames[index] for index in range(segment.start, segment.stop) if index not in keys]
    return sum(sizes) / max(1, len(sizes)) * (segment.stop - segment.start - 1)


def _fit(a: Sequence[float], b: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Least squares for y = p a + q b, p and q not negative; where the data cannot tell them apart, p is 0."""
    aa, bb, ab = (sum(u * v for u, v in zip(one, two, strict=True)) for one, two in ((a, a), (b, b), (a, b)))
    ay, by = (sum(u * v for u, v in zip(one, y, strict=True)) for one in (a, b))
    least = aa * bb - ab * ab
    if least > 1e-3 * aa * bb:
        p, q = (ay * bb - by * ab) / least, (by * aa - ay * ab) / least
        if p >= 0 and q >= 0:
            return p, q
        if q < 0:
            return (ay / aa if aa else 0.0), 0.0
    return 0.0, (by / bb if bb else 0.0)
