"""Groups of pictures whose packets a result can take as they are, and where such a copy may begin and end.

A copy begins at an entry, at which a decoder can start and nothing later in the file is shown before it but its own
leading pictures, which are left out. It ends behind any packet with which all frames up to some time are there: nothing
before that packet needs what follows it. Whatever cannot be proven from the packets alone is not copied.
"""

from __future__ import annotations

from collections.abc import Sequence
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
class Groups:
    """What the packets of a source say.

    Attributes:
        starts: Frames at which a copy can begin, in order.
        ends: Frames before which one can end, in order; the last is the number of all frames.
        delay: Frames by which decoding runs ahead of showing.
    """

    starts: tuple[int, ...]
    ends: tuple[int, ...]
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
    ends = _ends(order)
    return Groups(
        starts=tuple(order[packet] for packet in starts if packet in ends),
        ends=tuple(sorted(ends)),
        delay=max(packet - frame for packet, frame in enumerate(order)),
    )


def _frame(packet: Packet[Any], place: dict[int, int]) -> int:
    """The frame that a packet holds."""
    changes = packet.has_sidedata("new_extradata") or packet.has_sidedata("param_change")
    if changes or packet.is_discard or packet.is_corrupt:
        raise NoCopyError("some of its packets are cut away, damaged or change what the header says")
    if packet.pts not in place:
        raise NoCopyError("its packets do not have the times of its frames")
    return place[packet.pts]


def _ends(order: Sequence[int]) -> set[int]:
    """Packets before which all frames of one time are there and none of later: as many as the frames before.

    A start there is an entry: what lies before it is shown before it, too.
    """
    found, last = set(), -1
    for packet, frame in enumerate(order):
        if last == packet - 1:
            found.add(packet)
        last = max(last, frame)
    return {*found, len(order)}


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
