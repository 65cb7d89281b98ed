"""Which workers show signs of life, and which of them could take a job's tasks: by heartbeats, asking nobody.

Limit: on other machines a heartbeat counts as alive for three leases and a minute, by this machine's clock; so long a
worker that lost its power seems to live. Workers that wait in a scheduler's queue have no heartbeat yet.
"""

from __future__ import annotations

import contextlib
from functools import cached_property

import msgspec

from waterz_spool.spool import SEGMENT, Beat, DamagedRecordError, Job, JobState, Spool, TaskState, WorkerRecord, refusal

_OWNERS = 64


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that shows signs of life: who it is, its last heartbeat, and how many seconds old that is."""

    record: WorkerRecord
    beat: Beat
    age_s: float

    @property
    def name(self) -> str:
        """Its host, and its Slurm job if it has one."""
        return worker_name(self.record.host, str(self.record.info.get("slurm", "")))


def worker_name(host: str, slurm_job: str) -> str:
    """A worker for people: its node, and its Slurm job or array task if it is one."""
    return f"{host}:{slurm_job}" if slurm_job else host


class Living:
    """One look at the workers of a spool; what was seen once is not looked at again.

    Args:
        spool: The spool.
    """

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self._lives: dict[str, bool] = {}

    @classmethod
    def around(cls, job: Job) -> Living:
        """The workers of the spool that a job lies in."""
        return cls(Spool.around(job))

    @cached_property
    def paused(self) -> bool:
        """Whether the whole spool is paused."""
        return self.spool.paused

    def lives(self, wid: str) -> bool:
        """Whether a worker shows signs of life."""
        if wid not in self._lives:
            self._lives[wid] = self.spool.lives(wid)
        return self._lives[wid]

    def age_s(self, wid: str) -> float:
        """Age of a worker's last heartbeat in seconds; infinite when it has none, or its process is gone."""
        with contextlib.suppress(OSError, DamagedRecordError):
            return self.spool.silence_s(wid)
        return float("inf")

    @cached_property
    def everybody(self) -> tuple[Alive, ...]:
        """All workers that show signs of life."""
        found = []
        with contextlib.suppress(OSError, DamagedRecordError):
            for record, beat in self.spool.workers():
                if beat is not None and self.lives(record.w):
                    found.append(Alive(record=record, beat=beat, age_s=self.age_s(record.w)))
        return tuple(found)

    def holders(self, job: Job, state: JobState) -> list[TaskState]:
        """Tasks whose owners live, of the first that run."""
        running = [task for task in state.tasks if task.kind == "running"][:_OWNERS]
        return [task for task in running if self._owner_lives(job, task)]

    def _owner_lives(self, job: Job, task: TaskState) -> bool:
        owner = job.claimant(task.task, task.attempt)
        return owner is not None and self.lives(owner.w)

    def beat_of(self, job: Job, task: TaskState) -> Beat | None:
        """The heartbeat of a running task's owner, where it speaks of that task."""
        owner = job.claimant(task.task, task.attempt)
        beat = self._beat(owner.w) if owner is not None else None
        return beat if beat is not None and (beat.job, beat.task) == (job.id, str(task.task)) else None

    def done_of(self, job: Job, task: TaskState) -> float:
        """How much of a running task is done, 0..1, as its owner's heartbeat says."""
        beat = self.beat_of(job, task)
        return beat.fraction if beat is not None else 0.0

    def _beat(self, wid: str) -> Beat | None:
        with contextlib.suppress(OSError, DamagedRecordError):
            return self.spool.beat(wid)
        return None

    def at_work(self, job: Job, state: JobState) -> bool:
        """Whether anybody has a task of the job in hand."""
        running = (task for task in state.tasks if task.kind == "running")
        return any(self._owner_lives(job, task) for task in running) or any(
            alive.beat.job == job.id for alive in self.everybody
        )

    def takers(self, job: Job, state: JobState) -> list[Alive]:
        """Workers that could take what is ready: they serve its stage, this job and its user."""
        open_ = [task.task for task in state.tasks if task.kind in ("ready", "running")]
        stages = {SEGMENT if isinstance(task, int) else task for task in open_}
        return [alive for alive in self.everybody if not refusal(self.spool, alive.record, job, stages)]


def standing(job: Job, state: JobState, living: Living) -> str:
    """The state for people: what the records say, and whether anybody has his hand on it.

    A job that could go on while nobody has a task of it in hand is ``waiting``; ``stopped`` when work on it had begun
    and no worker is left that could take it.
    """
    if state.state == "done" and not state.published:
        return "publishing"
    if state.state not in ("preparing", "running", "finalizing"):
        return state.state
    if living.paused:
        return "paused"
    if living.at_work(job, state):
        return state.state
    begun = any(task.attempt for task in state.tasks)
    return "stopped" if begun and not living.takers(job, state) else "waiting"
