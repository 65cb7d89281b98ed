"""Groups of pictures whose packets a result can take as they are, and where such a copy may begin and end.

A copy begins at an entry, at which a decoder can start and nothing later in the file is shown before it but its own
leading pictures, which are left out; it ends before the first leading picture of another entry. Whatever cannot be
proven from the packets alone is not copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.packet import Packet

from waterz_spool.errors import InputError
from waterz_spool.media.source import open_source, read_packets
from waterz_spool.media.units import Sets, UnitsError, h264_sets, hevc_sets, units_of
from waterz_spool.records import VideoInfo

INTRA = ("prores", "dnxhd", "mjpeg", "ffv1")
"""Codecs of which every picture stands for itself, if its packet says so."""

_H264_SLICES, _H264_IDR, _H264_SETS = range(1, 6), 5, (7, 8)
_HEVC_SLICES, _HEVC_ENTRIES, _HEVC_SETS = range(32), range(16, 22), (32, 33, 34)


class NoCopyError(Exception):
    """Nothing of a video can be copied; the text says why."""


@dataclass(frozen=True)
class Entry:
    """A place at which copying may begin or end.

    Attributes:
        frame: The frame that can be decoded first.
        lead: First frame that is shown before it and needs it; ``frame`` when there is none.
    """

    frame: int
    lead: int


@dataclass(frozen=True)
class Groups:
    """What the packets of a source say.

    Attributes:
        entries: In order; the last one is the end of the video.
        delay: Frames by which decoding runs ahead of showing.
    """

    entries: tuple[Entry, ...]
    delay: int


def read_groups(source: Path, info: VideoInfo, pts: Sequence[int]) -> Groups:
    """Read all packets of the video, decoding nothing.

    Args:
        source: The video.
        info: Its facts.
        pts: True pts of all frames, as decoding found them.

    Raises:
        NoCopyError: Its packets and frames are not one to one, or are of a kind that is not understood.
    """
    with open_source(source) as container:
        stream = container.streams[info.stream_index]
        looks = _looks(info, stream)
        place = {time: number for number, time in enumerate(pts)}
        order: list[int] = []
        starts: list[int] = []  # packets at which a decoder can start
        try:
            for packet in read_packets(container, stream):
                if not packet.size:
                    continue
                if looks.is_entry(packet):
                    starts.append(len(order))
                order.append(_frame(packet, place))
        except (av.FFmpegError, UnitsError, InputError) as error:
            raise NoCopyError(str(error)) from error
    if sorted(order) != list(range(len(pts))):
        raise NoCopyError("its packets are not its frames")
    return Groups(tuple(_entries(order, starts)), max(packet - frame for packet, frame in enumerate(order)))


def _frame(packet: Packet[Any], place: dict[int, int]) -> int:
    """The frame that a packet holds."""
    changes = packet.has_sidedata("new_extradata") or packet.has_sidedata("param_change")
    if changes or packet.is_discard or packet.is_corrupt:
        raise NoCopyError("some of its packets are cut away, damaged or change what the header says")
    if packet.pts not in place:
        raise NoCopyError("its packets do not have the times of its frames")
    return place[packet.pts]


def _entries(order: Sequence[int], starts: Sequence[int]) -> Iterator[Entry]:
    """Those starts behind which nothing is shown early but leading pictures; then the end.

    Args:
        order: The frame of each packet.
        starts: Packets at which a decoder can start.
    """
    behind = [len(order)] * (len(order) + 1)  # the earliest frame among the packets from each place on
    for packet in range(len(order) - 1, -1, -1):
        behind[packet] = min(order[packet], behind[packet + 1])
    before = -1  # the latest frame among the packets before
    at = 0
    for packet in starts:
        while at < packet:
            before, at = max(before, order[at]), at + 1
        lead = behind[packet]
        if lead == before + 1 == packet:  # what comes before is all there and all shown before
            yield Entry(order[packet], lead)
    yield Entry(len(order), len(order))


class _Intra:
    """Every packet is a picture of its own."""

    def is_entry(self, packet: Packet[Any]) -> bool:
        if not packet.is_keyframe:
            raise NoCopyError("some of its pictures need others")
        return True


class _Units:
    """H.264 and HEVC in the form of MP4 and Matroska."""

    def __init__(self, sets: Sets) -> None:
        self._known = set(sets.units)

    def is_entry(self, packet: Packet[Any]) -> bool:
        data = bytes(packet)
        first = None
        for begin, end in units_of(data):
            kind = self.kind(data[begin])
            if kind in self.sets and data[begin:end].rstrip(b"\0") not in self._known:
                raise NoCopyError("its parameter sets change")
            if kind in self.slices and first is None:
                first = kind
        if first is None:
            raise NoCopyError("some of its packets hold no picture")
        return first in self.entries

    sets: Sequence[int]
    slices: Sequence[int]
    entries: Sequence[int]

    def kind(self, head: int) -> int:
        raise NotImplementedError


class _H264(_Units):
    sets, slices, entries = _H264_SETS, _H264_SLICES, (_H264_IDR,)

    def kind(self, head: int) -> int:
        return head & 31


class _Hevc(_Units):
    sets, slices, entries = _HEVC_SETS, _HEVC_SLICES, _HEVC_ENTRIES

    def kind(self, head: int) -> int:
        return head >> 1 & 63


def _looks(info: VideoInfo, stream: Any) -> _Intra | _Units:
    extradata = stream.codec_context.extradata
    if info.codec in INTRA:
        return _Intra()
    if info.codec == "h264":
        return _H264(h264_sets(extradata))
    return _Hevc(hevc_sets(extradata))
