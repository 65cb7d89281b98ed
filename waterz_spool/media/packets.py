"""The packets of a result: the video's under their true times, every other stream's as they are, in one file.

Nothing is encoded again, and memory does not grow with the length of the video. Where a segment is a copy, the packets
are those of the source's video.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet

from waterz_spool.errors import VerificationError
from waterz_spool.media.captions import CaptionTrack
from waterz_spool.media.copies import copied_packets
from waterz_spool.media.encode import TICK_MS
from waterz_spool.media.fresh import FreshFile
from waterz_spool.media.mux import Output
from waterz_spool.media.picking import Pick
from waterz_spool.media.source import open_file, open_source, read_packets
from waterz_spool.media.splicing import Splice
from waterz_spool.media.timing import Timing
from waterz_spool.records import Cue, EncodeSettings, VideoInfo


class DelayError(Exception):
    """A packet is decoded later than its frame is shown: the reorder delay was too small."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a result is made of besides its segments.

    Attributes:
        source: The source, for everything that is not the video.
        info: Its facts.
        settings: The encode settings all segments were encoded with.
        drop: Stream indices of the source that are left out.
        all_tags: See ``Output``.
        cues: Captions to be added as a subtitle track; empty adds none.
        language: Of that track, ISO 639-2.
    """

    source: Path
    info: VideoInfo
    settings: EncodeSettings
    drop: Collection[int]
    all_tags: bool = False
    cues: Sequence[Cue] = ()
    language: str = "und"


Segment = Path | None
"""The file of an encoded segment, or None for one whose packets are the source's."""


def frame_of(packet: Packet[Any]) -> int:
    """Frame counter within its segment."""
    return round((packet.pts or 0) * packet.time_base * 1000 / TICK_MS)


def write(
    out: Path,
    segments: Sequence[Segment],
    counts: Sequence[int],
    timing: Timing,
    *,
    recipe: Recipe,
    picked: Sequence[Pick] | None = None,
) -> None:
    """Write a result.

    Args:
        out: File to write.
        segments: In order.
        counts: Frames of each segment.
        timing: True times of all frames.
        recipe: Everything else.
        picked: The packets of the copied streams; None is all that the source has.

    Raises:
        DelayError: ``timing.delay`` is too small for these segments.
        VerificationError: A segment does not hold its frames, or was encoded with other settings.
        InputError: The container cannot hold something.
    """
    with ExitStack() as stack:
        container = stack.enter_context(open_source(recipe.source))
        first = stack.enter_context(open_segment(next(path for path in segments if path)))
        splice = _splice(container, first, recipe.info) if None in segments else None
        output = Output(
            stack.enter_context(FreshFile(out)),
            source=container,
            segment=first,
            info=recipe.info,
            settings=recipe.settings,
            drop=recipe.drop,
            all_tags=recipe.all_tags,
            splice=splice,
        )
        stack.enter_context(output.container)
        captions = _caption_track(output, recipe)
        output.start()
        video = _video_packets(segments, counts, timing, recipe, splice)
        if picked is None:
            others = _other_packets(container, recipe.info, output)
        else:
            others = ((p.fresh(), output.by_index[p.index]) for p in picked if p.index in output.by_index)
        if captions:
            texts = captions.packets(recipe.cues, timing.pts, timing.duration(len(timing.pts) - 1))
            others = _merge(texts, others, captions.stream)
        for packet, stream in _merge(video, others, output.video):
            packet.stream = stream
            output.mux(packet)


def _caption_track(output: Output, recipe: Recipe) -> CaptionTrack | None:
    if not recipe.cues:
        return None
    clock = Fraction(*recipe.info.time_base)
    return CaptionTrack(output.container, recipe.settings.container, language=recipe.language, time_base=clock)


def _splice(source: InputContainer, segment: InputContainer, info: VideoInfo) -> Splice:
    encoded = segment.streams.video[0].codec_context.extradata
    return Splice(info.codec, source.streams[info.stream_index].codec_context.extradata, encoded)


def _video_packets(
    segments: Sequence[Segment], counts: Sequence[int], timing: Timing, recipe: Recipe, splice: Splice | None
) -> Iterator[Packet[Any]]:
    """The packets of all segments in decode order with their true times."""
    base = Fraction(*recipe.info.time_base)
    offset = 0
    same = _SameHeader()
    copies = _Copies(recipe, timing.pts)
    for path, count in zip(segments, counts, strict=True):
        if path is None:
            packets: Iterator[tuple[int, Packet[Any]]] = copies.packets(offset, offset + count)
        else:
            packets = _segment_packets(path, count, same)
        for done, (frame, packet) in enumerate(packets):
            if splice is not None:
                data = bytes(packet)
                packet = _again(packet, splice.encoded(data) if path else splice.copied(data, first=not done))
            _set_times(packet, timing, place=offset + done, frame=offset + frame, base=base)
            yield packet
        offset += count


