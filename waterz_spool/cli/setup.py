"""`init`: a spool, before anything is submitted."""

from __future__ import annotations

from pathlib import Path

import click

from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.cli.options import Command

_EXAMPLES = """
waterz-spool init /shared/spool
waterz-spool init /shared/spool && waterz-spool doctor --spool /shared/spool
"""


@click.command("init", cls=Command, examples=_EXAMPLES)
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@shared_options
def init_command(settings: Settings, folder: Path) -> None:
    """Make a spool in a folder.

    The first `submit`, `run` or `watch` makes one, too; with this, workers can start before. A spool that is there
    already is left as it is.
    """
    from waterz_spool.intake.spools import file_system, open_or_create

    spool = open_or_create(folder, settings.config())
    kind = file_system(spool.root)
    text = f"{spool.root}\nuse it with --spool {spool.root}, or WATERZ_SPOOL_DIR={spool.root}"
    lease_s = spool.settings.lease_s
    settings.emit({"spool": str(spool.root), "file_system": kind, "lease_s": lease_s}, text)
