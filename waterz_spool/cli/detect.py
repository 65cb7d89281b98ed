"""`detect`: masks and a contact sheet, before any work starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from waterz_spool.cli.backends import detector_option
from waterz_spool.cli.context import Settings, json_progress, shared_options
from waterz_spool.cli.options import Command, option

_PATH = click.Path(path_type=Path)


_EXAMPLES = """
waterz-spool detect talk.mp4
waterz-spool detect talk.mp4 -o found --limit 0,0,400,200
waterz-spool run talk.mp4 --tracks talk.found
"""


@click.command("detect", cls=Command, examples=_EXAMPLES)
@click.argument("video", type=_PATH)
@option("-o", "--output", "folder", type=_PATH, shown="NAME.found, here", help="Folder to write to.")
@detector_option("auto: static, text where its extra is installed, and yolo where there are weights.", without="none")
@option("--weights", type=_PATH, help="Your YOLO weights.")
@option("--imgsz", type=int, metavar="PX", key="detect.imgsz", help="Longer side of what the model sees.")
@option("--conf", type=float, key="detect.conf", help="Least confidence that counts as an overlay.")
@option("--class", "classes", multiple=True, shown="all", help="Name or number of a class that counts; repeatable.")
@option("--device", key="detect.device", help="auto, cpu or cuda:0.")
@option(
    "--every", type=int, metavar="N", key="detect.every", help="Look at every N-th frame, and where something changes."
)
@option("--limit", "limits", multiple=True, metavar="X,Y,W,H", help="Ignore detections outside this box; repeatable.")
@json_progress
@shared_options
def detect_command(
    settings: Settings,
    video: Path,
    folder: Path | None,
    weights: Path | None,
    limits: tuple[str, ...],
    **given: Any,
) -> None:
    """Look for overlays; write what was found, and start nothing.

    The folder gets tracks.json, masks.mkv, and the contact sheet as contact.html and contact.png. Correct tracks.json
    in a text editor if need be, then: waterz-spool run VIDEO --tracks DIR
    """
    from waterz_spool.stages.contract.request import parse_box
    from waterz_spool.tools.detecting import detect_video

    progress = settings.progress(as_json=given.pop("as_lines"))
    folder = folder or Path(f"{video.stem}.found")
    chosen = {**given, "weights": str(weights) if weights else None, "classes": list(given["classes"]) or None}
    config = settings.config({"detect": chosen})
    boxes = [parse_box(text, option="--limit") for text in limits]
    try:
        look = detect_video(video, folder, config, limits=boxes, tell=progress.share(video.name, "looking"))
    finally:
        progress.end()
    lines = [f"weights sha256 {look.weights_sha256}"] if look.weights_sha256 else []
    for track in look.tracks.tracks:
        words = f"{track.label} {track.score:.2f}" if track.score is not None else ""
        place = ",".join(map(str, track.box))
        lines.append(f"frames {track.start} to {track.stop - 1}  {place}  {words}".rstrip())
    lines += [f"not taken: {each.words}\n  {each.command}" for each in look.candidates] if look.tracks.tracks else []
    settings.emit(
        {
            "folder": str(folder),
            "weights_sha256": look.weights_sha256,
            "tracks": msgspec.to_builtins(look.tracks.tracks),
            "candidates": msgspec.to_builtins(look.candidates),
        },
        "" if look.reason else "\n".join([*lines, f"{folder}"]),
    )
    look.raise_if_nothing()
