"""`worker` and `watch`: the processes that do the work."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.cli.done import tell_worker
from waterz_spool.cli.naming import jobs_like
from waterz_spool.cli.options import DURATION, Command, option
from waterz_spool.cli.sbatch import SbatchCommand, sbatch_arguments
from waterz_spool.errors import UsageError

if TYPE_CHECKING:
    from waterz_spool.spool import Spool
    from waterz_spool.stages.loop.worker import StopFlag

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


_WORKER_EXAMPLES = """
waterz-spool worker --spool /shared/spool --drain
waterz-spool worker --spool /shared/spool --idle-timeout 0 --wait-for-spool
waterz-spool worker --job last --stages prep,segment --time-limit 1h30m
"""


@click.command("worker", cls=Command, examples=_WORKER_EXAMPLES)
@option("--drain", is_flag=True, help="Exit when nothing is left to do; waits for paused jobs while idle.")
@option("--max-segments", type=click.IntRange(min=1), shown="no limit", help="Exit after this many segments.")
@option("--time-limit", type=DURATION, shown="Slurm's, else none", help="Claim no task that would end later than this.")
@option("--stages", metavar="KINDS", shown="prep,segment,final", help="Kinds of tasks to take.")
@option(
    "--job", "jobs", multiple=True, metavar="JOB", help="Work on these jobs only; repeatable.", shell_complete=jobs_like
)
@option("--idle-timeout", type=DURATION, key="worker.idle_timeout_s", help="Exit after so long without work; 0: never.")
@option("--wait-for-spool", is_flag=True, help="Where there is no spool yet, wait until somebody makes it.")
@option("--requeue", is_flag=True, help="In Slurm: requeue when stopped before the work is done.")
@option("--threads", type=click.IntRange(min=1), shown="Slurm's, else 1", help="Threads of the restorer.")
@option("--serve-group", is_flag=True, help="Also run other users' jobs, using your file permissions.")
@shared_options
def worker_command(settings: Settings, **given: Any) -> None:
    """Claim tasks and work on them.

    Start as many as you like, on any machine that mounts the spool. Exit codes: 0 nothing left or idle for too long,
    75 stopped by a scheduler's warning, 130 and 143 by Ctrl-C and SIGTERM; what was in hand is handed back.
    """
    stop = _stop_on_signals()
    _require_libraries()
    import cv2

    from waterz_spool.launch.shift import Shift
    from waterz_spool.launch.slurm.allocation import Allocation
    from waterz_spool.stages.loop.worker import Limits

    allocation = Allocation.of_this_process()
    config = settings.config({"worker": {"idle_timeout_s": given["idle_timeout"], "restore_threads": given["threads"]}})
    threads = config.worker.restore_threads or _allotted_threads()
    cv2.setNumThreads(threads)
    limits = Limits(
        drain=given["drain"],
        max_segments=given["max_segments"],
        idle_timeout_s=config.worker.idle_timeout_s,
    )
    _start_logging(quiet=settings.quiet)
    spool, jobs = _open(
        settings.spool_root(),
        given["jobs"],
        limits.idle_timeout_s,
        stop,
        scheduled=given["requeue"],
        may_come=given["wait_for_spool"],
    )
    shift = Shift(
        spool,
        tasks=_stages(given["stages"], config.worker.finalize_by),
        jobs=jobs or None,
        allocation=allocation,
        time_limit_s=given["time_limit"],
        serve_group=given["serve_group"],
    )
    shift.work(stop, limits, threads=threads)
    settings.emit({"finished": shift.finished, "published": shift.published}, "")
    if limits.drain:
        tell_worker(settings, spool, finished=shift.finished, published=shift.published)
    if stop:
        back = bool(allocation and given["requeue"]) and shift.come_back(stop.signal)
        sys.exit(exit_code(stop.signal, scheduled=back or given["requeue"]))


def _open(
    root: Path, names: Sequence[str], patience_s: float, stop: StopFlag, *, scheduled: bool, may_come: bool
) -> tuple[Spool, list[str]]:
    """The spool and the ids of the jobs of these names, as soon as the mount answers."""
    from waterz_spool.intake.spools import when_it_answers
    from waterz_spool.spool import Spool

    def begin() -> tuple[Spool, list[str]]:
        spool = Spool.open(root)
        return spool, [spool.job(name).id for name in names]

    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            sys.exit(exit_code(stop.signal, scheduled=scheduled))

    return when_it_answers(begin, root, pause=pause, patience_s=patience_s, may_come=may_come)


def _require_libraries() -> None:
    """A node that lacks a library must say so before it claims anything."""
    for name in ("av", "cv2", "numpy"):
        importlib.import_module(name)


def _stages(text: str | None, finalize_by: str) -> set[str]:
    if text is None:
        return {"prep", "segment"} | ({"final"} if finalize_by == "any" else set())
    names = {name.strip() for name in text.split(",")}
    if unknown := names - {"prep", "segment", "final"}:
        raise UsageError(f"unknown stage {min(unknown)!r}", where="--stages", todo="use prep, segment, final")
    return names


def _stop_on_signals() -> StopFlag:
    from waterz_spool.stages.loop.worker import StopFlag

    stop = StopFlag()
    for number in _SIGNALS:
        signal.signal(number, lambda got, _frame: stop.set(got))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)  # whoever started this process may have held them back
    return stop


def exit_code(number: int | None, *, scheduled: bool = False) -> int:
    """130 and 143 after Ctrl-C and SIGTERM, 75 (try again) when a scheduler warned or will start it again."""
    if number is None or scheduled:
        return 75
    return 128 + number if number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) else 75


def _allotted_threads() -> int:
    """What Slurm gives this process; one elsewhere."""
    text = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return max(1, int(text)) if text.isdecimal() else 1


def _start_logging(*, quiet: bool = False) -> None:
    """Everything goes to the logs of the tasks; the terminal or the scheduler's log gets it unless quiet."""
    from waterz_spool.stages.loop.tasklog import LogFormatter

    logging.getLogger("waterz_spool").setLevel(logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormatter())
    logging.basicConfig(handlers=[handler])
    if quiet:  # failures of tasks are recorded in the job, and told by who asked for it
        logging.getLogger().handlers[0].addFilter(lambda record: record.levelno == logging.WARNING)


