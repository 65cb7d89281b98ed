"""One exact decode order: frame n of a video is the n-th picture that libav's decoder yields.

Any range of it can be decoded alone; the frames are found by their pts, which the caller knows from one full pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from waterz_spool.errors import InputError
from waterz_spool.media.source import expected_packets, has_places, open_source, read_packets, repair_command
from waterz_spool.media.steadiness import Steadiness
from waterz_spool.records import VideoInfo

MAX_FRAMES = 5_000_000
"""Of a video, 23 hours at 60 per second: the times of all of them are held in memory."""

_STEPS_BACK_S = (0, 1, 4, 16, 64)


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes:
        index: Zero-based decode order.
        pts: Presentation time in ``info.time_base``. Where the container times no frames (``info.counted_pts``): the
            frame's place in an AVI, dropped frames counted; the index itself in a raw stream.
        picture: The ``av.VideoFrame``.
    """

    index: int
    pts: int
    picture: av.VideoFrame

    @property
    def duration(self) -> int:
        """What the container says this frame lasts, in its time base; 0 when it does not say."""
        return int(self.picture.duration)


class _MissedError(Exception):
    """A seek landed where the wanted frame cannot be found."""


def decode(
    path: Path,
    info: VideoInfo,
    *,
    start: int = 0,
    stop: int | None = None,
    pts: Sequence[int] | None = None,
    threads: int = 0,
) -> Iterator[Frame]:
    """Frames [start, stop) in decode order.

    Args:
        path: The source.
        info: What ``probe`` said about it.
        start: First frame.
        stop: One past the last frame; None is all, and then a file that ends early is an error.
        pts: True pts of all frames, or of exactly [start, stop); needed to seek instead of decoding from the start.
        threads: Decoder threads; 0 is as many as there are cores. The frames do not depend on it.

    Yields:
        Frames with strictly increasing pts.

    Raises:
        InputError: Damaged, cut short, or a video whose size, format or clock changes midway.
    """
    known = _known(pts, start, stop)
    if start and known and not info.counted_pts:
        try:
            yield from _decode_near(Path(path), info, known, start=start, threads=threads)
            return
        except _MissedError:
            pass  # the container cannot seek well enough: count from the first frame
    yield from _decode_through(Path(path), info, start=start, stop=stop, known=known, threads=threads)


def last_duration(info: VideoInfo, pts: Sequence[int], last: Frame) -> int:
    """Duration of the last frame in ``info.time_base``: its own, else that of the frame before, else one period."""
    if info.counted_pts:
        return 1
    if last.duration > 0:
        return last.duration
    if len(pts) > 1:
        return pts[-1] - pts[-2]
    if info.average_rate is None:
        return 1
    return max(1, round(1 / (Fraction(*info.average_rate) * Fraction(*info.time_base))))


def _known(pts: Sequence[int] | None, start: int, stop: int | None) -> Sequence[int] | None:
    """The pts of [start, stop), from a full or a local list."""
    if pts is None:
        return None
    if start and stop is not None and len(pts) == stop - start:
        return pts
    return pts[start:stop]


def _decode_through(
    path: Path, info: VideoInfo, *, start: int, stop: int | None, known: Sequence[int] | None, threads: int
) -> Iterator[Frame]:
    """Decode from the first frame and count."""
    count = 0
    if stop is not None and stop <= start:
        return
    with open_source(path) as container:
        stream = _stream(container, info, threads)
        packets = _Packets(container, stream)
        places = packets.places if info.counted_pts and has_places(container) else None
        for frame in _checked(_pictures(packets, path), info, Steadiness(info, path, stream), path, places):
            count += 1
            if frame.index >= start:
                if known is not None and frame.index - start < len(known):
                    _check_pts(frame, known[frame.index - start], path)
                yield frame
            if stop is not None and frame.index + 1 >= stop:
                return
        expected = expected_packets(container, stream) or 0
    if count < (stop or 0):
        raise _too_short(path, count, stop or 0)
    if packets.count < expected or (info.counted_pts and count < expected):
        raise _too_short(path, count, expected)


def _decode_near(path: Path, info: VideoInfo, known: Sequence[int], *, start: int, threads: int) -> Iterator[Frame]:
    """Decode from a keyframe before the first wanted frame; raises _MissedError before yielding anything."""
    with open_source(path) as container:
        stream = _stream(container, info, threads)
        _seek_before(container, stream, known[0])
        done, steady = 0, Steadiness(info, path, stream)
        for picture in _pictures(_Packets(container, stream, skip_to_key=True), path):
            if done == 0 and (picture.pts is None or picture.pts < known[0]):
                continue
            if done == 0 and picture.pts != known[0]:
                raise _MissedError
            frame = Frame(start + done, cast(int, picture.pts), picture)
            _check_pts(frame, known[done], path)
            steady.check(picture, frame.index, frame.pts)
            yield frame
            done += 1
            if done == len(known):
                return
    if done == 0:
        raise _MissedError
    raise _too_short(path, start + done, start + len(known))


