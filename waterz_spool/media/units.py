"""Units of H.264 and HEVC as MP4 and Matroska hold them: parameter sets in the header, units behind their length.

ISO/IEC 14496-15 (avcC, hvcC), ITU-T H.264 7.3 and H.265 7.3. Nothing here decodes; what is read decides which packets
can go into a result as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

_LENGTH_BYTES = 4
_AVC_HEADER_BYTES, _HEVC_HEADER_BYTES = 6, 23
_SPS, _PPS = 7, 8  # H.264
_HIGH = (100, 110, 122, 244)  # profiles whose sequence sets say depth and chroma
_COMPLETE = 0x80  # hvcC: no set of this kind lies in the packets


class UnitsError(Exception):
    """A header or packet is not what it must be, in words."""


@dataclass(frozen=True)
class Sets:
    """The parameter sets of a stream's header.

    Attributes:
        head: Bytes of the header before its sets.
        units: The sets as units, without framing; of HEVC in the order of the header.
        tail: Bytes behind the sets, which repeat depth and chroma (H.264 High).
    """

    head: bytes
    units: tuple[bytes, ...]
    tail: bytes = b""


@dataclass(frozen=True)
class Sequence264:
    """What a sequence parameter set of H.264 says of its stream."""

    number: int
    profile: int
    level: int
    frames_only: bool  # no picture is a pair of fields
    references: int
    chroma: int = 1
    bits: int = 8


def h264_sets(extradata: bytes | None) -> Sets:
    """The sets of an avcC.

    Raises:
        UnitsError: It is none, is damaged, or its units have lengths of other than four bytes.
    """
    data = extradata or b""
    if len(data) <= _AVC_HEADER_BYTES or data[0] != 1 or data[4] & 3 != _LENGTH_BYTES - 1:
        raise UnitsError("its parameter sets do not lie in the header of the file as they do in an MP4")
    at, units = _AVC_HEADER_BYTES - 1, list[bytes]()
    for mask in (31, 255):  # of the numbers of sequence sets and of picture sets
        count, at = data[at] & mask if at < len(data) else 0, at + 1
        for _ in range(count):
            unit, at = _sized(data, at, 2)
            units.append(unit)
    return Sets(data[:5], tuple(units), data[at:])


def h264_header(source: Sets, encoded: Sets) -> bytes:
    """An avcC with the sets of both, whose numbers differ, for a decoder of either."""
    units = dict.fromkeys((*source.units, *encoded.units))
    sequences, pictures = ([u for u in units if u[0] & 31 == kind] for kind in (_SPS, _PPS))
    head = bytearray(source.head)
    head[3] = max(source.head[3], encoded.head[3])  # the level
    parts = [bytes(head), bytes([0xE0 | len(sequences)])]
    parts += [len(u).to_bytes(2, "big") + u for u in sequences]
    parts += [bytes([len(pictures)]), *(len(u).to_bytes(2, "big") + u for u in pictures), source.tail]
    return b"".join(parts)


def h264_sequences(sets: Sets) -> list[Sequence264]:
    """What the sequence sets of a header say."""
    return [_sequence(unit) for unit in sets.units if unit[0] & 31 == _SPS]


def h264_numbers(sets: Sets) -> set[int]:
    """The numbers of all sets of a header, of sequences and of pictures."""
    return {_sequence(unit).number if unit[0] & 31 == _SPS else _Bits(_plain(unit[1:])).golomb() for unit in sets.units}


def _sequence(unit: bytes) -> Sequence264:
    """H.264 7.3.2.1.1."""
    bits = _Bits(_plain(unit[1:]))
    profile, _, level = bits.take(8), bits.take(8), bits.take(8)
    found = Sequence264(bits.golomb(), profile, level, frames_only=False, references=0)
    if profile in _HIGH:
        chroma = bits.golomb()
        if chroma == 3:
            bits.take(1)
        found = replace(found, chroma=chroma, bits=8 + bits.golomb())
        bits.golomb()
        bits.take(1)
        if bits.take(1):
            raise UnitsError("its parameter sets hold scaling matrices")
    bits.golomb()
    _skip_order(bits)
    references = bits.golomb()
    bits.take(1)
    bits.golomb()
    bits.golomb()
    return replace(found, references=references, frames_only=bool(bits.take(1)))


def _skip_order(bits: _Bits) -> None:
    """Picture order count."""
    kind = bits.golomb()
    if kind == 0:
        bits.golomb()
    elif kind == 1:
        bits.take(1)
        bits.golomb()
        bits.golomb()
        for _ in range(bits.golomb()):
            bits.golomb()


def hevc_sets(extradata: bytes | None) -> Sets:
    """The sets of an hvcC.

    Raises:
        UnitsError: As for an avcC.
    """
    data = extradata or b""
    if len(data) < _HEVC_HEADER_BYTES or data[0] != 1 or data[21] & 3 != _LENGTH_BYTES - 1:
        raise UnitsError("its parameter sets do not lie in the header of the file as they do in an MP4")
    at, units = _HEVC_HEADER_BYTES, list[bytes]()
    for _ in range(data[22]):
        if at + 3 > len(data):
            raise UnitsError("the header of the file is damaged")
        count, at = int.from_bytes(data[at + 1 : at + 3], "big"), at + 3
        for _ in range(count):
            unit, at = _sized(data, at, 2)
            units.append(unit)
    return Sets(data[:22], tuple(units))


def hevc_header(source: Sets, encoded: Sets) -> bytes:
    """The source's hvcC, which says that sets lie in the packets, too."""
    head = bytearray(source.head)
    head[12] = max(source.head[12], encoded.head[12])  # the level
    kinds = dict.fromkeys(u[0] >> 1 & 63 for u in source.units)
    parts = [bytes(head), bytes([len(kinds)])]
    for kind in kinds:
        units = [u for u in source.units if u[0] >> 1 & 63 == kind]
        parts.append(bytes([kind & ~_COMPLETE]) + len(units).to_bytes(2, "big"))
        parts += [len(u).to_bytes(2, "big") + u for u in units]
    return b"".join(parts)


def framed(units: tuple[bytes, ...]) -> bytes:
    """Units behind their length, as packets hold them."""
    return b"".join(len(u).to_bytes(_LENGTH_BYTES, "big") + u for u in units)


def units_of(data: bytes) -> Iterator[tuple[int, int]]:
    """Begin and end of every unit of a packet.

    Raises:
        UnitsError: The packet does not consist of whole units.
    """
    at = 0
    while at < len(data):
        begin = at + _LENGTH_BYTES
        at = begin + int.from_bytes(data[at:begin], "big")
        if begin >= at or at > len(data):
            raise UnitsError("a packet does not consist of whole units")
        yield begin, at


def _sized(data: bytes, at: int, width: int) -> tuple[bytes, int]:
    end = at + width + int.from_bytes(data[at : at + width], "big")
    if end > len(data) or end == at + width:
        raise UnitsError("the header of the file is damaged")
    return data[at + width : end], end


def _plain(unit: bytes) -> bytes:
    """A unit's payload without the bytes that keep start codes out of it."""
    return unit.replace(b"\0\0\3", b"\0\0")


class _Bits:
    """Reads bits, the most significant first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """An unsigned number of so many bits."""
        if count > self._left:
            raise UnitsError("a parameter set is damaged")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def golomb(self) -> int:
        """An unsigned Exp-Golomb number (H.264 9.1); of a signed one only that it is passed."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)
