"""Jobs, tasks and workers as plain data, for --json and Python: the same keys whatever there is to say."""

from __future__ import annotations

from typing import Any

import msgspec

from waterz_spool.records import SegmentResult
from waterz_spool.report.living import Alive, Living, standing
from waterz_spool.report.pace import segment_result
from waterz_spool.report.result import data_of, result_of
from waterz_spool.report.status import notes_of, review_page, speed
from waterz_spool.spool import Job, JobState, Task, TaskState

_KINDS = ("waiting", "ready", "running", "done", "dead")


class _Asked(msgspec.Struct):
    """What a request says, as far as it is shown."""

    output: str = ""


def job_data(job: Job, living: Living, state: JobState | None = None, *, tasks: bool = False) -> dict[str, Any]:
    """A job; its state may be known already (a listing of a long job takes time).

    Args:
        job: The job.
        living: The spool's workers.
        state: Where it stands.
        tasks: Whether to tell of every task, too; that reads every outcome.
    """
    state = state or job.state()
    record = job.published() if state.published else None
    made = result_of(job, state)
    found = speed(job, state, living)
    page = review_page(job, state)
    began, ended = job.log.times()
    data: dict[str, Any] = {
        "job": job.id,
        "name": job.name,
        "state": standing(job, state, living),
        "segments": state.segments,
        "counts": {kind: state.counts.get(kind, 0) for kind in _KINDS},
        "failed": sum(task.failed for task in state.tasks),
        "fraction": round(fraction(job, state, living), 4),
        "fps": round(found.fps, 2) if found.fps else None,
        "eta_s": None if found.eta_s is None else round(found.eta_s, 1),
        "submitted": job.file.submitted,
        "began": began,
        "ended": ended,
        "asked": msgspec.json.decode(job.request(), type=_Asked).output,
        "output": record.path if record else None,
        "workers": [each for task in state.tasks if task.kind == "running" and (each := _holder(job, task, living))],
        "result": data_of(made) if made else None,
        "review": str(page) if page else None,
        "reasons": list(state.reasons),
        "passed": list(state.passed),
        "notes": list(notes_of(job, state)),
    }
    return {**data, "tasks": msgspec.to_builtins(tasks_of(job, state))} if tasks else data


def fraction(job: Job, state: JobState, living: Living) -> float:
    """How much of a job's segments is done, 0..1; what running ones have done counts."""
    if state.state == "done":
        return 1.0
    if not state.segments:
        return 0.0
    held = [task for task in living.holders(job, state) if isinstance(task.task, int)]
    begun = sum(living.done_of(job, task) for task in held)
    return min(1.0, (state.counts.get("done", 0) + begun) / state.segments)


def _holder(job: Job, task: TaskState, living: Living) -> dict[str, Any] | None:
    owner = job.claimant(task.task, task.attempt)
    if owner is None:
        return None
    return {"task": task.task, "host": owner.host, "slurm": owner.slurm, "lives": living.lives(owner.w)}


def _result_of_task(job: Job, task: TaskState) -> SegmentResult | None:
    if task.kind != "done" or not isinstance(task.task, int):
        return None
    return segment_result(job.log.end(task.task, task.attempt))


class TaskInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One task of a job: a segment's number, ``prep`` or ``final``.

    ``attempt`` is the last one; ``failed``, ``lost`` and ``released`` count those that ended so. ``frames``,
    ``seconds``, ``seen``, ``weight`` and ``residue`` (clean, suspect or left: what a second look says of the overlay)
    are those of a segment that is done; None where nothing was measured.
    """

    task: Task
    state: str
    attempt: int
    failed: int
    lost: int
    released: int
    frames: int | None
    seconds: float | None
    seen: float | None
    weight: float | None
    residue: str | None


def tasks_of(job: Job, state: JobState) -> list[TaskInfo]:
    """All tasks of a job; reads every outcome."""
    return [_task(job, state, task) for task in state.tasks]


def _task(job: Job, state: JobState, task: TaskState) -> TaskInfo:
    result = _result_of_task(job, task)
    trust = result.confidence if result else None
    return TaskInfo(
        task=task.task,
        state="passed" if task.task in state.passed else task.kind,
        attempt=task.attempt,
        failed=task.failed,
        lost=task.lost,
        released=task.released,
        frames=result.frames if result else None,
        seconds=round(result.seconds, 2) if result else None,
        seen=round(trust.seen, 4) if trust else None,
        weight=round(trust.weight, 4) if trust else None,
        residue=result.residue or None if result else None,
    )


def worker_data(alive: Alive) -> dict[str, Any]:
    """A worker that shows signs of life."""
    record, beat = alive.record, alive.beat
    return {
        "worker": record.w,
        "host": record.host,
        "pid": record.pid,
        "uid": record.uid,
        "slurm": str(record.info.get("slurm", "")),
        "stages": list(record.tasks),
        "state": "trouble" if beat.trouble else "busy" if beat.job else "idle",
        "job": beat.job or None,
        "task": (int(beat.task) if beat.task.isdecimal() else beat.task) if beat.job else None,
        "step": beat.step or None,
        "fraction": round(beat.fraction, 4) if beat.job else None,
        "trouble": beat.trouble or None,
        "age_s": round(alive.age_s, 1),
    }
