"""What is asked of a video: the options that `run` and `submit` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from waterz_spool.cli.backends import detector_option, engine_option
from waterz_spool.cli.context import Settings, json_progress
from waterz_spool.cli.options import DURATION, option
from waterz_spool.config import Config
from waterz_spool.errors import UsageError

if TYPE_CHECKING:
    from waterz_spool.intake.submit import Order

_PATH = click.Path(path_type=Path)
_PLACE, _PIXELS, _RESULT, _ENCODING = "Where the overlay is", "What fills it", "The result", "Encoding"

_OPTIONS = (
    option(
        "--box",
        "boxes",
        multiple=True,
        metavar="X,Y,W,H",
        part=_PLACE,
        help="Box around an overlay, in px as a player shows it; the overlay's own pixels are masked. Repeatable.",
    ),
    option(
        "--box-exact",
        "exact_boxes",
        multiple=True,
        metavar="X,Y,W,H",
        part=_PLACE,
        help="Box to mask completely; repeatable.",
    ),
    option(
        "--mask",
        type=_PATH,
        part=_PLACE,
        help="Picture, folder (one per frame, in the order of their numbers) or video; white = overlay.",
    ),
    option(
        "--tracks",
        type=_PATH,
        metavar="DIR|FILE",
        part=_PLACE,
        help="Folder written by `detect`, or a tracks.json alone; you may edit it.",
    ),
    option(
        "--from",
        "from_",
        type=DURATION,
        part=_PLACE,
        shown="the start",
        help="The overlay is there from this time; the video itself is never trimmed.",
    ),
    option("--to", type=DURATION, part=_PLACE, shown="the end", help="The overlay is there up to this time."),
    detector_option("Used when no box, mask or tracks are given.", part=_PLACE),
    option("--weights", type=_PATH, part=_PLACE, help="Your YOLO weights for the detector."),
    option(
        "--limit",
        "limits",
        multiple=True,
        metavar="X,Y,W,H",
        part=_PLACE,
        help="Ignore detections outside this box; repeatable.",
    ),
    option("--yes", is_flag=True, part=_PLACE, help="Continue even if most of the picture would be replaced."),
    engine_option(part=_PIXELS),
    option(
        "--segment-s",
        type=DURATION,
        part=_PIXELS,
        key="plan.segment_s",
        help="Target length of a segment, the piece of video that a worker takes at a time.",
    ),
    option(
        "--on-dead",
        type=click.Choice(["fail", "passthrough"]),
        part=_PIXELS,
        key="spool.on_dead",
        help="A segment that cannot be restored fails the job, or stays as it is in the source: exit code 7.",
    ),
    option(
        "-o",
        "--output",
        default="",
        metavar="FILE|DIR",
        part=_RESULT,
        shown="{stem}.clean.{ext} beside the video",
        help="File, folder or template.",
    ),
    option("--overwrite", is_flag=True, default=None, part=_RESULT, help="Replace an existing output."),
    option("--report", is_flag=True, part=_RESULT, help="Write a summary (.json) and a report (.html) beside it."),
    option(
        "--captions",
        default="",
        metavar="FILE.srt|mux",
        part=_RESULT,
        shown="none",
        help="Read the removed captions and keep them: in a file ({stem}.srt), or as a subtitle track of the result.",
    ),
    option(
        "--captions-language",
        "language",
        default="",
        metavar="LANG",
        part=_RESULT,
        shown="und",
        help="Their language, three letters, for players.",
    ),
    option(
        "--drop",
        type=int,
        multiple=True,
        metavar="STREAM",
        part=_RESULT,
        help="Leave out this stream of the source, by its number; repeatable.",
    ),
    option(
        "--drop-dynamic-hdr",
        is_flag=True,
        default=None,
        part=_RESULT,
        help="Drop Dolby Vision or HDR10+ metadata: the result is plain HDR10 or HLG.",
    ),
    option(
        "--quality",
        part=_ENCODING,
        shown="source",
        type=click.Choice(["source", "archive"]),
        help="Noise well under what the source's own coding left; or close to lossless, in large files.",
    ),
    option("--crf", type=float, part=_ENCODING, shown="as --quality says", help="Quality, smaller is better."),
    option(
        "--preset",
        part=_ENCODING,
        shown="this program's for the encoder",
        help="Speed against size, in the encoder's own words: fast, slow.",
    ),
    option("--codec", part=_ENCODING, shown="the source's family", help="Encoder, for example libx265."),
    option(
        "--encoder-opt",
        "encoder_options",
        multiple=True,
        metavar="K=V",
        part=_ENCODING,
        help="Further option of the encoder; repeatable.",
    ),
    option("--lossless", is_flag=True, default=None, part=_ENCODING, help="Encode without loss."),
    option(
        "--recode",
        type=click.Choice(["needed", "all"]),
        part=_ENCODING,
        key="encode.recode",
        help="Encode only what must be, or also frames without overlay, whose packets could be kept.",
    ),
    json_progress,
)


def order_options(command: Any) -> Any:
    """What to remove and how: give a command all of these options."""
    for add in reversed(_OPTIONS):
        command = add(command)
    return command


def config_of(settings: Settings, given: dict[str, Any]) -> Config:
    """The configuration with what these options say."""
    options = dict(_pair(text) for text in given["encoder_options"])
    weights = given["weights"]
    return settings.config(
        {
            "detect": {"detector": given["detector"], "weights": str(weights) if weights else None},
            "restore": {"engine": given["engine"]},
            "output": {"overwrite": given["overwrite"]},
            "plan": {"segment_s": given["segment_s"]},
            "spool": {"on_dead": given["on_dead"]},
            "worker": {"workers": given.get("workers")},
            "encode": {
                "crf": given["crf"],
                "quality": given["quality"],
                "preset": given["preset"],
                "codec": given["codec"],
                "lossless": given["lossless"],
                "recode": given["recode"],
                "drop_dynamic_hdr": given["drop_dynamic_hdr"],
                "options": options or None,
            },
        }
    )


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise UsageError("an encoder option is name=value", where=f"--encoder-opt {text}", todo="for example tune=film")
    return key, value


def order_of(given: dict[str, Any]) -> Order:
    """What is asked, from these options."""
    from waterz_spool.intake.submit import Order
    from waterz_spool.stages.contract.request import parse_box

    return Order(
        boxes=tuple(parse_box(text) for text in given["boxes"]),
        exact_boxes=tuple(parse_box(text, option="--box-exact") for text in given["exact_boxes"]),
        mask=given["mask"],
        tracks=given["tracks"],
        review=given.get("review", False),
        limits=tuple(parse_box(text, option="--limit") for text in given["limits"]),
        from_s=given["from_"],
        to_s=given["to"],
        drop=given["drop"],
        yes=given["yes"],
        captions=given["captions"],
        language=given["language"],
        output=given["output"],
    )


def check_output(videos: tuple[str, ...], output: str, option: str = "-o") -> None:
    """Refuse one name for several results.

    Raises:
        UsageError: The output is one file.
    """
    if len(videos) > 1 and output and "{stem}" not in output and not output.endswith("/") and not Path(output).is_dir():
        raise UsageError(
            "one output name for several videos", where=f"{option} {output}", todo="use {stem}, or a folder"
        )


def worker_count(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A number of workers, or ``auto``, which is 0."""
    if value is None or value == "auto":
        return None if value is None else 0
    if not value.isdecimal():
        raise click.BadParameter(f"{value!r} is neither a number nor auto", ctx, param)
    return int(value)


workers_option = option(
    "--workers",
    callback=worker_count,
    metavar="N|auto",
    shown="auto",
    help="Local workers; auto: one per GPU, else one per two cores.",
)
"""For `run` and what foretells it."""
