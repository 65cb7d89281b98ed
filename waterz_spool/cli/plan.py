"""`plan`: what `run` would do, how long it would take, how large the result would be."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from waterz_spool.cli.asking import config_of, order_of, order_options, workers_option
from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.cli.options import Command

if TYPE_CHECKING:
    pass


_EXAMPLES = """
waterz-spool plan talk.mp4
waterz-spool plan talk.mp4 --box 1600,40,280,90 --engine propainter --workers 4
"""


@click.command("plan", cls=Command, examples=_EXAMPLES)
@click.argument("video", type=click.Path(path_type=Path))
@order_options
@workers_option
@shared_options
def plan_command(settings: Settings, video: Path, **given: Any) -> None:
    """Say what `run` would do, how long it takes, how large it gets.

    With the same options: segments, crops, engine. The whole video is looked at, as `run` does first. Then short pieces
    of it are made and thrown away, to measure what this machine takes; no result is written.
    """
    from waterz_spool import restore
    from waterz_spool.intake.spools import private_spool
    from waterz_spool.launch.here import local_share
    from waterz_spool.report.planned import lines_of
    from waterz_spool.tools.planning import forecast, planned
    from waterz_spool.tools.trial import trial

    config, order = config_of(settings, given), order_of(given)
    restore.chosen(config.restore).require()
    _, workers, threads = local_share(config)
    progress = settings.progress(as_json=given["as_lines"])
    begun = time.monotonic()
    try:
        look = progress.share(video.name, "looking")
        with trial(video, order, config, folder=private_spool().parent, threads=threads, tell=look) as on:
            found = forecast(on, tell=progress.share(video.name, "measuring"))
            made = planned(on, found, workers=workers, took_s=time.monotonic() - begun)
    finally:
        progress.end()
    settings.emit(msgspec.to_builtins(made), "\n".join(lines_of(made)))
