"""`pick`: draw the place of an overlay in a page, copy the command."""

from __future__ import annotations

from pathlib import Path

import click

from waterz_spool.cli.context import Settings, json_progress, shared_options
from waterz_spool.cli.options import Command, option

_PATH = click.Path(path_type=Path)


@click.command("pick", cls=Command, examples="waterz-spool pick talk.mp4\nwaterz-spool pick talk.mp4 --detector none")
@click.argument("video", type=_PATH)
@option("-o", "--output", "page", type=_PATH, shown="NAME.pick.html, here", help="The page.")
@option(
    "--detector",
    key="detect.detector",
    help="Draw what this detector finds to begin with; none: skip the search, which is quick.",
)
@option("--weights", type=_PATH, help="Your YOLO weights.")
@json_progress
@shared_options
def pick_command(
    settings: Settings, video: Path, page: Path | None, *, detector: str | None, weights: Path | None, as_lines: bool
) -> None:
    """Write a page on which you draw the place of the overlay.

    It shows frames of the video: draw boxes or paint a mask, then copy the command below them. The page needs nothing
    but a browser: open the file.
    """
    from waterz_spool.report.pagefile import require_page
    from waterz_spool.stages.prepare.sheet import write_sheet
    from waterz_spool.tools.detecting import look_at

    config = settings.config({"detect": {"detector": detector, "weights": str(weights) if weights else None}})
    page = page or Path(f"{video.stem}.pick.html")
    require_page(page)
    progress = settings.progress(as_json=as_lines)
    try:
        look = look_at(video, config, tell=progress.share(video.name, "looking"))
    finally:
        progress.end()
    write_sheet(page, look, png=False)
    settings.emit({"page": str(page), "boxes": [list(track.box) for track in look.tracks]}, str(page))
