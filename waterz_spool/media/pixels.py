"""Frames as numpy planes in the source's own colour model, and back.

The work format of a source is the planar little-endian format that holds its samples without loss; restoration and
compositing happen there. Samples never pass through a colour matrix or a range conversion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import av
import numpy as np
from numpy.typing import NDArray

from waterz_spool.errors import InputError
from waterz_spool.records import VideoInfo

Plane = NDArray[np.uint8] | NDArray[np.uint16]
Planes = tuple[Plane, ...]

_DEPTHS = (8, 9, 10, 12, 14, 16)
_SUBSAMPLED = {(0, 0): "444", (1, 0): "422", (1, 1): "420", (0, 1): "440", (2, 0): "411", (2, 2): "410"}
_UNREADABLE = ("bayer", "xyz", "uyyvyy")  # no lossless planar counterpart
_UNREADABLE_ENDS = ("f16le", "f16be", "f32le", "f32be", "10msble", "10msbbe", "12msble", "12msbbe")


@dataclass(frozen=True, kw_only=True)
class WorkFormat:
    """The planar format in which a source's samples are worked on.

    Attributes:
        pix_fmt: libav name, e.g. ``yuv420p10le``, ``gbrp``, ``gray``; never a ``yuvj`` name (range is a tag).
        family: "yuv", "rgb" (planes in the order G, B, R) or "gray".
        bits: Bits per sample; uint8 planes for 8, uint16 above.
        shift_x: log2 of horizontal chroma subsampling.
        shift_y: log2 of vertical chroma subsampling.
        plane_count: 1, 3, or with alpha 4.
        alpha: Whether the last plane is alpha.
    """

    pix_fmt: str
    family: str
    bits: int
    shift_x: int
    shift_y: int
    plane_count: int
    alpha: bool

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Sample type of the planes."""
        return np.uint8 if self.bits == 8 else np.uint16

    def is_chroma(self, plane: int) -> bool:
        """Whether that plane is subsampled by ``shift_x`` and ``shift_y``."""
        return self.family == "yuv" and plane in (1, 2)

    def plane_shape(self, plane: int, width: int, height: int) -> tuple[int, int]:
        """(rows, columns) of a plane of a ``width`` x ``height`` picture; odd sizes round up."""
        if not self.is_chroma(plane):
            return height, width
        return -(-height >> self.shift_y), -(-width >> self.shift_x)


@lru_cache
def work_format(pix_fmt: str) -> WorkFormat:
    """The work format of a decoder's pixel format.

    Raises:
        InputError: There is no planar format that holds it without loss.
    """
    source = _describe(pix_fmt)
    depth = max(component.bits for component in source.components)
    bits = next((d for d in _DEPTHS if d >= depth), None)
    if bits is None:
        raise _unsupported(pix_fmt)
    family, base, alpha = _base(source)
    bits, name = _existing(pix_fmt, base, bits)
    chroma = family == "yuv"
    return WorkFormat(
        pix_fmt=name,
        family=family,
        bits=bits,
        shift_x=_shift(source)[0] if chroma else 0,
        shift_y=_shift(source)[1] if chroma else 0,
        plane_count=(1 if family == "gray" else 3) + alpha,
        alpha=alpha,
    )


def planes(frame: Any) -> Planes:
    """Writable contiguous copies of a frame's planes in its work format.

    Args:
        frame: ``av.VideoFrame`` or a decoded ``Frame``.

    Returns:
        uint8, or uint16 above 8 bit, [H, W] each; chroma at its own size; alpha last.

    Raises:
        InputError: The pixel format has no work format.
    """
    picture = getattr(frame, "picture", frame)
    work = work_format(picture.format.name)
    if not is_layout(picture.format.name, work):
        _check_palette(picture)
        picture = picture.reformat(format=work.pix_fmt)
    views: Any = (plane_view(picture, index, work) for index in range(work.plane_count))
    return tuple(np.array(view) for view in views)  # views of padded rows become contiguous copies


def to_frame(data: Sequence[Plane], pix_fmt: str, info: VideoInfo) -> av.VideoFrame:
    """A fresh frame for an encoder, tagged with the source's colours.

    Args:
        data: Planes in the work format of ``info.pix_fmt``.
        pix_fmt: What the encoder takes: the work format, its full-range ``yuvj`` name, a deeper one, or packed RGB.
            ProRes alone may be less deep: its pictures have no depth of their own, decoders choose 12 bit.
        info: The source's facts.

    Raises:
        InputError: The encoder's format cannot hold the planes without loss.
    """
    work = work_format(info.pix_fmt)
    target = work_format(pix_fmt)
    if (target.family, target.plane_count, target.shift_x, target.shift_y) != (
        work.family,
        work.plane_count,
        work.shift_x,
        work.shift_y,
    ) or (target.bits < work.bits and info.codec != "prores"):
        raise _unsupported(f"{work.pix_fmt} to {pix_fmt}")
    height, width = data[0].shape
    direct = is_layout(pix_fmt, target)
    frame = av.VideoFrame(width, height, pix_fmt if direct else target.pix_fmt)
    write_planes(frame, data, work, up=target.bits - work.bits)
    if not direct:
        frame = frame.reformat(format=pix_fmt)
    return tag_colours(frame, info)


