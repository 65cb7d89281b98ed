"""Jobs and tasks by the names that people give them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from waterz_spool.cli.context import Settings
from waterz_spool.errors import UsageError
from waterz_spool.spool import Job, Spool, Task

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_COMPLETED = 200


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


def jobs_like(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids that begin like what was typed, newest first, for a shell that completes."""
    from click.shell_completion import CompletionItem

    ids: list[str] = []
    with contextlib.suppress(Exception):  # while somebody types nothing may fail
        ids = Spool.open(_spool_of(ctx)).job_ids()
    names = [*reversed(ids[-_COMPLETED:]), "last", "all"]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _spool_of(ctx: click.Context) -> Path:
    """The spool of a command line that is still being typed."""
    place: click.Context | None = ctx
    settings = Settings()
    while place is not None:
        settings = Settings(
            spool=settings.spool or place.params.get("spool"),
            config_file=settings.config_file or place.params.get("config_file"),
        )
        place = place.parent
    return settings.spool_root()


def job_argument(metavar: str = "JOB", *, default: str | None = None, required: bool = False) -> Callable[[Any], Any]:
    """An argument that names a job, or a task of it; shells complete it."""
    return click.argument("name", default=default, required=required, metavar=metavar, shell_complete=jobs_like)
