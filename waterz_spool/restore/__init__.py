"""Restorers: back ends that fill masked pixels, behind one protocol; arrays in, arrays out."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from waterz_spool.errors import UsageError
from waterz_spool.restore.base import Check, Clip, Restored, Restorer, Stop

__all__ = ["Check", "Clip", "Restored", "Restorer", "Stop", "create", "names"]


def _membrane(options: dict[str, Any]) -> Restorer:
    from waterz_spool.restore.membrane import MembraneRestorer

    # Every restorer may be told how many threads it has; this one needs none.
    return MembraneRestorer(**{key: value for key, value in options.items() if key != "threads"})


def _propagate(options: dict[str, Any]) -> Restorer:
    from waterz_spool.restore.propagate import PropagateRestorer

    return PropagateRestorer(**options)


def _propainter(options: dict[str, Any]) -> Restorer:
    from waterz_spool.restore.propainter import PropainterRestorer

    return PropainterRestorer(**options)


_MAKERS: dict[str, Callable[[dict[str, Any]], Restorer]] = {
    "membrane": _membrane,
    "propagate": _propagate,
    "propainter": _propainter,
}


def names() -> tuple[str, ...]:
    """The restorers that exist, sorted."""
    return tuple(sorted(_MAKERS))


def create(name: str, options: dict[str, Any] | None = None) -> Restorer:
    """The restorer of that name.

    Args:
        name: One of `names`.
        options: Keyword options of that restorer.

    Raises:
        UsageError: No restorer has that name, or it has no such option or value.
    """
    if name not in _MAKERS:
        near = difflib.get_close_matches(name, _MAKERS, 1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(names())}"
        raise UsageError(f"no restorer is called {name!r}", todo=hint)
    try:
        return _MAKERS[name](options or {})
    except (TypeError, ValueError) as error:
        raise UsageError(f"restorer {name!r} does not take these options: {error}", where=str(options)) from error
