"""Ways to get workers onto machines: what `scale` and whoever waits need of each, be it local processes or Slurm."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Protocol, TypeVar

from waterz_spool.errors import JobFailedError, WaterzError
from waterz_spool.spool import Job

log = logging.getLogger(__name__)

EVERY_S = 30.0
_LOOKS = 2


class Launched(Protocol):
    """A worker that was launched and has not ended."""

    @property
    def begun(self) -> bool:
        """Whether it runs, or has run and will again; what has not begun can go without loss."""


W = TypeVar("W", bound=Launched)


class Launcher(Protocol[W]):
    """Launches workers of one spool. Each method raises a WaterzError where nothing is known or done."""

    @property
    def what(self) -> str:
        """What they are called in messages."""

    @property
    def again(self) -> str:
        """The command that launches more of them."""

    def start(self, count: int) -> int:
        """Launch so many workers; how many were, where that is fewer than asked for."""

    def present(self) -> Sequence[W]:
        """Those that wait or run."""

    def stop(self, workers: Sequence[W]) -> None:
        """Ask some of them to hand back what they have and to end."""


class WorkersLeft:
    """Looks now and then, while a job is waited for, whether any launched worker is left.

    Args:
        launcher: Launched them.
    """

    def __init__(self, launcher: Launcher[W]) -> None:
        self._launcher = launcher
        self._looked = time.monotonic()
        self._missing = 0

    def check(self, job: Job) -> None:
        """Look, if it is time to.

        Raises:
            JobFailedError: At two looks no worker was there, and nobody works on the job.
        """
        if time.monotonic() - self._looked < EVERY_S:
            return
        self._looked = time.monotonic()
        try:
            empty = not self._launcher.present()
        except WaterzError as error:
            log.info("%s", error)
            return
        state = job.state()
        idle = not state.terminal and not any(task.kind == "running" for task in state.tasks)
        self._missing = self._missing + 1 if empty and idle else 0
        if self._missing >= _LOOKS:
            raise JobFailedError(
                f"all {self._launcher.what} have ended before the job did",
                where=job.id,
                todo=f"waterz-spool logs {job.id}; then: {self._launcher.again}",
            )
