"""`run` and `submit`: from a video to a job."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from waterz_spool.cli.asking import check_output, config_of, order_of, order_options, workers_option
from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.cli.done import tell
from waterz_spool.cli.options import Command, option
from waterz_spool.cli.sbatch import SubmitCommand, sbatch_arguments
from waterz_spool.cli.waiting import split_command, wait_for
from waterz_spool.config import Config
from waterz_spool.errors import JobFailedError, UsageError, WaterzError, printable

if TYPE_CHECKING:
    from waterz_spool.spool import Job


_RUN_EXAMPLES = """
waterz-spool run talk.mp4
waterz-spool run talk.mp4 --box 1600,40,280,90 -o clean/
waterz-spool run talk.mp4 --mask logo.png --from 1:30 --to 2:10
waterz-spool run *.mp4 -o 'clean/{stem}.mkv' --engine propainter
"""


@click.command("run", cls=Command, examples=_RUN_EXAMPLES)
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO|URL...")
@order_options
@workers_option
@option("--requeue", is_flag=True, help="In Slurm: requeue when stopped before the work is done.")
@option("--keep", is_flag=True, help="Keep the job's files in the private spool after success.")
@shared_options
def run_command(settings: Settings, videos: tuple[str, ...], keep: bool, requeue: bool, **given: Any) -> None:
    """Process videos on this machine, start to finish.

    Running the same command again continues where it stopped. Without a place the overlay is looked for.
    """
    from waterz_spool.report.ending import raise_if_left, raise_if_passed

    config, order = config_of(settings, given), order_of(given)
    check_output(videos, order.output)
    check_output(videos, order.captions.removeprefix("mux"), "--captions")
    failures: list[WaterzError] = []
    results = []
    for video in videos:
        try:
            more = {key: given[key] for key in ("report", "as_lines")} | {"named_too": len(videos) > 1}
            results.append(_run_one(settings, video, order, config, keep=keep, requeue=requeue, **more))
        except WaterzError as error:
            if len(videos) == 1:
                raise
            failures.append(error)
            click.echo(f"error: {printable(str(video))}: {error}", err=True)
    settings.emit({"jobs": [data for data, _ in results]}, "\n".join(text for _, text in results))
    if failures:
        raise JobFailedError(f"{len(failures)} of {len(videos)} videos failed", todo="see the errors above")
    raise_if_passed({data["job"]: tuple(data["passed"]) for data, _ in results})
    raise_if_left([data["result"] for data, _ in results])


def _say_stopped(job: Job) -> None:
    """What is kept, and how it goes on."""
    from waterz_spool.report.words import are, count

    state = job.state()
    if state.segments:
        done = state.counts.get("done", 0)
        kept = f"{done} of {count(state.segments, 'segment')} {are(done)} kept"
    else:
        kept = "no segment was begun"
    click.echo(f"stopped; {kept}; run the same command again to continue", err=True)


def _come_back(stop: Interrupted, *, useful: bool) -> None:
    """In Slurm: be queued again, to go on where this stopped."""
    from waterz_spool.launch.slurm.allocation import Allocation

    allocation = Allocation.of_this_process()
    if allocation is not None and allocation.come_back(stop.number, useful=useful):
        stop.code = 75
        click.echo("requeued by Slurm; it will continue where this stopped", err=True)


def _run_one(
    settings: Settings,
    video: str,
    order: Any,
    config: Config,
    *,
    keep: bool,
    requeue: bool,
    report: bool,
    as_lines: bool,
    named_too: bool,
) -> tuple[dict[str, Any], str]:
    """Run one video; returns what to print."""
    from waterz_spool.launch.here import Here

    here = Here(
        video,
        order,
        config,
        root=settings.chosen_spool(),
        keep=keep,
        report=report,
        progress=partial(settings.progress, as_json=as_lines),
        config_file=settings.config_file,
    )
    before = here.done
    try:
        with _interruptible():
            ran = here.work()
    except Interrupted as stop:
        _say_stopped(here.job)
        if requeue:
            _come_back(stop, useful=here.done > before)
        raise
    if ran.result:
        tell(settings, ran.result, ran.files, named=named_too)
    here.tidy()
    return ran.data, str(ran.output)


_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Interrupted(SystemExit):
    """A signal ended the command; 75 (try again) when it was a scheduler's warning."""

    def __init__(self, number: int) -> None:
        super().__init__(75 if number in (signal.SIGUSR1, signal.SIGUSR2) else 128 + number)
        self.number = number


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM, SIGHUP and a scheduler's warning end the command like Ctrl-C: claims are handed back first."""

    def stop(number: int, _: object) -> None:
        raise Interrupted(number)

    before = {number: signal.signal(number, stop) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SUBMIT_EXAMPLES = """
waterz-spool submit talk.mp4 --box 1600,40,280,90 --spool /shared/spool
waterz-spool submit *.mp4 -o /results/ --wait
waterz-spool submit talk.mp4 --slurm 8 -- --partition=gpu --gres=gpu:1
"""


@click.command("submit", cls=SubmitCommand, examples=_SUBMIT_EXAMPLES)
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO|URL...")
@order_options
@option(
    "--slurm",
    "workers",
    type=click.IntRange(min=1),
    metavar="N",
    shown="none",
    help="Launch N Slurm workers for them; everything after -- goes to sbatch.",
)
@option("--review", is_flag=True, help="Stop once the overlay has been found, until `resume`.")
@option("--wait", is_flag=True, help="Wait until the results are published, and say what was done.")
@option(
    "--on-done",
    metavar="COMMAND",
    shown="none",
    help="With --wait: run this when a job has ended; {job}, {state} and {output} stand for its own.",
)
@shared_options
def submit_command(settings: Settings, videos: tuple[str, ...], workers: int | None, wait: bool, **given: Any) -> None:
    """Write jobs into the spool; workers anywhere do the rest.

    Prints the ids of the jobs. With --slurm N, everything after -- goes to sbatch unchanged.
    """
    from waterz_spool.intake.spools import open_or_create
    from waterz_spool.intake.submit import submit
    from waterz_spool.intake.url import as_file
    from waterz_spool.report.jobdata import job_data
    from waterz_spool.report.living import Living

    config, order = config_of(settings, given), order_of(given)
    check_output(videos, order.output)
    check_output(videos, order.captions.removeprefix("mux"), "--captions")
    for name in ("report", "on_done"):
        if given[name] and not wait:
            raise UsageError("this needs the result", where=f"--{name.replace('_', '-')}", todo="add --wait")
    split_command(given["on_done"])
    progress = partial(settings.progress, as_json=given["as_lines"])
    spool = open_or_create(settings.spool_root(), config)
    files = (as_file(video, order, spool, config, progress=progress()) for video in videos)
    jobs = [submit(spool, path, each, config, base=Path.cwd()) for path, each in files]
    if settings.chosen_spool() is None:
        settings.say(f"in your private spool, {spool.root}: only workers of this machine and user see it")
    data = {"spool": str(spool.root), "jobs": [job_data(job, Living(spool)) for job in jobs]}
    settings.emit(data, "\n".join(job.id for job in jobs))
    watch = _launch(settings, spool, config, workers, [job.id for job in jobs]) if workers else None
    if wait:
        with _interruptible():
            failed = wait_for(
                settings,
                spool,
                jobs,
                on_done=given["on_done"],
                report=given["report"],
                tend=watch.check if watch else None,
                progress=progress(),
            )
        if failed:
            raise failed[0]


def _launch(settings: Settings, spool: Any, config: Config, workers: int, jobs: list[str]) -> Any:
    """Launch Slurm workers for these jobs; what watches that some are left."""
    from waterz_spool.cli.slurm import announce
    from waterz_spool.launch.launcher import WorkersLeft
    from waterz_spool.launch.slurm import arrays
    from waterz_spool.launch.slurm.workers import SlurmWorkers

    order = arrays.Order(
        spool=spool,
        slurm=config.slurm,
        config_file=settings.config_file,
        jobs=tuple(jobs),
        drain=True,
        sbatch=sbatch_arguments(),
    )
    try:
        launched = arrays.launch(order, workers)
    except WaterzError as error:
        error.todo = "; ".join([*([error.todo] if error.todo else []), _WRITTEN])
        raise
    announce(settings, order, launched, workers)
    return WorkersLeft(SlurmWorkers(order))


_WRITTEN = "the jobs are written and wait for workers: waterz-spool slurm up N -- OPTIONS"
