"""One try at one task of one job: what is claimed, and what an outcome is the outcome of."""

from __future__ import annotations

from typing import NamedTuple

from waterz_spool.spool.log.layout import Task, label, stage_of


class Attempt(NamedTuple):
    """One try; the same for all who see it.

    Attributes:
        job: Id of the job.
        task: What is tried.
        number: Counts from 1.
    """

    job: str
    task: Task
    number: int

    def __str__(self) -> str:
        return f"{self.job}/{label(self.task)}.{self.number}"

    @property
    def stage(self) -> str:
        """The stage that works on it."""
        return stage_of(self.task)
