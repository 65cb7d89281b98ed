"""`run` and `submit`: from a video to a job."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from waterz_spool.cli.backends import detector_option, engine_option
from waterz_spool.cli.context import Settings, json_progress, on_terminal, shared_options
from waterz_spool.cli.done import tell, tell_result
from waterz_spool.cli.sbatch import SubmitCommand, sbatch_arguments
from waterz_spool.config import Config
from waterz_spool.errors import JobFailedError, UsageError, WaterzError, printable

if TYPE_CHECKING:
    from waterz_spool.spool import Job

_OPTIONS: list[Callable[[Any], Any]] = [
    click.option(
        "--box",
        "boxes",
        multiple=True,
        metavar="X,Y,W,H",
        help="Box around an overlay, in px as a player shows it; the overlay's own pixels are masked. Repeatable.",
    ),
    click.option(
        "--box-exact",
        "exact_boxes",
        multiple=True,
        metavar="X,Y,W,H",
        help="Box to mask completely; repeatable.",
    ),
    click.option(
        "--mask", type=click.Path(path_type=Path), help="Picture, folder (one per frame) or video; white = overlay."
    ),
    click.option(
        "--tracks",
        type=click.Path(path_type=Path),
        metavar="DIR|FILE",
        help="Folder written by `detect`, or a tracks.json alone; you may edit it.",
    ),
    click.option("--from", "from_", metavar="TIME", help="Apply the box or mask picture from this time."),
    click.option("--to", metavar="TIME", help="Apply the box or mask picture up to this time."),
    detector_option("Used when no box or mask is given."),
    click.option("--weights", type=click.Path(path_type=Path), help="Your YOLO weights for the detector."),
    click.option(
        "--limit", "limits", multiple=True, metavar="X,Y,W,H", help="Ignore detections outside this box; repeatable."
    ),
    engine_option,
    click.option(
        "--drop", type=int, multiple=True, metavar="STREAM", help="Leave out this stream of the source; repeatable."
    ),
    click.option("--yes", is_flag=True, help="Continue even if most of the picture would be replaced."),
    click.option("-o", "--output", default="", help="File, folder or template with {stem} and {ext}."),
    click.option("--overwrite", is_flag=True, default=None, help="Replace an existing output."),
    click.option("--crf", type=float, help="Quality of the encode; default visually lossless."),
    click.option("--preset", help="Preset of the encoder."),
    click.option("--codec", help="Encoder, for example libx265; default the source's family."),
    click.option("--encoder-opt", "encoder_options", multiple=True, metavar="K=V", help="Further encoder option."),
    click.option("--lossless", is_flag=True, default=None, help="Encode without loss."),
    click.option(
        "--recode",
        type=click.Choice(["needed", "all"]),
        help="Encode only what must be [default], or also frames without overlay, whose packets could be kept.",
    ),
    click.option(
        "--drop-dynamic-hdr",
        is_flag=True,
        default=None,
        help="Drop Dolby Vision or HDR10+ metadata: the result is plain HDR10 or HLG.",
    ),
    click.option(
        "--on-dead",
        type=click.Choice(["fail", "passthrough"]),
        help="A segment that cannot be restored fails the job [default], or stays as it is in the source: exit code 7.",
    ),
    click.option("--segment-s", type=float, help="Target length of a segment in seconds of video."),
    click.option("--report", is_flag=True, help="Write a summary (.json) and a report (.html) beside the result."),
    json_progress,
]


def worker_count(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A number of workers, or ``auto``, which is 0."""
    if value is None or value == "auto":
        return None if value is None else 0
    if not value.isdecimal():
        raise click.BadParameter(f"{value!r} is neither a number nor auto", ctx, param)
    return int(value)


