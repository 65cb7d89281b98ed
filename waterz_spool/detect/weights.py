"""The user's weights: which file, which bytes.

A .pt file runs code when it is loaded. So weights are never taken from a spool, where others can write, and never
downloaded; the user names the file, its sha256 is shown and stored in the job, and a worker loads a private copy whose
bytes it has compared.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from waterz_spool.errors import SetupError

_TODO = "name your own file with --weights FILE, or detect.weights in the configuration"


def weights_sha256(path: Path, *, spool: Path | None = None) -> str:
    """The sha256 of a weights file that may be used.

    Raises:
        SetupError: Missing, not a file, or inside the spool.
    """
    return hashlib.sha256(_content(path, spool)).hexdigest()


def private_copy(path: Path, folder: Path, *, sha256: str, spool: Path | None = None) -> Path:
    """The weights copied into a folder of this process, their bytes compared.

    Args:
        path: The user's file, at the same place on every machine that prepares.
        folder: Readable and writable by this user only.
        sha256: What the job pinned; empty is not compared.
        spool: Weights inside it are refused.

    Raises:
        SetupError: Missing, inside the spool, or other bytes than those pinned.
    """
    data = _content(path, spool)
    found = hashlib.sha256(data).hexdigest()
    if sha256 and found != sha256:
        raise SetupError(
            f"these weights are not those the job was submitted with: sha256 {found[:16]}, not {sha256[:16]}",
            where=str(path),
            todo="put the same file there, or submit the video again",
        )
    copy = folder / f"weights{path.suffix.lower()}"
    copy.write_bytes(data)
    return copy


def _content(path: Path, spool: Path | None) -> bytes:
    real = path.expanduser().resolve()
    if spool is not None and real.is_relative_to(spool.resolve()):
        raise SetupError("weights inside the spool are not used: others can write there", where=str(path), todo=_TODO)
    try:
        return real.read_bytes()
    except FileNotFoundError as error:
        raise SetupError("there is no such weights file", where=str(path), todo=_TODO) from error
    except OSError as error:
        raise SetupError(f"the weights cannot be read: {error.strerror}", where=str(path), todo=_TODO) from error
