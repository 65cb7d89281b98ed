"""Whether anybody is left to work: a wait for a job must end when the last worker has."""

from __future__ import annotations

import logging
import time

from waterz_spool.config import SlurmConfig
from waterz_spool.errors import JobFailedError
from waterz_spool.launch.scommand import SlurmError
from waterz_spool.launch.slurm import queued
from waterz_spool.spool import Job, Spool

log = logging.getLogger(__name__)

EVERY_S = 30.0
_LOOKS = 2


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
