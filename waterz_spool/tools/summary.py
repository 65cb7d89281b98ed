"""The summary file beside a result, ``NAME.clean.json``: what was done, for those who keep both."""

from __future__ import annotations

from pathlib import Path

import msgspec

from waterz_spool.errors import UsageError
from waterz_spool.report.result import Result, data_of
from waterz_spool.stages.prepare.sheet import write_whole

_CAP_BYTES = 1 << 20


def summary_path(output: Path) -> Path:
    """Where the summary of a result lies."""
    return output.with_suffix(".json")


def check_summary(output: Path, *, overwrite: bool) -> None:
    """Say before any work that something else lies where the summary goes.

    Raises:
        UsageError: A file that is no summary of this result.
    """
    path = summary_path(output)
    if path.exists() and not overwrite and not _is_of(path, output):
        raise UsageError("the summary's name is taken", where=str(path), todo="move that file, or --overwrite")


def _is_of(path: Path, output: Path) -> bool:
    """Whether a file is an earlier summary of this result."""
    try:
        found = msgspec.json.decode(path.read_bytes()[:_CAP_BYTES])
    except (OSError, msgspec.DecodeError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("output") == str(output)


def write_summary(result: Result) -> Path:
    """Write it; it is whole whenever it is there."""
    path = summary_path(Path(result.output))
    write_whole(path, msgspec.json.format(msgspec.json.encode(data_of(result)), indent=1) + b"\n")
    return path
