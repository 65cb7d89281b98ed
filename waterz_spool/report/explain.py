"""Why a job or a segment does not move, in words: every answer from records, heartbeats and the scheduler's queue."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from waterz_spool.errors import printable
from waterz_spool.report.living import Alive, Living, standing, worker_name
from waterz_spool.report.status import notes_of, passed_text, review_page, speed
from waterz_spool.report.words import are, clock, count, task_name
from waterz_spool.spool import Job, JobState, Task, TaskState

_SAMPLE = 50
_SHOWN = 5
_NAMES = 3


@dataclass(frozen=True)
class Around:
    """What is known beside a job's own records.

    Attributes:
        living: The spool's workers.
        queued: Asks the scheduler for workers on their way, one line for each kind; called when no worker is at work.
        private: Whether only `run` works in this spool.
    """

    living: Living
    queued: Callable[[], list[str]] = list
    private: bool = False


def explain_job(job: Job, state: JobState, around: Around) -> list[str]:
    """Lines that say what a job waits for."""
    lines = {
        "done": ["finished, the result is published"] if state.published else _unpublished(job),
        "cancelled": ["cancelled; submit the video again to start over"],
        "paused": [*_look_first(job, state), f"paused; waterz-spool resume {job.id}"],
    }.get(state.state, [])
    if state.state == "failed":
        lines = [f"failed; waterz-spool retry {job.id} grants another round"]
        lines += [_reason(r.task, r.attempt, r.kind, r.why) for r in state.reasons]
    elif not lines and around.living.paused:
        lines = ["the whole spool is paused; waterz-spool resume"]
    said = [*notes_of(job, state), *filter(None, [passed_text(state.passed)])]
    return [*(lines or _moving(job, state, around)), *said]


def _unpublished(job: Job) -> list[str]:
    return [
        "finished, waiting to be published",
        f"if that lasts, waterz-spool finalize {job.id} publishes it or says what is in the way",
    ]


def _look_first(job: Job, state: JobState) -> list[str]:
    page = review_page(job, state)
    return [f"waits for you to look at {page}"] if page else []


def _reason(task: Task, attempt: int, kind: str, why: str) -> str:
    return f"{task_name(task)} attempt {attempt} {kind}: {printable(why.replace(chr(10), ';'))}"


def _moving(job: Job, state: JobState, around: Around) -> list[str]:
    """What a job does that is neither ended nor paused."""
    ready = [task for task in state.tasks if task.kind == "ready"]
    held = around.living.holders(job, state)
    if held or around.living.at_work(job, state):
        eta_s = speed(job, state, around.living).eta_s
        after = f"; ETA {clock(eta_s)}" if eta_s is not None else ""
        first = [f"working: {len(held)} running, {len(ready)} ready{after}"]
    else:
        first = _idle(job, state, around)
    return [*first, *_given_up(job, state, around), *_failures(job, ready, around), *_handed_back(job, ready)]


def _idle(job: Job, state: JobState, around: Around) -> list[str]:
    """Why no worker has a task of a job in hand, and what to do about it."""
    left = count(sum(task.kind in ("ready", "running") for task in state.tasks), "task")
    takers = around.living.takers(job, state)
    if takers:
        return [f"waiting: {left} left, {_takers(takers)}"]
    if standing(job, state, around.living) == "stopped":
        done, all_ = state.counts.get("done", 0), state.segments
        kept = f"; {done} of {count(all_, 'segment')} {are(done)} kept" if all_ else ""
    else:
        kept = ""
    word = "stopped" if kept and around.private else "waiting"
    if lines := around.queued():
        return [f"waiting: {left} left{kept}", *lines]
    if around.private:
        again = "run the same command again; it continues from there (a job of `submit`: waterz-spool worker --drain)"
        return [f"{word}: no worker is running{kept}", again]
    others = _others(around.living.everybody)
    none = "no running worker takes this job" if others else "no worker is running"
    return [
        f"waiting for a worker: {left} left and {none}{kept}",
        *others,
        "start one: waterz-spool worker --drain, on any machine that mounts the spool",
        *_whose(job),
    ]


def _takers(takers: list[Alive]) -> str:
    """What those do that could take a task."""
    busy = [alive for alive in takers if alive.beat.job]
    if len(busy) == len(takers):
        all_ = "the one worker is busy" if len(busy) == 1 else f"all {len(busy)} workers are busy"
        others = sorted({alive.beat.job for alive in busy})
        return f"{all_} with {', '.join(map(printable, others[:_NAMES]))}"
    idle = [alive for alive in takers if not alive.beat.job]
    verb = "looks" if len(idle) == 1 else "look"
    return f"{count(len(idle), 'worker')} ({_names(idle)}) {verb} for work"


def _names(workers: list[Alive]) -> str:
    names = sorted({printable(alive.name) for alive in workers})
    return ", ".join(names[:_NAMES]) + (", .." if len(names) > _NAMES else "")


def _others(everybody: tuple[Alive, ...]) -> list[str]:
    """Workers that live and cannot take it."""
    if not everybody:
        return []
    verb = "lives but takes" if len(everybody) == 1 else "live but take"
    workers = count(len(everybody), "worker")
    return [f"{workers} ({_names(list(everybody))}) {verb} other jobs, stages or users only"]


def _whose(job: Job) -> list[str]:
    """Another user's job is left alone by this user's workers."""
    with contextlib.suppress(OSError):
        if job.owner() != os.geteuid():
            return [f"the job is of user {job.owner()}: other users' workers take it only with --serve-group"]
    return []


def _given_up(job: Job, state: JobState, around: Around) -> list[str]:
    """Claims of workers that show no sign of life."""
    running = [task for task in state.tasks if task.kind == "running"][:_SAMPLE]
    lost = len(running) - len(around.living.holders(job, state)) if len(running) < _SAMPLE else 0
    if lost <= 0:
        return []
    lease_s = around.living.spool.settings.lease_s
    who = "a worker that shows" if lost == 1 else "workers that show"
    return [f"{count(lost, 'task')} held by {who} no sign of life; others take over within {lease_s:.0f} s or so"]


def _failures(job: Job, ready: list[TaskState], around: Around) -> Iterator[str]:
    """Tasks that failed and will be tried again."""
    for task in [task for task in ready if task.failed][:_SHOWN]:
        yield f"{task_name(task.task)} {_failed(job, task, around)}"


def _failed(job: Job, task: TaskState, around: Around) -> str:
    """How often a task failed, why, and when it is tried again."""
    ends = [end for k in range(1, task.attempt + 1) if (end := job.log.end(task.task, k)) and end.kind == "failed"]
    why = f" ({printable(ends[-1].why.splitlines()[0])[:200]})" if ends and ends[-1].why else ""
    most = job.snapshot().may_fail(task.task)
    return f"failed {task.failed} of {count(most, 'time')}{why}, {_next_try(job, task, around)}"


def _next_try(job: Job, task: TaskState, around: Around) -> str:
    name = f"{job.id}/{task.task}"
    due = [max(0.0, a.beat.next_s - a.age_s) for a in around.living.everybody if a.beat.next == name]
    if due:
        return f"next try in {min(due):.0f} s"
    return "tried again when a worker takes it"


def _handed_back(job: Job, ready: list[TaskState]) -> list[str]:
    """Why the tasks that are ready again were handed back, each reason once."""
    ends = [job.log.end(task.task, task.attempt) for task in ready if task.released]
    reasons = {printable(end.why) for end in ends[:_SAMPLE] if end is not None and end.kind == "released" and end.why}
    return [
        "handed back before; there was no room to record why" if reason == _NO_ROOM else f"handed back before: {reason}"
        for reason in sorted(reasons)
    ]


_NO_ROOM = "handed back"  # written beforehand, for the time when nothing can be written


def explain_task(job: Job, state: JobState, task: TaskState, around: Around) -> list[str]:
    """Lines that say what one task waits for, and what happened to it."""
    lines = _where(job, state, task, around)
    for attempt in range(1, task.attempt + 1):
        end = job.log.end(task.task, attempt)
        if end is not None and end.kind != "done":
            lines.append(_reason(task.task, attempt, end.kind, f"{end.why} ({end.host})"))
    return lines


def _where(job: Job, state: JobState, task: TaskState, around: Around) -> list[str]:
    if task.kind == "running":
        return [_held(job, task, around)]
    if task.kind == "ready":
        return _open(job, state, task, around)
    if task.kind == "dead":
        return [
            f"given up; waterz-spool retry {job.id}/{task.task} grants another round",
            f"waterz-spool logs {job.id}/{task.task} says more",
        ]
    if task.kind == "waiting":
        inputs = isinstance(task.task, int)
        return ["waiting: prepare has not written its inputs" if inputs else "waiting for the segments"]
    if task.task in state.passed:
        return [f"passed through in attempt {task.attempt}: it could not be restored and still shows the overlay"]
    return [f"done in attempt {task.attempt}"]


def _open(job: Job, state: JobState, task: TaskState, around: Around) -> list[str]:
    """Why no worker has taken a task that is ready."""
    if around.living.paused or state.paused:
        return ["waiting: paused"]
    failed = [_failed(job, task, around)] if task.failed else []
    if held := around.living.holders(job, state):
        return [*failed, f"waiting: {_busy(len(held))}"]
    return [*failed, *_idle(job, state, around)]


def _busy(workers: int) -> str:
    return "the one worker of this job is busy" if workers == 1 else f"all {workers} workers of this job are busy"


def _held(job: Job, task: TaskState, around: Around) -> str:
    owner = job.claimant(task.task, task.attempt)
    if owner is None:
        return f"running: attempt {task.attempt}"
    slurm = owner.slurm.rpartition("/")[2].rpartition(".")[0]
    who = f"attempt {task.attempt} on {printable(worker_name(owner.host, slurm))}, pid {owner.pid}"
    if not around.living.lives(owner.w):
        return f"held: {who}, which shows no sign of life; others take over when its lease is over"
    return f"running: {who}, {around.living.done_of(job, task):.0%} done"