_WATCH_EXAMPLES = """
waterz-spool watch --spool /shared/spool
waterz-spool watch --spool /shared/spool --scale -- --partition=gpu
"""


@click.command("watch", cls=SbatchCommand, examples=_WATCH_EXAMPLES)
@option("--once", is_flag=True, help="Look once at inbox and jobs, then exit.")
@option("--no-inbox", is_flag=True, help="Only finalize and publish.")
@option("--scale", is_flag=True, help="Launch and cancel Slurm workers, too; bounds are in the configuration.")
@shared_options
def watch_command(settings: Settings, once: bool, no_inbox: bool, scale: bool) -> None:
    """Take videos from the inbox; publish what is complete.

    The inbox is the folder inbox/ of the spool, looked at every `inbox.poll_s` (5 s); results appear in outbox/.
    Workers must run as well: this only makes jobs of the videos, and joins what is done. With --scale, everything after
    -- goes to sbatch unchanged.
    """
    from waterz_spool.intake.inbox import Watcher
    from waterz_spool.intake.spools import open_or_create

    _require_libraries()
    config = settings.config()
    stop = _stop_on_signals()
    _start_logging()
    spool = open_or_create(settings.spool_root(), config)
    also = _scaler(settings, spool) if scale else lambda: None
    watcher = Watcher(spool, config, stop, inbox=not no_inbox, also=also)
    watcher.run(once=once)
    if stop:
        sys.exit(exit_code(stop.signal))


def _scaler(settings: Settings, spool: Spool) -> Callable[[], None]:
    from waterz_spool.launch.scale import Scaler, limits_of
    from waterz_spool.launch.slurm.arrays import Order
    from waterz_spool.launch.slurm.workers import SlurmWorkers

    slurm = settings.config().slurm
    order = Order(spool=spool, slurm=slurm, config_file=settings.config_file, sbatch=sbatch_arguments())
    limits = limits_of(slurm, least=None, most=None, target_s=None)
    return Scaler(spool, SlurmWorkers(order), limits, poll_s=slurm.poll_s).look_if_due
