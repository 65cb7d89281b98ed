"""One stream of copied and encoded packets: a header that holds for both, and packets that a decoder takes in a row.

H.264: the header holds the parameter sets of both under different numbers, and packets stay as they are. HEVC: x265
knows one number alone, so every packet at which a decoder can start brings its own sets along, and MP4 says so by the
name hev1. A copy that begins at a CRA does so as a BLA without leading pictures (H.265 7.4.2.2), for its leading
pictures refer to what is not there any more: the unit's head alone differs.
"""

from __future__ import annotations

from waterz_spool.errors import VerificationError
from waterz_spool.media.units import (
    Sets,
    UnitsError,
    framed,
    h264_header,
    h264_sets,
    hevc_header,
    hevc_sets,
    units_of,
)

_CRA, _BLA_WITHOUT_LEADING = 21, 18
_STARTS = range(16, 24)  # HEVC


class Splice:
    """How copied and encoded packets become one stream.

    Args:
        codec: Of both.
        source: Header of the source's stream.
        encoded: Header of the segments'.

    Attributes:
        header: Of the result's stream.
        tag: Its four characters in MP4 and MOV; "" leaves that to others.
    """

    def __init__(self, codec: str, source: bytes | None, encoded: bytes | None) -> None:
        self.header, self.tag = encoded, ""
        self._sets: tuple[Sets, Sets] | None = None
        try:
            if codec == "h264":
                self.header = h264_header(h264_sets(source), h264_sets(encoded))
            elif codec == "hevc":
                self._sets = hevc_sets(source), hevc_sets(encoded)
                self.header, self.tag = hevc_header(*self._sets), "hev1"
        except UnitsError as error:
            raise _unfit(str(error)) from error

    def copied(self, data: bytes, *, first: bool) -> bytes:
        """A packet of the source.

        Args:
            data: Its payload.
            first: Whether a copy begins with it.
        """
        if self._sets is None:
            return data
        return _with_sets(_restarting(data) if first else data, self._sets[0])

    def encoded(self, data: bytes) -> bytes:
        """A packet of a segment."""
        return data if self._sets is None else _with_sets(data, self._sets[1])


def _restarting(data: bytes) -> bytes:
    changed = bytearray(data)
    for begin, _ in units_of(data):
        if changed[begin] >> 1 & 63 == _CRA:
            changed[begin] = changed[begin] & 0x81 | _BLA_WITHOUT_LEADING << 1
    return bytes(changed)


def _with_sets(data: bytes, sets: Sets) -> bytes:
    starts = any(data[begin] >> 1 & 63 in _STARTS for begin, _ in units_of(data))
    return framed(sets.units) + data if starts else data


def _unfit(what: str) -> VerificationError:
    return VerificationError(f"copied and encoded packets do not fit together: {what}", todo="use --recode all")
