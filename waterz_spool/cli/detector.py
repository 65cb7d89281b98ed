"""`detector train` and `detector test`: weights from a picture of the overlay, and how good they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.cli.options import Group, option

_PATH = click.Path(path_type=Path)
_TRAIN_EXAMPLES = "waterz-spool detector train --overlay logo.png --footage clean/ -o logo.pt"
_TEST_EXAMPLES = "waterz-spool detector test logo.pt --overlay logo.png --footage other/"


@click.group("detector", cls=Group)
def detector_command() -> None:
    """Train a YOLO detector for your own overlay, or score one."""


@detector_command.command("train", examples=_TRAIN_EXAMPLES)
@option("--overlay", "overlays", multiple=True, required=True, type=_PATH, help="Picture of it; repeatable.")
@option("--footage", multiple=True, required=True, type=_PATH, help="Clean video or folder; repeatable.")
@option("-o", "--output", "out", required=True, type=_PATH, help="Weights to write, a .pt file.")
@option("--size", default="n", type=click.Choice(list("nsmlx")), help="Size of the model.")
@option("--epochs", default=30, type=click.IntRange(min=1), help="Passes over the pictures.")
@option("--imgsz", default=640, type=click.IntRange(32, 4096), help="Picture size in px.")
@option("--pictures", default=1600, type=click.IntRange(min=8), help="How many to compose.")
@option("--batch", default=16, type=click.IntRange(min=1), help="Pictures per step.")
@option("--device", default="auto", help="auto, cpu or cuda:0.")
@option("--threads", default=0, type=click.IntRange(min=0), help="Threads of torch; 0: its own choice.")
@option("--seed", default=0, help="The same seed composes the same pictures.")
@shared_options
def train_command(settings: Settings, out: Path, pictures: int, **given: Any) -> None:
    """Train a model for your overlay, and report how well it finds it.

    It is composed onto your clean footage, and the model is trained from scratch: hours on a CPU, minutes on a GPU.
    Nothing is downloaded. Beside the weights: NAME.json (where they come from) and NAME.html (scores, examples).
    """
    from waterz_spool.detect.training.fit import TrainOptions
    from waterz_spool.tools.training import train_detector

    overlays, footage = given.pop("overlays"), given.pop("footage")
    scores, report = train_detector(overlays, footage, out, TrainOptions(**given), pictures=pictures)
    settings.emit({"weights": str(out), **msgspec.to_builtins(scores)}, f"{_words(scores)}\n{report}\n{out}")


@detector_command.command("test", examples=_TEST_EXAMPLES)
@click.argument("weights", type=_PATH)
@option("--overlay", "overlays", multiple=True, type=_PATH, help="Picture of it; repeatable, in class order.")
@option("--footage", multiple=True, type=_PATH, help="Clean video or folder; repeatable.")
@option(
    "--data",
    "labelled",
    type=_PATH,
    shown="composed pictures",
    help="Labelled set: images/ and labels/ in YOLO's form.",
)
@option("--imgsz", default=640, type=click.IntRange(32, 4096), help="Picture size in px.")
@option("--pictures", default=200, type=click.IntRange(min=8), help="How many to compose.")
@option("--device", default="auto", help="auto, cpu or cuda:0.")
@option("--seed", default=1000, help="The same seed composes the same pictures.")
@shared_options
def test_command(settings: Settings, weights: Path, **given: Any) -> None:
    """Score weights.

    On a labelled set, or on overlays composed onto clean footage.
    """
    from waterz_spool.detect.training.fit import TrainOptions
    from waterz_spool.tools.training import score_detector

    options = TrainOptions(imgsz=given.pop("imgsz"), device=given.pop("device"), seed=given.pop("seed"))
    scores = score_detector(weights, options=options, **given)
    settings.emit({"weights": str(weights), **msgspec.to_builtins(scores)}, _words(scores))


def _words(scores: Any) -> str:
    return (
        f"mAP50 {scores.map50:.3f}  mAP50-95 {scores.map50_95:.3f}  precision {scores.precision:.3f}  "
        f"recall {scores.recall:.3f}  on {scores.pictures} pictures"
    )
