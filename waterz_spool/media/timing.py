"""True times of a result's frames and packets, and the clock of the file that holds them.

A packet's decode time is the presentation time of an earlier frame (the sorted pts shifted by the reorder delay), so
that decode times stay exact and strictly increasing for any frame timing.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from waterz_spool.media.container import is_mov
from waterz_spool.records import EncodeSettings, VideoInfo

MAX_TIMESCALE = 2**31 - 1
_LEAST_TIMESCALE = 10_000
# ffmpeg before 6 takes an MP4 composition offset above 2^28 ticks for damage and forgets those of all frames.
_LONG_TICKS = 1 << 27
_GAP_TICKS = 1 << 19  # of the source's clock; decode times behind shorter ones are left to the plain rule


def output_clock(info: VideoInfo, settings: EncodeSettings) -> Fraction:
    """A clock of the output in which every pts of the source is a whole number (Matroska fixes its own at 1 ms)."""
    base = Fraction(*info.time_base)
    if not is_mov(settings.container):
        return base
    scale = base.denominator
    while scale < _LEAST_TIMESCALE:
        scale *= 2
    return Fraction(1, min(scale, MAX_TIMESCALE))


def long_gaps(pts: Sequence[int], info: VideoInfo, settings: EncodeSettings) -> tuple[int, ...]:
    """Frames behind a gap so long that no frame may be decoded across it; a segment must begin there.

    Args:
        pts: Of all frames, in ``info.time_base``.
        info: The source's facts.
        settings: The encode settings of the job.

    Returns:
        Frame numbers, increasing; none for containers that store no decode times.
    """
    if not is_mov(settings.container):
        return ()
    long = _LONG_TICKS * output_clock(info, settings) / Fraction(*info.time_base)
    return tuple(index for index, (a, b) in enumerate(pairwise(pts), 1) if b - a > long)


def shared_tick(pts: Sequence[int], base: Fraction) -> int | None:
    """The first frame that has the same time in whole ms as the one before; None when there is none."""
    top, bottom = 1000 * base.numerator, base.denominator
    times = ((2 * t * top + bottom) // (2 * bottom) for t in pts)
    return next((index for index, (a, b) in enumerate(pairwise(times), 1) if a >= b), None)


class Timing:
    """True times of frames and packets.

    Args:
        pts: Of all frames, strictly increasing.
        last_duration: Of the last frame.
        delay: Frames by which decoding runs ahead of showing.
        tail: Frame of the very last packet.
        starts: First frames of segments: no packet of one is needed to decode another.
    """

    def __init__(
        self, pts: Sequence[int], last_duration: int, *, delay: int, tail: int, starts: Sequence[int] = ()
    ) -> None:
        self.pts = pts
        self.last_duration = last_duration
        self.delay = delay
        self._lead = 0
        self._late = {packet: dts for start in starts for packet, dts in self._behind_gap(start)}
        # The sum of all durations in decode order, which MP4 takes for the track's length, must be the video's
        # length: what it lacks at the end (the last packet is not the last frame) is added before the first frame.
        end = pts[-1] + last_duration
        last = len(pts) - 1
        self._lead = end - max(pts[last - delay], self._late.get(last, pts[0])) - self.duration(tail)

    def _behind_gap(self, start: int) -> list[tuple[int, int]]:
        """Later decode times for the first packets of a segment behind a long gap: shortly before its first frame."""
        gap = self.pts[start] - self.pts[start - 1]
        if gap <= _GAP_TICKS:
            return []
        step = max(1, min(self.duration(start), gap // (self.delay + 1)))
        ahead = min(self.delay, len(self.pts) - start)
        return [(start + n, self.pts[start] - (self.delay - n) * step) for n in range(ahead)]

    def duration(self, frame: int) -> int:
        """How long a frame is shown."""
        return self.pts[frame + 1] - self.pts[frame] if frame + 1 < len(self.pts) else self.last_duration

    def dts(self, packet: int) -> int:
        """Decode time of the packet at that place in decode order."""
        if packet >= self.delay:
            shown = self.pts[packet - self.delay]
        else:
            shown = self.pts[0] - self._lead * (self.delay - packet) // self.delay
        return max(shown, self._late.get(packet, shown))
