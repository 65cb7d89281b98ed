"""What `run`, `submit --wait` and `worker --drain` say at their end: what was done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from waterz_spool.cli.context import Settings
from waterz_spool.errors import UsageError

if TYPE_CHECKING:
    from waterz_spool.spool import Job, Spool


def tell_result(settings: Settings, job: Job, *, named: bool, report: bool = False) -> None:
    """Say what was done for a published job, on standard error: results go to standard output.

    Args:
        settings: With --json the same is part of the document.
        job: The job.
        named: Whether to say where the result lies, too.
        report: Write the summary file and the report's page.
    """
    from waterz_spool.report.result import lines_of, result_of
    from waterz_spool.tools.reporting import write_report
    from waterz_spool.tools.summary import summary_path, write_summary

    result = result_of(job)
    if result is None:
        return
    lines = lines_of(result, named=named)
    if report:
        page = summary_path(Path(result.output)).with_suffix(".html")
        write_report(job, page)
        lines += [f"summary: {write_summary(result)}", f"report: {page}"]
    if not settings.as_json:
        click.echo("\n".join(lines), err=True)


def tell_worker(settings: Settings, spool: Spool, *, finished: int, published: list[str]) -> None:
    """Say what a worker did, results of its own making in full."""
    from waterz_spool.report.words import count

    for job_id in published:
        try:
            tell_result(settings, spool.by_id(job_id), named=True)
        except (OSError, UsageError):  # cleaned away meanwhile
            continue
    if not settings.as_json:
        click.echo(f"{count(finished, 'task')} done" if finished else "nothing was there to do", err=True)
