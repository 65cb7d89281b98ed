"""Encoding one segment: a video stream of its own, closed at both ends, timed by frame counter.

Segments of one job are encoded apart, on different machines, and joined packet by packet: nothing in a segment may
depend on another one, on the machine, or on the number of its cores.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av

from waterz_spool.errors import SetupError, UsageError
from waterz_spool.media.decoding import Frame
from waterz_spool.media.encoders import hush
from waterz_spool.media.fresh import Finished, FreshFile
from waterz_spool.media.pixels import Plane, is_layout, tag_colours, to_frame, work_format, write_planes
from waterz_spool.records import EncodeSettings, Ratio, VideoInfo

TICK_MS = 100  # time of one frame in a segment file; join puts the true times back
_MOST_REORDERED = 32  # frames; more than any codec reorders
_MPEG2_RATES = [
    *(Fraction(n * 1000, 1001) for n in (24, 30, 60)),
    *(Fraction(n) for n in (24, 25, 30, 50, 60)),
]
_FORMATS = {"dnxhd": "mov"}


_FILE_OPTIONS = {
    *("analysis-load", "analysis-save", "aom-film-grain", "clbin", "csv", "dhdr10-info", "dump-yuv", "film-grain"),
    *("film-grain-table", "fgs-table", "log", "opencl-clbin", "recon", "scaling-list", "stats"),
}


def check_encoder_options(options: Mapping[str, str]) -> None:
    """Refuse options by which an encoder would read or write other files: a job's options come from others, too.

    Raises:
        UsageError: One of them, or of those within x264-params and its like, names a file.
    """
    nested = [pair.partition("=")[0] for value in options.values() for pair in re.split(r"[:,]", value)]
    for name in (*options, *nested):
        plain = name.strip().lower().replace("_", "-")
        if plain in _FILE_OPTIONS or "file" in plain.replace("profile", ""):
            raise UsageError(f"encoder option {name!r} names a file", where="encode.options", todo="leave it out")


class SegmentEncoder(Finished):
    """Writes frames as one segment file; a context manager that finishes it unless an error passes.

    Args:
        path: File to write (Matroska, or MOV for DNxHD, which Matroska has no name for, whatever its name).
        settings: The job's encode settings.
        info: The source's facts.
        rate: Nominal frame rate for the rate control, which must be the same for all segments; None is the
            source's average rate.

    Raises:
        SetupError: The encoder is absent or refuses these settings.
    """

    def __init__(self, path: Path, settings: EncodeSettings, info: VideoInfo, rate: Ratio | None = None) -> None:
        self._info = info
        self._settings = settings
        self._tick = 1 / encoder_rate(settings.codec, nominal_rate(info, rate))
        self._intra = settings.codec in _FORMATS
        self._packets = 0
        check_encoder_options(settings.options)
        hush()
        self._file = FreshFile(path)
        self._container = self._file.container(format=_FORMATS.get(settings.codec, "matroska"))
        self._container.flags |= av.container.Flags.bitexact.value
        try:
            self._stream = self._add()
            self._container.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            self._file.abandon()
            raise SetupError(
                f"the encoder {settings.codec} cannot be used with {settings.pix_fmt} "
                f"{info.width}x{info.height} {settings.options}: {error}",
                where=settings.codec,
                todo="choose another --codec, or correct --encoder-opt",
            ) from error
        self.frames = 0

    def _add(self) -> av.VideoStream:
        info, settings = self._info, self._settings
        stream: av.VideoStream = self._container.add_stream(
            settings.codec, rate=1 / self._tick, options=dict(settings.options)
        )
        stream.width, stream.height, stream.pix_fmt = info.width, info.height, settings.pix_fmt
        context = stream.codec_context
        context.time_base = self._tick
        context.thread_count = int(settings.options.get("threads", "1"))
        context.thread_type = "FRAME"
        context.flags |= av.codec.context.Flags.bitexact.value
        context.color_range, context.colorspace = info.color_range, info.colorspace
        context.color_primaries, context.color_trc = info.color_primaries, info.color_trc
        if info.sample_aspect:
            context.sample_aspect_ratio = Fraction(*info.sample_aspect)
        return stream

    def write(self, frame: Frame, data: Sequence[Plane] | None = None) -> None:
        """Append one frame.

        Args:
            frame: The decoded source frame; what it carries besides samples (captions) goes to the encoder too.
            data: Planes in the work format to encode instead of the frame's own; None passes it through.
        """
        picture = self._picture(frame.picture, data)
        picture.pts = self.frames
        picture.time_base = self._tick
        picture.pict_type = 0  # the source's choice of I, P and B must not steer the encoder
        self._mux(picture)
        self.frames += 1

    def write_planes(self, data: Sequence[Plane]) -> None:
        """Append one frame given as planes in the work format."""
        self._mux_fresh(to_frame(data, self._settings.pix_fmt, self._info))

    def _mux_fresh(self, picture: av.VideoFrame) -> None:
        picture.pts = self.frames
        picture.time_base = self._tick
        self._mux(picture)
        self.frames += 1

    def _picture(self, picture: av.VideoFrame, data: Sequence[Plane] | None) -> av.VideoFrame:
        """The picture in the encoder's format; the source's own frame is kept where its memory layout fits."""
        work = work_format(self._info.pix_fmt)
        if picture.format.name != self._settings.pix_fmt:
            from waterz_spool.media.pixels import planes

            return to_frame(planes(picture) if data is None else data, self._settings.pix_fmt, self._info)
        if data is not None and is_layout(picture.format.name, work):
            picture.make_writable()
            write_planes(picture, data, work)
        elif data is not None:
            return to_frame(data, self._settings.pix_fmt, self._info)
        return tag_colours(picture, self._info)

    def _mux(self, picture: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(picture):
            assert packet.pts is not None and packet.time_base is not None
            packet.pts = round(packet.pts * packet.time_base / self._tick) * TICK_MS
            # Matroska stores no dts, and x265 gives garbage for very short videos: the order of packets is enough.
            packet.dts = packet.pts if self._intra else (self._packets - _MOST_REORDERED) * TICK_MS
            self._packets += 1
            packet.duration = TICK_MS
            packet.time_base = Fraction(1, 1000)
            packet.stream = self._stream
            self._container.mux(packet)

    def close(self) -> None:
        """Finish the file."""
        self._mux(None)
        self._container.close()
        self._file.close()

    def abandon(self) -> None:
        """Let go of the file as it is, not complete."""
        self._container.close()
        self._file.abandon()


def nominal_rate(info: VideoInfo, rate: Ratio | None = None) -> Fraction:
    """A frame rate for rate control and headers; frames are timed by their pts, never by this."""
    given = rate or info.average_rate
    value = Fraction(*given) if given else Fraction(25)
    return min(max(value, Fraction(1)), Fraction(1000)).limit_denominator(60_000)


def encoder_rate(codec: str, rate: Fraction) -> Fraction:
    """The nearest rate that the encoder accepts: MPEG-2 has a short list of them."""
    return min(_MPEG2_RATES, key=lambda known: abs(known - rate)) if codec == "mpeg2video" else rate
