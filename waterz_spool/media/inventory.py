"""What of a file must survive beside its frames: streams, tags, chapters, dispositions, geometry, colours, HDR.

Two inventories are compared before any work, on a miniature of the result, to name what a container cannot hold; and
after the work, on the result itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from waterz_spool.media.copies import copied_streams, kind_of, reel_name
from waterz_spool.media.mux import plain_tags, stream_tags, video_tags
from waterz_spool.media.pixels import work_format
from waterz_spool.media.source import codec_name, is_picture, open_source, read_packets, read_pictures, side_data
from waterz_spool.records import Ratio, VideoInfo

Tags = dict[str, str]

_GLOBAL_SIDE_DATA = ("STEREO3D", "SPHERICAL", "ICC_PROFILE", "AMBIENT_VIEWING_ENVIRONMENT")
_WRITER_TAGS = {"handler_name", "language", "filename", "mimetype", "encoding_tool"}
_CHAPTER_TICK = Fraction(1, 1000)


@dataclass(frozen=True, kw_only=True)
class StreamFacts:
    """One copied stream."""

    index: int
    kind: str
    codec: str
    language: str
    dispositions: frozenset[str]
    tags: Tags

    def __str__(self) -> str:
        language = f" ({self.language})" if self.language else ""
        return f"stream {self.index} {self.kind} {self.codec or 'of unknown kind'}{language}"


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """Everything of a file that must survive, without its frames and packets."""

    video: VideoInfo
    video_facts: StreamFacts
    side_data: Mapping[str, bytes]
    streams: tuple[StreamFacts, ...]
    files: tuple[tuple[str, str, str], ...]  # attachments and pictures: name, type, sha256
    tags: Tags
    chapters: tuple[tuple[Fraction, Fraction, Tags], ...]


def inventory(path: Path, info: VideoInfo, drop: Collection[int] = ()) -> Inventory:
    """The inventory of a source or of a result."""
    with open_source(path) as container:
        streams = copied_streams(container, info, drop)
        files = [_file(path, s) for s in streams if s.type == "attachment" or is_picture(s)]
        return Inventory(
            video=info,
            video_facts=_video_facts(container, container.streams[info.stream_index]),
            side_data=_side_data(path, info),
            streams=tuple(_facts(s) for s in streams if s.type != "attachment" and not is_picture(s)),
            files=tuple(sorted(files)),
            tags=_tags(plain_tags(container.metadata)),
            chapters=tuple(_chapter(c) for c in container.chapters()),
        )


def differences(source: Inventory, result: Inventory) -> list[str]:
    """What the result lacks or has changed, in words; empty when everything survived."""
    return [
        *_video_differences(source, result),
        *_stream_differences(source, result),
        *(f"attachment {name} ({kind})" for name, kind, _ in _missing_files(source, result)),
        *_tag_differences("tag", source.tags, result.tags),
        *_chapter_differences(source, result),
    ]


def _video_facts(container: Any, stream: Any) -> StreamFacts:
    return _facts(stream, tags=video_tags(stream.metadata) | reel_name(container, stream))


def _facts(stream: Any, *, tags: Mapping[str, str] | None = None) -> StreamFacts:
    tags = stream_tags(stream.metadata) if tags is None else tags
    language = stream.metadata.get("language", "")
    return StreamFacts(
        index=stream.index,
        kind=stream.type,
        codec=kind_of(stream),
        language="" if language == "und" else language,
        dispositions=frozenset(flag.name for flag in av.stream.Disposition if stream.disposition & flag and flag.name),
        tags={k: v for k, v in _tags(tags).items() if k not in _WRITER_TAGS and k != "creation_time"},
    )


def _tags(tags: Mapping[str, str]) -> Tags:
    """Tags under one spelling of their names: Matroska writes them in capitals."""
    return {key.lower(): value for key, value in tags.items()}


def _file(path: Path, stream: Any) -> tuple[str, str, str]:
    """An attachment or cover picture: name, type, digest."""
    if stream.type == "attachment":
        data = bytes(stream.data)
    else:
        with open_source(path) as container:  # a fresh one: raw streams cannot seek back
            data = next((bytes(p) for p in read_packets(container, container.streams[stream.index]) if p.size), b"")
    kind = stream.metadata.get("mimetype") or codec_name(stream)
    return stream.metadata.get("filename", ""), kind, hashlib.sha256(data).hexdigest()


def _side_data(path: Path, info: VideoInfo) -> dict[str, bytes]:
    """Side data that belongs to the whole stream and that no field of VideoInfo holds."""
    with open_source(path) as container:
        frame = next(read_pictures(container, container.streams[info.stream_index]), None)
        found = {name: side_data(frame, name) for name in _GLOBAL_SIDE_DATA} if frame is not None else {}
    return {name: data for name, data in found.items() if data is not None}


def _chapter(chapter: Mapping[str, Any]) -> tuple[Fraction, Fraction, Tags]:
    base = chapter["time_base"]
    return chapter["start"] * base, chapter["end"] * base, _tags(chapter["metadata"])


def _video_differences(source: Inventory, result: Inventory) -> list[str]:
    a, b = source.video, result.video
    wanted, got = work_format(a.pix_fmt), work_format(b.pix_fmt)
    checks = [
        ("picture size", (a.width, a.height), (b.width, b.height)),
        ("chroma layout", (wanted.family, wanted.shift_x, wanted.shift_y, wanted.alpha), _layout(b)),
        ("bit depth", wanted.bits, min(wanted.bits, got.bits)),
        ("rotation", _matrix(a), _matrix(b)),
        ("sample aspect ratio", _aspect(a.sample_aspect), _aspect(b.sample_aspect)),
        ("colour range", *_range_pair(a, b)),
        *_colour_checks(a, b),
        ("chroma location", a.chroma_location, a.chroma_location and _location(b)),
        ("dynamic HDR metadata", "", b.dynamic_hdr),
        ("mastering display", _display(a), _display(b)),
        ("content light level", a.content_light, b.content_light),
    ]
    found = [f"{name} of the video ({x} becomes {y})" for name, x, y in checks if x != y]
    found += [
        f"{name.lower().replace('_', ' ')} of the video"
        for name, data in source.side_data.items()
        if result.side_data.get(name) != data
    ]
    return found + _one_stream(source.video_facts, result.video_facts, defaults=True)


def _layout(info: VideoInfo) -> tuple[str, int, int, bool]:
    work = work_format(info.pix_fmt)
    return work.family, work.shift_x, work.shift_y, work.alpha


def _matrix(info: VideoInfo) -> tuple[int, ...] | None:
    identity = (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    return None if info.display_matrix == identity else info.display_matrix


def _aspect(ratio: Ratio | None) -> Ratio:
    return ratio or (1, 1)


def _range_pair(a: VideoInfo, b: VideoInfo) -> tuple[int, int]:
    """Unspecified is what every decoder takes for limited (yuv): a new file may say so."""
    return (a.color_range or 1, b.color_range or 1) if work_format(a.pix_fmt).family != "rgb" else (0, 0)


def _colour_checks(a: VideoInfo, b: VideoInfo) -> list[tuple[str, int, int]]:
    matrix_matters = work_format(a.pix_fmt).family == "yuv"
    return [
        *([("colour matrix", a.colorspace, b.colorspace)] if matrix_matters else []),
        ("colour primaries", a.color_primaries, b.color_primaries),
        ("transfer characteristics", a.color_trc, b.color_trc),
    ]


def _location(info: VideoInfo) -> str:
    """What nothing says is left, as every standard since MPEG-2 has it."""
    return info.chroma_location or "left"


def _display(info: VideoInfo) -> tuple[int, ...] | None:
    """Mastering display in the units of the standard, which is how bitstreams store it."""
    if info.mastering_display is None:
        return None
    scales = [50_000] * 8 + [10_000] * 2
    return tuple(round(n * s / d) for (n, d), s in zip(info.mastering_display, scales, strict=True))


def _stream_differences(source: Inventory, result: Inventory) -> list[str]:
    found = []
    for kind in dict.fromkeys(s.kind for s in source.streams):
        wanted = [s for s in source.streams if s.kind == kind]
        got = [s for s in result.streams if s.kind == kind]
        found += [str(s) for s in wanted[len(got) :]]
        defaults = any("default" in s.dispositions for s in wanted)
        for a, b in zip(wanted, got, strict=False):
            found += _one_stream(a, b, defaults=defaults, codec=True)
    return found


def _one_stream(a: StreamFacts, b: StreamFacts, *, defaults: bool, codec: bool = False) -> list[str]:
    """Differences of one stream; where no stream of a kind is the default, MP4 makes the first one so."""
    ignored = set() if defaults else {"default"}
    found = [f"{a} ({_becomes(a, b)})"] if codec and a.codec != b.codec else []
    if a.language != b.language:
        found.append(f"language of {a}")
    lost = sorted((a.dispositions ^ b.dispositions) - ignored)
    found += [f"disposition {name} of {a}" for name in lost if name != "default" or codec]
    return found + _tag_differences(f"tag of {a}:", a.tags, b.tags)


def _becomes(a: StreamFacts, b: StreamFacts) -> str:
    return "what its data mean would be lost" if a.kind == "data" else f"it becomes {b.codec or 'of unknown kind'}"


def _missing_files(source: Inventory, result: Inventory) -> list[tuple[str, str, str]]:
    got = {digest for _, _, digest in result.files}
    names = {(name, digest) for name, _, digest in result.files}
    return [f for f in source.files if f[2] not in got or (f[0] and (f[0], f[2]) not in names)]


def _tag_differences(what: str, a: Tags, b: Tags) -> list[str]:
    return [f"{what} {name}" for name, value in a.items() if b.get(name) != value]


def _chapter_differences(source: Inventory, result: Inventory) -> list[str]:
    if len(source.chapters) != len(result.chapters):
        return [f"the chapters ({len(source.chapters)} become {len(result.chapters)})"]
    found = []
    for number, (a, b) in enumerate(zip(source.chapters, result.chapters, strict=True), 1):
        if abs(a[0] - b[0]) > _CHAPTER_TICK or abs(a[1] - b[1]) > _CHAPTER_TICK:
            found.append(f"the time of chapter {number}")
        found += _tag_differences(f"chapter {number}:", a[2], b[2])
    return found
