"""Files that pages are written to: a page may replace a page of this program, and nothing else."""

from __future__ import annotations

from pathlib import Path

from waterz_spool.errors import InputError, UsageError

MARK = b'<meta name="generator" content="waterz-spool">'  # in base.html
_HEAD_BYTES = 512


def require_page(path: Path) -> None:
    """Make sure that a page may be written there; ask before the work that leads to it.

    Raises:
        UsageError: Something else is there, or the name is not that of a page.
        InputError: What is there cannot be read.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError("a page's name ends with .html", where=str(path), todo=f"for example {path.stem}.html")
    try:
        with path.open("rb") as file:
            ours = MARK in file.read(_HEAD_BYTES)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        ours = False
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), todo="choose another name") from error
    if not ours:
        raise UsageError("the page would replace another file", where=str(path), todo="choose another name")
