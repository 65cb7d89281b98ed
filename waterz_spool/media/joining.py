"""Joining segments packet by packet under their true times, beside a copy of every other stream.

Nothing is encoded again. A packet's decode time is the presentation time of an earlier frame (the sorted pts shifted
by the reorder delay), so that decode times stay exact and strictly increasing for any frame timing. Memory does not
grow with the length of the video.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet

from waterz_spool.errors import VerificationError
from waterz_spool.media.container import is_mov
from waterz_spool.media.encode import TICK_MS
from waterz_spool.media.mux import Output, cannot_hold
from waterz_spool.media.source import is_payload, open_source
from waterz_spool.records import EncodeSettings, VideoInfo

_MOST_REORDERED = 16  # more than this no codec reorders
_SAMPLED, _MOST_SAMPLED = 500, 50_000  # packets read to see one of each stream; texts may begin late


class _DelayError(Exception):
    """A packet is decoded later than its frame is shown: the reorder delay was too small."""


def join(
    out: Path,
    segments: Sequence[Path],
    *,
    source: Path,
    info: VideoInfo,
    plan_pts: Sequence[int],
    last_duration: int,
    settings: EncodeSettings,
    counts: Sequence[int],
    drop: Collection[int] = (),
    all_tags: bool | None = None,
) -> None:
    """Write the result.

    Args:
        out: File to write; the container is ``settings.container`` whatever the name.
        segments: Segment files in order.
        source: The source, for everything that is not the video.
        info: The source's facts.
        plan_pts: True pts of all frames in ``info.time_base``.
        last_duration: Duration of the last frame in ``info.time_base``.
        settings: The encode settings all segments were encoded with.
        counts: Frames of each segment.
        drop: Stream indices of the source that the user wants left out.
        all_tags: See ``Output``; None decides by ``needs_all_tags``.

    Raises:
        VerificationError: A segment does not hold its frames, or was encoded with other settings.
        InputError: The container cannot hold something.
    """
    if len(segments) != len(counts) or sum(counts) != len(plan_pts):
        raise VerificationError(
            f"{len(segments)} segments with {sum(counts)} frames do not make {len(plan_pts)} frames",
            where=str(out),
            todo="report this: the plan and the segments disagree",
        )
    if all_tags is None:
        from waterz_spool.media.check import needs_all_tags  # it writes miniatures with this module

        all_tags = needs_all_tags(source, info, settings, drop=drop)
    job = _Job(source=source, info=info, settings=settings, drop=drop, all_tags=all_tags)
    delay, tail = _reordering(segments[0], segments[-1], sum(counts[:-1]))
    for attempt in (delay, _MOST_REORDERED):
        timing = _Timing(plan_pts, last_duration, delay=min(attempt, len(plan_pts) - 1), tail=tail)
        try:
            _write(out, segments, counts, timing, job=job)
            return
        except _DelayError:
            continue
    raise VerificationError("the segments reorder frames too far", where=str(out), todo="report this")


def write_sample(
    out: Path,
    segment: Path,
    *,
    source: Path,
    info: VideoInfo,
    settings: EncodeSettings,
    drop: Collection[int] = (),
    all_tags: bool = False,
) -> None:
    """Write a result of one frame and the first packets of every other stream, to see what the container holds.

    Raises:
        InputError: The container refuses a stream.
    """
    job = _Job(source=source, info=info, settings=settings, drop=drop, all_tags=all_tags, sample=True)
    try:
        _write(out, [segment], [1], _Timing((0,), 1, delay=0, tail=0), job=job)
    except (av.FFmpegError, ValueError) as error:
        raise cannot_hold(settings.container, f"a stream of this video ({error})") from error


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What is written besides the segments."""

    source: Path
    info: VideoInfo
    settings: EncodeSettings
    drop: Collection[int]
    all_tags: bool
    sample: bool = False


class _Timing:
    """True times of frames and packets."""

    def __init__(self, pts: Sequence[int], last_duration: int, *, delay: int, tail: int) -> None:
        self.pts = pts
        self.last_duration = last_duration
        self.delay = delay
        # The sum of all durations in decode order, which MP4 takes for the track's length, must be the video's
        # length: what it lacks at the end (the last packet is not the last frame) is added before the first frame.
        end = pts[-1] + last_duration
        self._lead = end - pts[len(pts) - 1 - delay] - self.duration(tail)

    def duration(self, frame: int) -> int:
        """How long a frame is shown."""
        return self.pts[frame + 1] - self.pts[frame] if frame + 1 < len(self.pts) else self.last_duration

    def dts(self, packet: int) -> int:
        """Decode time of the packet at that place in decode order."""
        if packet >= self.delay:
            return self.pts[packet - self.delay]
        return self.pts[0] - self._lead * (self.delay - packet) // self.delay


