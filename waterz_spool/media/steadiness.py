"""What must stay as it is in the first frame: a result has one size, one shape of pixels, one set of colours.

A recording that changes any of them in midstream (a broadcast between 4:3 and 16:9, two files put together) would be
flattened to what it began with. It is refused instead, with the frame at which it changes, while frames are counted
and before any work.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from waterz_spool.errors import InputError
from waterz_spool.media.combing import is_combed
from waterz_spool.media.pixels import planes
from waterz_spool.media.source import (
    DYNAMIC_HDR,
    content_light,
    display_matrix,
    dynamic_hdr,
    mastering_display,
    side_data,
    side_entries,
)
from waterz_spool.records import VideoInfo

_IDENTITY = (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
_COLOURS = ("colour range", "colour matrix", "colour primaries", "transfer characteristics")


def colours(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """Range, matrix, primaries and transfer of a frame, as libav's integers; ``yuvj`` formats are of full range."""
    full = frame.format.name.startswith("yuvj")
    return 2 if full else frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc


class Steadiness:
    """Watches the frames of one video pass by.

    Args:
        info: Its facts, which are those of its first frame.
        path: The file, for errors.
        stream: The stream that is decoded: frames do not carry their sample aspect ratio, its decoder does.
    """

    def __init__(self, info: VideoInfo, path: Path, stream: Any) -> None:
        self._info, self._path, self._stream = info, path, stream
        self._colours = (info.color_range, info.colorspace, info.color_primaries, info.color_trc)
        self._aspect: Fraction | None = None
        self._first: dict[str, Any] = {}  # side data of frame 0; empty while it has not been seen
        self._start = 0

    def check(self, picture: av.VideoFrame, index: int, pts: int) -> None:
        """Look at one frame, in order; where frames are not read from the first one, at its size and scan alone.

        Raises:
            InputError: It is not as the first one was, or interlaced.
        """
        info = self._info
        shape = (picture.width, picture.height, picture.format.name)
        if shape != (info.width, info.height, info.pix_fmt):
            was = f"{info.width}x{info.height} {info.pix_fmt}"
            raise self._changed(index, pts, "picture", was, f"{shape[0]}x{shape[1]} {shape[2]}")
        if picture.interlaced_frame:
            raise interlaced(f"frame {index} is interlaced", self._path)
        if self._info.called_interlaced and is_combed(planes(picture)[0], self._info.bits):
            raise interlaced(f"frame {index} is woven of two moments, as interlaced video is", self._path)
        if index == 0:
            self._first = {name: read(picture) for name, read in _READERS.items()}
            self._aspect = self._stream.codec_context.sample_aspect_ratio
            self._start = pts
        if self._first:
            self._check_side_data(picture, index, pts)
        if self._first and picture.key_frame:
            self._check_sequence(picture, index, pts)

    def _check_sequence(self, picture: av.VideoFrame, index: int, pts: int) -> None:
        """What the headers of a sequence say, which begins at a keyframe.

        The decoder may be some frames ahead of those that it gives out, and fills in what they lack.
        """
        for name, was, now in zip(_COLOURS, self._colours, colours(picture), strict=True):
            if was != now:
                raise self._changed(index, pts, name, was, now)
        aspect = self._stream.codec_context.sample_aspect_ratio
        if (aspect or 1) != (self._aspect or 1):
            raise self._changed(index, pts, "sample aspect ratio", _ratio(self._aspect), _ratio(aspect))

    def _check_side_data(self, picture: av.VideoFrame, index: int, pts: int) -> None:
        """HDR metadata, orientation and the like: keyframes carry all of it, other frames may leave it out."""
        if not picture.key_frame and _KINDS.isdisjoint(entry.type.name for entry in side_entries(picture)):
            return
        for name, read in _READERS.items():
            was, now = self._first[name], read(picture)
            if now != was and (now is not None or picture.key_frame):
                raise self._changed(index, pts, name, was, now)
        if not self._info.dynamic_hdr and (now := dynamic_hdr(picture)):
            raise self._changed(index, pts, "dynamic HDR metadata", None, now)

    def _changed(self, index: int, pts: int, name: str, was: Any, now: Any) -> InputError:
        seconds = float((pts - (self._start)) * Fraction(*self._info.time_base))
        return InputError(
            f"the video changes at frame {index} ({seconds:.3f} s): {name} {_words(was)} becomes {_words(now)}",
            where=str(self._path),
            todo="split it there and clean the parts one by one",
        )


def interlaced(what: str, path: Path) -> InputError:
    """The error for video that is interlaced, or says so of its frames."""
    return InputError(
        f"{what}, which is not supported",
        where=str(path),
        todo="deinterlace it first (for example with ffmpeg's bwdif filter); if its frames are whole pictures in spite "
        "of their flag, correct that: ffmpeg -i IN -map 0 -c copy -c:v ffv1 -vf setfield=prog OUT.mkv",
    )


def _orientation(frame: av.VideoFrame) -> tuple[int, ...] | None:
    matrix = display_matrix(frame)
    return None if matrix == _IDENTITY else matrix


def _stereo(frame: av.VideoFrame) -> bytes | None:
    """Type and flags: which eye a frame is for may alternate."""
    data = side_data(frame, "STEREO3D")
    return data and data[:8]


_READERS: dict[str, Callable[[av.VideoFrame], Any]] = {
    "orientation": _orientation,
    "mastering display": mastering_display,
    "content light level": content_light,
    "stereo mode": _stereo,
    "projection": lambda frame: side_data(frame, "SPHERICAL"),
    "colour profile": lambda frame: side_data(frame, "ICC_PROFILE"),
    "ambient light": lambda frame: side_data(frame, "AMBIENT_VIEWING_ENVIRONMENT"),
}
_KINDS = {
    *("DISPLAYMATRIX", "MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "STEREO3D", "SPHERICAL", "ICC_PROFILE"),
    *("AMBIENT_VIEWING_ENVIRONMENT", *DYNAMIC_HDR),
}


def _ratio(value: Fraction | None) -> str:
    return f"{value.numerator}:{value.denominator}" if value else "1:1"


def _words(value: Any) -> str:
    if value is None:
        return "none"
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
