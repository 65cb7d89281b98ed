"""Copied frames of a result against the source's, and the places at which copied and encoded packets meet."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.packet import Packet

from waterz_spool.media.decoding import Frame, decode
from waterz_spool.media.pixels import planes
from waterz_spool.media.source import open_source, read_packets
from waterz_spool.records import VideoInfo

Range = tuple[int, int]

_SEAM_FRAMES = 32
"""So many are decoded again from a seam on, by a decoder that knows nothing of what lies before."""


class UnequalError(Exception):
    """A result is not what its packets promise.

    Attributes:
        what: In words.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Originals:
    """Compares the frames of copied packets with the source's, which are decoded beside them.

    Args:
        source: The source.
        info: Its facts.
        pts: True pts of all its frames.
        copied: Ranges of frames whose packets are the source's, in order.
        threads: Decoder threads.
    """

    def __init__(
        self, source: Path, info: VideoInfo, pts: Sequence[int], copied: Sequence[Range], *, threads: int
    ) -> None:
        self._copied = copied
        self._originals = self._decoded(source, info, pts, threads)
        self._seams = sorted({0, *(edge for span in copied for edge in span)} - {len(pts)}) if copied else []
        self._times: set[int] = set()
        self._digests: dict[int, int] = {}

    def _decoded(self, source: Path, info: VideoInfo, pts: Sequence[int], threads: int) -> Iterator[Frame]:
        for start, stop in self._copied:
            yield from decode(source, info, start=start, stop=stop, pts=pts, threads=threads)

    def add(self, frame: Frame) -> None:
        """Look at the next frame of the result.

        Raises:
            UnequalError: Its packet was copied, and it is not the source's.
            InputError: The source cannot be read.
        """
        if not self._copied:
            return
        seam = self._seams[bisect_right(self._seams, frame.index) - 1]
        if frame.index == seam:
            self._times.add(frame.pts)
        if frame.index < seam + _SEAM_FRAMES:
            self._digests[frame.pts] = _digest(frame.picture)
        number = bisect_right(self._copied, (frame.index, 1 << 62)) - 1
        if number >= 0 and frame.index < self._copied[number][1]:
            pairs = zip(planes(next(self._originals)), planes(frame), strict=True)
            if not all(np.array_equal(a, b) for a, b in pairs):
                raise UnequalError(f"frame {frame.index} was copied, and differs from the source's")

    def check_seams(self, out: Path, got: VideoInfo) -> list[str]:
        """Start a decoder at every place where copied and encoded packets meet, and compare what it yields.

        Args:
            out: The result, all of whose frames were added.
            got: Its facts.

        Returns:
            What was checked, in words.

        Raises:
            UnequalError: A decoder that starts there yields something else.
        """
        if not self._copied:
            return []
        with open_source(out) as container:
            stream = container.streams[got.stream_index]
            for packets in self._behind_seams(read_packets(container, stream)):
                self._check(packets, _decoder(stream.codec_context))
        count = sum(stop - start for start, stop in self._copied)
        return [f"{count} frames are copies, equal to the source's; {len(self._seams)} entries decode alone"]

    def _behind_seams(self, packets: Iterator[Packet[Any]]) -> Iterator[list[Packet[Any]]]:
        """The first packets from each seam on."""
        found: list[Packet[Any]] = []
        for packet in packets:
            if packet.pts in self._times and packet.size:
                yield found
                found = []
            if packet.size and len(found) < _SEAM_FRAMES:
                found.append(packet)
        yield found

    def _check(self, packets: list[Packet[Any]], decoder: av.VideoCodecContext) -> None:
        count = 0
        try:
            for packet in [*packets, None] if packets else []:
                for picture in decoder.decode(packet):
                    count += 1
                    known = self._digests.get(picture.pts or 0)
                    if known is not None and known != _digest(picture):
                        raise UnequalError(f"decoding from an entry yields another picture at {picture.time} s")
        except av.FFmpegError as error:
            raise UnequalError(f"decoding from an entry fails ({error})") from error
        if count != len(packets):
            raise UnequalError(f"decoding from an entry yields {count} of {len(packets)} frames")


def _decoder(like: Any) -> av.VideoCodecContext:
    context: av.VideoCodecContext = av.VideoCodecContext.create(like.codec.name, "r")
    context.extradata = like.extradata
    context.width, context.height = like.width, like.height
    context.codec_tag = like.codec_tag
    context.thread_count = 1
    return context


def _digest(picture: av.VideoFrame) -> int:
    value = 0
    for plane in planes(picture):
        value = zlib.crc32(np.ascontiguousarray(plane).tobytes(), value)
    return value