def _reordering(first: Path, last: Path, offset: int) -> tuple[int, int]:
    """(frames by which decoding runs ahead, frame of the very last packet)."""
    with _open_segment(first) as container:
        delay = max(container.streams.video[0].codec_context.reorder_depth, 0)
    tail = 0
    with _open_segment(last) as container:
        for packet in _demux(container, container.streams.video[0], last):
            tail = _frame_of(packet)
    return delay, offset + tail


def _frame_of(packet: Packet[Any]) -> int:
    """Frame counter within its segment."""
    return round((packet.pts or 0) * packet.time_base * 1000 / TICK_MS)


def _write(out: Path, segments: Sequence[Path], counts: Sequence[int], timing: _Timing, *, job: _Job) -> None:
    """One attempt with a given reorder delay."""
    with ExitStack() as stack:
        container = stack.enter_context(open_source(job.source))
        first = stack.enter_context(_open_segment(segments[0]))
        output = Output(
            out,
            source=container,
            segment=first,
            info=job.info,
            settings=job.settings,
            drop=job.drop,
            all_tags=job.all_tags,
        )
        stack.enter_context(output.container)
        output.start()
        video = _video_packets(segments, counts, timing, Fraction(*job.info.time_base))
        others = _other_packets(container, job.info, output)
        for packet, stream in _merge(video, _samples(others, output, job) if job.sample else others, output.video):
            packet.stream = stream
            output.container.mux(packet)


def _samples(others: Iterator[tuple[Packet[Any], Any]], output: Output, job: _Job) -> Iterator[tuple[Packet[Any], Any]]:
    """The first packet of every stream; in MP4, which drops empty tracks, a stand-in for texts that begin late."""
    missing = {stream.index: stream for stream in output.by_index.values() if stream.type != "attachment"}
    for number, (packet, stream) in enumerate(islice(others, _MOST_SAMPLED)):
        if missing.pop(stream.index, None) is not None:
            yield packet, stream
        patient = any(other.type in ("audio", "video") for other in missing.values())
        if not missing or (number > _SAMPLED and not patient):
            break
    for stream in missing.values() if is_mov(job.settings.container) else ():
        packet = Packet(b"\0\0\0\0")
        packet.pts, packet.dts, packet.duration, packet.time_base = 0, 0, 1, Fraction(1, 1000)
        yield packet, stream


def _video_packets(
    segments: Sequence[Path], counts: Sequence[int], timing: _Timing, base: Fraction
) -> Iterator[Packet[Any]]:
    """The packets of all segments in decode order with their true times."""
    offset = 0
    extradata: bytes | None = None
    for number, (path, count) in enumerate(zip(segments, counts, strict=True)):
        with _open_segment(path) as container:
            stream = container.streams.video[0]
            if number == 0:
                extradata = stream.codec_context.extradata
            elif stream.codec_context.extradata != extradata:
                raise _bad_segment(path, "was encoded with other settings than the first one")
            done = 0
            for packet in _demux(container, stream, path):
                frame = _frame_of(packet)
                if not 0 <= frame < count or done == count:
                    raise _bad_segment(path, f"holds more than its {count} frames")
                _set_times(packet, timing, place=offset + done, frame=offset + frame, base=base)
                yield packet
                done += 1
            if done != count:
                raise _bad_segment(path, f"holds {done} of its {count} frames")
        offset += count


def _set_times(packet: Packet[Any], timing: _Timing, *, place: int, frame: int, base: Fraction) -> None:
    packet.pts, packet.dts = timing.pts[frame], timing.dts(place)
    packet.duration = timing.duration(frame)
    packet.time_base = base
    if packet.dts > packet.pts:
        raise _DelayError


def _demux(container: InputContainer, stream: Any, path: Path) -> Iterator[Packet[Any]]:
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except av.FFmpegError as error:
        raise _bad_segment(path, "is damaged") from error


def _other_packets(source: InputContainer, info: VideoInfo, output: Output) -> Iterator[tuple[Packet[Any], Any]]:
    """The packets of the copied streams, in the source's own interleaving, with the output stream of each."""
    wanted = [s for s in source.streams if s.index in output.by_index and s.type != "attachment"]
    source.streams[info.stream_index].discard = av.stream.Discard.all
    if not wanted:
        return
    for packet in source.demux(wanted):
        if is_payload(packet):
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


def _open_segment(path: Path) -> InputContainer:
    try:
        container: InputContainer = av.open(str(Path(path).absolute()), "r")
    except (av.FFmpegError, OSError) as error:
        raise _bad_segment(path, "cannot be read") from error
    return container


def _bad_segment(path: Path, what: str) -> VerificationError:
    return VerificationError(f"the segment {what}", where=str(path), todo="retry that segment")