class _SameHeader:
    """All segments are encoded alike."""

    def __init__(self) -> None:
        self._known: tuple[bytes | None] | None = None

    def check(self, stream: Any, path: Path) -> None:
        extradata = stream.codec_context.extradata
        self._known = self._known or (extradata,)
        if self._known != (extradata,):
            raise _bad_segment(path, "was encoded with other settings than the first one")


def _segment_packets(path: Path, count: int, same: _SameHeader) -> Iterator[tuple[int, Packet[Any]]]:
    """The packets of one file, each with the number of its frame in the segment."""
    with open_segment(path) as container:
        stream = container.streams.video[0]
        same.check(stream, path)
        done = 0
        for packet in demux(container, stream, path):
            frame = frame_of(packet)
            if not 0 <= frame < count or done == count:
                raise _bad_segment(path, f"holds more than its {count} frames")
            yield frame, packet
            done += 1
        if done != count:
            raise _bad_segment(path, f"holds {done} of its {count} frames")


class _Copies:
    """The packets of the source's video, read once from its beginning to its end."""

    def __init__(self, recipe: Recipe, pts: Sequence[int]) -> None:
        self._recipe, self._pts = recipe, pts
        self._read = self._all()

    def _all(self) -> Iterator[tuple[int, Packet[Any]]]:
        with open_source(self._recipe.source) as container:
            stream = container.streams[self._recipe.info.stream_index]
            for packet in demux(container, stream, self._recipe.source):
                yield bisect_left(self._pts, packet.pts or 0), packet

    def packets(self, start: int, stop: int) -> Iterator[tuple[int, Packet[Any]]]:
        """Those of frames [start, stop) in decode order, each with the number of its frame from ``start`` on."""
        done = 0
        while done < stop - start:
            frame, packet = next(self._read, (stop, None))
            if packet is None:
                raise _bad_segment(self._recipe.source, f"lacks packets of frames {start} to {stop - 1}")
            if start <= frame < stop:
                yield frame - start, packet
                done += 1


def source_order(recipe: Recipe, pts: Sequence[int]) -> tuple[int, int]:
    """(frames by which decoding runs ahead of showing in the source's video, frame of its very last packet)."""
    delay = frame = 0
    with open_source(recipe.source) as container:
        packets = demux(container, container.streams[recipe.info.stream_index], recipe.source)
        for place, packet in enumerate(packets):
            frame = bisect_left(pts, packet.pts or 0)
            delay = max(delay, place - frame)
    return delay, frame


def _again(packet: Packet[Any], data: bytes) -> Packet[Any]:
    """A packet with this payload and nothing but the mark of a keyframe."""
    made = Packet(data)
    made.is_keyframe = packet.is_keyframe
    return made


def _set_times(packet: Packet[Any], timing: Timing, *, place: int, frame: int, base: Fraction) -> None:
    packet.pts, packet.dts = timing.pts[frame], timing.dts(place)
    packet.duration = timing.duration(frame)
    packet.time_base = base
    if packet.dts > packet.pts:
        raise DelayError


def demux(container: InputContainer, stream: Any, path: Path) -> Iterator[Packet[Any]]:
    """The packets of a segment's stream."""
    try:
        for packet in read_packets(container, stream):
            if packet.size:
                yield packet
    except av.FFmpegError as error:
        raise _bad_segment(path, "is damaged") from error


def _other_packets(source: InputContainer, info: VideoInfo, output: Output) -> Iterator[tuple[Packet[Any], Any]]:
    """The packets of the copied streams, in the source's own interleaving, with the output stream of each."""
    wanted = [s for s in source.streams if s.index in output.by_index and s.type != "attachment"]
    for packet in copied_packets(source, info.stream_index, wanted):
        yield packet, output.by_index[packet.stream_index]


def _merge(
    video: Iterator[Packet[Any]], others: Iterator[tuple[Packet[Any], Any]], video_stream: Any
) -> Iterator[tuple[Packet[Any], Any]]:
    """Both packet sequences as one, by decode time."""
    picture, other = next(video, None), next(others, None)
    while picture is not None or other is not None:
        if other is None or (picture is not None and _time(picture) <= _time(other[0])):
            assert picture is not None
            yield picture, video_stream
            picture = next(video, None)
        else:
            yield other
            other = next(others, None)


def _time(packet: Packet[Any]) -> Fraction:
    stamp = packet.dts if packet.dts is not None else packet.pts
    return Fraction(-1) if stamp is None else stamp * packet.time_base


def open_segment(path: Path) -> InputContainer:
    """A segment opened for reading."""
    try:
        return open_file(path)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _bad_segment(path, "cannot be read") from error


def _bad_segment(path: Path, what: str) -> VerificationError:
    return VerificationError(f"the segment {what}", where=str(path), todo="retry that segment")
