"""Workers on a Slurm cluster: launching and stopping them, and those that are on their way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from waterz_spool.config import SlurmConfig
from waterz_spool.launch.slurm.arrays import Order, Queued, cancel, folder_of, launch, queued
from waterz_spool.launch.slurm.commands import SlurmError, find
from waterz_spool.report.words import are, count
from waterz_spool.spool import Spool

_ASK_S = 5.0


def workers_coming(spool: Spool, slurm: SlurmConfig) -> list[str]:
    """Slurm workers of a spool that are on their way, one line for each reason; none where there is no Slurm."""
    try:
        find("squeue")
    except SlurmError:
        return []
    try:
        tasks = queued(spool, slurm, timeout_s=_ASK_S)
    except SlurmError as error:
        if not folder_of(spool, slurm).is_dir():
            return []
        return [f"whether Slurm workers are queued is not known: {error.what}"]
    reasons = Counter(task.reason for task in tasks if task.state != "RUNNING")
    lines = [f"{count(n, 'Slurm worker')} {are(n)} queued ({reason})" for reason, n in sorted(reasons.items())]
    started = sum(task.state == "RUNNING" for task in tasks)
    return lines + ([f"{count(started, 'Slurm worker')} started, not at work yet"] if started else [])


class SlurmWorkers:
    """A launcher of array tasks; see `waterz_spool.launch.launcher.Launcher`.

    Args:
        order: What to launch, for which spool.
    """

    what = "Slurm workers"
    again = "waterz-spool slurm up N"

    def __init__(self, order: Order) -> None:
        self._order = order

    def start(self, count: int) -> int:
        """Submit so many; fewer where the site takes no more."""
        return sum(array.workers for array in launch(self._order, count))

    def present(self) -> list[Queued]:
        """Those that are queued or running."""
        return queued(self._order.spool, self._order.slurm)

    def stop(self, workers: Sequence[Queued]) -> None:
        """Cancel some of them; those that run hand back what they have first."""
        cancel(workers)
