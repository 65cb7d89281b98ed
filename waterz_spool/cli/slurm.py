"""`slurm up`, `down`, `status`, `script` and `scale`: workers on a Slurm cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.cli.naming import jobs_like
from waterz_spool.cli.options import DURATION, Group, option
from waterz_spool.cli.sbatch import SbatchCommand, sbatch_arguments
from waterz_spool.report.status import table
from waterz_spool.report.words import clock, count

if TYPE_CHECKING:
    from waterz_spool.launch.slurm.arrays import Array, Order


def announce(settings: Settings, order: Order, arrays: list[Array], wanted: int) -> None:
    """Say what was launched and where its logs are; in words on standard error, so that ids can be piped."""
    from waterz_spool.launch.slurm.arrays import folder_of

    launched = sum(array.workers for array in arrays)
    logs = folder_of(order.spool, order.slurm)
    short = f", {wanted - launched} fewer than asked: the site takes no more" if launched < wanted else ""
    settings.say(f"slurm  {', '.join(map(str, arrays))}, {count(launched, 'worker')}{short}\nslurm  logs in {logs}")
    if settings.as_json:
        settings.emit({"slurm": {"arrays": arrays, "workers": launched, "wanted": wanted, "logs": str(logs)}}, "")


def _order(settings: Settings, **more: Any) -> Order:
    from waterz_spool.intake.spools import open_or_create
    from waterz_spool.launch.slurm.arrays import Order

    config = settings.config()
    spool = open_or_create(settings.spool_root(), config)
    return Order(spool=spool, slurm=config.slurm, config_file=settings.config_file, sbatch=sbatch_arguments(), **more)


@click.group("slurm", cls=Group)
def slurm_command() -> None:
    """Launch and watch workers on a Slurm cluster.

    Everything after -- goes to sbatch unchanged. The section slurm: of the configuration holds what stays the same;
    its `time` and sbatch's --time are in Slurm's own spelling, in which 90 is 90 minutes.
    """


_COUNT = click.argument("workers", type=click.IntRange(min=1), metavar="N")
_DRAIN = option("--drain", is_flag=True, help="Workers end when nothing is left, not after idling.")
_JOBS = option(
    "--job", "jobs", multiple=True, metavar="JOB", help="Work on these jobs only; repeatable.", shell_complete=jobs_like
)
_UP_EXAMPLES = """
waterz-spool slurm up 8 -- --partition=gpu --gres=gpu:1
waterz-spool slurm up 2 --drain --job last -- --time=30:00
"""


@slurm_command.command("up", cls=SbatchCommand, examples=_UP_EXAMPLES)
@_COUNT
@_DRAIN
@_JOBS
@shared_options
def up_command(settings: Settings, workers: int, drain: bool, jobs: tuple[str, ...]) -> None:
    """Launch N workers for the whole spool."""
    from waterz_spool.launch.slurm import arrays

    order = _order(settings, drain=drain, jobs=jobs)
    announce(settings, order, arrays.launch(order, workers), workers)


@slurm_command.command(
    "script", cls=SbatchCommand, examples="waterz-spool slurm script 8 -- -p gpu > w.sh; sbatch w.sh"
)
@_COUNT
@_JOBS
@shared_options
def script_command(settings: Settings, workers: int, jobs: tuple[str, ...]) -> None:
    """Print a batch file for N workers that leave when done.

    sbatch takes it as it is. What stands after -- becomes a line of the file.
    """
    from waterz_spool.launch.slurm.batch import script

    text = script(_order(settings, drain=True, jobs=jobs), workers)
    settings.emit({"script": text}, text.rstrip())


@slurm_command.command("down", examples="waterz-spool slurm down")
@shared_options
def down_command(settings: Settings) -> None:
    """Cancel all Slurm workers of this spool.

    What they hold is handed back.
    """
    from waterz_spool.launch.slurm.workers import SlurmWorkers

    workers = SlurmWorkers(_order(settings))
    tasks = workers.present()
    workers.stop(tasks)
    settings.emit({"cancelled": [task.job for task in tasks]}, f"cancelled {count(len(tasks), 'worker')}")


@slurm_command.command("status", examples="waterz-spool slurm status")
@shared_options
def status_command(settings: Settings) -> None:
    """Show Slurm workers: queued, running where, on what."""
    from waterz_spool.launch.slurm import arrays

    order = _order(settings)
    busy = _busy(order)
    workers = [
        {
            "worker": task.job,
            "state": task.state.lower(),
            "node": task.node or None,
            "reason": None if task.node else task.reason,
            "left_s": task.left_s,
            **busy.get(task.job, {"job": None, "task": None, "fraction": None}),
        }
        for task in sorted(arrays.queued(order.spool, order.slurm), key=lambda task: task.job)
    ]
    text = table(_COLUMNS, map(_row, workers)) if workers else "no Slurm workers of this spool"
    settings.emit({"workers": workers}, text)


_COLUMNS = ("WORKER", "STATE", "NODE", "LEFT", "TASK")


def _row(worker: dict[str, Any]) -> tuple[str, ...]:
    task = f"{worker['job']}/{worker['task']} {worker['fraction']:.0%}" if worker["job"] else "-"
    node = worker["node"] or f"({worker['reason']})"
    return worker["worker"], worker["state"], node, clock(worker["left_s"]), task


def _busy(order: Order) -> dict[str, dict[str, Any]]:
    """What each Slurm job works on, as the heartbeats say."""
    return {
        str(record.info["slurm"]): {"job": beat.job, "task": beat.task, "fraction": round(beat.fraction, 4)}
        for record, beat in order.spool.workers()
        if beat is not None and beat.job and "slurm" in record.info
    }


_LEAST_POLL_S = 0.5
_SCALE_EXAMPLES = """
waterz-spool slurm scale --max 32 --target 1h -- --partition=gpu
waterz-spool slurm scale --dry-run
"""


@slurm_command.command("scale", cls=SbatchCommand, examples=_SCALE_EXAMPLES)
@option(
    "--min",
    "least",
    type=click.IntRange(min=0),
    metavar="N",
    key="slurm.min_workers",
    help="Fewest workers while there is work.",
)
@option(
    "--max", "most", type=click.IntRange(min=0), metavar="N", key="slurm.max_workers", help="Most workers at any time."
)
@option("--target", type=DURATION, key="slurm.target_s", help="Finish the backlog within this time.")
@option("--poll", type=DURATION, key="slurm.poll_s", help="Time between looks.")
@option("--dry-run", is_flag=True, help="Print what would be done, once, and do nothing.")
@option("--once", is_flag=True, help="Look once, then exit.")
@shared_options
def scale_command(settings: Settings, dry_run: bool, once: bool, **given: Any) -> None:
    """Launch and cancel workers as the backlog requires.

    Until it is stopped. With --json each look is one JSON document, a line.
    """
    import time

    from waterz_spool.launch.scale import Scaler, limits_of
    from waterz_spool.launch.slurm.workers import SlurmWorkers

    order = _order(settings)
    limits = limits_of(order.slurm, least=given["least"], most=given["most"], target_s=given["target"])
    scaler = Scaler(order.spool, SlurmWorkers(order), limits, poll_s=order.slurm.poll_s)
    while True:
        decision = scaler.look(dry_run=dry_run)
        settings.emit_line(msgspec.to_builtins(decision), str(decision))
        if once or dry_run:
            return
        time.sleep(max(_LEAST_POLL_S, given["poll"] or order.slurm.poll_s))
