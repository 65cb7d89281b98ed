"""`config show` and `config check`."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from waterz_spool import config
from waterz_spool.cli.context import Settings, shared_options


@click.group("config")
def config_command() -> None:
    """Show or check the configuration."""


@config_command.command("show")
@click.option("--example", is_flag=True, help="Defaults with unit and range of every key.")
@shared_options
def show_command(settings: Settings, example: bool) -> None:
    """Print the configuration that holds here."""
    resolved = config.Config() if example else settings.config()
    settings.emit(msgspec.to_builtins(resolved), config.to_yaml(resolved, comments=example).rstrip())


@config_command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@shared_options
def check_command(settings: Settings, file: Path) -> None:
    """Check a configuration file."""
    config.load(file)
    settings.emit({"file": str(file), "valid": True}, f"{file}: valid")
