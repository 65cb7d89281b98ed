"""A choice of packets that shows how a container takes the copied streams: both ends of each, and what is odd."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

from av.container import InputContainer
from av.packet import Packet

from waterz_spool.media.copies import copied_packets
from waterz_spool.media.tracks import Headers

_END_S = Fraction(2)  # of the beginning and of the end of every stream
_END_BYTES = 32 << 20  # at most, for streams of a high rate
_MOST_ODD = 100  # pairs of packets of one stream
_GAP_S = Fraction(1, 500)


@dataclass(slots=True)
class Pick:
    """A packet with the stream and the times that it had in the source: writing it changes them."""

    number: int  # place in the source's own order
    place: int  # among the packets of its stream
    stream: Any
    packet: Packet[Any]
    pts: int | None
    dts: int | None
    duration: int

    @property
    def index(self) -> int:
        """Of the source's stream."""
        return int(self.stream.index)

    def fresh(self) -> Packet[Any]:
        """The packet as it was read; whoever writes it gives it another stream."""
        self.packet.stream, self.packet.time_base = self.stream, self.stream.time_base
        self.packet.pts, self.packet.dts, self.packet.duration = self.pts, self.dts, self.duration
        return self.packet

    def earlier(self, ticks: int) -> Pick:
        """The same packet with earlier times."""
        pts, dts = (None if t is None else t - ticks for t in (self.pts, self.dts))
        return replace(self, pts=pts, dts=dts)


class Ends:
    """The first and last packets of one stream, and its odd ones.

    Times are counted in ticks: a long film has a million packets.

    Attributes:
        stream: The source's.
        count: Packets of the stream.
        headers: What they say of themselves.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.count = 0
        self.headers = Headers(stream)
        self._hidden = self._longest = 0
        self._first: list[Pick] = []
        self._last: deque[Pick] = deque()
        self._odd: list[Pick] = []
        self._bytes = [0, 0]
        base = stream.time_base
        self._end = int(_END_S / base)
        # A gap in sound is odd: some containers count samples and know no gaps.
        self._gap = int(max(_GAP_S / base, 2)) if stream.type == "audio" else None

    @property
    def hidden_s(self) -> Fraction:
        """How long packets last in all that an edit list hides: a player never shows them."""
        return self._hidden * Fraction(self.stream.time_base)

    @property
    def longest_s(self) -> Fraction:
        """The longest of the hidden ones."""
        return self._longest * Fraction(self.stream.time_base)

    def add(self, packet: Packet[Any], number: int) -> None:
        """Take in the next packet, the ``number``-th that was read of the whole file."""
        duration = packet.duration or 0
        pick = Pick(number, self.count, self.stream, packet, packet.pts, packet.dts, duration)
        self.count += 1
        self.headers.add(packet)
        if packet.is_discard:
            self._hidden += duration
            self._longest = max(self._longest, duration)
        before = self._last[-1] if self._last else self._first[-1] if self._first else None
        if before is not None and self._is_odd(before, pick) and len(self._odd) < 2 * _MOST_ODD:
            self._odd += [before, pick]
        if (
            not self._last
            and self._bytes[0] < _END_BYTES
            and (not self._first or _ticks(self._first[0], pick) < self._end)
        ):
            self._first.append(pick)
            self._bytes[0] += packet.size
        else:
            self._keep_last(pick)

    def _keep_last(self, pick: Pick) -> None:
        last = self._last
        last.append(pick)
        self._bytes[1] += pick.packet.size
        while len(last) > 1 and (self._bytes[1] > _END_BYTES or _ticks(last[1], pick) > self._end):
            self._bytes[1] -= last.popleft().packet.size

    def _is_odd(self, before: Pick, pick: Pick) -> bool:
        """Whether the decode time does not rise, or sound has a gap."""
        if before.dts is None or pick.dts is None:
            return before.dts is not None
        step = pick.dts - before.dts
        return step <= 0 or (self._gap is not None and step - before.duration > self._gap)

    def picks(self) -> list[Pick]:
        """All that were kept, in the source's order; sound moved together where packets between were not kept."""
        kept = sorted({p.number: p for p in (*self._first, *self._odd, *self._last)}.values(), key=lambda p: p.number)
        if self.stream.type != "audio":
            return kept
        found, early = kept[:1], 0
        for before, pick in pairwise(kept):
            if pick.place != before.place + 1 and before.dts is not None and pick.dts is not None:
                early += max(0, pick.dts - before.dts - before.duration)
            found.append(pick.earlier(early))
        return found


def pick(container: InputContainer, video: int, streams: Sequence[Any]) -> dict[int, Ends]:
    """Read all packets of these streams and keep a few.

    Args:
        container: The source; it must stay open as long as the packets are used.
        video: Index of the stream that is not copied.
        streams: Copied streams without attachments.

    Returns:
        By index of the stream.
    """
    ends = {stream.index: Ends(stream) for stream in streams}
    for number, packet in enumerate(copied_packets(container, video, streams)):
        ends[packet.stream_index].add(packet, number)
    return ends


def _ticks(since: Pick, pick: Pick) -> int:
    """Time between two packets, 0 where one has none."""
    begin = since.pts if since.dts is None else since.dts
    end = pick.pts if pick.dts is None else pick.dts
    return 0 if begin is None or end is None else abs(end - begin)
