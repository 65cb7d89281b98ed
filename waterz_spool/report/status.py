"""Where jobs stand, in lines and tables; reads records only, so it is quick and imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from waterz_spool.errors import printable
from waterz_spool.records import SegmentResult
from waterz_spool.report.living import Living, standing, worker_name
from waterz_spool.report.pace import pace, segment_result
from waterz_spool.report.result import data_of, result_of
from waterz_spool.report.words import clock
from waterz_spool.spool import Job, JobState, TaskState

_PASSED_SHOWN = 20


class Speed(msgspec.Struct, frozen=True):
    """What the newest finished segments tell: frames per second of the whole job, seconds left, who works."""

    fps: float
    eta_s: float | None
    workers: tuple[str, ...]


def speed(job: Job, state: JobState, living: Living) -> Speed:
    """Speed, time left and hosts at work; what running segments have done already counts."""
    held = living.holders(job, state)
    owners = [owner for task in held if (owner := job.claimant(task.task, task.attempt))]
    hosts = tuple(worker_name(owner.host, _slurm_job(owner.slurm)) for owner in owners)
    found = pace(job, state)
    if found is None or not held or state.segments is None:
        return Speed(0.0, None, hosts)
    begun = sum(living.done_of(job, task) for task in held if isinstance(task.task, int))
    left = state.segments - state.counts.get("done", 0) - begun
    workers = sum(task.kind == "running" for task in state.tasks)
    return Speed(found.frames / found.segment_s * workers, max(0.0, left) * found.segment_s / workers, hosts)


def _slurm_job(label: str) -> str:
    """The job or array task in ``cluster/job.restarts``."""
    return label.rpartition("/")[2].rpartition(".")[0]


def notes_of(job: Job, state: JobState) -> tuple[str, ...]:
    """What prepare says about the boxes that the user gave, one line each."""
    for task in state.tasks:
        if task.task == "prep" and task.kind == "done" and (end := job.log.end(task.task, task.attempt)):
            try:
                return msgspec.json.decode(end.info, type=_Prepared).notes
            except (msgspec.MsgspecError, ValueError, RecursionError):
                return ()
    return ()


class _Prepared(msgspec.Struct):
    """What prepare reports, as far as it is shown."""

    notes: tuple[str, ...] = ()


def counts_text(state: JobState) -> str:
    """Segments by kind, most finished first."""
    parts = [
        f"{state.counts[kind]} {kind}"
        for kind in ("done", "running", "ready", "waiting", "dead")
        if state.counts.get(kind)
    ]
    return "  ".join(parts) or "-"


def row(job: Job, state: JobState, living: Living) -> tuple[str, ...]:
    """One line of the table of jobs: id, state, segments, frames per second, time left, share seen, workers."""
    found = speed(job, state, living)
    fps = f"{found.fps:.1f}" if found.fps else "-"
    names = sorted(set(found.workers))
    workers = f"{len(found.workers)} ({', '.join(names[:3])}{', ..' if len(names) > 3 else ''})" if names else "-"
    passed = f" ({len(state.passed)} passed through)" if state.passed else ""
    made = result_of(job, state)
    seen = f"{made.seen:.0%}" if made and made.seen is not None else "-"
    return job.id, standing(job, state, living) + passed, counts_text(state), fps, clock(found.eta_s), seen, workers


def passed_text(passed: tuple[int, ...]) -> str:
    """What became of segments that could not be restored, loudly; empty when there are none."""
    if not passed:
        return ""
    which = ", ".join(map(str, passed[:_PASSED_SHOWN])) + (", .." if len(passed) > _PASSED_SHOWN else "")
    noun = "segment" if len(passed) == 1 else "segments"
    return f"PASSED THROUGH: {len(passed)} {noun} could not be restored and still show the overlay: {which}"


def review_page(job: Job, state: JobState) -> Path | None:
    """The contact sheet that a job waits with for somebody to look at; None when it does not."""
    page = job.layout.review_page
    return page if state.state == "paused" and page.exists() else None


JOB_COLUMNS = ("JOB", "STATE", "SEGMENTS", "FPS", "ETA", "SEEN", "WORKERS")
SEGMENT_COLUMNS = ("SEGMENT", "STATE", "ATTEMPT", "FAILED", "LOST", "RELEASED", "FRAMES", "SECONDS", "SEEN", "WEIGHT")


def segment_rows(job: Job, state: JobState) -> list[tuple[str, ...]]:
    """One line per task; reads every outcome."""
    rows = []
    for task in state.tasks:
        result = (
            segment_result(job.log.end(task.task, task.attempt))
            if task.kind == "done" and isinstance(task.task, int)
            else None
        )
        rows.append(
            (
                str(task.task),
                "passed" if task.task in state.passed else task.kind,
                *(str(n) for n in (task.attempt, task.failed, task.lost, task.released)),
                *_result_cells(result),
            )
        )
    return rows


def _result_cells(result: SegmentResult | None) -> tuple[str, ...]:
    if result is None:
        return "", "", "", ""
    confidence = result.confidence
    trust = (f"{confidence.seen:.2f}", f"{confidence.weight:.2f}") if confidence else ("-", "-")
    return str(result.frames), f"{result.seconds:.1f}", *trust


def table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Plain aligned columns, safe for terminals and logs."""
    lines = [columns, *(tuple(printable(cell) for cell in row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _worker(job: Job, task: TaskState) -> dict[str, str] | None:
    owner = job.claimant(task.task, task.attempt)
    return {"task": str(task.task), "host": owner.host, "slurm": owner.slurm} if owner else None


def summary(job: Job, living: Living, state: JobState | None = None) -> dict[str, Any]:
    """A job as plain data for --json; its state may be known already (a listing of a long job takes time)."""
    state = state or job.state()
    record = job.published() if state.published else None
    running = [task for task in state.tasks if task.kind == "running"]
    data: dict[str, Any] = {
        "job": job.id,
        "name": job.name,
        "state": standing(job, state, living),
        "segments": state.segments,
        "counts": state.counts,
        "output": record.path if record else None,
        "workers": [worker for task in running if (worker := _worker(job, task))],
    }
    if result := result_of(job, state):
        data |= {key: value for key, value in data_of(result).items() if key not in data}
    if page := review_page(job, state):
        data["review"] = str(page)
    if state.reasons:
        data["reasons"] = state.reasons
    if state.passed:
        data["passed"] = state.passed
    return data
