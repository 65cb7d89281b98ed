"""`preview`: a few seconds before and after, before the whole is made."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import msgspec

from waterz_spool.cli.asking import config_of, order_of, order_options, workers_option
from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.cli.options import DURATION, Command, option

_KEY = "waterz_spool.preview"
_OWN = ("--at", "--seconds", "--page")


class _Remembering(Command):
    """Remembers its arguments, for the command that makes the whole."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_KEY] = tuple(args)
        return super().parse_args(ctx, args)


_EXAMPLES = """
waterz-spool preview talk.mp4
waterz-spool preview talk.mp4 --box 1600,40,280,90 --at 1:30 --seconds 5
"""


@click.command("preview", cls=_Remembering, examples=_EXAMPLES)
@click.argument("video", type=click.Path(path_type=Path))
@option("--at", "at_s", type=DURATION, shown="the middle of the longest overlay", help="Begin here.")
@option("--seconds", type=click.FloatRange(0.2, 10), default=3.0, help="Length of the preview.")
@option("--page", type=click.Path(path_type=Path), shown="NAME.preview.html, here", help="The page.")
@order_options
@workers_option
@shared_options
def preview_command(
    settings: Settings, video: Path, at_s: float | None, seconds: float, page: Path | None, **given: Any
) -> None:
    """Make a few seconds, and a page with before and after.

    As `run` with the same options would make them. The whole video is looked at, as `run` does first; the page also
    says what all of it would take. It needs nothing but a browser: open the file.
    """
    from waterz_spool import restore
    from waterz_spool.intake.spools import private_spool
    from waterz_spool.launch.here import local_share
    from waterz_spool.report.pagefile import require_page
    from waterz_spool.tools.planning import forecast, planned
    from waterz_spool.tools.previewing import preview, stretch, whole_text, write_preview
    from waterz_spool.tools.trial import trial

    config, order = config_of(settings, given), order_of(given)
    restore.chosen(config.restore).require()
    _, workers, threads = local_share(config)
    page = page or Path(f"{video.stem}.preview.html")
    require_page(page)
    progress = settings.progress(as_json=given["as_lines"])
    begun = time.monotonic()
    try:
        look = progress.share(video.name, "looking")
        with trial(video, order, config, folder=private_spool().parent, threads=threads, tell=look) as on:
            start, stop = stretch(on.looked.plan, at_s=at_s, seconds=seconds)
            shown = preview(on, start, stop, tell=progress.share(video.name, "making"))
            found = forecast(on, [each.measured for each in shown.made], tell=progress.share(video.name, "measuring"))
            made = planned(on, found, workers=workers, took_s=time.monotonic() - begun)
            write_preview(page, on, shown, made, command=_run_command(settings))
    finally:
        progress.end()
    told = {"page": str(page), "start": start, "stop": stop, "confidence": shown.confidence, "guess": shown.guess}
    settings.emit({**told, "plan": msgspec.to_builtins(made)}, f"{whole_text(made)}\n{page}")


def _run_command(settings: Settings) -> list[str]:
    """The same call as `run`."""
    words, given = [], iter(click.get_current_context().meta[_KEY])
    for word in given:
        if word in _OWN:
            next(given, None)
        elif word.partition("=")[0] not in _OWN:
            words.append(word)
    config = ["--config", str(settings.config_file)] if settings.config_file and "--config" not in words else []
    return ["waterz-spool", *config, "run", *words]
