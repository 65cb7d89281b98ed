"""`pick`: draw the place of an overlay in a page, copy the command."""

from __future__ import annotations

from pathlib import Path

import click

from waterz_spool.cli.context import Settings, json_progress, on_terminal, shared_options


@click.command("pick")
@click.argument("video", type=click.Path(path_type=Path))
@click.option("-o", "--output", "page", type=click.Path(path_type=Path), help="The page [NAME.pick.html, here].")
@click.option("--detector", help="Draw what this detector finds to begin with; none: skip the search, which is quick.")
@click.option("--weights", type=click.Path(path_type=Path), help="Your YOLO weights.")
@json_progress
@shared_options
def pick_command(
    settings: Settings, video: Path, page: Path | None, *, detector: str | None, weights: Path | None, as_lines: bool
) -> None:
    """Write a page with frames of the video: draw boxes or paint a mask, then copy the command below them.

    The page needs nothing but a browser: open the file.
    """
    from waterz_spool.report.terminal import Progress
    from waterz_spool.stages.prepare.sheet import write_sheet
    from waterz_spool.tools.detecting import look_at

    config = settings.config({"detect": {"detector": detector, "weights": str(weights) if weights else None}})
    page = page or Path(f"{video.stem}.pick.html")
    progress = Progress(terminal=on_terminal(), as_json=as_lines)
    try:
        look = look_at(video, config, tell=progress.share(video.name, "looking"))
    finally:
        progress.end()
    write_sheet(page, look, png=False)
    settings.emit({"page": str(page), "boxes": [list(track.box) for track in look.tracks]}, str(page))
