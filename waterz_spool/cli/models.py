"""`models list`, `verify`, `path` and `get`: the back ends that are installed, and the weights they need."""

from __future__ import annotations

from typing import Any

import click

from waterz_spool.backends import DETECTORS, RESTORERS
from waterz_spool.cli.context import Settings, json_progress, shared_options
from waterz_spool.cli.options import Group, option
from waterz_spool.errors import SetupError, UsageError
from waterz_spool.report.words import count


@click.group("models", cls=Group)
def models_command() -> None:
    """List and check engines, detectors and weights.

    What they are, where they belong, whether they are whole. Nothing is downloaded but by `models get`.
    """


@models_command.command("path", examples="waterz-spool models path")
@shared_options
def path_command(settings: Settings) -> None:
    """Print the folder where weights are looked for.

    WATERZ_MODELS names another one.
    """
    from waterz_spool.restore.weights import weights_folder

    settings.emit({"path": str(weights_folder())}, str(weights_folder()))


@models_command.command("list", examples="waterz-spool models list")
@shared_options
def list_command(settings: Settings) -> None:
    """List the back ends and their weight files.

    With name, licence, source and sha256 of each file, and whether it is there.
    """
    from waterz_spool.report.status import table
    from waterz_spool.restore.weights import listing, weights_folder

    kinds = [*_restorers(), *_detectors()]
    shown = table(("KIND", "NAME", "GPU", "WEIGHTS", "FROM"), [tuple(kind.values()) for kind in kinds])
    rows = [{"of": kind.name, **row} for kind in RESTORERS.usable() for row in listing(kind.weights)]
    rows += [{"of": kind.name, **row} for kind in DETECTORS.usable() for row in kind.listing()]
    columns = ("OF", "FILE", "PRESENT", "SHA256", "LICENCE", "WHAT", "FROM")
    keys = ("of", "file", "present", "sha256", "licence", "what", "source")
    files = table(columns, [tuple(row[key] for key in keys) for row in rows])
    data = {
        "path": str(weights_folder()),
        "backends": [{**kind, "gpu": kind["gpu"] == "yes"} for kind in kinds],
        "files": [{**row, "present": row["present"] == "yes", "sha256": _known(row["sha256"])} for row in rows],
    }
    settings.emit(data, f"{shown}\n\n{weights_folder()}\n{files}")


def _known(digest: str) -> str | None:
    return None if digest == "-" else digest


def _restorers() -> list[dict[str, str]]:
    def weights(kind: type[Any]) -> str:
        return count(len(kind.weights), "file") if kind.weights else "none"

    return [_line("restorer", kind, gpu=kind.needs_gpu, weights=weights(kind)) for kind in RESTORERS.usable()]


def _detectors() -> list[dict[str, str]]:
    return [
        _line("detector", kind, gpu=False, weights="yours" if kind.needs_weights else "none")
        for kind in DETECTORS.usable()
    ]


def _line(what: str, kind: type[Any], *, gpu: bool, weights: str) -> dict[str, str]:
    registry = RESTORERS if what == "restorer" else DETECTORS
    origin = registry.origin(kind.name) or "waterz-spool"
    return {"kind": what, "name": kind.name, "gpu": "yes" if gpu else "no", "weights": weights, "from": origin}


@models_command.command("verify", examples="waterz-spool models verify\nwaterz-spool models verify propainter")
@click.argument("engines", nargs=-1, metavar="[ENGINE]...")
@shared_options
def verify_command(settings: Settings, *, engines: tuple[str, ...]) -> None:
    """Load each weight file and check that it is whole.

    Without ENGINE: all files of the engines of which at least one file is there.
    """
    from waterz_spool.restore.weights import absent

    kinds = [RESTORERS.load(name) for name in engines] or list(RESTORERS.usable())
    found = [kind for kind in kinds if kind.weights and (engines or len(absent(kind.weights)) < len(kind.weights))]
    states = [state for kind in found for state in kind.verified()]
    lines = [f"{each.file}: {each.state} {each.detail}".rstrip() for each in states]
    settings.emit(
        {"files": states}, "\n".join(lines) or "no weight files are there; `waterz-spool models list` names them"
    )
    bad = [each.file for each in states if each.state != "ok"]
    if bad:
        raise SetupError(f"not usable: {', '.join(bad)}", todo="waterz-spool models list says where to get them")


@models_command.command("get", examples="waterz-spool models get propainter --accept-licence")
@click.argument("engine")
@option("--accept-licence", is_flag=True, help="You have read the licence of each file and keep to it.")
@json_progress
@shared_options
def get_command(settings: Settings, *, engine: str, accept_licence: bool, as_lines: bool) -> None:
    """Fetch the missing weight files of an engine.

    From where their authors publish them. The licence of each file is shown first. An interrupted download continues
    with the same command.
    `restore.weights_url` in the configuration names another server.
    """
    from waterz_spool.intake.url import teller
    from waterz_spool.tools.weights import get, offers

    offered = offers(engine, base_url=settings.config().restore.weights_url)
    for each in offered:
        click.echo(f"{each.file.name}: {each.file.what}\n  licence: {each.file.licence}\n  from: {each.url}", err=True)
    if offered and not accept_licence:
        raise UsageError(
            "nothing was fetched: the licences above are yours to keep",
            todo=f"read them, then run: waterz-spool models get {engine} --accept-licence",
        )
    progress = settings.progress(as_json=as_lines)
    got = []
    try:
        for each in offered:
            got.append(str(get(each, tell=teller(each.file.name, progress))))
    finally:
        progress.end()
    states = RESTORERS.load(engine).verified()
    settings.emit({"fetched": got, "files": states}, "\n".join(f"{each.file}: {each.state}" for each in states))
    bad = [f"{each.file} ({each.detail})" for each in states if each.state != "ok"]
    if bad:
        raise SetupError(f"not usable: {', '.join(bad)}", todo="remove them and get them again")
