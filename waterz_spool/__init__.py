"""Remove burnt-in overlays from video, spread over machines that share nothing but a directory.

>>> import waterz_spool
>>> waterz_spool.run("video.mp4", boxes=[(1600, 40, 280, 90)]).seen  # doctest: +SKIP
0.98
>>> job = waterz_spool.Spool("/shared/spool").submit("video.mp4")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from waterz_spool.api import Asked, Job, Moment, Result, Spool, State, TaskInfo, as_completed, run
    from waterz_spool.errors import (
        InputError,
        JobFailedError,
        NoOverlayError,
        OverlayLeftError,
        PassedThroughError,
        SetupError,
        TryAgainError,
        UsageError,
        VerificationError,
        WaterzError,
    )

__version__ = "0.1.0"
_API = ("Asked", "Job", "Moment", "Result", "Spool", "State", "TaskInfo", "as_completed", "run")
__all__ = [
    "Asked",
    "InputError",
    "Job",
    "JobFailedError",
    "Moment",
    "NoOverlayError",
    "OverlayLeftError",
    "PassedThroughError",
    "Result",
    "SetupError",
    "Spool",
    "State",
    "TaskInfo",
    "TryAgainError",
    "UsageError",
    "VerificationError",
    "WaterzError",
    "__version__",
    "as_completed",
    "run",
]


def __getattr__(name: str) -> Any:
    """Import the public names when they are used: importing the package does no work."""
    if name in _API:
        from waterz_spool import api

        return getattr(api, name)
    if name in __all__:
        from waterz_spool import errors

        return getattr(errors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
