"""Opening a user's file for reading: only real video containers, only this file, errors in the user's words."""

from __future__ import annotations

import errno
import re
import shlex
import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any, cast

import av
from av import logging as libav_log
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import SideData
from av.video.stream import VideoStream

from waterz_spool.errors import InputError
from waterz_spool.media.kinds import not_a_video

# Playlists, subtitles, text art and picture sequences also "open" in libav; a video is one of these.
_FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,nut,mxf,h264,hevc,m4v,ivf,obu,av1,yuv4mpegpipe,"
    "dv,gif,apng,rm,wtv,gxf,mpegtsraw,vc1,mjpeg,lavf"
)
_PICTURES = "png_pipe,jpeg_pipe,bmp_pipe,tiff_pipe,webp_pipe,pgm_pipe,pbm_pipe,ppm_pipe"
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
MAX_PIXELS = 100_000_000
"""Of a picture; what claims more is not decoded, because memory could not hold a few of them."""
DYNAMIC_HDR = {
    "DOVI_METADATA": "Dolby Vision",
    "DOVI_RPU_BUFFER": "Dolby Vision",
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
}
"""Side data of frames that is metadata for every frame: the name by which people know it."""
_MANY_FRAMES = 300
_LOCATIONS = ("left", "center", "topleft", "top", "bottomleft", "bottom")
_LISTENING = Lock()
_COUNTED = {"avi", "h264", "hevc", "m4v", "mpegvideo", "vc1", "mjpeg", "obu", "av1"}


@contextmanager
def open_source(path: Path) -> Iterator[InputContainer]:
    """The file opened for demuxing; nothing else on disk or network is ever touched through it.

    Raises:
        InputError: Missing, unreadable or not a video.
    """
    try:
        container = open_file(path)
    except FileNotFoundError as error:
        raise InputError("there is no such file", where=str(path), todo="check the name") from error
    except PermissionError as error:
        raise InputError("the file cannot be read", where=str(path), todo="check its permissions") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise not_a_video(path) from error
    with container:
        yield container


def open_file(path: Path, form: str | None = None) -> InputContainer:
    """One regular file opened by libav, as one of the formats above or the given one; no picture may be too large.

    Raises:
        OSError: It cannot be opened, or is no regular file: opening a pipe could wait for ever.
        av.FFmpegError: libav knows no such format.
    """
    path = Path(path).absolute()
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    limits = {"max_pixels": str(MAX_PIXELS)}
    container: InputContainer = av.open(
        str(path), "r", format=form, options=limits, container_options=_OPTIONS, metadata_errors="replace"
    )
    for stream in container.streams.video:
        if stream.codec_context is not None:
            stream.codec_context.options = dict(limits)
    return container


def check_picture(path: Path) -> None:
    """Refuse a picture file that would need too much memory, from its header alone.

    Raises:
        InputError: It is larger than MAX_PIXELS, or none of the usual kinds.
    """
    refusal = InputError(
        "the picture cannot be read, or is larger than 100 megapixels", where=str(path), todo="give a PNG"
    )
    kinds = {**_OPTIONS, "format_whitelist": _PICTURES}
    limits = {"max_pixels": str(MAX_PIXELS)}
    try:
        with av.open(str(Path(path).absolute()), "r", options=limits, container_options=kinds) as container:
            stream = next(iter(container.streams.video), None)
            if stream is None or not 0 < stream.width * stream.height <= MAX_PIXELS:
                raise refusal
    except (av.FFmpegError, OSError, ValueError) as error:
        raise refusal from error


def repair_command(path: Path) -> str:
    """A command of another program that gives a file new times where they go back, as in recordings put end to end."""
    return f"ffmpeg -i {shlex.quote(path.name)} -map 0 -c copy fixed.mkv"


def is_chapter_track(stream: Any) -> bool:
    """Whether a stream is only the MP4 carrier of the chapter list, which libav rewrites from the chapters."""
    return bool(stream.discard == av.stream.Discard.all) and not codec_name(stream).startswith("tmcd")


def is_picture(stream: Any) -> bool:
    """Whether a video stream is a cover picture and not the video."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def films(container: InputContainer, path: Path) -> list[VideoStream]:
    """Streams of moving pictures: first the one that is the video, which is the default one, else the first.

    Neither a cover picture is one, whatever its flags, nor a stream of one frame beside one of many.

    Raises:
        InputError: There is none.
    """
    streams = moving = video_streams(container)
    if not streams:
        raise InputError("there is no video stream in this file", where=str(path), todo="give a file with video")
    if len(streams) > 1:
        stills = _stills(path, streams)
        moving = [s for s in streams if s.index not in stills] or streams
    return sorted(moving, key=lambda s: (not s.disposition & av.stream.Disposition.default, s.index))


def video_streams(container: InputContainer) -> list[VideoStream]:
    """Streams of pictures that are no covers."""
    return [s for s in container.streams.video if not is_picture(s)]


def _stills(path: Path, streams: list[VideoStream]) -> set[int]:
    """Those of several video streams that have no second frame while another one has many."""
    counts = dict.fromkeys((s.index for s in streams), 0)
    with open_source(path) as container:
        for packet in read_packets(container, [container.streams[index] for index in counts]):
            counts[packet.stream_index] += bool(packet.size)
            if min(counts.values()) > 1 or max(counts.values()) >= _MANY_FRAMES:
                break
        else:
            return {index for index, count in counts.items() if count < 2}
    return {s.index for s in streams if counts[s.index] == 1 and s.frames < 2}


def read_packets(container: InputContainer, streams: Any) -> Iterator[Packet[Any]]:
    """The packets of one or several streams, in the file's order, and an empty one for each at the end.

    PyAV's own generator frees its read buffer when it is closed, but not when it is dropped halfway; this one, when
    dropped, closes it.
    """
    yield from container.demux(streams)


def read_pictures(container: InputContainer, stream: Any) -> Iterator[av.VideoFrame]:
    """Decoded pictures, in the decoder's order; read through ``read_packets`` for its reason."""
    for packet in read_packets(container, stream):
        yield from packet.decode()


