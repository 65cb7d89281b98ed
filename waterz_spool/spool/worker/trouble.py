"""What keeps a worker from its work without being the work's fault: a full disk, a dead server, lost permissions.

Guarantee: while it lasts the worker claims nothing, says so in its heartbeat, looks again at growing intervals, and
goes on by itself when a small file can be written again. Limit: an error number cannot tell a rotten file from a rotten
disk, so `Trouble.to_blame` counts.
"""

from __future__ import annotations

import contextlib
import errno
from collections import Counter
from pathlib import Path
from random import Random

from waterz_spool.spool.disk.world import World
from waterz_spool.spool.job.jobs import Job
from waterz_spool.spool.log.layout import SpoolLayout, Task
from waterz_spool.spool.worker.heartbeat import Heart

LASTING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOTCONN})  # whatever file it was
STORAGE = LASTING | {
    *(errno.EIO, errno.ESTALE, errno.EREMOTEIO, errno.ETIMEDOUT, errno.EACCES, errno.EPERM, errno.ENODEV),
    *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ECONNRESET, errno.ECONNREFUSED),
}

_FIRST_S = 1.0
_MOST_S = 30.0
_PROBE = bytes(64 * 1024)
_CAUSES = 8
_DOUBTS = 2


def storage_error(error: BaseException) -> int:
    """The system's error number when storage refused, in this error or in what it came from; else 0."""
    cause: BaseException | None = error
    for _ in range(_CAUSES):
        if cause is None:
            return 0
        number = getattr(cause, "errno", None)
        if number in STORAGE:
            return int(number)
        cause = cause.__cause__ or cause.__context__
    return 0


class Trouble:
    """One worker's trouble, if it has any.

    Attributes:
        name: Of the system's error, such as ``ENOSPC``; empty when there is none.
    """

    def __init__(
        self,
        layout: SpoolLayout,
        world: World,
        heart: Heart,
        *,
        host: str,
        random: Random,
    ) -> None:
        self.name = ""
        self._host = host[:64]
        self._layout = layout
        self._world = world
        self._ops = world.ops
        self._heart = heart
        self._clock = world.clock
        self._random = random
        self._since = 0.0
        self._wait_s = 0.0
        self._until = float("-inf")
        self._met = False
        self._doubts: Counter[tuple[str, Task]] = Counter()

    def note(self, error: BaseException) -> None:
        """Storage refused something: claim nothing for a while, longer each time. Other errors are not meant."""
        number = storage_error(error)
        if not number:
            return
        now = self._clock.monotonic()
        if not self.name:
            self._since, self._wait_s = now, _FIRST_S
        self.name = errno.errorcode[number]
        self._met = True
        if now >= self._until:  # one hold for all that is met at once
            self._until = now + self._wait_s * (0.75 + self._random.random() / 2)
            self._wait_s = min(2 * self._wait_s, _MOST_S)
        self._heart.complain(self.name, self._since, self._host)

    def holding(self) -> bool:
        """Whether to leave work alone now; ends when a file can be written again."""
        if not self.name:
            return False
        if self._clock.monotonic() < self._until:
            return True
        try:
            self._probe(self._layout.workers / f".t.{self._world.tokens()}")
        except OSError as error:
            self.note(error)
            return True
        self._met = False
        self._heart.complain("", 0.0, "")
        return False

    def due_s(self) -> float:
        """In how long to look again."""
        return self._until - self._clock.monotonic()

    def over(self, *, proven: bool = False) -> None:
        """A round passed without a refusal (proven: work was finished): forget it."""
        if self.name and (proven or not self._met):
            self.name = ""
            self._heart.complain("", 0.0, "")

    def to_blame(self, error: BaseException, job: Job, task: Task) -> bool:
        """Whether an error in a task's work is storage's fault: then it costs no attempt and is noted.

        What comes a third time to this worker in one task, while a file beside it can be read and written, is the
        task's own: a rotten file is no dead disk.
        """
        number = storage_error(error)
        if not number:
            return False
        self.note(error)
        if number in LASTING or not self._works(job):
            return True
        self._doubts[job.id, task] += 1
        return self._doubts[job.id, task] <= _DOUBTS

    def _works(self, job: Job) -> bool:
        """Whether the files of a job can be read and written right now."""
        try:
            self._probe(job.layout.log / f".t.{self._world.tokens()}")
            self._ops.facts(job.layout.source / job.file.source.file)
            self._ops.listdir(job.layout.segments)
        except OSError:
            return False
        return True

    def _probe(self, path: Path) -> None:
        try:
            self._ops.write_new(path, _PROBE)
        finally:
            with contextlib.suppress(OSError):
                self._ops.unlink(path)
