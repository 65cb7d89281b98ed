"""What the packets of one copied stream amount to, so that a source and a result can be compared."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
from av.bitstream import BitStreamFilterContext
from av.packet import Packet

from waterz_spool.media.copies import describe
from waterz_spool.media.source import codec_name, is_picture

_NO_TIME = -(2**62)
_FRAMED = ("h264", "hevc", "vvc")  # their units begin with a start code or with their length, as the container likes


@dataclass
class Track:
    """What the packets of one copied stream amount to."""

    stream: Any = field(repr=False)
    count: int = 0
    end: int = 0  # in ticks of the stream
    pts: array[int] = field(default_factory=lambda: array("q"))
    durations: array[int] = field(default_factory=lambda: array("q"))
    digest: Any = field(default_factory=hashlib.sha256)

    def __post_init__(self) -> None:
        self.time_base = self.stream.time_base
        self.name = describe(self.stream)
        self._timed = self.stream.type == "subtitle"
        self.pcm = codec_name(self.stream).startswith("pcm_")
        self._prefix = _prefix_bytes(self.stream)

    def add(self, packet: Packet[Any]) -> None:
        """Count one packet."""
        stamp = packet.pts if packet.pts is not None else packet.dts
        self.count += 1
        self.pts.append(_NO_TIME if stamp is None else stamp)
        if stamp is not None:
            self.end = max(self.end, stamp + (packet.duration or 0))
        if self._timed:
            self.durations.append(packet.duration or 0)
        if self._prefix is None:
            self.digest.update(bytes(packet))
        else:
            for unit in _units(bytes(packet), self._prefix):
                self.digest.update(len(unit).to_bytes(4, "big") + unit)


def tracks(streams: Sequence[Any], packets: Iterable[Packet[Any]]) -> list[Track]:
    """One track for each stream that has packets of its own; others are attachments and cover pictures.

    Args:
        streams: Copied streams of one file.
        packets: Their payload.
    """
    found = {s.index: Track(s) for s in streams if s.type != "attachment" and not is_picture(s)}
    filters = {index: f for index, track in found.items() if (f := _adts_filter(track.stream)) is not None}
    for packet in packets:
        index = packet.stream_index
        if index in found:
            for plain in _plain(packet, filters.get(index)):
                found[index].add(plain)
    return list(found.values())


def _adts_filter(stream: Any) -> BitStreamFilterContext | None:
    """AAC with a header on every packet (MPEG-TS) loses it in MP4 and Matroska; so it does here."""
    if codec_name(stream) == "aac" and not stream.codec_context.extradata:
        return BitStreamFilterContext("aac_adtstoasc", in_stream=stream)
    return None


class Headers:
    """Looks through AAC without a header of its own, as MPEG-TS has it: every packet must say how to decode it.

    Attributes:
        fault: What is wrong with the first bad packet, in words; empty when all are right.
    """

    def __init__(self, stream: Any) -> None:
        self._stream, self._strip = stream, _adts_filter(stream)
        self._right = 0
        self.fault = ""

    def add(self, packet: Packet[Any]) -> None:
        """Look at the next packet of the stream."""
        if self._strip is None or self.fault:
            return
        try:
            self._strip.filter(Packet(bytes(packet)))
            self._right += 1
        except av.FFmpegError:
            self.fault = self._words(packet)

    def _words(self, packet: Packet[Any]) -> str:
        if not self._right:
            return "how to decode it cannot be read, its header is damaged"
        place = "" if packet.pts is None else f" at {float(packet.pts * self._stream.time_base):.3f} s"
        return f"its packet{place} is damaged"


def _has_adts(packet: Packet[Any]) -> bool:
    """ISO/IEC 13818-7: a header begins with twelve bits that are set. Muxers look at these, too."""
    start = bytes(packet)[:2]
    return len(start) == 2 and start[0] == 0xFF and start[1] >= 0xF0


def _plain(packet: Packet[Any], strip: BitStreamFilterContext | None) -> Iterator[Packet[Any]]:
    if strip is None or not _has_adts(packet):
        yield packet
        return
    copy = Packet(bytes(packet))  # a filter takes the packet away
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration or 0
    for plain in strip.filter(copy):
        plain.time_base = packet.time_base
        yield plain


def _prefix_bytes(stream: Any) -> int | None:
    """How each unit of H.264, HEVC or VVC begins: 0 for a start code, else bytes of its length; None elsewhere.

    ISO/IEC 14496-15: avcC, hvcC and vvcC, which are the extradata, hold that number less one in two bits.
    """
    codec = codec_name(stream)
    if codec not in _FRAMED:
        return None
    extradata = stream.codec_context.extradata or b""
    if len(extradata) < 7 or extradata.startswith((b"\0\0\1", b"\0\0\0\1")):
        return 0
    if codec == "vvc":
        return (extradata[0] >> 1 & 3) + 1
    place = 4 if codec == "h264" else 21
    return (extradata[place] & 3) + 1 if place < len(extradata) else 0


def _units(data: bytes, prefix: int) -> Iterator[bytes]:
    """The units of a packet without their framing; zeros behind a unit belong to the framing."""
    if not prefix:
        yield from (unit for part in data.split(b"\0\0\1") if (unit := part.rstrip(b"\0")))
        return
    at = 0
    while at + prefix <= len(data):
        end = at + prefix + int.from_bytes(data[at : at + prefix], "big")
        if unit := data[at + prefix : end].rstrip(b"\0"):
            yield unit
        at = end


def pairs(a: Sequence[Track], b: Sequence[Track]) -> Iterator[tuple[Track, Track]]:
    """Tracks that belong together: the n-th of each kind."""
    for kind in dict.fromkeys(t.stream.type for t in a):
        yield from zip([t for t in a if t.stream.type == kind], [t for t in b if t.stream.type == kind], strict=False)


def difference(a: Track, b: Track) -> str | None:
    """What is wrong with a copy, in words; None when packets, bytes and times are equal.

    How long the last packet lasts is not compared where packets are whole: containers state it or do not, round it
    or cut it to their own length, and a decoder makes of it what the packet holds.
    """
    if not a.pcm and a.count != b.count:  # demuxers cut PCM into packets as they like
        return f"{a.name} has {b.count} packets instead of {a.count}"
    if a.digest.digest() != b.digest.digest():
        return f"the data of {a.name} is not equal"
    tick = max(b.time_base, a.time_base)
    times = zip(a.pts[:1], b.pts[:1], strict=True) if a.pcm else zip(a.pts, b.pts, strict=True)
    for number, (x, y) in enumerate(times):
        if abs(x * a.time_base - y * b.time_base) > tick:
            return f"packet {number} of {a.name} is not at its time"
    for number, (x, y) in enumerate(zip(a.durations, b.durations, strict=True)):
        if abs(x * a.time_base - y * b.time_base) > tick:
            return f"packet {number} of {a.name} does not last as long"
    wanted, end = a.end * a.time_base, b.end * b.time_base
    if a.pcm and abs(wanted - end) > max(2 * tick, Fraction(1, 500)):
        return f"{a.name} ends at {float(end):.3f} s instead of {float(wanted):.3f} s"
    return None