def is_payload(packet: Any) -> bool:
    """Whether a packet is content: neither a demuxer's end mark nor the blank between two MP4 texts.

    MP4 fills the time between texts with empty ones, which its muxer adds anew.
    """
    if packet.size <= 2 and packet.stream.type == "subtitle" and codec_name(packet.stream) == "mov_text":
        return False
    return bool(packet.size) or packet.dts is not None or packet.pts is not None


def codec_name(stream: Any) -> str:
    """Libav's canonical codec name, or the four-character tag of what it does not know, or ""."""
    context = stream.codec_context
    if context is not None:
        return str(context.codec.canonical_name)
    return str(getattr(stream, "name", None) or "") if stream.type == "data" else ""


def counted_rate(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Frame rate by which frames are counted where the container times none; None where it times them."""
    names = set(container.format.name.split(","))
    if not names & _COUNTED:
        return None
    # Raw demuxers report 25 whatever the stream's own headers say; those are in the decoder's rate.
    rate = stream.average_rate if "avi" in names else stream.codec_context.framerate or stream.average_rate
    return rate or Fraction(25)


def expected_packets(container: InputContainer, stream: VideoStream) -> int | None:
    """Video packets that a complete file must yield, where its index tells: MP4/MOV and AVI."""
    names = set(container.format.name.split(","))
    if names & {"mov", "mp4", "avi"} and len(stream.index_entries):
        return sum(1 for entry in stream.index_entries if not entry.is_discard)
    return None


def has_places(container: InputContainer) -> bool:
    """Whether packets of a container that times no frames at least know their place: in AVI, with dropped frames."""
    return container.format.name == "avi"


def side_entries(frame: av.VideoFrame) -> Sequence[SideData]:
    """A frame's side data; its type calls it a mapping, and it is iterated like a sequence."""
    return cast("Sequence[SideData]", frame.side_data)


def side_data(frame: av.VideoFrame, name: str) -> bytes | None:
    """Raw bytes of a frame's side data of that ``av.sidedata.Type``; None when absent."""
    for entry in side_entries(frame):
        if entry.type.name == name:
            return bytes(entry)
    return None


def mastering_display(frame: av.VideoFrame) -> tuple[tuple[int, int], ...] | None:
    """SMPTE ST 2086 values (AVMasteringDisplayMetadata): R, G, B, white x and y, least and greatest luminance."""
    data = side_data(frame, "MASTERING_DISPLAY_METADATA")
    if data is None:
        return None
    numbers = struct.unpack("=20i2i", data[:88])
    return tuple((numbers[i], numbers[i + 1]) for i in range(0, 20, 2))


def content_light(frame: av.VideoFrame) -> tuple[int, int] | None:
    """CTA-861.3 MaxCLL and MaxFALL in cd/m2."""
    data = side_data(frame, "CONTENT_LIGHT_LEVEL")
    if data is None:
        return None
    cll, fall = struct.unpack("=2I", data[:8])
    return int(cll), int(fall)


def dynamic_hdr(frame: av.VideoFrame) -> str:
    """Kinds of HDR metadata that every frame carries anew, in words; "" when there are none."""
    kinds = {entry.type.name for entry in side_entries(frame)}
    return " and ".join(dict.fromkeys(name for kind, name in DYNAMIC_HDR.items() if kind in kinds))


def display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """The nine integers of the display matrix."""
    data = side_data(frame, "DISPLAYMATRIX")
    return None if data is None else struct.unpack("=9i", data[:36])


def chroma_location(container: Any, stream: VideoStream) -> str:
    """Where chroma samples lie between those of luma, in libav's word; "" when nothing says.

    PyAV hands out no such field. libav prints it in its description of a file, for who wants to know much. To be asked
    before anything of the file is decoded: a decoder's threads that log meanwhile wait for this one, and this one for
    them as soon as it closes the file.
    """
    with _LISTENING:
        level = libav_log.get_level()
        libav_log.set_level(libav_log.VERBOSE)
        libav_log.set_libav_level(libav_log.VERBOSE)
        try:
            described = container.dumps_format()
        finally:
            libav_log.set_libav_level(libav_log.INFO)
            libav_log.set_level(level)
    line = re.search(rf"^  Stream #0:{stream.index}\b.*", described, re.MULTILINE)
    found = re.search(rf"[(,] ?({'|'.join(_LOCATIONS)})[,)]", line[0]) if line else None
    return found[1] if found else ""
