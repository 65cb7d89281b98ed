"""Writes api.md from the docstrings of the public names: python docs/make_api.py."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import waterz_spool

PAGE = Path(__file__).with_name("api.md")
_HEAD = """# Python

<!-- Written by docs/make_api.py from the docstrings. -->

All names are in `waterz_spool`. Importing it does no work, and reading never makes a spool.
"""
_FIRST = ("run", "Spool", "Job", "as_completed", "Asked", "Result", "Moment", "TaskInfo", "State")


def page() -> str:
    """The page as it should be."""
    errors = [name for name in waterz_spool.__all__ if name.endswith("Error")]
    parts = [_HEAD, *("\n".join(_about(name)) for name in _FIRST), "## Errors\n", _errors(errors)]
    return "\n".join(parts).rstrip() + "\n"


def _about(name: str) -> Iterator[str]:
    thing = getattr(waterz_spool, name)
    if name == "State":
        yield f"## `State`\n\nOne of {', '.join(f'`{word}`' for word in get_args(thing))}: [usage.md](usage.md).\n"
        return
    yield f"## `{name}{'' if _is_record(thing) else _signature(thing)}`\n"
    yield _text(thing)
    if name in ("Spool", "Job"):
        for key, member in vars(thing).items():
            if not key.startswith("_") and inspect.getdoc(member):
                yield f"### `{name}.{key}{_signature(member) if callable(member) else ''}`\n"
                yield _text(member)
    elif _is_record(thing) and name != "Asked":
        yield "\n".join(f"- `{key}`: `{kind}`" for key, kind in thing.__annotations__.items()) + "\n"


def _is_record(thing: Any) -> bool:
    return inspect.isclass(thing) and hasattr(thing, "__annotations__") and not hasattr(thing, "submit")


def _signature(thing: Any) -> str:
    text = str(inspect.signature(thing)).replace("self, ", "").replace("(self)", "()")
    return re.sub(r"'([^']*)'", r"\1", text).replace("Unpack[Asked]", "Asked")


def _text(thing: Any) -> str:
    """A docstring as Markdown: its sections become lists."""
    text = inspect.getdoc(thing) or ""
    text = re.sub(r"^(Args|Attributes|Raises|Returns):$", r"**\1**\n", text, flags=re.MULTILINE)
    text = re.sub(r"^    (\**\w+): ", r"- `\1`: ", text, flags=re.MULTILINE)
    return re.sub(r"^        +", "  ", text, flags=re.MULTILINE).replace("``", "`") + "\n"


def _errors(names: list[str]) -> str:
    rows = [getattr(waterz_spool, name) for name in names]
    lines = [f"| `{each.__name__}` | {each.exit_code} | {_first(each)} |" for each in rows]
    return "\n".join(["| error | exit code | |", "|---|---|---|", *lines])


def _first(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").splitlines()[0]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
