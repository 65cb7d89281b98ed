"""`doctor`: is this machine and the spool's folder fit for the work?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.cli.options import Command, option
from waterz_spool.errors import SetupError

if TYPE_CHECKING:
    from waterz_spool.spool.mount import Check


@click.command("doctor", cls=Command, examples="waterz-spool doctor\nsrun -N2 -n2 waterz-spool doctor --two-node")
@option("--two-node", is_flag=True, help="Measure together with another doctor, on another host, with this spool.")
@shared_options
def doctor_command(settings: Settings, two_node: bool) -> None:
    """Check this machine, and what the spool's folder really does.

    Libraries, codecs, GPU, weights, file system. With --two-node start it on two hosts at about the same time, or as
    `srun -N2 -n2`: they meet through the spool and record what they found, which decides whether locks are used
    between hosts. Exit code 6 when something is unfit.
    """
    from waterz_spool.tools.doctor import machine_checks, pair_checks, spool_checks

    root = settings.spool_root().absolute()
    found: list[Check] = []

    def take(checks: Iterable[Check]) -> None:
        for check in checks:
            found.append(check)
            if not settings.as_json:
                settings.emit({}, str(check))

    take(machine_checks())
    take(spool_checks(root))
    if two_node and not any(check.state == "fail" for check in found):
        take(pair_checks(root))
    if settings.as_json:
        settings.emit({"spool": str(root), "checks": found}, "")
    bad = [check for check in found if check.state == "fail"]
    if bad:
        raise SetupError(f"unfit: {bad[0].name}: {bad[0].what}", where=str(root), todo=bad[0].todo)
