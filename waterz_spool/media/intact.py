"""Files cut short, recognised by the sizes they announce themselves, before anything is decoded.

A truncated file would decode quietly to fewer frames. Matroska, MP4/MOV and AVI announce their length in their
outermost elements (RFC 8794 section 6; ISO/IEC 14496-12 section 4.2; RIFF); other containers announce nothing, and
what can be decoded of them is the video.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import BinaryIO

from waterz_spool.errors import InputError

_EBML = b"\x1a\x45\xdf\xa3"
_MATROSKA_SEGMENT = b"\x18\x53\x80\x67"
_MOST_BOXES = 1_000_000  # a fragmented recording has some thousand
_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"pnot", b"uuid"}


def check_intact(path: Path) -> None:
    """Refuse a file that is shorter than it says.

    Raises:
        InputError: The file ends before its own announced end.
    """
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise InputError("not a file", where=str(path), todo="give a video file")
    size, announced = info.st_size, announced_bytes(path)
    if announced is not None and size < announced:
        raise InputError(
            f"the video is cut short: {size} of {announced} bytes are there",
            where=str(path),
            todo="copy or download it again; frames that are missing cannot be restored",
        )


def announced_bytes(path: Path) -> int | None:
    """How long the file says it is; None when its container does not say."""
    with path.open("rb") as file:
        head = file.read(12)
        file.seek(0)
        if head.startswith(_EBML):
            return _matroska_end(file)
        if head[4:8] in _BOXES:
            return _boxes_end(file, path.stat().st_size)
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


def _boxes_end(file: BinaryIO, size: int) -> int:
    """Where the last top-level box ends; boxes are walked by header only."""
    at = 0
    for _ in range(_MOST_BOXES):
        if at + 8 > size:
            return at
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0: to the end of the file
            return size
        at += length
    return size
