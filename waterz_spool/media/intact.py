"""Files cut short, recognised by the sizes they announce themselves, before anything is decoded.

A truncated file would decode quietly to fewer frames. Matroska and AVI announce their length in their outermost
elements (RFC 8794 section 6; RIFF). MP4/MOV announce the place of every sample (ISO/IEC 14496-12 section 8.7), or of
every fragment: whatever else lies behind them, whole, cut or no box at all, is nothing that anybody sees or hears.
Other containers announce nothing, and what can be decoded of them is the video.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from av.container import InputContainer

from waterz_spool.errors import InputError

_EBML = b"\x1a\x45\xdf\xa3"
_MATROSKA_SEGMENT = b"\x18\x53\x80\x67"
_MOST_BOXES = 1_000_000  # a fragmented recording has some thousand
_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"pnot", b"uuid"}
_CONTENT = {b"moov", b"mdat", b"moof"}


def check_intact(path: Path, container: InputContainer | None = None) -> None:
    """Refuse a file that is shorter than it says.

    Args:
        path: The file.
        container: The same file opened by libav, which knows the samples of an MP4/MOV; others need it not.

    Raises:
        InputError: The file ends before its own announced end.
    """
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise InputError("not a file", where=str(path), todo="give a video file")
    size, announced = info.st_size, _announced_bytes(path, container)
    if announced is not None and size < announced:
        raise InputError(
            f"the video is cut short: {size} of {announced} bytes are there",
            where=str(path),
            todo="copy or download it again; frames that are missing cannot be restored",
        )


def _announced_bytes(path: Path, container: InputContainer | None) -> int | None:
    """How long the file says it is; None when its container does not say."""
    with path.open("rb") as file:
        head = file.read(12)
        file.seek(0)
        if head.startswith(_EBML):
            return _matroska_end(file)
        if head[4:8] in _BOXES:
            return _content_end(file, path.stat().st_size, container)
        if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
            return 8 + int.from_bytes(head[4:8], "little")
    return None


def _matroska_end(file: BinaryIO) -> int | None:
    """End of the Segment element; None for a live recording of unknown size."""
    file.read(4)
    header = _vint(file)
    if header is None:
        return None
    file.seek(header, 1)
    if file.read(4) != _MATROSKA_SEGMENT:
        return None
    segment = _vint(file)
    return None if segment is None else file.tell() + segment


def _vint(file: BinaryIO) -> int | None:
    """An EBML variable-length size; None when all value bits are set (unknown)."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & ((1 << (8 - length)) - 1)]) + file.read(length - 1), "big")
    return None if value == (1 << (7 * length)) - 1 else value


def _content_end(file: BinaryIO, size: int, container: InputContainer | None) -> int | None:
    """Where the content ends; the last box may be open, or announce more than the samples in it."""
    boxes = list(_content_boxes(file, size))
    if not boxes:
        return None
    kind, end = boxes[-1]
    if all(kind != b"moof" for kind, _ in boxes):
        streams = container.streams if container else ()
        return max((entry.pos + entry.size for s in streams for entry in s.index_entries), default=end)
    return end + 8 if kind == b"moof" else end  # samples of a fragment follow it


def _content_boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Kind and end of the top-level boxes that hold content; boxes are walked by header only.

    What is no box looks like one of some kind and size: it is passed over as any other kind is.
    """
    at = 0
    for _ in range(_MOST_BOXES):
        if at + 8 > size:
            return
        file.seek(at)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:  # to the end of the file
            length = size - at
        if length < 8:
            return
        at += length
        if kind in _CONTENT:
            yield kind, at
