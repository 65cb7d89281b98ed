"""What every command shares: which spool, which configuration, and how to print."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from waterz_spool import config
from waterz_spool.cli.options import COMMON, option
from waterz_spool.config import Config
from waterz_spool.errors import printable_lines

if TYPE_CHECKING:
    from waterz_spool.report.terminal import Progress


SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options that stand before or after every command; and what is printed at its end with --json."""

    spool: Path | None = None
    config_file: Path | None = None
    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    document: dict[str, Any] = field(default_factory=dict)

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
        if chosen := self.chosen_spool():
            return chosen
        from waterz_spool.intake.spools import private_spool

        return private_spool()

    def progress(self, *, as_json: bool = False) -> Progress:
        """How this command shows progress."""
        from waterz_spool.report.terminal import Progress

        return Progress(terminal=sys.stderr.isatty(), as_json=as_json, silent=self.quiet and not as_json)

    def say(self, text: str) -> None:
        """Tell people something on standard error, beside what was asked for; not with --json or --quiet."""
        if text and not self.as_json and not self.quiet:
            click.echo(printable_lines(text), err=True)

    def emit(self, data: Mapping[str, Any], text: str) -> None:
        """Give what was asked for: as text at once, or as part of the one JSON document that ends the command.

        Control characters of names and errors are never printed as such.
        """
        if self.as_json:
            self.document.update(data)
        elif text:
            click.echo(printable_lines(text))

    def emit_line(self, data: Mapping[str, Any], text: str) -> None:
        """The same for a command that goes on: one JSON document a line."""
        if self.as_json:
            print_json(data)
        else:
            self.emit(data, text)


def print_json(data: Mapping[str, Any]) -> None:
    """Print one JSON document: an object that begins with the number of its schema."""
    text = msgspec.json.encode({"schema": SCHEMA, **data}).decode()
    # JSON leaves characters as they are that some terminals obey, such as U+009B.
    click.echo("".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text))


_PATH = click.Path(path_type=Path)
_SHARED = (
    option(
        "--spool",
        type=_PATH,
        part=COMMON,
        shown="WATERZ_SPOOL_DIR, else a private one",
        help="Shared directory.",
    ),
    option(
        "--config", "config_file", type=_PATH, part=COMMON, shown="WATERZ_CONFIG, else none", help="Configuration file."
    ),
    option("--json", "as_json", is_flag=True, part=COMMON, help="Print one JSON document (docs/json.md)."),
    option("-q", "--quiet", is_flag=True, part=COMMON, help="No progress and no summary: only results and errors."),
    option("-v", "--verbose", is_flag=True, part=COMMON, help="Say more: what is done, and where an error arose."),
)


_NAMES = ("spool", "config_file", "as_json", "quiet", "verbose")


def with_shared(command: Any) -> Any:
    """Give a command or group the options that may stand before and after every verb."""
    for add in reversed(_SHARED):
        command = add(command)
    return command


def shared_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared settings; its options may stand before or after its name."""

    @wraps(command)
    def with_settings(**given: Any) -> None:
        found: Settings = click.get_current_context().obj
        mine = {name: value for name in _NAMES if (value := given.pop(name))}
        settings = replace(found, **mine)
        if settings.verbose:
            _speak()
        command(settings, **given)

    return with_shared(with_settings)  # type: ignore[no-any-return]


def _speak() -> None:
    """Let the program's own log go to standard error."""
    import logging

    from waterz_spool.stages.loop.tasklog import LogFormatter

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormatter())
    logging.basicConfig(handlers=[handler])
    logging.getLogger("waterz_spool").setLevel(logging.DEBUG)


json_progress = option(
    "--json-progress", "as_lines", is_flag=True, help="Progress as JSON, one object a line on standard error."
)
"""For commands that take their time."""