def order_options(command: Any) -> Any:
    """What to remove and how: the options that `run` shares with others."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def config_of(settings: Settings, given: dict[str, Any]) -> Config:
    """The configuration with what these options say."""
    options = dict(_pair(text) for text in given["encoder_options"])
    return settings.config(
        {
            "detect": {"detector": given["detector"], "weights": _text(given["weights"])},
            "restore": {"engine": given["engine"]},
            "output": {"overwrite": given["overwrite"]},
            "plan": {"segment_s": given["segment_s"]},
            "spool": {"on_dead": given["on_dead"]},
            "worker": {"workers": given.get("workers")},
            "encode": {
                "crf": given["crf"],
                "preset": given["preset"],
                "codec": given["codec"],
                "lossless": given["lossless"],
                "recode": given["recode"],
                "drop_dynamic_hdr": given["drop_dynamic_hdr"],
                "options": options or None,
            },
        }
    )


def _text(path: Path | None) -> str | None:
    return str(path) if path else None


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise UsageError("an encoder option is name=value", where=f"--encoder-opt {text}", todo="for example tune=film")
    return key, value


def order_of(given: dict[str, Any]) -> Any:
    """What these options ask of one video, an `Order`."""
    from waterz_spool.intake.submit import Order
    from waterz_spool.stages.contract.request import parse_box, parse_time

    return Order(
        boxes=tuple(parse_box(text) for text in given["boxes"]),
        exact_boxes=tuple(parse_box(text, option="--box-exact") for text in given["exact_boxes"]),
        mask=given["mask"],
        tracks=given["tracks"],
        review=given.get("review", False),
        limits=tuple(parse_box(text, option="--limit") for text in given["limits"]),
        from_s=parse_time(given["from_"]) if given["from_"] else None,
        to_s=parse_time(given["to"]) if given["to"] else None,
        drop=given["drop"],
        yes=given["yes"],
        output=given["output"],
    )


def _check_output(videos: tuple[str, ...], output: str) -> None:
    if len(videos) > 1 and output and "{stem}" not in output and not output.endswith("/") and not Path(output).is_dir():
        raise UsageError("one output name for several videos", where=f"-o {output}", todo="use {stem}, or a folder")


@click.command("run")
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO|URL...")
@order_options
@click.option(
    "--workers",
    callback=worker_count,
    metavar="N|auto",
    help="Local workers; auto: one per GPU, else one per two cores.",
)
@click.option("--requeue", is_flag=True, help="In Slurm: requeue when stopped before the work is done.")
@click.option("--keep", is_flag=True, help="Keep the job's files in the private spool after success.")
@shared_options
def run_command(settings: Settings, videos: tuple[str, ...], keep: bool, requeue: bool, **given: Any) -> None:
    """Process videos on this machine, start to finish. Running it again continues where it stopped."""
    from waterz_spool.report.ending import raise_if_passed

    config, order = config_of(settings, given), order_of(given)
    _check_output(videos, order.output)
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
    settings.emit_each(results)
    if failures:
        raise JobFailedError(f"{len(failures)} of {len(videos)} videos failed", todo="see the errors above")
    raise_if_passed({data["job"]: data.get("passed", ()) for data, _ in results})


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
    from waterz_spool.report.terminal import Progress

    here = Here(
        video,
        order,
        config,
        root=settings.chosen_spool(),
        keep=keep,
        report=report,
        progress=partial(Progress, terminal=on_terminal(), as_json=as_lines),
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


@click.command("submit", cls=SubmitCommand)
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO|URL...")
@order_options
@click.option("--slurm", "workers", type=click.IntRange(min=1), metavar="N", help="Launch N Slurm workers for them.")
@click.option("--review", is_flag=True, help="Stop once the overlay has been found, until `resume`.")
@click.option("--wait", is_flag=True, help="Wait until the results are published.")
@shared_options
def submit_command(settings: Settings, videos: tuple[str, ...], workers: int | None, wait: bool, **given: Any) -> None:
    """Write jobs into the spool and print their ids; workers anywhere do the rest.

    With --slurm N, everything after -- goes to sbatch unchanged.
    """
    from waterz_spool.intake.spools import open_or_create
    from waterz_spool.intake.submit import submit
    from waterz_spool.intake.url import as_file
    from waterz_spool.launch.follow import follow
    from waterz_spool.report.ending import raise_if_passed
    from waterz_spool.report.living import Living
    from waterz_spool.report.status import summary
    from waterz_spool.report.terminal import Progress

    config, order = config_of(settings, given), order_of(given)
    _check_output(videos, order.output)
    if given["report"] and not wait:
        raise UsageError("a report needs the result", where="--report", todo="add --wait")
    progress = partial(Progress, terminal=on_terminal(), as_json=given["as_lines"])
    spool = open_or_create(settings.spool_root(), config)
    files = (as_file(video, order, spool, config, progress=progress()) for video in videos)
    jobs = [submit(spool, path, each, config, base=Path.cwd()) for path, each in files]
    settings.emit_each([(summary(job, Living(spool)), job.id) for job in jobs])
    watch = _launch(settings, spool, config, workers, [job.id for job in jobs]) if workers else None
    if wait:
        with _interruptible():
            for job in jobs:
                tend = partial(watch.check, job) if watch else lambda: None
                follow(job, progress=progress(), tend=tend)
                tell_result(settings, job, named=True, report=given["report"])
        raise_if_passed({job.id: job.state().passed for job in jobs})


def _launch(settings: Settings, spool: Any, config: Config, workers: int, jobs: list[str]) -> Any:
    """Launch Slurm workers for these jobs; what watches that some are left."""
    from waterz_spool.cli.slurm import announce
    from waterz_spool.launch.slurm import arrays
    from waterz_spool.launch.slurm.left import WorkersLeft

    order = arrays.Order(
        spool=spool,
        slurm=config.slurm,
        config_file=settings.config_file,
        jobs=tuple(jobs),
        drain=True,
        sbatch=sbatch_arguments(),
    )
    announce(settings, arrays.launch(order, workers), workers)
    return WorkersLeft(spool, config.slurm)