def _seek_before(container: InputContainer, stream: VideoStream, wanted: int) -> None:
    """Seek to the keyframe before the last keyframe at or before ``wanted``.

    One keyframe further back than seems needed, because pictures between an open GOP's keyframe and its leading
    pictures refer to the GOP before it.
    """
    near = _keyframe_before(container, stream, wanted)
    far = None if near is None else _keyframe_before(container, stream, near - 1)
    if near is None:
        raise _MissedError
    container.seek(far if far is not None else near, stream=stream)


def _keyframe_before(container: InputContainer, stream: VideoStream, wanted: int) -> int | None:
    """Pts of a keyframe at or before ``wanted`` where a seek to it lands."""
    assert stream.time_base is not None
    for back_s in _STEPS_BACK_S:
        try:
            container.seek(wanted - int(back_s / stream.time_base), stream=stream)
        except av.FFmpegError:
            return None
        key = next((p for p in read_packets(container, stream) if p.is_keyframe and p.size), None)
        if key is not None and key.pts is not None and key.pts <= wanted:
            return key.pts
    return None


def _stream(container: InputContainer, info: VideoInfo, threads: int) -> VideoStream:
    """The video stream with its decoder set up; every other stream is left unread."""
    for other in container.streams:
        if other.index != info.stream_index:
            other.discard = av.stream.Discard.all
    stream = container.streams[info.stream_index]
    assert isinstance(stream, VideoStream)
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = threads
    return stream


class _Packets:
    """The video's packets, counted; the last one is the mark that flushes the decoder."""

    def __init__(self, container: InputContainer, stream: VideoStream, *, skip_to_key: bool = False) -> None:
        self._packets = read_packets(container, stream)
        self._waiting = skip_to_key
        self.count = 0
        self.places: list[int] = []

    def __iter__(self) -> Iterator[Packet[VideoStream]]:
        for packet in self._packets:
            self._waiting = self._waiting and not packet.is_keyframe
            end = packet.dts is None and not packet.size
            self.count += not end
            if packet.size:
                self.places.append(packet.dts if packet.dts is not None else len(self.places))
            # An empty packet (a dropped frame in AVI) would be taken for the end by the decoder.
            if not self._waiting and (packet.size or end):
                yield packet


def _pictures(packets: _Packets, path: Path) -> Iterator[av.VideoFrame]:
    """Pictures in decoder order; a packet that cannot be decoded is an error, never a gap."""
    count = 0
    try:
        for packet in packets:
            for picture in packet.decode():
                count += 1
                yield picture
    except (av.FFmpegError, EOFError) as error:
        raise InputError(
            f"the video is damaged or cut short: decoding stops after {count} frames",
            where=str(path),
            todo="copy or download it again; frames that are missing cannot be restored",
        ) from error


def _checked(
    pictures: Iterator[av.VideoFrame], info: VideoInfo, steady: Steadiness, path: Path, places: Sequence[int] | None
) -> Iterator[Frame]:
    """Pictures as frames, with pts that strictly increase.

    In AVI the n-th picture shown takes the place of the n-th packet: places without a packet are dropped frames.
    """
    before: int | None = None
    for index, picture in enumerate(pictures):
        if index >= MAX_FRAMES:
            raise InputError(f"the video has more than {MAX_FRAMES} frames", where=str(path), todo="split it")
        pts = picture.pts
        if info.counted_pts:
            pts = index if places is None else next(iter(places[index : index + 1]), None)
        if pts is None or (before is not None and pts <= before):
            raise _unusable_time(path, info, index, before, pts)
        steady.check(picture, index, pts)
        before = pts
        yield Frame(index, pts, picture)


def _unusable_time(path: Path, info: VideoInfo, index: int, before: int | None, pts: int | None) -> InputError:
    """The error for a frame without a time, or with one that does not rise, as in recordings put end to end."""
    base = Fraction(*info.time_base)
    times = [f"{float(time * base):.3f} s" for time in (before, pts) if time is not None]
    return InputError(
        f"frame {index} has no usable time stamp ({' is followed by '.join(times) or 'none'})",
        where=str(path),
        todo="repair the file first: " + repair_command(path),
    )


def _check_pts(frame: Frame, expected: int, path: Path) -> None:
    if frame.pts != expected:
        raise InputError(
            f"frame {frame.index} has pts {frame.pts}, the plan says {expected}: the file is not the one planned",
            where=str(path),
            todo="submit the video again",
        )


def _too_short(path: Path, count: int, wanted: int) -> InputError:
    return InputError(
        f"the video is cut short: {count} of {wanted} frames can be decoded",
        where=str(path),
        todo="copy or download it again; frames that are missing cannot be restored",
    )
