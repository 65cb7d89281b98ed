"""`models list`, `models verify` and `models path`: the back ends that are installed, and the weights they need."""

from __future__ import annotations

from typing import Any

import click

from waterz_spool.backends import DETECTORS, RESTORERS
from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.errors import SetupError


@click.group("models")
def models_command() -> None:
    """Restorers and detectors, and weights: what they are, where they belong, whether they are whole.

    Nothing is downloaded.
    """


@models_command.command("path")
@shared_options
def path_command(settings: Settings) -> None:
    """Print the folder where the weights are looked for [WATERZ_MODELS]."""
    from waterz_spool.restore.weights import weights_folder

    settings.emit({"path": str(weights_folder())}, str(weights_folder()))


@models_command.command("list")
@shared_options
def list_command(settings: Settings) -> None:
    """The back ends; then name, licence, source and sha256 of each weight file, and whether it is there."""
    from waterz_spool.report.status import table
    from waterz_spool.restore.weights import listing, weights_folder

    kinds = [*_restorers(), *_detectors()]
    shown = table(("KIND", "NAME", "GPU", "WEIGHTS", "FROM"), [tuple(kind.values()) for kind in kinds])
    rows = [{"of": kind.name, **row} for kind in RESTORERS.usable() for row in listing(kind.weights)]
    rows += [{"of": kind.name, **row} for kind in DETECTORS.usable() for row in kind.listing()]
    columns = ("OF", "FILE", "PRESENT", "SHA256", "LICENCE", "WHAT", "FROM")
    keys = ("of", "file", "present", "sha256", "licence", "what", "source")
    files = table(columns, [tuple(row[key] for key in keys) for row in rows])
    settings.emit(
        {"path": str(weights_folder()), "backends": kinds, "files": rows}, f"{shown}\n\n{weights_folder()}\n{files}"
    )


def _restorers() -> list[dict[str, str]]:
    return [
        _line("restorer", kind, gpu=kind.needs_gpu, weights=f"{len(kind.weights)} files" if kind.weights else "none")
        for kind in RESTORERS.usable()
    ]


def _detectors() -> list[dict[str, str]]:
    return [
        _line("detector", kind, gpu=False, weights="yours" if kind.needs_weights else "none")
        for kind in DETECTORS.usable()
    ]


def _line(what: str, kind: type[Any], *, gpu: bool, weights: str) -> dict[str, str]:
    registry = RESTORERS if what == "restorer" else DETECTORS
    origin = registry.origin(kind.name) or "waterz-spool"
    return {"kind": what, "name": kind.name, "gpu": "yes" if gpu else "no", "weights": weights, "from": origin}


@models_command.command("verify")
@shared_options
def verify_command(settings: Settings) -> None:
    """Load each file and check that it is what it should be."""
    states = [state for kind in RESTORERS.usable() if kind.weights for state in kind.verified()]
    settings.emit(states, "\n".join(f"{each.file}: {each.state} {each.detail}".rstrip() for each in states))
    bad = [each.file for each in states if each.state != "ok"]
    if bad:
        raise SetupError(f"not usable: {', '.join(bad)}", todo="waterz-spool models list says where to get them")
