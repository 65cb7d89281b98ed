"""Time and randomness as the spool uses them, injected so that tests need none of either."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Protocol

Tokens = Callable[[], str]  # gives 24 hex digits, never the same twice


class Clock(Protocol):
    """Where time comes from."""

    def monotonic(self) -> float:
        """Seconds on this process's own clock: the only one that decides anything."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch, for people to read; never compared with another host's."""
        ...


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """CLOCK_MONOTONIC, shared by all processes of one boot."""
        return time.monotonic()

    def wall(self) -> float:
        """The system's time of day."""
        return time.time()


def random_token() -> str:
    """96 random bits, 24 hex digits: nobody else's name."""
    return secrets.token_hex(12)
