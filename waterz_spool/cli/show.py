"""`status`, `explain` and `logs`: what is going on, why not, and what was said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.errors import UsageError
from waterz_spool.spool import Job, Spool, Task

if TYPE_CHECKING:
    from waterz_spool.report.explain import Around


def find_jobs(settings: Settings, name: str | None) -> list[Job]:
    """The jobs a name stands for: an id, a unique prefix, ``last``, ``all`` or nothing for all."""
    spool = Spool.open(settings.spool_root())
    return spool.jobs() if name in (None, "all") else [spool.job(str(name))]


def split_task(name: str) -> tuple[str, Task | None]:
    """``last/52`` as job name and task; the task is a segment index, ``prep``, ``final`` or None."""
    job, _, task = name.partition("/")
    match task:
        case "":
            return job, None
        case "prep" | "final":
            return job, task
    if not (task.isascii() and task.isdigit()):
        raise UsageError("a task is a segment number, prep or final", where=name, todo="for example last/52")
    return job, int(task)


@click.command("status")
@click.argument("job", required=False)
@click.option("--segments", is_flag=True, help="One line per segment, with confidence.")
@shared_options
def status_command(settings: Settings, job: str | None, segments: bool) -> None:
    """Show what is done, running and waiting."""
    from waterz_spool.report import status
    from waterz_spool.report.living import Living

    living = Living(Spool.open(settings.spool_root()))
    found = [(each, each.state()) for each in find_jobs(settings, job)]
    wrong = _troubles(settings)
    if not found:
        settings.emit([], "no jobs in this spool")
    elif segments:
        tables = [(each, status.segment_rows(each, state)) for each, state in found]
        names = [name.lower() for name in status.SEGMENT_COLUMNS]
        data = [
            {"job": each.id, "segments": [dict(zip(names, row, strict=True)) for row in rows]} for each, rows in tables
        ]
        text = "\n".join(f"{each.id}\n{status.table(status.SEGMENT_COLUMNS, rows)}" for each, rows in tables)
        settings.emit(data if len(data) > 1 else data[0], text)
    else:
        rows = [] if settings.as_json else [status.row(each, state, living) for each, state in found]
        data = [
            {**status.summary(each, living, state), **({"troubles": wrong} if wrong else {})} for each, state in found
        ]
        pages = [f"look at {page}" for each, state in found if (page := status.review_page(each, state))]
        settings.emit(data, "\n".join([status.table(status.JOB_COLUMNS, rows), *pages, *wrong]))


def _troubles(settings: Settings) -> list[str]:
    from waterz_spool.report.troubles import troubles

    return [trouble.line for trouble in troubles(Spool.open(settings.spool_root()))]


@click.command("explain")
@click.argument("name", default="last")
@shared_options
def explain_command(settings: Settings, name: str) -> None:
    """Say why a job (JOB) or one of its tasks (JOB/52) makes no progress."""
    from waterz_spool.report.explain import explain_job, explain_task

    job_name, wanted = split_task(name)
    spool = Spool.open(settings.spool_root())
    job = spool.job(job_name)
    state = job.state()
    around = _around(settings, spool)
    if wanted is None:
        lines = explain_job(job, state, around)
    else:
        task = next((task for task in state.tasks if task.task == wanted), None)
        if task is None:
            raise UsageError(f"the job has no task {wanted}", where=job.id, todo="waterz-spool status --segments")
        lines = explain_task(job, state, task, around)
    if not state.terminal:
        lines = [*lines, *_troubles(settings)]
    settings.emit({"job": job.id, "lines": lines}, "\n".join(lines))


def _around(settings: Settings, spool: Spool) -> Around:
    from waterz_spool.intake.spools import private_spool
    from waterz_spool.launch.slurm.left import workers_coming
    from waterz_spool.report.explain import Around
    from waterz_spool.report.living import Living

    return Around(
        Living(spool),
        queued=lambda: workers_coming(spool, settings.config().slurm),
        private=spool.root == private_spool().absolute(),
    )


@click.command("logs")
@click.argument("name", default="last")
@shared_options
def logs_command(settings: Settings, name: str) -> None:
    """Show what workers logged about a job (JOB) or one of its tasks (JOB/52), in order of time."""
    from waterz_spool.report.logs import merged

    job_name, task = split_task(name)
    lines = merged(Spool.open(settings.spool_root()).job(job_name), task)
    settings.emit(lines, "\n".join(lines) or "nothing was logged yet")


@click.command("report")
@click.argument("job", default="last")
@click.option("-o", "--output", "page", type=click.Path(path_type=Path), help="The page [JOB.html, here].")
@shared_options
def report_command(settings: Settings, job: str, page: Path | None) -> None:
    """Write a page about a job: before and after, what was seen and what filled, who worked when, what was verified."""
    from waterz_spool.tools.reporting import write_report

    found = Spool.open(settings.spool_root()).job(job)
    page = page or Path(f"{found.id}.html")
    write_report(found, page)
    settings.emit({"job": found.id, "page": str(page)}, str(page))
