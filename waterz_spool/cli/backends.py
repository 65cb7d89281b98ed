"""Options that name a back end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from waterz_spool.backends import DETECTORS
from waterz_spool.cli.options import option
from waterz_spool.config import detectors, engines


class _Detectors(click.Choice[str]):
    """One of the choices, or several detectors joined by a plus sign."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        names = str(value).split("+")
        if len(names) > 1 and all(map(DETECTORS.has, names)):
            return str(value)
        return super().convert(value, param, ctx)


def engine_option(*, part: str) -> Callable[[Any], Any]:
    """``--engine``: a restorer."""
    return option(
        "--engine",
        type=click.Choice(engines()),
        part=part,
        key="restore.engine",
        help="Restorer; auto: propainter where its weights and a GPU are present, else unblend.",
    )


def detector_option(note: str, *, without: str = "", part: str = "Options") -> Callable[[Any], Any]:
    """``--detector``: one or several detectors.

    Args:
        note: What the help says first.
        without: A choice that the command does not have.
        part: Heading in the help.
    """
    names = [name for name in detectors() if name != without]
    return option(
        "--detector",
        type=_Detectors(names),
        part=part,
        key="detect.detector",
        help=f"{note} Several look together: a+b.",
    )
