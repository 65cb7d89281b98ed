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

from waterz_spool.media.source import is_payload, read_packets

_END_S = Fraction(2)  # of the beginning and of the end of every stream
_END_BYTES = 32 << 20  # at most, for streams of a high rate
_MOST_ODD = 100  # pairs of packets of one stream
_GAP_S = Fraction(1, 500)


@dataclass(frozen=True)
class Pick:
    """A packet with the stream and the times that it had in the source: writing it changes them."""

    number: int  # place in the source's own order
    place: int  # among the packets of its stream
    stream: Any
    packet: Packet[Any]
    pts: int | None
    dts: int | None
    duration: int
    time_base: Fraction

    @property
    def index(self) -> int:
        """Of the source's stream."""
        return int(self.stream.index)

    def fresh(self) -> Packet[Any]:
        """The packet as it was read; whoever writes it gives it another stream."""
        self.packet.stream, self.packet.time_base = self.stream, self.time_base
        self.packet.pts, self.packet.dts, self.packet.duration = self.pts, self.dts, self.duration
        return self.packet

    def earlier(self, ticks: int) -> Pick:
        """The same packet with earlier times."""
        pts, dts = (None if t is None else t - ticks for t in (self.pts, self.dts))
        return replace(self, pts=pts, dts=dts)


class Ends:
    """The first and last packets of one stream, and its odd ones.

    Attributes:
        count: Packets of the stream.
        hidden_s: How long packets last in all that an edit list hides: a player never shows them.
        longest_s: The longest of those.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.count = 0
        self.hidden_s = self.longest_s = Fraction(0)
        self._first: list[Pick] = []
        self._last: deque[Pick] = deque()
        self._odd: list[Pick] = []
        self._bytes = [0, 0]

    def add(self, packet: Packet[Any], number: int) -> None:
        """Take in the next packet, the ``number``-th that was read of the whole file."""
        duration = packet.duration or 0
        times = (packet.pts, packet.dts, duration, packet.time_base)
        pick = Pick(number, self.count, self.stream, packet, *times)
        self.count += 1
        if packet.is_discard:
            self.hidden_s += duration * packet.time_base
            self.longest_s = max(self.longest_s, duration * packet.time_base)
        self._keep(pick)

    def _keep(self, pick: Pick) -> None:
        before = self._last[-1] if self._last else self._first[-1] if self._first else None
        if before is not None and len(self._odd) < 2 * _MOST_ODD and self._is_odd(before, pick):
            self._odd += [before, pick]
        if not self._last and self._bytes[0] < _END_BYTES and _seconds(self._first[:1], pick) < _END_S:
            self._first.append(pick)
            self._bytes[0] += pick.packet.size
            return
        self._last.append(pick)
        self._bytes[1] += pick.packet.size
        while len(self._last) > 1 and (self._bytes[1] > _END_BYTES or _seconds([self._last[1]], pick) > _END_S):
            self._bytes[1] -= self._last.popleft().packet.size

    def _is_odd(self, before: Pick, pick: Pick) -> bool:
        """Whether the decode time does not rise, or sound has a gap."""
        if before.dts is None or pick.dts is None:
            return before.dts is not None
        step = pick.dts - before.dts
        gap_s = (step - before.duration) * pick.time_base
        return step <= 0 or (self.stream.type == "audio" and gap_s > max(_GAP_S, 2 * pick.time_base))

    def picks(self) -> list[Pick]:
        """All that were kept, in the source's order.

        Sound is moved together where packets between were not kept: some containers count samples and know no gaps.
        """
        kept = sorted({p.number: p for p in (*self._first, *self._odd, *self._last)}.values(), key=lambda p: p.number)
        if self.stream.type != "audio":
            return kept
        found, early = kept[:1], 0
        for before, pick in pairwise(kept):
            if pick.place != before.place + 1 and None not in (before.dts, pick.dts):
                early += max(0, pick.dts - before.dts - before.duration)  # type: ignore[operator]
            found.append(pick.earlier(early))
        return found


def pick(container: InputContainer, streams: Sequence[Any]) -> dict[int, Ends]:
    """Read all packets of these streams and keep a few.

    Args:
        container: The source; it must stay open as long as the packets are used.
        streams: Copied streams without attachments and cover pictures.

    Returns:
        By index of the stream.
    """
    ends = {stream.index: Ends(stream) for stream in streams}
    for number, packet in enumerate(read_packets(container, streams) if streams else ()):
        if is_payload(packet):
            ends[packet.stream_index].add(packet, number)
    return ends


def _seconds(since: Sequence[Pick], pick: Pick) -> Fraction:
    """Time between two packets, 0 where one has none."""
    begin, end = (p.dts if p.dts is not None else p.pts for p in (since[0] if since else pick, pick))
    return Fraction(0) if begin is None or end is None else abs(end - begin) * pick.time_base
