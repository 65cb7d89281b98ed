"""Decode times of copied packets in the order that a muxer demands."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from av.packet import Packet

from waterz_spool.errors import InputError

Ratio = tuple[int, int]


class TimesError(InputError):
    """The times of a stream go back."""


class Rising:
    """Moves packets that share a tick of the source's clock apart by ticks of a finer one.

    Matroska counts in ms, and packets that last less share a time there; MP4 and MOV want every decode time of sound
    and pictures to rise. A packet is never moved further than one tick of the clock that its time came from.

    Args:
        strict: Whether equal decode times of sound and pictures are refused.
    """

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._last: dict[int, int] = {}
        self._ratio: dict[int, Ratio] = {}

    def settle(self, packet: Packet[Any], name: str) -> None:
        """Make the packet's times fit behind those of the packet before.

        Args:
            packet: Next packet of its stream, which is the output's.
            name: The source's stream in words, for the error.

        Raises:
            TimesError: Its decode time lies before that of the packet before, by more than rounding explains.
        """
        if packet.dts is None:
            return  # libav derives one
        stream = packet.stream
        index = stream.index
        if index not in self._ratio:
            self._ratio[index] = _ratio(packet.time_base, stream.time_base)
        top, bottom = self._ratio[index]
        place = (2 * packet.dts * top + bottom) // (2 * bottom)
        last = self._last.get(index)
        least = place if last is None else last + (self._strict and stream.type in ("audio", "video"))
        if place < least:
            if (least - place) * stream.time_base > max(packet.time_base, stream.time_base):
                raise _falls(name, packet, least * stream.time_base)
            _move(packet, least)
        self._last[index] = max(place, least)


def _ratio(here: Fraction, there: Fraction) -> Ratio:
    factor = here / there
    return factor.numerator, factor.denominator


def _move(packet: Packet[Any], dts: int) -> None:
    """Give the packet this decode time in its stream's ticks; it is shown at its own time or as soon as decoded."""
    base = packet.stream.time_base
    pts = dts if packet.pts is None else max(dts, round(packet.pts * packet.time_base / base))
    duration = round((packet.duration or 0) * packet.time_base / base)
    packet.pts, packet.dts, packet.duration, packet.time_base = pts, dts, duration, base


def _falls(name: str, packet: Packet[Any], before: Fraction) -> TimesError:
    time_s = float((packet.dts or 0) * packet.time_base)
    return TimesError(
        f"{name}: its times do not rise: the packet at {time_s:.3f} s follows one at {float(before):.3f} s",
        where=name,
        todo="give it new times first: ffmpeg -i IN -map 0 -c copy OUT.mkv",
    )
