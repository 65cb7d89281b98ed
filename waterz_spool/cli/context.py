"""What every command shares: which spool, which configuration, and how to print."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

import click
import msgspec

from waterz_spool import config
from waterz_spool.config import Config
from waterz_spool.errors import printable_lines


@dataclass(frozen=True)
class Settings:
    """The options that stand before or after every command."""

    spool: Path | None
    config_file: Path | None
    as_json: bool

    def config(self, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Config:
        """The configuration: command line over environment over file over default."""
        return config.load(self.config_file, overrides=overrides, origin=config.COMMAND_LINE)

    def chosen_spool(self) -> Path | None:
        """The spool the user named by option, environment or file; None when none was named."""
        if self.spool:
            return self.spool
        named = os.environ.get("WATERZ_SPOOL_DIR", "") or self.config().spool.dir
        return Path(named).expanduser() if named else None

    def spool_root(self) -> Path:
        """The chosen spool, else the private one of this user."""
        from waterz_spool.intake.spools import private_spool

        return self.chosen_spool() or private_spool()

    def emit_each(self, items: Sequence[tuple[Any, str]]) -> None:
        """Print several things: as JSON one document, an array unless there is exactly one."""
        data = [item for item, _ in items]
        self.emit(data[0] if len(data) == 1 else data, "\n".join(text for _, text in items))

    def emit(self, data: Any, text: str) -> None:
        """Print data as JSON when asked, else the text; control characters of names and errors never as such."""
        line = _plain_json(msgspec.json.encode(data).decode()) if self.as_json else printable_lines(text)
        if line:
            click.echo(line)


def _plain_json(text: str) -> str:
    """JSON leaves characters as they are that some terminals obey, such as U+009B."""
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def shared_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared settings; ``--spool`` and ``--json`` may also stand after its name."""

    @wraps(command)
    def with_settings(*, spool: Path | None, as_json: bool, **given: Any) -> None:
        found: Settings = click.get_current_context().obj
        command(replace(found, spool=spool or found.spool, as_json=as_json or found.as_json), **given)

    spool = click.option("--spool", type=click.Path(path_type=Path), help="Shared directory [WATERZ_SPOOL_DIR].")
    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    return spool(as_json(with_settings))


def on_terminal() -> bool:
    """Whether progress may redraw a line."""
    return sys.stderr.isatty()


json_progress = click.option(
    "--json-progress", "as_lines", is_flag=True, help="Progress as JSON, one object a line on standard error."
)
"""For commands that take their time."""
