"""Waiting for jobs on the command line, and what is done when they have ended."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from waterz_spool.cli.context import Settings
from waterz_spool.cli.done import tell_result
from waterz_spool.errors import TryAgainError, UsageError, WaterzError
from waterz_spool.spool import Job, Spool

if TYPE_CHECKING:
    from waterz_spool.report.terminal import Progress


def wait_for(
    settings: Settings,
    spool: Spool,
    jobs: Sequence[Job],
    *,
    timeout_s: float | None = None,
    on_done: str | None = None,
    tend: Callable[[Job], None] | None = None,
    paths: bool = False,
    report: bool = False,
    progress: Progress | None = None,
) -> list[WaterzError]:
    """Wait for jobs, say what became of each as it ends; why some failed.

    Args:
        settings: How to print.
        spool: The jobs' spool.
        jobs: Which ones.
        timeout_s: Give up after so long.
        on_done: A command to run when a job has ended.
        tend: Watches that workers are left for a job; without it a lack of workers is said once.
        paths: Whether to print where each result lies; else only the summary says it.
        report: Write summary and report beside each result.
        progress: Shows where they stand.

    Raises:
        TryAgainError: The time is over.
        PassedThroughError: All is published, but not all could be restored.
        OverlayLeftError: All is published, but some of an overlay is still there.
    """
    from waterz_spool.launch.follow import Following, follow_all
    from waterz_spool.report.ending import raise_if_left, raise_if_passed
    from waterz_spool.report.result import data_of, result_of

    progress = progress or settings.progress()
    split_command(on_done)
    followed = [Following(job, progress=progress, **_watched(settings, spool, job, progress, tend)) for job in jobs]
    failed: list[WaterzError] = []
    try:
        for job, end in follow_all(followed, progress=progress, timeout_s=timeout_s):
            if isinstance(end, WaterzError):
                failed.append(end)
                if len(jobs) > 1:
                    click.echo(f"error: {job.id}: {end}", err=True)
            else:
                _tell(settings, job, paths=paths, report=report)
            run_command(on_done, job)
    except TimeoutError as error:
        raise TryAgainError(str(error), todo="waterz-spool explain") from None
    finally:
        _emit(settings, spool, jobs)
    if not failed:
        raise_if_passed({job.id: job.state().passed for job in jobs})
        raise_if_left([data_of(made) for job in jobs if (made := result_of(job))])
    return failed


def _watched(
    settings: Settings, spool: Spool, job: Job, progress: Progress, tend: Callable[[Job], None] | None
) -> dict[str, Any]:
    from waterz_spool.launch.notices import Alone
    from waterz_spool.launch.slurm.workers import workers_coming

    if tend is not None:
        return {"tend": lambda: tend(job)}
    return {"alone": Alone(job, progress.line, lambda: workers_coming(spool, settings.config().slurm))}


def _tell(settings: Settings, job: Job, *, paths: bool, report: bool) -> None:
    """What was done, as soon as it is."""
    from waterz_spool.report.ending import result_path

    if paths:
        settings.emit({}, str(result_path(job)))
    tell_result(settings, job, named=not paths, report=report)


def _emit(settings: Settings, spool: Spool, jobs: Sequence[Job]) -> None:
    """All jobs as they stand, for programs."""
    if settings.as_json:
        from waterz_spool.report.jobdata import job_data
        from waterz_spool.report.living import Living

        settings.emit({"jobs": [job_data(job, Living(spool)) for job in jobs]}, "")


def split_command(command: str | None) -> list[str]:
    """The words of a command that the user gave; no shell reads them.

    Raises:
        UsageError: Its quotes do not match.
    """
    try:
        return shlex.split(command or "")
    except ValueError as error:
        raise UsageError(f"not a command: {error}", where=f"--on-done {command}", todo="quote it as a whole") from error


def run_command(command: str | None, job: Job) -> None:
    """Run the user's command for a job that has ended; what it does is its own affair, but a failure is said."""
    words = split_command(command)
    if not words:
        return
    state, record = job.state(), job.published()
    facts = {"{job}": job.id, "{state}": state.state, "{output}": record.path if record else ""}
    for name, value in facts.items():
        words = [word.replace(name, value) for word in words]
    try:
        code = subprocess.run(words, stdin=subprocess.DEVNULL, check=False).returncode
    except OSError as error:
        click.echo(f"warning: --on-done could not be run: {error.strerror}", err=True)
        return
    if code:
        click.echo(f"warning: --on-done ended with {code}", err=True)
