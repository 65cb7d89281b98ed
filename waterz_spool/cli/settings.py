"""`config show`, `config check` and `config init`."""

from __future__ import annotations

from pathlib import Path

import click

from waterz_spool import config
from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.cli.options import Group, option
from waterz_spool.errors import UsageError

_FILE = click.Path(path_type=Path)


@click.group("config", cls=Group)
def config_command() -> None:
    """Show, check or begin a configuration file."""


@config_command.command("show", examples="waterz-spool config show\nwaterz-spool config show --example")
@option("--example", is_flag=True, help="Defaults with unit and range of every key.")
@shared_options
def show_command(settings: Settings, example: bool) -> None:
    """Print the configuration that holds here."""
    resolved = config.Config() if example else settings.config()
    settings.emit({"config": resolved}, config.to_yaml(resolved, comments=example).rstrip())


@config_command.command("check", examples="waterz-spool config check waterz.yaml")
@click.argument("file", type=_FILE)
@shared_options
def check_command(settings: Settings, file: Path) -> None:
    """Check a configuration file."""
    config.load(file)
    settings.emit({"file": str(file), "valid": True}, f"{file}: valid")


@config_command.command("init", examples="waterz-spool config init\nexport WATERZ_CONFIG=$PWD/waterz.yaml")
@click.argument("file", type=_FILE, default="waterz.yaml")
@shared_options
def init_command(settings: Settings, file: Path) -> None:
    """Write a file with every key and its default."""
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(config.to_yaml(config.Config(), comments=True))
    except FileExistsError:
        raise UsageError("the file exists already", where=str(file), todo="name another") from None
    settings.emit({"file": str(file)}, f"{file}\nuse it with --config {file}, or WATERZ_CONFIG={file.absolute()}")
