"""The user's weights: which file, which bytes.

A .pt file runs code when it is loaded. So weights are never taken from a spool, where others can write, and never
downloaded; the user names them, their sha256 is shown and stored in the job, and a worker loads a private copy whose
bytes it has compared.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from waterz_spool.errors import SetupError

_TODO = "name your own weights with --weights FILE, or detect.weights in the configuration"


def weights_sha256(path: Path, *, spool: Path | None = None) -> str:
    """The sha256 of weights that may be used.

    Of a file it is that of its bytes; of a folder (ultralytics exports some formats as one) that of the text which
    ``sha256sum`` prints for its files, sorted by name.

    Raises:
        SetupError: Missing, unreadable, or inside the spool.
    """
    return _digest(_content(path, spool))


def private_copy(path: Path, folder: Path, *, sha256: str, spool: Path | None = None) -> Path:
    """The weights copied into a folder of this process, their bytes compared.

    Args:
        path: The user's file or folder, at the same place on every machine that prepares.
        folder: Readable and writable by this user only.
        sha256: What the job pinned; empty is not compared.
        spool: Weights inside it are refused.

    Raises:
        SetupError: Missing, inside the spool, or other bytes than those pinned.
    """
    content = _content(path, spool)
    found = _digest(content)
    if sha256 and found != sha256:
        raise SetupError(
            f"these weights are not those the job was submitted with: sha256 {found[:16]}, not {sha256[:16]}",
            where=str(path),
            todo="put the same weights there, or submit the video again",
        )
    if _SELF in content:
        copy = folder / f"weights{path.suffix.lower()}"
        copy.write_bytes(content[_SELF])
        return copy
    copy = folder / path.name  # ultralytics knows the format by the end of the folder's name
    for name, data in content.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(data)
    return copy


_SELF = "."
"""Name of the content of weights that are one file."""


def _digest(content: dict[str, bytes]) -> str:
    if _SELF in content:
        return hashlib.sha256(content[_SELF]).hexdigest()
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(content.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _content(path: Path, spool: Path | None) -> dict[str, bytes]:
    """The bytes of a file, or of all files of a folder by their names in it."""
    real = path.expanduser().resolve()
    try:
        files = _files(real)
        for file in files.values():
            if spool is not None and file.resolve().is_relative_to(spool.resolve()):
                raise SetupError(
                    "weights inside the spool are not used: others can write there", where=str(path), todo=_TODO
                )
        content = {name: file.read_bytes() for name, file in files.items()}
    except FileNotFoundError as error:
        raise SetupError("weights file not found", where=str(path), todo=_TODO) from error
    except OSError as error:
        raise SetupError(f"the weights cannot be read: {error.strerror}", where=str(path), todo=_TODO) from error
    if not content:
        raise SetupError("the folder of the weights is empty", where=str(path), todo=_TODO)
    return content


def _files(real: Path) -> dict[str, Path]:
    if not real.is_dir():
        return {_SELF: real}
    return {str(file.relative_to(real)): file for file in real.rglob("*") if file.is_file()}
