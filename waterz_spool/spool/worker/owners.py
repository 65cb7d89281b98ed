"""Whose jobs a worker takes: those of its own user, and those of others only when it was told so.

A worker reads and writes with its own user's rights what a job asks for: who serves others' jobs lends them these
rights. The user is told by the kernel (who owns ``job.json``), not by what a record says. Limit: where the server
shows all files as one user's, all are the same user.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from waterz_spool.spool.job.jobs import Job


class Owners:
    """What one worker knows of the users of a spool.

    Args:
        mine: A file that this worker has made in the spool: how its own user is shown there.
        serve_group: Whether it takes the jobs of other users.
    """

    def __init__(self, mine: Path, *, serve_group: bool) -> None:
        self.serve_group = serve_group
        self._mine = mine
        self._me: int | None = None
        self._of: dict[str, int] = {}

    def foreign(self, job: Job) -> bool:
        """Whether a job is another user's.

        Raises:
            OSError: It cannot be told now.
        """
        if job.id not in self._of:
            self._of[job.id] = job.owner()
        owner = self._of[job.id]
        if owner == os.geteuid():
            return False
        if self._me is None:  # asked once: the server may show this user under another number
            with contextlib.suppress(FileNotFoundError):
                self._me = job.log.world.ops.look(self._mine).uid
        return owner != self._me

    def forget(self, job_id: str) -> None:
        """Nobody will ask for this job again; who does is told anew."""
        self._of.pop(job_id, None)

    def left_alone(self, job: Job) -> bool:
        """Whether a job is none of this worker's business."""
        return not self.serve_group and self.foreign(job)
