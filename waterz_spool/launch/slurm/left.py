"""Whether anybody is left to work: a wait for a job must end when the last worker has."""

from __future__ import annotations

import logging
import time
from collections import Counter

from waterz_spool.config import SlurmConfig
from waterz_spool.errors import JobFailedError
from waterz_spool.launch.slurm.arrays import folder_of, queued
from waterz_spool.launch.slurm.commands import SlurmError, find
from waterz_spool.report.words import are, count
from waterz_spool.spool import Job, Spool

log = logging.getLogger(__name__)

EVERY_S = 30.0
_LOOKS = 2
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


class WorkersLeft:
    """Looks into Slurm's queue now and then while a job is waited for.

    Args:
        spool: The spool.
        slurm: Where submitit's folder is.
    """

    def __init__(self, spool: Spool, slurm: SlurmConfig) -> None:
        self._spool = spool
        self._slurm = slurm
        self._looked = time.monotonic()
        self._missing = 0

    def check(self, job: Job) -> None:
        """Look, if it is time to.

        Raises:
            JobFailedError: At two looks no worker was queued, and nobody works on the job.
        """
        if time.monotonic() - self._looked < EVERY_S:
            return
        self._looked = time.monotonic()
        try:
            empty = not queued(self._spool, self._slurm)
        except SlurmError as error:
            log.info("%s", error)
            return
        state = job.state()
        idle = not state.terminal and not any(task.kind == "running" for task in state.tasks)
        self._missing = self._missing + 1 if empty and idle else 0
        if self._missing >= _LOOKS:
            raise JobFailedError(
                "all Slurm workers have ended before the job did",
                where=job.id,
                todo=f"waterz-spool logs {job.id}; then: waterz-spool slurm up N",
            )
