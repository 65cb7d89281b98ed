"""A small file beside a result: whole, once, replacing nothing of the user's."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from waterz_spool.errors import UsageError
from waterz_spool.stages.prepare.sheet import write_whole

_NAMES = 1000


def place_beside(made: Path, target: Path, *, overwrite: bool) -> Path:
    """Put a copy of a file under a name; safe to repeat, by any number of processes.

    Args:
        made: The file.
        target: Where it goes. If another file lies there, it becomes ``name (2).ext``.
        overwrite: Replace that file instead.

    Returns:
        Where it lies.

    Raises:
        UsageError: Too many files have such names.
    """
    data = made.read_bytes()
    target.parent.mkdir(parents=True, exist_ok=True)
    if overwrite:
        write_whole(target, data)
        return target
    part = target.with_name(f".{secrets.token_hex(8)}.{target.name}")
    try:
        write_whole(part, data)
        for number in range(1, _NAMES):
            path = target if number == 1 else target.with_name(f"{target.stem} ({number}){target.suffix}")
            with contextlib.suppress(FileExistsError):
                os.link(part, path)
                return path
            if path.is_file() and path.read_bytes() == data:
                return path
    finally:
        part.unlink(missing_ok=True)
    raise UsageError(f"{_NAMES} files of this name exist", where=str(target))
