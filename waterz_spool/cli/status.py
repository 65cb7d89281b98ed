"""`status` and `workers`: what is going on, once or again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.cli.naming import find_jobs, job_argument
from waterz_spool.cli.options import Command, option
from waterz_spool.errors import UsageError

if TYPE_CHECKING:
    from waterz_spool.spool import Spool

_WHICH, _SHOWN = "Which", "How"
_STATES = (
    *("preparing", "running", "finalizing", "publishing", "waiting", "stopped", "paused"),
    *("done", "failed", "cancelled"),
)
_SORTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "id": lambda job: job["job"],
    "newest": lambda job: -job["submitted"],
    "state": lambda job: (_STATES.index(job["state"]), job["job"]),
    "done": lambda job: (job["fraction"], job["job"]),
}
_EXAMPLES = """
waterz-spool status
waterz-spool status --watch --state running --state failed
waterz-spool status last --segments --failed
waterz-spool status last --slowest 10
waterz-spool status --sort newest --first 20 --json
"""


@click.command("status", cls=Command, examples=_EXAMPLES)
@job_argument("[JOB]")
@option("--segments", is_flag=True, part=_WHICH, help="One line per task, with confidence.")
@option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(_STATES),
    metavar="STATE",
    part=_WHICH,
    help=f"Only jobs in this state: {', '.join(_STATES)}. Repeatable.",
)
@option("--failed", is_flag=True, part=_WHICH, help="Only tasks (with --segments) or jobs with failures.")
@option("--slowest", type=click.IntRange(min=1), metavar="N", shown="all", part=_WHICH, help="The slowest segments.")
@option("--low", type=click.IntRange(min=1), metavar="N", shown="all", part=_WHICH, help="The least certain segments.")
@option("--first", type=click.IntRange(min=1), metavar="N", shown="all", part=_WHICH, help="Only so many jobs.")
@option("--sort", type=click.Choice(list(_SORTS)), default="id", part=_SHOWN, help="Order of the jobs.")
@option("--watch", is_flag=True, part=_SHOWN, help="Show it again and again, until Ctrl-C.")
@shared_options
def status_command(settings: Settings, name: str | None, watch: bool, **given: Any) -> None:
    """Show what is done, running and waiting.

    JOB is an id, the beginning of one, `last` or `all`. Columns: DONE share of the segments; FAILED attempts that
    failed; FPS and ETA from the newest segments; SEEN share of the hidden picture that other frames showed; AGE since
    submit. With --segments: LOST attempts whose worker died, RELEASED handed back, WEIGHT from 0 (a guess) to 1,
    LEFT what a second look at the result says of the overlay.
    """
    if settings.chosen_spool() is None:
        settings.say(f"your private spool: {settings.spool_root()}")
    given["segments"] |= bool(given["slowest"] or given["low"])
    if not watch:
        settings.emit(*_look(settings, name, given))
        return
    if settings.as_json:
        raise UsageError("--watch is for people", where="--watch --json", todo="call status --json now and then")
    _watch(lambda: _look(settings, name, given)[1])


def _look(settings: Settings, name: str | None, given: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """One look: as data and as text."""
    from waterz_spool.report.jobdata import job_data
    from waterz_spool.report.living import Living
    from waterz_spool.spool import Spool

    spool = Spool.open(settings.spool_root())
    living = Living(spool)
    jobs = [job_data(job, living, tasks=given["segments"]) for job in find_jobs(settings, name)]
    jobs = [job for job in jobs if not given["states"] or job["state"] in given["states"]]
    if given["failed"]:
        jobs = [job for job in jobs if job["failed"]]
    jobs = sorted(jobs, key=_SORTS[given["sort"]])[: given["first"]]
    wrong = troubles_of(spool)
    data = {"spool": str(spool.root), "troubles": wrong, "jobs": jobs}
    if not jobs:
        filtered = name or given["states"] or given["failed"]
        return data, "\n".join(["no job is like that" if filtered else f"no jobs in this spool: {spool.root}", *wrong])
    if given["segments"]:
        for job in jobs:
            job["tasks"] = _chosen(job["tasks"], given)
        return data, "\n".join([*map(_tasks_text, jobs), *wrong])
    return data, "\n".join([_jobs_text(jobs), *wrong])


def troubles_of(spool: Spool) -> list[str]:
    """What keeps workers from their work, one line each."""
    from waterz_spool.report.troubles import troubles

    return [trouble.line for trouble in troubles(spool)]


def _chosen(tasks: list[dict[str, Any]], given: dict[str, Any]) -> list[dict[str, Any]]:
    """The tasks that were asked for; the slowest and the least certain come first."""
    if given["failed"]:
        tasks = [task for task in tasks if task["failed"]]
    if given["slowest"]:
        timed = [task for task in tasks if task["seconds"] is not None]
        tasks = sorted(timed, key=lambda task: -task["seconds"])[: given["slowest"]]
    if given["low"]:
        known = [task for task in tasks if task["weight"] is not None]
        tasks = sorted(known, key=lambda task: task["weight"])[: given["low"]]
    return tasks


def _jobs_text(jobs: list[dict[str, Any]]) -> str:
    from waterz_spool.report.status import JOB_COLUMNS, row, table

    pages = [f"look at {job['review']}" for job in jobs if job["review"]]
    return "\n".join([table(JOB_COLUMNS, map(row, jobs)), *pages])


def _tasks_text(job: dict[str, Any]) -> str:
    from waterz_spool.report.status import SEGMENT_COLUMNS, segment_rows, table

    return f"{job['job']}\n{table(SEGMENT_COLUMNS, segment_rows(job['tasks']))}"


def _watch(look: Callable[[], str]) -> None:
    """Show what a function says again and again, on the whole screen of a terminal."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while True:
            # What does not fit is cut: a line that wraps would hide others.
            live.update(Text(look(), no_wrap=True, overflow="ellipsis"), refresh=True)
            time.sleep(_EVERY_S)


_EVERY_S = 2.0
_WORKER_COLUMNS = ("WORKER", "PID", "STATE", "TASK", "STEP", "DONE", "STAGES", "BEAT")


@click.command("workers", cls=Command, examples="waterz-spool workers\nwaterz-spool workers --watch")
@option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@shared_options
def workers_command(settings: Settings, watch: bool) -> None:
    """Show the workers that live, and what each one does.

    BEAT is the age of its last heartbeat. Workers that wait in Slurm's queue have none yet: `slurm status` shows them.
    """
    if watch and not settings.as_json:
        _watch(lambda: _workers(settings)[1])
    settings.emit(*_workers(settings))


def _workers(settings: Settings) -> tuple[dict[str, Any], str]:
    from waterz_spool.report.jobdata import worker_data
    from waterz_spool.report.living import Living, worker_name
    from waterz_spool.report.status import table
    from waterz_spool.report.words import short
    from waterz_spool.spool import Spool

    spool = Spool.open(settings.spool_root())
    found = [worker_data(alive) for alive in Living(spool).everybody]
    rows = [
        (
            worker_name(each["host"], each["slurm"]),
            str(each["pid"]),
            each["trouble"] or each["state"],
            f"{each['job']}/{each['task']}" if each["job"] else "-",
            each["step"] or "-",
            "-" if each["fraction"] is None else f"{each['fraction']:.0%}",
            ",".join(each["stages"]),
            short(each["age_s"]),
        )
        for each in found
    ]
    text = table(_WORKER_COLUMNS, rows) if rows else "no worker is running"
    return {"spool": str(spool.root), "workers": found}, "\n".join([text, *troubles_of(spool)])
