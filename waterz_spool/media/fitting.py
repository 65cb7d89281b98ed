"""Whether encoded packets can stand beside copied ones in one stream, and with which settings of the encoder.

One frame is encoded and looked at: what it takes to decode it must be what the source's own stream takes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av
import msgspec

from waterz_spool.errors import WaterzError
from waterz_spool.media.container import FORMATS
from waterz_spool.media.decoding import decode
from waterz_spool.media.encode import SegmentEncoder
from waterz_spool.media.groups import INTRA, NoCopyError
from waterz_spool.media.settings import prores_tag
from waterz_spool.media.source import codec_name, open_source, read_packets, read_pictures
from waterz_spool.media.steadiness import colours
from waterz_spool.media.units import UnitsError, h264_numbers, h264_sequences, h264_sets, hevc_sets
from waterz_spool.records import EncodeSettings, VideoInfo

_SOURCES = {"mov", "mp4", "matroska"}  # libav's names of containers that hold packets as results do
_CONTAINERS = ("mp4", "m4v", "mov", "mkv")
_H264_PROFILES = {66: "baseline", 77: "main", 100: "high", 110: "high10", 122: "high422", 244: "high444"}
_MOST_NUMBERS = 32
_FEWER_B = ("", "b-pyramid=none", "bframes=0")
_DNXHD_KIND = slice(40, 44)  # SMPTE ST 2019-1: the compression ID
_HEVC_PROFILE = 1


@dataclass(frozen=True)
class _Trial:
    """What a stream takes to be decoded."""

    extradata: bytes | None
    depth: int
    first: bytes
    pix_fmt: str
    size: tuple[int, int]
    colours: tuple[int, ...]


def check_kind(info: VideoInfo, settings: EncodeSettings) -> None:
    """Refuse what is not tried, from the facts alone.

    Raises:
        NoCopyError: Packets of this source cannot stand in this result.
    """
    if info.codec not in ("h264", "hevc", *INTRA):
        raise NoCopyError(f"{info.codec} is not copied")
    if av.Codec(settings.codec, "w").canonical_name != info.codec:
        raise NoCopyError(f"the result is encoded by {settings.codec}")
    if not _SOURCES & set(info.container.split(",")) or settings.container not in _CONTAINERS:
        raise NoCopyError(f"packets are not copied from {info.container} to {FORMATS[settings.container]}")
    if info.dynamic_hdr or info.called_interlaced:
        raise NoCopyError("the result says other things of its frames than the source")


def fit(source: Path, info: VideoInfo, settings: EncodeSettings, delay: int) -> EncodeSettings:
    """Settings by which encoded packets fit the source's.

    Args:
        source: The video.
        info: Its facts.
        settings: The job's encode settings.
        delay: Frames by which decoding runs ahead of showing in the source.

    Raises:
        NoCopyError: There are none.
    """
    try:
        own = _trial(source, info)
        for tried in _candidates(info, settings, own):
            made = _encoded(source, info, tried)
            if made.depth <= delay and _fits(info, tried, own, made):
                return tried
    except (WaterzError, UnitsError, av.FFmpegError) as error:
        raise NoCopyError(str(error).splitlines()[0]) from error
    raise NoCopyError("the encoder's stream does not fit the source's")


def _candidates(info: VideoInfo, settings: EncodeSettings, own: _Trial) -> Iterator[EncodeSettings]:
    """The same settings with what the source's stream asks for, and less and less reordering."""
    if info.codec == "h264":
        plain = _with(settings, "x264-params", _h264_words(own), profile=_h264_profile(own))
        yield from (_with(plain, "x264-params", word) for word in _FEWER_B)
    elif info.codec == "hevc":
        yield from (_with(settings, "x265-params", word.replace("=none", "=0")) for word in _FEWER_B)
    else:
        yield settings


def _with(settings: EncodeSettings, key: str, words: str, **more: str) -> EncodeSettings:
    if words:
        more[key] = ":".join(filter(None, (settings.options.get(key, ""), words)))
    return msgspec.structs.replace(settings, options={**settings.options, **more})


def _h264_words(own: _Trial) -> str:
    """A number that the source's own parameter sets do not have, and no more references."""
    sets = h264_sets(own.extradata)
    known = h264_sequences(sets)
    if not all(sequence.frames_only for sequence in known):
        raise NoCopyError("its pictures may be fields")
    free = next((n for n in range(_MOST_NUMBERS) if n not in h264_numbers(sets)), None)
    if free is None:
        raise NoCopyError("it has too many parameter sets")
    return f"sps-id={free}:ref={max(1, min(3, *(sequence.references for sequence in known)))}"


def _h264_profile(own: _Trial) -> str:
    profiles = {sequence.profile for sequence in h264_sequences(h264_sets(own.extradata))}
    if len(profiles) != 1 or not profiles <= set(_H264_PROFILES):
        raise NoCopyError("its profile is none that the encoder has")
    return _H264_PROFILES[profiles.pop()]


def _fits(info: VideoInfo, settings: EncodeSettings, own: _Trial, made: _Trial) -> bool:
    """Whether a decoder of the source's stream decodes the encoded one to the same kind of pictures."""
    if (own.pix_fmt, own.size, own.colours) != (made.pix_fmt, made.size, made.colours):
        raise NoCopyError("the encoder's pictures are of another kind than the source's")
    if info.codec == "h264":
        ours, theirs = (h264_sequences(h264_sets(each.extradata)) for each in (made, own))
        return _within(ours[0], theirs)
    if info.codec == "hevc":
        a, b = (hevc_sets(each.extradata).head[_HEVC_PROFILE] & 31 for each in (own, made))
        return a == b
    if info.codec == "dnxhd":
        return own.first[_DNXHD_KIND] == made.first[_DNXHD_KIND]
    if info.codec == "prores":
        return prores_tag(settings) == info.codec_tag
    return own.extradata == made.extradata


def _within(ours: Any, theirs: Any) -> bool:
    return all(
        (ours.profile, ours.chroma, ours.bits) == (each.profile, each.chroma, each.bits)
        and ours.references <= max(each.references, 1)
        for each in theirs
    )


def _trial(path: Path, info: VideoInfo, index: int | None = None) -> _Trial:
    """What the stream of a file takes, from its header, its first packet and its first picture."""
    place = info.stream_index if index is None else index
    with open_source(path) as container:
        stream: Any = container.streams[place]
        context = stream.codec_context
        extradata, depth = context.extradata, context.reorder_depth
        first = next(bytes(p) for p in read_packets(container, stream) if p.size)
    with open_source(path) as container:
        stream = container.streams[place]
        frame = next(read_pictures(container, stream))
        if codec_name(stream) != info.codec:
            raise NoCopyError("the encoder writes another codec")
        size = frame.width, frame.height
        return _Trial(extradata, depth, first, frame.format.name, size, tuple(colours(frame)))


def _encoded(source: Path, info: VideoInfo, settings: EncodeSettings) -> _Trial:
    """The same of a segment of one frame."""
    with tempfile.TemporaryDirectory(prefix="waterz-fit-") as folder:
        segment = Path(folder) / "segment"
        with SegmentEncoder(segment, settings, info) as encoder:
            for frame in islice(decode(source, info, threads=1), 1):
                encoder.write(frame)
        return _trial(segment, info, 0)
