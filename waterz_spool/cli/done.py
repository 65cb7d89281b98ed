"""What `run`, `submit --wait` and `worker --drain` say at their end: what was done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from waterz_spool.cli.context import Settings
from waterz_spool.errors import UsageError

if TYPE_CHECKING:
    from waterz_spool.report.result import Result
    from waterz_spool.spool import Job, Spool


def tell_result(settings: Settings, job: Job, *, named: bool, report: bool = False) -> None:
    """Say what was done for a published job, if its records tell.

    Args:
        settings: As for `tell`.
        job: The job.
        named: Whether to say where the result lies, too.
        report: Write the summary file and the report's page.
    """
    from waterz_spool.report.result import result_of
    from waterz_spool.tools.reporting import write_beside

    if result := result_of(job):
        tell(settings, result, write_beside(job, result) if report else (), named=named)


def tell(settings: Settings, result: Result, files: tuple[Path, ...], *, named: bool) -> None:
    """Say what was done, on standard error: results go to standard output.

    Args:
        settings: With --json the same is part of the document.
        result: What was done.
        files: The summary file and the report's page, if they were written.
        named: Whether to say where the result lies, too.
    """
    from waterz_spool.report.result import lines_of

    kinds = zip(("summary", "report"), files, strict=False)
    lines = [*lines_of(result, named=named), *(f"{kind}: {path}" for kind, path in kinds)]
    settings.say("\n".join(lines))


def tell_worker(settings: Settings, spool: Spool, *, finished: int, published: list[str]) -> None:
    """Say what a worker did, results of its own making in full."""
    from waterz_spool.report.words import count

    for job_id in published:
        try:
            tell_result(settings, spool.by_id(job_id), named=True)
        except (OSError, UsageError):  # cleaned away meanwhile
            continue
    settings.say(f"{count(finished, 'task')} done" if finished else "nothing was there to do")
