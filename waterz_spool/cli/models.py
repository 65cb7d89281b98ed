"""`models list`, `models verify` and `models path`: the weights that the neural engine and the text detector need."""

from __future__ import annotations

import click

from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.errors import SetupError


@click.group("models")
def models_command() -> None:
    """The weights of ProPainter and of the text detector: what they are, where they belong. Nothing is downloaded."""


@models_command.command("path")
@shared_options
def path_command(settings: Settings) -> None:
    """Print the folder where ProPainter's weights are looked for [WATERZ_MODELS]."""
    from waterz_spool.restore.propainter import weights_folder

    settings.emit({"path": str(weights_folder())}, str(weights_folder()))


@models_command.command("list")
@shared_options
def list_command(settings: Settings) -> None:
    """Name, licence, source and sha256 of each file, and whether it is there."""
    from waterz_spool.detect.text.files import listing
    from waterz_spool.report.status import table
    from waterz_spool.restore.propainter import weights_folder, weights_listing

    rows = [*weights_listing(), listing()]
    columns = ("FILE", "PRESENT", "SHA256", "LICENCE", "WHAT", "FROM")
    lines = [(r["file"], r["present"], r["sha256"], r["licence"], r["what"], r["source"]) for r in rows]
    settings.emit({"path": str(weights_folder()), "files": rows}, f"{weights_folder()}\n{table(columns, lines)}")


@models_command.command("verify")
@shared_options
def verify_command(settings: Settings) -> None:
    """Load each of ProPainter's files and check that it is the network it should be; doctor loads the text network."""
    from waterz_spool.restore.propainter import weights_states

    states = weights_states()
    settings.emit(
        states, "\n".join(f"{state['file']}: {state['state']} {state['detail']}".rstrip() for state in states)
    )
    bad = [state["file"] for state in states if state["state"] != "ok"]
    if bad:
        raise SetupError(f"not usable: {', '.join(bad)}", todo="waterz-spool models list says where to get them")
