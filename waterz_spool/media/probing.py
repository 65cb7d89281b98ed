"""What a source is, from its headers and its first frame."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from waterz_spool.errors import InputError
from waterz_spool.media.combing import is_combed
from waterz_spool.media.intact import check_intact
from waterz_spool.media.pixels import planes, work_format
from waterz_spool.media.source import (
    MAX_PIXELS,
    chroma_location,
    codec_name,
    content_light,
    counted_rate,
    display_matrix,
    dynamic_hdr,
    films,
    is_chapter_track,
    is_picture,
    mastering_display,
    open_source,
    read_pictures,
    video_streams,
)
from waterz_spool.media.steadiness import colours, interlaced
from waterz_spool.records import Ratio, StreamInfo, VideoInfo

_INTERLACED = (2, 3, 4, 5)  # AVFieldOrder TT, BB, TB, BT


def probe(path: Path, *, place: int | None = None) -> VideoInfo:
    """Facts about a video, without decoding more than its first frame.

    Args:
        path: The file.
        place: Which of its streams of pictures is the video, covers not counted; None finds out.

    Raises:
        InputError: Missing, not a video, cut short, without a single frame, or of a kind that would not survive.
    """
    path = Path(path)
    with open_source(path) as container:
        check_intact(path, container)
        moving = films(container, path) if place is None else video_streams(container)[place : place + 1]
        if not moving:
            raise InputError("a video stream is missing", where=str(path), todo="make the file again")
        stream = moving[0]
        chroma = chroma_location(container, stream)  # before a decoder has threads: they would wait for the log
        frame = _first_frame(container, stream, path)
        _refuse_unsupported(stream, frame, path)
        if counted_rate(container, stream) is None:
            _refuse_start(frame, path)
        return _info(container, stream, frame, {s.index for s in moving}, chroma=chroma)


def place_in_result(info: VideoInfo, drop: Collection[int]) -> int:
    """Which stream of pictures of a result without the streams ``drop`` is the video, covers not counted."""
    before = (s for s in info.streams if s.index < info.stream_index and s.index not in drop)
    return sum(s.kind == "video" and not s.cover for s in before)


def _first_frame(container: InputContainer, stream: VideoStream, path: Path) -> av.VideoFrame:
    """The first picture the decoder yields."""
    if stream.codec_context is None:
        raise InputError(
            "there is no decoder for this video", where=str(path), todo="convert it to H.264, HEVC, VP9 or ProRes"
        )
    stream.thread_type = "AUTO"
    if not 0 < stream.width * stream.height <= MAX_PIXELS:
        raise InputError(
            f"the picture is larger than {MAX_PIXELS // 1_000_000} megapixels, or its size is damaged",
            where=f"{path}: {stream.width}x{stream.height}",
            todo="scale it down first",
        )
    try:
        frame = next(read_pictures(container, stream), None)
    except (av.FFmpegError, EOFError) as error:
        raise InputError(
            "the first frame cannot be decoded: the file is damaged",
            where=str(path),
            todo="copy or download it again",
        ) from error
    if frame is None:
        raise InputError("the video has no frames", where=str(path), todo="give a video with at least one frame")
    return frame


def _refuse_unsupported(stream: VideoStream, frame: av.VideoFrame, path: Path) -> None:
    """What cannot be given back as it came is refused now, not after hours of work."""
    work_format(frame.format.name)
    if frame.interlaced_frame:
        raise interlaced("the video is interlaced", path)
    if _called_interlaced(stream) and is_combed(planes(frame)[0], work_format(frame.format.name).bits):
        raise interlaced("the video is interlaced: frame 0 is woven of two moments", path)
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    if tags.get("alpha_mode") == "1" and not work_format(frame.format.name).alpha:
        raise InputError(
            "the video has an alpha channel that this decoder drops",
            where=str(path),
            todo="convert it first, by a decoder that keeps it: "
            f"ffmpeg -c:v libvpx{'-vp9' if codec_name(stream) == 'vp9' else ''} -i IN -map 0 -c copy -c:v ffv1 OUT.mkv",
        )


def _refuse_start(frame: av.VideoFrame, path: Path) -> None:
    """No output can begin before zero, where a transport stream does that was recorded across its clock's wrap."""
    if frame.pts is None:
        raise InputError(
            "the first frames of the video have no time stamp",
            where=str(path),
            todo="let them get one, without loss: ffmpeg -i IN -map 0 -c copy -c:v ffv1 OUT.mkv",
        )
    if frame.pts < 0:
        begin_s = float(frame.pts * (frame.time_base or 1))
        raise InputError(
            f"the video begins at {begin_s:.3f} s, and nothing can be written before 0 "
            "(the clock of a recording that runs for more than a day begins anew)",
            where=str(path),
            todo="shift its times first: ffmpeg -i IN -map 0 -c copy -avoid_negative_ts make_zero OUT.mkv",
        )


def _info(
    container: InputContainer, stream: VideoStream, frame: av.VideoFrame, moving: set[int], *, chroma: str
) -> VideoInfo:
    """All facts in one record."""
    counted = counted_rate(container, stream)
    rate = counted or stream.average_rate or stream.base_rate
    base = 1 / counted if counted else stream.time_base
    assert base is not None
    work = work_format(frame.format.name)
    range_, matrix, primaries, transfer = colours(frame)
    return VideoInfo(
        container=container.format.name,
        stream_index=stream.index,
        codec=codec_name(stream),
        pix_fmt=frame.format.name,
        width=frame.width,
        height=frame.height,
        bits=work.bits,
        time_base=(base.numerator, base.denominator),
        average_rate=(rate.numerator, rate.denominator) if rate else None,
        duration_s=_duration_s(container, stream),
        frames_hint=stream.frames or None,
        rotation=round(frame.rotation / 90) * 90 % 360,
        sample_aspect=_ratio(stream.sample_aspect_ratio),
        color_range=range_,
        colorspace=matrix,
        color_primaries=primaries,
        color_trc=transfer,
        streams=tuple(_stream_info(s, film=s.index in moving) for s in container.streams if not is_chapter_track(s)),
        chapters=len(container.chapters()),
        profile=stream.codec_context.profile or "",
        codec_tag=codec_tag(stream),
        counted_pts=counted is not None,
        display_matrix=display_matrix(frame),
        mastering_display=mastering_display(frame),
        content_light=content_light(frame),
        dynamic_hdr=dynamic_hdr(frame),
        called_interlaced=_called_interlaced(stream),
        chroma_location=chroma if (work.shift_x, work.shift_y) == (1, 1) else "",
    )


def _called_interlaced(stream: VideoStream) -> bool:
    return stream.codec_context.field_order in _INTERLACED


def codec_tag(stream: Any) -> str:
    """The container's four-character code; empty when it is none."""
    try:
        tag = str(stream.codec_context.codec_tag)
    except UnicodeDecodeError:
        return ""
    return tag if tag.isprintable() else ""


def _stream_info(stream: Any, *, film: bool) -> StreamInfo:
    return StreamInfo(
        index=stream.index,
        kind=stream.type,
        codec=codec_name(stream),
        language=stream.metadata.get("language", ""),
        default=bool(stream.disposition & av.stream.Disposition.default),
        film=film,
        cover=stream.type == "video" and is_picture(stream),
    )


def _duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None


def _ratio(value: Fraction | None) -> Ratio | None:
    """A sample aspect ratio; None when it is unknown or square by default."""
    return (value.numerator, value.denominator) if value else None
