"""How a job ended, for whoever waited: the error of its reason, segments that were left as they are, the result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from waterz_spool.errors import (
    InputError,
    JobFailedError,
    NoOverlayError,
    OverlayLeftError,
    PassedThroughError,
    SetupError,
    UsageError,
    VerificationError,
    WaterzError,
)
from waterz_spool.report.status import passed_text
from waterz_spool.spool import Job, JobState

_BY_CODE: dict[int, type[WaterzError]] = {
    error.exit_code: error for error in (UsageError, NoOverlayError, InputError, VerificationError, SetupError)
}


def raise_if_failed(job: Job, state: JobState) -> None:
    """Turn a failed or cancelled job into the error of its first reason."""
    if state.state == "cancelled":
        raise JobFailedError("the job was cancelled", where=job.id, todo="run or submit the video again")
    if state.state != "failed":
        return
    reason = state.reasons[-1] if state.reasons else None
    kind = _BY_CODE.get(reason.rc if reason else 1, JobFailedError)
    lines = (reason.why if reason else "no reason recorded").splitlines()
    where = next((line.removeprefix("  where: ") for line in lines if line.startswith("  where: ")), "")
    todo = "\n".join(lines).partition("\n  to do: ")[2]  # the last part, and it may have lines of its own
    task = "" if reason is None or reason.task in ("prep", "final") else f" (segment {reason.task})"
    raise kind(lines[0] + task, where=where or f"job {job.id}", todo=todo or f"waterz-spool logs {job.id}")


def raise_if_passed(passed: dict[str, tuple[int, ...]]) -> None:
    """Tell of segments, by job, that could not be restored although the results are published.

    Raises:
        PassedThroughError: There are some.
    """
    lines = [f"{job_id}: {text}" for job_id, segments in passed.items() if (text := passed_text(segments))]
    if lines:
        raise PassedThroughError(
            "published, but not all of it could be restored",
            where="; ".join(lines),
            todo="look at these places of the result; try another --engine for them",
        )


def raise_if_left(results: Iterable[Mapping[str, Any] | None]) -> None:
    """Tell of results that still show some of their overlay although they are published.

    Args:
        results: Of jobs, as `report.result.data_of` makes them; None for a job that has none.

    Raises:
        OverlayLeftError: There are some.
    """
    lines = [
        f"{data['output']}: {line.removeprefix('warning: ')}"
        for data in results
        if data and data["residue"] == "left"
        for line in list(data["warnings"])[:1]
    ]
    if lines:
        raise OverlayLeftError(
            "published, but some of the overlay is still there",
            where="; ".join(lines),
            todo="look at these places of the result; give a larger --box there, or a --mask that covers all of it",
        )


def result_path(job: Job) -> Path | None:
    """Where the result of a published job lies."""
    record = job.published()
    return Path(record.path) if record else None
