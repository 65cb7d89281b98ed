"""Restorers: back ends that fill masked pixels, behind one base class; arrays in, arrays out."""

from __future__ import annotations

from typing import Any

from waterz_spool.backends import RESTORERS
from waterz_spool.config import RestoreConfig
from waterz_spool.errors import UsageError
from waterz_spool.restore.base import Check, Clip, Restored, Restorer, Stop, no_check
from waterz_spool.restore.weights import WeightFile, absent

__all__ = ["Check", "Clip", "Restored", "Restorer", "Stop", "WeightFile", "chosen", "create", "no_check"]


def create(name: str, options: dict[str, Any] | None = None) -> Restorer:
    """The restorer of that name, ready to work.

    Args:
        name: One of the registered names.
        options: Keyword options of that restorer.

    Raises:
        SetupError: No restorer of that name can be loaded here.
        UsageError: It has no such option or value.
    """
    kind = RESTORERS.load(name)
    try:
        made: Restorer = kind(**(options or {}))
    except (TypeError, ValueError) as error:
        raise UsageError(f"restorer {name!r} does not take these options: {error}", where=str(options)) from error
    return made


def chosen(options: RestoreConfig) -> type[Restorer]:
    """The restorer that a configuration asks for; ``auto`` is the first of this package that can be used here.

    Raises:
        SetupError: It cannot be loaded here.
    """
    if options.engine != "auto":
        return RESTORERS.load(options.engine)
    kinds: list[type[Restorer]] = [RESTORERS.load(name) for name in RESTORERS.own]
    return next(kind for kind in kinds if kind.automatic and _usable(kind))


def may_use_gpu(options: RestoreConfig) -> bool:
    """Whether the restorer that a configuration asks for may need a GPU."""
    return options.engine == "auto" or chosen(options).needs_gpu


def _usable(kind: type[Restorer]) -> bool:
    return not absent(kind.weights) and (not kind.needs_gpu or _gpu_present())


def _gpu_present() -> bool:
    """Whether torch is installed and sees a CUDA device."""
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())
