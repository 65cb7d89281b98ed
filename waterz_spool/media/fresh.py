"""New files for libav to write: never through a link that somebody else has put where the file shall be."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av


class Finished:
    """A context manager that finishes what it writes, by `close`, or after an error gives it up, by `abandon`."""

    def close(self) -> None:
        """Finish it."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Let go of it as it is, not complete."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()


class FreshFile(Finished):
    """A file that did not exist before, written by libav through its descriptor alone.

    libav opens what it finds under a name: in a folder that others can write, a symlink or a hard link there would
    make it write over another file. Whatever has the name is removed, and the file made exclusively.
    """

    def __init__(self, path: Path) -> None:
        path = Path(path).absolute()
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(path, flags, 0o666), "w+b")

    def container(self, **options: Any) -> Any:
        """The file as an ``av.container.OutputContainer``; ``options`` are those of ``av.open``."""
        return av.open(self._file, "w", **options)

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: The last bytes could not be written.
        """
        self._file.close()

    def abandon(self) -> None:
        """Give the descriptor back; the file is not complete."""
        with contextlib.suppress(OSError):
            self._file.close()
