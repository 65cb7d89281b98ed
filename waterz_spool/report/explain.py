"""Why a job or a segment does not move, in words."""

from __future__ import annotations

import contextlib
import os

from waterz_spool.errors import printable
from waterz_spool.report.status import clock, passed_text, review_page, speed, worker_name
from waterz_spool.spool import Job, JobState, TaskState

_SAMPLE = 50


def explain_job(job: Job, state: JobState) -> list[str]:
    """Lines that say what a job waits for."""
    lines = {
        "done": ["finished, the result is published"] if state.published else _unpublished(job),
        "cancelled": ["cancelled; submit the video again to start over"],
        "paused": [*_look_first(job, state), f"paused; waterz-spool resume {job.id}"],
    }.get(state.state, [])
    if state.state == "failed":
        lines = [f"failed; waterz-spool retry {job.id} grants another round"]
        lines += [_reason(task, attempt, kind, why) for task, attempt, kind, why in _reasons(state)]
    return [*(lines or _moving(job, state)), *filter(None, [passed_text(state.passed)])]


def _unpublished(job: Job) -> list[str]:
    return [
        "finished, waiting to be published",
        f"if that lasts, waterz-spool finalize {job.id} publishes it or says what is in the way",
    ]


def _look_first(job: Job, state: JobState) -> list[str]:
    page = review_page(job, state)
    return [f"waits until somebody has looked at {page}"] if page else []


def _reasons(state: JobState) -> list[tuple[str, int, str, str]]:
    return [(str(r.task), r.attempt, r.kind, r.why) for r in state.reasons]


def _reason(task: str, attempt: int, kind: str, why: str) -> str:
    return f"{task} attempt {attempt} {kind}: {printable(why.replace(chr(10), ';'))}"


def _moving(job: Job, state: JobState) -> list[str]:
    running = [task for task in state.tasks if task.kind == "running"]
    ready = sum(task.kind == "ready" for task in state.tasks)
    if running:
        found = speed(job, state)
        after = f"; ETA {clock(found.eta_s)}" if found.eta_s is not None else ""
        return [f"working: {len(running)} running, {ready} ready{after}"]
    if ready:
        return [
            f"waiting for a worker: {ready} tasks are ready and nobody works",
            "start one: waterz-spool worker --drain, on any machine that mounts the spool",
            *_whose(job),
            *_handed_back(job, state),
        ]
    return ["waiting: nothing is ready yet"]


def _whose(job: Job) -> list[str]:
    """Another user's job is left alone by this user's workers."""
    with contextlib.suppress(OSError):
        if job.owner() != os.geteuid():
            return [f"the job is of user {job.owner()}: other users' workers take it only with --serve-group"]
    return []


def _handed_back(job: Job, state: JobState) -> list[str]:
    """Why the tasks that are ready again were handed back, each reason once."""
    ends = [job.log.end(task.task, task.attempt) for task in state.tasks if task.kind == "ready" and task.released]
    reasons = {printable(end.why) for end in ends[:_SAMPLE] if end is not None and end.kind == "released" and end.why}
    return [f"handed back before: {reason}" for reason in sorted(reasons)]


def explain_task(job: Job, state: JobState, task: TaskState) -> list[str]:
    """Lines that say what one task waits for, and what happened to it."""
    lines = [_where(job, state, task)]
    for attempt in range(1, task.attempt + 1):
        end = job.log.end(task.task, attempt)
        if end is not None and end.kind != "done":
            lines.append(_reason(str(task.task), attempt, end.kind, f"{end.why} ({end.host})"))
    return lines


def _where(job: Job, state: JobState, task: TaskState) -> str:
    if task.kind == "running":
        owner = job.log.owner(task.task, task.attempt)
        return f"running: attempt {task.attempt}" + (
            f" on {printable(worker_name(owner.host, owner.slurm))}, pid {owner.pid}" if owner else ""
        )
    if task.kind == "ready":
        busy = sum(other.kind == "running" for other in state.tasks)
        return f"waiting: all {busy} workers are busy" if busy else "waiting: no worker runs"
    if task.kind == "waiting":
        return (
            "waiting: prepare has not written its inputs" if isinstance(task.task, int) else "waiting for the segments"
        )
    if task.kind == "dead":
        return f"given up; waterz-spool retry {job.id}/{task.task} grants another round"
    if task.task in state.passed:
        return f"passed through in attempt {task.attempt}: it could not be restored and still shows the overlay"
    return f"done in attempt {task.attempt}"
