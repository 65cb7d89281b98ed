"""Options and commands whose help says everything: in parts, with defaults, with examples."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import click

from waterz_spool.config import Config
from waterz_spool.duration import seconds_of, text_of
from waterz_spool.errors import UsageError

COMMON = "Common options"
_REST = "Options"


class Option(click.Option):
    """An option in a part of its command's help.

    Args:
        part: Heading under which the help lists it.
        key: Key of the configuration, ``section.key``, that holds where the option is not given: its default is shown.
        shown: The default in words, where the value does not tell.
    """

    def __init__(self, *args: Any, part: str = _REST, key: str = "", shown: str = "", **more: Any) -> None:
        default = shown or (_configured(key, more.get("type")) if key else _default(more))
        if default:
            more["help"] = f"{more['help']} [default: {default}]"
        super().__init__(*args, **more)
        self.part = part


def _default(more: dict[str, Any]) -> str:
    default = more.get("default")
    return "" if default is None or isinstance(default, bool) else str(default)


def _configured(key: str, kind: Any) -> str:
    section, _, name = key.partition(".")
    value = getattr(getattr(Config(), section), name)
    if isinstance(kind, Duration):
        return text_of(value)
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def option(*names: str, **more: Any) -> Callable[[Any], Any]:
    """An `Option`."""
    return click.option(*names, cls=Option, **more)


class Duration(click.ParamType[float]):
    """A length of time, in seconds afterwards; see `waterz_spool.duration`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        where = f"{param.opts[0]} {value}" if param else str(value)
        return value if isinstance(value, float) else seconds_of(str(value), where=where)


DURATION = Duration()


class Parts(click.Command):
    """Lists options under their headings, and names the nearest option or verb for one that does not exist."""

    examples: list[str] = []  # noqa: RUF012 - never changed

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples, then the options: those that every command has come last."""
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")
        parts: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)) is not None:
                part = COMMON if "--help" in param.opts else getattr(param, "part", _REST)
                parts.setdefault(part, []).append(record)
        common = parts.pop(COMMON, [])
        for part, records in [*parts.items(), *([(COMMON, common)] if common else [])]:
            with formatter.section(part):
                formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with our own words for an option that does not exist."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            names = [name for param in self.get_params(ctx) for name in param.opts]
            raise unknown("option", error.option_name, names, ctx, self.hint(ctx)) from None

    def hint(self, ctx: click.Context) -> str:
        """What to do about an option that does not exist, beside what is always right."""
        return ""


class Command(Parts):
    """A command.

    Args:
        examples: Command lines, one a line, that its help shows.
    """

    def __init__(self, *args: Any, examples: str = "", **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = [line.strip() for line in examples.strip().splitlines()]


class Group(Parts, click.Group):
    """A verb with verbs of its own."""

    command_class = Command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Verbs first."""
        self.format_commands(ctx, formatter)
        Parts.format_options(self, ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with our own words for a verb that does not exist."""
        verb = args[0]
        if not verb.startswith("-") and not ctx.resilient_parsing and self.get_command(ctx, verb) is None:
            raise unknown("command", verb, self.list_commands(ctx), ctx)
        return super().resolve_command(ctx, args)


_LIKE = 0.7  # of 1: less alike than that is another word


def unknown(what: str, name: str, known: list[str], ctx: click.Context, hint: str = "") -> UsageError:
    """The error for an option or a verb that does not exist: it names the nearest, if one is near."""
    bare = {each.lstrip("-"): each for each in known}
    near = difflib.get_close_matches(name.lstrip("-"), bare, n=1, cutoff=_LIKE)
    near = near or [each for each in bare if len(name.lstrip("-")) > 2 and each.startswith(name.lstrip("-"))][:1]
    todo = [f"did you mean {bare[near[0]]}?"] if near else []
    todo += [hint] if hint else []
    help_ = f"{ctx.command_path} --help lists them all"
    return UsageError(f"no such {what}: {name}", where=ctx.command_path, todo="; ".join([*todo, help_]))