def tag_colours(frame: av.VideoFrame, info: VideoInfo) -> av.VideoFrame:
    """The same frame with the source's range, matrix, primaries and transfer."""
    frame.color_range = info.color_range
    frame.colorspace = info.colorspace
    frame.color_primaries = info.color_primaries
    frame.color_trc = info.color_trc
    return frame


def write_planes(frame: av.VideoFrame, data: Sequence[Plane], work: WorkFormat, *, up: int = 0) -> None:
    """Copy planes into a frame of the same layout; ``up`` bits are added below when the frame is deeper.

    Where it is less deep, ``up`` is negative, and samples are rounded.
    """
    target = work_format(frame.format.name)
    for index, plane in enumerate(data):
        view = plane_view(frame, index, target)
        if up < 0:
            view[...] = _shallower(plane, work.bits, target.bits, full=target.alpha and index == target.plane_count - 1)
        else:
            view[...] = np.left_shift(plane.astype(target.dtype), up) if up else plane


def _shallower(plane: Plane, bits: int, fewer: int, *, full: bool) -> NDArray[Any]:
    """Samples rounded to fewer bits: alpha by its full scale, so that opaque stays opaque, others by their steps."""
    top, new = (1 << bits) - 1, (1 << fewer) - 1
    if full:
        return (plane.astype(np.uint32) * new + top // 2) // top
    down = bits - fewer
    half = 1 << (down - 1)
    return (np.minimum(plane, top - half) + half) >> down


def plane_view(frame: av.VideoFrame, index: int, work: WorkFormat) -> Plane:
    """A view of one plane's visible samples; rows may run backwards in memory (negative line size)."""
    plane = frame.planes[index]
    rows, columns = work.plane_shape(index, frame.width, frame.height)
    stride = plane.line_size
    dtype = np.dtype(work.dtype)
    offset = (rows - 1) * -stride if stride < 0 else 0
    return np.ndarray((rows, columns), dtype, buffer=cast(Any, plane), offset=offset, strides=(stride, dtype.itemsize))


def is_layout(pix_fmt: str, work: WorkFormat) -> bool:
    """Whether a frame of that format already has the work format's planes in memory."""
    return pix_fmt.replace("yuvj", "yuv") == work.pix_fmt


def _describe(pix_fmt: str) -> av.VideoFormat:
    """Libav's description of a pixel format that is worth looking at."""
    try:
        described = av.VideoFormat(pix_fmt)
    except ValueError as error:
        raise _unsupported(pix_fmt) from error
    known = described.components and not pix_fmt.startswith(_UNREADABLE)
    if not known or pix_fmt.endswith(_UNREADABLE_ENDS) or pix_fmt in ("ya8", "ya16le", "ya16be"):
        raise _unsupported(pix_fmt)
    return described


def _base(source: av.VideoFormat) -> tuple[str, str, bool]:
    """(family, name of the planar format without depth, alpha)."""
    count = len(source.components)
    alpha = count == 4
    if source.is_rgb or source.has_palette:
        return "rgb", "gbrap" if alpha and not source.has_palette else "gbrp", alpha and not source.has_palette
    if count == 1:
        return "gray", "gray", False
    layout = _SUBSAMPLED.get(_shift(source))
    if layout is None:
        raise _unsupported(source.name)
    return "yuv", f"yuv{'a' if alpha else ''}{layout}p", alpha


def _shift(source: av.VideoFormat) -> tuple[int, int]:
    """log2 of the chroma subsampling, horizontal and vertical."""
    return (64 // source.chroma_width(64)).bit_length() - 1, (64 // source.chroma_height(64)).bit_length() - 1


def _existing(pix_fmt: str, base: str, bits: int) -> tuple[int, str]:
    """The shallowest planar format of at least that depth which libav has."""
    for depth in (d for d in _DEPTHS if d >= bits):
        name = base if depth == 8 else f"{base}{depth}le"
        if name in cast(Any, av.video.format).names:
            return depth, name
    raise _unsupported(pix_fmt)


def _check_palette(picture: av.VideoFrame) -> None:
    """Refuse palettes with transparency, which planar RGB would drop."""
    if not picture.format.has_palette:
        return
    entries = np.frombuffer(cast(Any, picture.planes[1]), np.uint8)[:1024].reshape(256, 4)
    used = np.unique(plane_view(picture, 0, work_format("gray")))
    if (entries[used, 3] != 255).any():
        raise InputError(
            "transparent palette colours cannot be kept",
            where=f"pixel format {picture.format.name}",
            todo="convert them to an alpha channel first: ffmpeg -i IN -map 0 -c copy -c:v ffv1 -pix_fmt bgra OUT.mkv",
        )


def _unsupported(pix_fmt: str) -> InputError:
    return InputError(
        f"pixel format {pix_fmt} is not supported: no planar format holds its samples without loss",
        where=f"pixel format {pix_fmt}",
        todo="convert the video to a yuv, rgb or gray format of at most 16 bit first",
    )
