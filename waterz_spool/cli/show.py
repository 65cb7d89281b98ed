"""`explain`, `logs`, `report` and `wait`: why not, what was said, what was done, and when it is over."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.cli.naming import job_argument, jobs_like, split_task
from waterz_spool.cli.options import DURATION, Command, option
from waterz_spool.cli.status import troubles_of
from waterz_spool.errors import JobFailedError, UsageError
from waterz_spool.spool import Job, Spool, Task

if TYPE_CHECKING:
    from waterz_spool.report.explain import Around
    from waterz_spool.report.logs import Line


@click.command("explain", cls=Command, examples="waterz-spool explain\nwaterz-spool explain last/52")
@job_argument("[JOB[/TASK]]", default="last")
@shared_options
def explain_command(settings: Settings, name: str) -> None:
    """Say why a job or one of its tasks makes no progress.

    A task is a segment's number, `prep` or `final`: JOB/52. Without a name: the newest job.
    """
    from waterz_spool.report.explain import explain_job, explain_task
    from waterz_spool.report.living import standing

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
        lines = [*lines, *troubles_of(spool)]
    data = {"job": job.id, "task": wanted, "state": standing(job, state, around.living), "lines": lines}
    settings.emit(data, "\n".join(lines))


def _around(settings: Settings, spool: Spool) -> Around:
    from waterz_spool.intake.spools import private_spool
    from waterz_spool.launch.slurm.workers import workers_coming
    from waterz_spool.report.explain import Around
    from waterz_spool.report.living import Living

    return Around(
        Living(spool),
        queued=lambda: workers_coming(spool, settings.config().slurm),
        private=spool.root == private_spool().absolute(),
    )


@click.command("logs", cls=Command, examples="waterz-spool logs last/52\nwaterz-spool logs last --follow")
@job_argument("[JOB[/TASK]]", default="last")
@option("-f", "--follow", is_flag=True, help="Go on with what is new until the job has ended.")
@shared_options
def logs_command(settings: Settings, name: str, follow: bool) -> None:
    """Show what workers logged about a job or one of its tasks.

    In order of time; the first column is the task. Without a name: of the newest job. With --follow and --json it is
    one JSON document a line.
    """
    from waterz_spool.report.logs import merged

    job_name, task = split_task(name)
    job = Spool.open(settings.spool_root()).job(job_name)
    if follow:
        _follow_logs(settings, job, task)
        return
    lines = merged(job, task)
    data = {"job": job.id, "task": task, "lines": [_line_data(line) for line in lines]}
    settings.emit(data, "\n".join(map(str, lines)) or "nothing was logged yet")


def _line_data(line: Line) -> dict[str, str | None]:
    return {"time": line.time or None, "task": line.task, "text": line.text}


def _follow_logs(settings: Settings, job: Job, task: Task | None) -> None:
    from waterz_spool.report.logs import merged

    known: dict[str, int] = {}
    while True:
        ended = job.state().terminal  # before the last look, so that it misses nothing
        for line in merged(job, task, after=known):
            known[line.log] = line.number + 1
            settings.emit_line(_line_data(line), str(line))
        if ended:
            return
        time.sleep(_FOLLOW_S)


_FOLLOW_S = 0.5


@click.command("report", cls=Command, examples="waterz-spool report last -o report.html")
@job_argument("[JOB]", default="last")
@option(
    "-o",
    "--output",
    "page",
    type=click.Path(path_type=Path),
    shown="JOB.html, here",
    help="The page.",
)
@shared_options
def report_command(settings: Settings, name: str, page: Path | None) -> None:
    """Write a page about a job: before, after, what was a guess.

    And: what was seen and what was filled in over time, who worked when, what was verified. Without a name: the newest
    job.
    """
    from waterz_spool.report.pagefile import require_page
    from waterz_spool.tools.reporting import write_report

    found = Spool.open(settings.spool_root()).job(name)
    page = page or Path(f"{found.id}.html")
    require_page(page)
    write_report(found, page)
    settings.emit({"job": found.id, "page": str(page)}, str(page))


_WAIT_EXAMPLES = """
waterz-spool wait last
waterz-spool wait all --timeout 2h
waterz-spool wait last --on-done 'mv {output} /archive/'
"""


@click.command("wait", cls=Command, examples=_WAIT_EXAMPLES)
@click.argument("names", nargs=-1, required=True, metavar="JOB...", shell_complete=jobs_like)
@option("--timeout", "timeout_s", type=DURATION, shown="none", help="Give up after this time: exit code 75.")
@option(
    "--on-done",
    metavar="COMMAND",
    shown="none",
    help="Run this when a job has ended; {job}, {state} and {output} stand for its own.",
)
@shared_options
def wait_command(settings: Settings, names: tuple[str, ...], timeout_s: float | None, on_done: str | None) -> None:
    """Wait until jobs have ended, and say what was done.

    Prints the results as they come. `all` is every job that has not ended. The exit code is that of the job when one
    was named and it failed, 1 when one of several did.
    """
    from waterz_spool.cli.waiting import wait_for

    spool = Spool.open(settings.spool_root())
    jobs = _open_jobs(spool) if names == ("all",) else [spool.job(name) for name in dict.fromkeys(names)]
    failed = wait_for(settings, spool, jobs, timeout_s=timeout_s, on_done=on_done, paths=True)
    if len(jobs) == 1 and failed:
        raise failed[0]
    if failed:
        raise JobFailedError(f"{len(failed)} of {len(jobs)} jobs failed", todo="see the errors above")


def _open_jobs(spool: Spool) -> list[Job]:
    def is_open(job: Job) -> bool:
        state = job.state()
        return not state.terminal or (state.state == "done" and not state.published)

    return [job for job in spool.jobs() if is_open(job)]
