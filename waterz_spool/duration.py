"""Lengths of time as people type them: one spelling for every option.

Slurm's own spelling, in which a bare number is minutes, holds only for sbatch's arguments and ``slurm.time``.
"""

from __future__ import annotations

import re

from waterz_spool.errors import UsageError

_UNITS_S = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_NUMBER = r"\d+(?:\.\d+)?"
_CLOCK = re.compile(rf"(?:(?:(\d+):)?(\d+):)?({_NUMBER})")
_UNITS = re.compile("".join(rf"(?:({_NUMBER}){unit})?" for unit in _UNITS_S))


def seconds_of(text: str, *, where: str = "") -> float:
    """Seconds from ``90``, ``12.5``, ``1:30``, ``1:02:03.5``, ``1h30m``, ``45s``, ``7d`` or ``2w``.

    Args:
        text: A bare number is seconds.
        where: Who said it, for the error.

    Raises:
        UsageError: It is none of these.
    """
    text = text.strip().lower()
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = clock.groups()
        return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds)
    parts = _UNITS.fullmatch(text)
    if parts is None or not text:
        raise UsageError("not a length of time", where=where or text, todo="for example 90, 1:30, 1h30m or 7d")
    return sum(float(number) * size for number, size in zip(parts.groups(), _UNITS_S.values(), strict=True) if number)


def text_of(seconds: float) -> str:
    """Such a spelling, for people: ``5m``, ``1h30m``, ``0.5s``."""
    if seconds != int(seconds) or seconds == 0:
        return f"{seconds:g}s"
    left, parts = int(seconds), []
    for unit, size in list(_UNITS_S.items())[1:]:
        number, left = divmod(left, size)
        parts += [f"{number}{unit}"] if number else []
    return "".join(parts)
