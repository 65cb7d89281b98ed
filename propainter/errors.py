"""Errors this package raises on purpose; each carries its facts and says what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

WeightsKind = Literal["missing", "truncated", "wrong"]


class PropainterError(Exception):
    """Root of every error raised on purpose by this package.

    Args:
        what: What went wrong, one line.
        todo: What the caller can do next, one line; may be empty.
    """

    def __init__(self, what: str, *, todo: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.todo = todo

    def __str__(self) -> str:
        return f"{self.what}\n{self.todo}" if self.todo else self.what


class InputError(PropainterError, ValueError):
    """Frames, masks or an option are outside what the pipeline accepts."""


class WeightsError(PropainterError):
    """A checkpoint file cannot be used.

    Args:
        kind: ``missing`` (no such file), ``truncated`` (the file ends early), ``wrong`` (another model, another
            format, or tensors of other names, shapes or types).
        file: Path of the file.
        what: What was found, one line.
        todo: Where to get it, what its licence permits, one line.
        sha256: Expected sha256 of the file, or None where no trustworthy value is known to this project.
    """

    def __init__(self, kind: WeightsKind, file: Path, what: str, *, todo: str, sha256: str | None = None) -> None:
        super().__init__(f"{file}: {what}", todo=todo)
        self.kind: WeightsKind = kind
        self.file = file
        self.sha256 = sha256
