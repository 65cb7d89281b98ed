"""Remove burnt-in overlays from video, spread over machines that share nothing but a directory.

>>> from waterz_spool import Spool
>>> job = Spool("/shared/spool").submit("video.mp4", boxes=[(1600, 40, 280, 90)])  # doctest: +SKIP
>>> job.wait()  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from waterz_spool.api import Job, Spool

__version__ = "0.1.0"
__all__ = ["Job", "Spool", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the public names when they are used: importing the package does no work."""
    if name in ("Job", "Spool"):
        from waterz_spool import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
