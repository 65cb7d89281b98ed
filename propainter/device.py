"""Where and in which float type the networks run."""

from __future__ import annotations

import ctypes
import logging
from contextlib import AbstractContextManager, nullcontext

import torch

from propainter.errors import InputError

log = logging.getLogger(__name__)

_M_MMAP_THRESHOLD = -3  # malloc.h
TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def pick_device(device: torch.device | str | None) -> torch.device:
    """The device named, else the first CUDA GPU, else the CPU."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def pick_dtype(dtype: torch.dtype | str | None, device: torch.device) -> torch.dtype:
    """The float type named (None: float32); float16 needs CUDA and falls back to float32 elsewhere, with a log line.

    Raises:
        InputError: No such type.
    """
    wanted = TYPES.get(dtype.removeprefix("torch.")) if isinstance(dtype, str) else dtype or torch.float32
    if wanted not in TYPES.values():
        raise InputError(f"dtype={dtype!r}", todo=f"Use one of {', '.join(TYPES)}.")
    if wanted is torch.float16 and device.type != "cuda":
        log.warning("float16 is ignored on %s: running in float32", device.type)
        return torch.float32
    return wanted


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Convolutions and matrices in ``dtype``; nothing at all for float32. Warping grids stay float32 by themselves."""
    if dtype is torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype)


def map_large_tensors() -> None:
    """Make glibc give arrays and tensors of 128 KiB and more back to the system as soon as they are freed.

    By itself it keeps up to 32 MiB of each, and the holes between those that stay add up: 290 MiB in one window of 19
    frames of 240x432 px. It holds for the process; elsewhere than with glibc nothing happens.
    """
    adjust = getattr(ctypes.CDLL(None), "mallopt", None)
    if adjust is not None:
        adjust(_M_MMAP_THRESHOLD, 128 << 10)
