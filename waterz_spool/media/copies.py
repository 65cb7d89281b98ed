"""Which streams of a source are copied packet by packet, and what each is called."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.packet import Packet

from waterz_spool.errors import UsageError
from waterz_spool.media.source import codec_name, is_chapter_track, is_payload, open_source, read_packets
from waterz_spool.records import VideoInfo


def copied_streams(source: InputContainer, info: VideoInfo, drop: Collection[int] = ()) -> list[Any]:
    """The streams of the source that are copied: all but the video, what is dropped, and what a muxer derives."""
    video = source.streams[info.stream_index]
    return [s for s in source.streams if s.index != video.index and s.index not in drop and not is_derived(s, video)]


def copied_packets(container: InputContainer, video: int, streams: Sequence[Any]) -> Iterator[Packet[Any]]:
    """The payload of these streams in the file's order.

    Every reader of a source goes this way: a damaged file may yield other packets when the video is read, too.

    Args:
        container: The file.
        video: Index of the stream that is not copied.
        streams: Copied streams without attachments.
    """
    container.streams[video].discard = av.stream.Discard.all
    for packet in read_packets(container, streams) if streams else ():
        if is_payload(packet):
            yield packet


def is_derived(stream: Any, video: Any) -> bool:
    """Whether the muxer writes a stream anew: the track of the chapters, the timecode of the video."""
    return is_chapter_track(stream) or is_timecode(stream, video)


def is_timecode(stream: Any, video: Any) -> bool:
    """Whether it is the QuickTime timecode track of the video, written anew from the video's ``timecode`` tag."""
    if stream.type != "data" or stream.codec_context is not None or "timecode" not in stream.metadata:
        return False
    return stream.metadata["timecode"] == video.metadata.get("timecode") and four_characters(stream) == "tmcd"


def reel_name(container: InputContainer, video: Any) -> dict[str, str]:
    """The name of the tape, a tag of the video's timecode track: muxers write it anew, too, from the video's tags."""
    found = [s.metadata.get("reel_name", "") for s in container.streams if is_timecode(s, video)]
    return {"reel_name": found[0]} if found and found[0] else {}


def four_characters(stream: Any) -> str:
    """The container's four-character code of any stream, also of one without a decoder; "" when it has none."""
    with av.open(os.devnull, "w", format="null") as nowhere:  # only a codec context shows the code
        shown = nowhere.add_stream("pcm_s16le", rate=8000)
        BitStreamFilterContext("null", in_stream=stream, out_stream=shown)
        try:
            tag = str(shown.codec_context.codec_tag)
        except UnicodeDecodeError:
            return ""
    return tag if len(tag) == 4 and tag.isascii() and tag.isprintable() else ""


def kind_of(stream: Any) -> str:
    """Libav's name of the codec, or the container's four-character code of a codec that libav does not know."""
    return codec_name(stream) or ("" if stream.type == "attachment" else four_characters(stream))


def describe(stream: Any) -> str:
    """A stream in words: number, kind, codec, language."""
    language = stream.metadata.get("language", "")
    parts = [f"stream {stream.index}", stream.type, kind_of(stream) or "of unknown kind"]
    return " ".join([*parts, *([f"({language})"] if language and language != "und" else [])])


def check_drop(path: Path, info: VideoInfo, drop: Collection[int]) -> None:
    """Refuse to leave out what is not there or cannot be left out; nobody shall publish a track by a wrong number.

    Raises:
        UsageError: No such stream, the video itself, or a track that is made from the video or the chapters.
    """
    if not drop:
        return
    with open_source(path) as container:
        known = {s.index: s for s in copied_streams(container, info)}
        for number in drop:
            if number not in known:
                names = "; ".join(describe(s) for s in known.values()) or "none"
                raise UsageError(
                    f"--drop {number}: {_why_not(container, info, number)}",
                    where=str(path),
                    todo=f"streams that can be left out: {names}",
                )


def _why_not(container: InputContainer, info: VideoInfo, number: int) -> str:
    if number == info.stream_index:
        return "this is the video itself"
    if not 0 <= number < len(container.streams):
        return "there is no such stream"
    stream = container.streams[number]
    return "this is the list of chapters" if is_chapter_track(stream) else "this is the timecode of the video"
