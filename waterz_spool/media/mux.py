"""The output container of a result: the new video beside a copy of everything else the source carries."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from fractions import Fraction
from math import lcm
from typing import Any

import av
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from waterz_spool.errors import InputError
from waterz_spool.media.container import FORMATS, is_mov
from waterz_spool.media.copies import copied_streams, describe, reel_name
from waterz_spool.media.encode import nominal_rate
from waterz_spool.media.fresh import FreshFile
from waterz_spool.media.rising import Rising
from waterz_spool.media.settings import prores_tag
from waterz_spool.media.source import codec_name, is_picture, read_packets
from waterz_spool.media.splicing import Splice
from waterz_spool.media.timing import MAX_TIMESCALE, output_clock
from waterz_spool.records import EncodeSettings, VideoInfo

_PROGRESSIVE = 1  # AVFieldOrder
_MOV_OWN_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "vendor_id"}


class Output:
    """An output container with all its streams, ready for packets.

    Args:
        file: What to write.
        source: The opened source.
        segment: An opened segment; its video stream describes the new video.
        info: The source's facts.
        settings: The job's encode settings.
        drop: Streams of the source to leave out.
        all_tags: Write the tags of an MP4/MOV under their own names, because the usual ones would lose some.
        splice: How packets of the source's video stand beside encoded ones; None where there are none.
    """

    def __init__(
        self,
        file: FreshFile,
        *,
        source: InputContainer,
        segment: InputContainer,
        info: VideoInfo,
        settings: EncodeSettings,
        drop: Collection[int] = (),
        all_tags: bool = False,
        splice: Splice | None = None,
    ) -> None:
        self._source, self._info, self._settings, self._splice = source, info, settings, splice
        others = copied_streams(source, info, drop)
        self.time_base = output_clock(info, settings)
        self.container: OutputContainer = file.container(
            format=FORMATS[settings.container],
            container_options=self._options(others, all_tags=all_tags),
        )
        self.container.flags |= av.container.Flags.bitexact.value
        self.container.metadata.update(plain_tags(source.metadata))
        self.container.set_chapters(source.chapters())
        self.by_index: dict[int, Any] = {}
        self._names: dict[int, str] = {}
        self._rising = Rising(strict=is_mov(settings.container))
        self._any_stream = segment.streams.video[0]
        for stream in sorted([source.streams[info.stream_index], *others], key=lambda s: s.index):
            if stream.index == info.stream_index:
                self.video = self._add_video(stream, segment)
            else:
                self._add_copy(stream)

    def _options(self, others: list[Any], *, all_tags: bool) -> dict[str, str]:
        """Muxer options: exact clocks, and everything the muxer knows to write."""
        if not is_mov(self._settings.container):
            # libav would shift everything to make the priming samples of an audio track start at zero.
            return {"strict": "experimental", "avoid_negative_ts": "disabled"}
        scale = self.time_base.denominator
        clocks = lcm(scale, *(s.time_base.denominator for s in others if s.time_base))
        flags = "+use_metadata_tags" if all_tags else ""
        return {
            "strict": "experimental",
            "video_track_timescale": str(scale),
            "movie_timescale": str(clocks if clocks <= MAX_TIMESCALE else scale),
            **({"movflags": flags} if flags else {}),
        }

    def _add_video(self, original: Any, segment: InputContainer) -> Any:
        """The new video stream.

        Made from the source's stream where the codec is the same, because its side data (HDR, stereo, spherical,
        colour profile) reaches the muxer only that way; else from the segment's.
        """
        info, encoded = self._info, segment.streams.video[0]
        same = codec_name(original) == codec_name(encoded) and original.codec_context.width == info.width
        stream = self.container.add_stream_from_template(original if same else encoded, opaque=True)
        context, new = stream.codec_context, encoded.codec_context
        context.extradata = self._splice.header if self._splice else new.extradata
        context.width, context.height, context.pix_fmt = info.width, info.height, self._settings.pix_fmt
        context.profile, context.level, context.reorder_depth = new.profile, new.level, new.reorder_depth
        context.bit_rate = 0
        if info.called_interlaced:
            context.field_order = _PROGRESSIVE  # every frame was looked at
        context.color_range, context.colorspace = info.color_range, info.colorspace
        context.color_primaries, context.color_trc = info.color_primaries, info.color_trc
        context.framerate = nominal_rate(info)
        if info.sample_aspect:
            context.sample_aspect_ratio = Fraction(*info.sample_aspect)
        if info.display_matrix:
            stream.set_display_matrix(info.display_matrix)
        tag = prores_tag(self._settings) or self._mov_tag(codec_name(encoded))
        if tag:
            context.codec_tag = tag
        stream.time_base = self.time_base
        stream.metadata.update(video_tags(original.metadata) | reel_name(self._source, original))
        stream.disposition = original.disposition
        return stream

    def _mov_tag(self, codec: str) -> str:
        """HEVC as hvc1, with its headers in the container: the kind that Apple's players accept too."""
        if self._splice and self._splice.tag and is_mov(self._settings.container):
            return self._splice.tag
        return "hvc1" if is_mov(self._settings.container) and codec == "hevc" else ""

    def _add_copy(self, stream: Any) -> None:
        """A stream that is copied packet by packet; a cover picture in Matroska is an attachment."""
        if is_picture(stream) and not is_mov(self._settings.container):
            self._attach_picture(stream)
            return
        try:
            copy = self._template(stream)
        except (ValueError, av.FFmpegError) as error:
            raise HoldError(self._settings.container, describe(stream)) from error
        if stream.time_base:
            copy.time_base = stream.time_base
        copy.metadata.update(stream_tags(stream.metadata))
        copy.disposition = stream.disposition
        self.by_index[stream.index] = copy
        self._names[copy.index] = describe(stream)

    def _template(self, stream: Any) -> Any:
        if stream.type in ("attachment", "data") and stream.codec_context is None:
            return self.container.add_stream_from_template(stream, opaque=True)
        if stream.codec_context is not None:
            with suppress(ValueError):  # PyAV knows fewer codecs than the muxer, which decides below
                return self.container.add_stream_from_template(stream, opaque=True)
        return self._with_parameters_of(stream)

    def _with_parameters_of(self, stream: Any) -> Any:
        """An output stream with a source stream's parameters; there need be no decoder for it."""
        copy = self.container.add_stream_from_template(self._any_stream, opaque=True)
        BitStreamFilterContext("null", in_stream=stream, out_stream=copy)
        copy.codec_context.codec_tag = "\0\0\0\0"  # it was the source container's; the new one has its own
        return copy

    def _attach_picture(self, stream: Any) -> None:
        packet = next((p for p in read_packets(self._source, stream) if p.size), None)
        if packet is None or self._settings.container == "webm":
            raise HoldError(self._settings.container, describe(stream))
        kind = {"mjpeg": "jpeg"}.get(codec_name(stream), codec_name(stream))
        name = stream.metadata.get("filename") or f"cover.{kind.replace('jpeg', 'jpg')}"
        self.container.add_attachment(name, stream.metadata.get("mimetype") or f"image/{kind}", bytes(packet))

    def start(self) -> None:
        """Write the header.

        Raises:
            InputError: The container refuses a stream.
        """
        try:
            self.container.start_encoding()
        except (ValueError, av.FFmpegError) as error:
            names = list(self._names.values()) or ["this video"]
            several = "one of these streams: " if len(names) > 1 else ""
            raise HoldError(self._settings.container, several + ", ".join(names)) from error

    def mux(self, packet: Packet[Any]) -> None:
        """Write a packet whose stream and times are set.

        Raises:
            InputError: The container does not take it.
        """
        name = self._names.get(packet.stream_index)
        if name is not None:
            self._rising.settle(packet, name)
        try:
            self.container.mux(packet)
        except (av.ArgumentError, av.InvalidDataError, av.PatchWelcomeError) as error:
            raise HoldError(self._settings.container, f"a packet of {name or 'the video'} ({error})") from error


def stream_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags of a stream; an MP4 track's title is read as ``name`` and written as ``title``."""
    plain = plain_tags(tags)
    if "name" in plain and "title" not in plain:
        plain["title"] = plain.pop("name")
    return plain


def plain_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags that say something about the content; what a muxer writes about itself is left to the new muxer."""
    return {k: v for k, v in tags.items() if k.lower() not in _MOV_OWN_TAGS and not k.upper().startswith("DURATION")}


def video_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags of the video stream, without the statistics of the old encoding."""
    stale = ("BPS", "NUMBER_OF_", "_STATISTICS_")
    return {k: v for k, v in stream_tags(tags).items() if not k.upper().startswith(stale)}


class HoldError(InputError):
    """A container has no place for something of the source.

    Args:
        container: Its extension.
        lost: What it cannot hold, in words.
    """

    def __init__(self, container: str, lost: str) -> None:
        super().__init__(
            f".{container} cannot hold {lost}",
            where=f"output .{container}",
            todo="give an output in another container with -o, or leave a stream out with --drop N",
        )
        self.lost = lost
