"""`detector train` and `detector test`: weights from a picture of the overlay, and how good they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from waterz_spool.cli.context import Settings, shared_options

_PATH = click.Path(path_type=Path)


@click.group("detector")
def detector_command() -> None:
    """Train a YOLO detector for your own overlay, or score one."""


@detector_command.command("train")
@click.option("--overlay", "overlays", multiple=True, required=True, type=_PATH, help="Picture of it; repeatable.")
@click.option("--footage", multiple=True, required=True, type=_PATH, help="Clean video or folder; repeatable.")
@click.option("-o", "--output", "out", required=True, type=_PATH, help="Weights to write, a .pt file.")
@click.option("--size", default="n", show_default=True, type=click.Choice(list("nsmlx")), help="Size of the model.")
@click.option("--epochs", default=30, show_default=True, type=click.IntRange(min=1), help="Passes over the pictures.")
@click.option("--imgsz", default=640, show_default=True, type=click.IntRange(32, 4096), help="Picture size in px.")
@click.option("--pictures", default=1600, show_default=True, type=click.IntRange(min=8), help="How many to compose.")
@click.option("--batch", default=16, show_default=True, type=click.IntRange(min=1), help="Pictures per step.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda:0.")
@click.option("--threads", default=0, type=click.IntRange(min=0), help="Threads of torch; 0: its own choice.")
@click.option("--seed", default=0, show_default=True, help="The same seed composes the same pictures.")
@shared_options
def train_command(settings: Settings, out: Path, pictures: int, **given: Any) -> None:
    """Compose the overlay onto your clean footage, train a model from scratch, and report how well it finds it.

    Nothing is downloaded. Beside the weights: NAME.json (where they come from) and NAME.html (scores, examples).
    """
    from waterz_spool.detect.training.fit import TrainOptions
    from waterz_spool.tools.training import train_detector

    overlays, footage = given.pop("overlays"), given.pop("footage")
    scores, report = train_detector(overlays, footage, out, TrainOptions(**given), pictures=pictures)
    settings.emit({"weights": str(out), **msgspec.to_builtins(scores)}, f"{_words(scores)}\n{report}\n{out}")


@detector_command.command("test")
@click.argument("weights", type=_PATH)
@click.option("--overlay", "overlays", multiple=True, type=_PATH, help="Picture of it; repeatable, in class order.")
@click.option("--footage", multiple=True, type=_PATH, help="Clean video or folder; repeatable.")
@click.option("--data", "labelled", type=_PATH, help="Labelled set: images/ and labels/ in YOLO's form.")
@click.option("--imgsz", default=640, show_default=True, type=click.IntRange(32, 4096), help="Picture size in px.")
@click.option("--pictures", default=200, show_default=True, type=click.IntRange(min=8), help="How many to compose.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda:0.")
@click.option("--seed", default=1000, show_default=True, help="The same seed composes the same pictures.")
@shared_options
def test_command(settings: Settings, weights: Path, **given: Any) -> None:
    """Score weights on a labelled set, or on overlays composed onto clean footage."""
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
