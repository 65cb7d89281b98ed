"""Options that name a back end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from waterz_spool.backends import DETECTORS
from waterz_spool.config import detectors, engines


class _Detectors(click.Choice[str]):
    """One of the choices, or several detectors joined by a plus sign."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        names = str(value).split("+")
        if len(names) > 1 and all(map(DETECTORS.has, names)):
            return str(value)
        return super().convert(value, param, ctx)


def engine_option(command: Any) -> Any:
    """``--engine``: a restorer."""
    return click.option("--engine", type=click.Choice(engines()), help="Restorer.")(command)


def detector_option(note: str, *, without: str = "") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """``--detector``: one or several detectors.

    Args:
        note: What the help says first.
        without: A choice that the command does not have.
    """
    names = [name for name in detectors() if name != without]
    return click.option("--detector", type=_Detectors(names), help=f"{note} Several look together: a+b.")
