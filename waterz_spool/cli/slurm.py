"""`slurm up`, `down`, `status`, `script` and `scale`: workers on a Slurm cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.cli.sbatch import SbatchCommand, sbatch_arguments
from waterz_spool.report.status import table
from waterz_spool.report.words import clock

if TYPE_CHECKING:
    from waterz_spool.launch.slurm.arrays import Array, Order


def announce(settings: Settings, arrays: list[Array], wanted: int) -> None:
    """Say what was launched; in words on standard error, so that ids can be piped."""
    launched = sum(array.workers for array in arrays)
    short = f", {wanted - launched} fewer than asked: the site takes no more" if launched < wanted else ""
    if settings.as_json:
        settings.emit({"slurm": [str(array.id) for array in arrays], "workers": launched}, "")
    else:
        click.echo(f"slurm  {', '.join(map(str, arrays))}, {launched} workers{short}", err=True)


def _order(settings: Settings, **more: Any) -> Order:
    from waterz_spool.intake.spools import open_or_create
    from waterz_spool.launch.slurm.arrays import Order

    config = settings.config()
    spool = open_or_create(settings.spool_root(), config)
    return Order(spool=spool, slurm=config.slurm, config_file=settings.config_file, sbatch=sbatch_arguments(), **more)


@click.group("slurm")
def slurm_command() -> None:
    """Workers on a Slurm cluster. After -- everything goes to sbatch unchanged."""


_COUNT = click.argument("workers", type=click.IntRange(min=1))
_DRAIN = click.option("--drain", is_flag=True, help="Workers end when nothing is left, not after idling.")
_JOBS = click.option("--job", "jobs", multiple=True, help="Work on these jobs only; repeatable.")


@slurm_command.command("up", cls=SbatchCommand)
@_COUNT
@_DRAIN
@_JOBS
@shared_options
def up_command(settings: Settings, workers: int, drain: bool, jobs: tuple[str, ...]) -> None:
    """Launch WORKERS workers for the whole spool."""
    from waterz_spool.launch.slurm import arrays

    order = _order(settings, drain=drain, jobs=jobs)
    announce(settings, arrays.launch(order, workers), workers)


@slurm_command.command("script", cls=SbatchCommand)
@_COUNT
@_JOBS
@shared_options
def script_command(settings: Settings, workers: int, jobs: tuple[str, ...]) -> None:
    """Print a batch file for WORKERS workers that leave when nothing is left; sbatch takes it as it is.

    What stands after -- becomes a line of the file.
    """
    from waterz_spool.launch.slurm.batch import script

    text = script(_order(settings, drain=True, jobs=jobs), workers)
    settings.emit({"script": text}, text.rstrip())


@slurm_command.command("down")
@shared_options
def down_command(settings: Settings) -> None:
    """Cancel all Slurm workers of this spool; what they hold is handed back."""
    from waterz_spool.launch.slurm import arrays

    order = _order(settings)
    tasks = arrays.queued(order.spool, order.slurm)
    arrays.cancel(tasks)
    settings.emit({"cancelled": [task.job for task in tasks]}, f"cancelled {len(tasks)} workers")


@slurm_command.command("status")
@shared_options
def status_command(settings: Settings) -> None:
    """Slurm workers of this spool: queued, running where, working on what."""
    from waterz_spool.launch.slurm import arrays

    order = _order(settings)
    tasks = arrays.queued(order.spool, order.slurm)
    busy = _busy(order)
    rows = [
        (task.job, task.state.lower(), task.node or f"({task.reason})", clock(task.left_s), busy.get(task.job, "-"))
        for task in sorted(tasks, key=lambda task: task.job)
    ]
    data = [dict(zip(("worker", "state", "node", "left", "task"), row, strict=True)) for row in rows]
    text = table(("WORKER", "STATE", "NODE", "LEFT", "TASK"), rows) if rows else "no Slurm workers of this spool"
    settings.emit(data, text)


def _busy(order: Order) -> dict[str, str]:
    """What each Slurm job works on, as the heartbeats say."""
    return {
        str(record.info["slurm"]): f"{beat.job}/{beat.task} {beat.fraction:.0%}"
        for record, beat in order.spool.workers()
        if beat is not None and beat.job and "slurm" in record.info
    }


@slurm_command.command("scale", cls=SbatchCommand)
@click.option("--min", "least", type=click.IntRange(min=0), help="Fewest workers while there is work.")
@click.option("--max", "most", type=click.IntRange(min=0), help="Most workers at any time.")
@click.option("--target", metavar="TIME", help="Finish the backlog within this time.")
@click.option("--poll", type=click.FloatRange(min=0.5), metavar="S", help="Seconds between looks.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, once, and do nothing.")
@click.option("--once", is_flag=True, help="Look once, then exit.")
@shared_options
def scale_command(settings: Settings, dry_run: bool, once: bool, **given: Any) -> None:
    """Launch and cancel workers as the backlog requires, until stopped."""
    import time

    from waterz_spool.launch.scale import Scaler, limits_of

    order = _order(settings)
    limits = limits_of(order.slurm, least=given["least"], most=given["most"], target=given["target"])
    scaler = Scaler(order, limits)
    while True:
        decision = scaler.look(dry_run=dry_run)
        settings.emit(decision, str(decision))
        if once or dry_run:
            return
        time.sleep(given["poll"] or order.slurm.poll_s)
