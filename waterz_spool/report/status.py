"""Where jobs stand, in lines and tables; reads records only, so it is quick and imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from waterz_spool.errors import printable
from waterz_spool.records import Confidence, SegmentResult
from waterz_spool.spool import Job, JobState, TaskState

_SAMPLE = 16
"""Outcomes read to learn the speed; a status must not open a file per segment."""


_OWNERS = 64
_PASSED_SHOWN = 20


def worker_name(host: str, slurm: str) -> str:
    """A worker as status shows it: its node, and its Slurm job or array task if it is one."""
    job = slurm.rpartition("/")[2].rpartition(".")[0]
    return f"{host}:{job}" if job else host


class Speed(msgspec.Struct, frozen=True):
    """What the newest finished segments tell: frames per second of the whole job, seconds left, who works."""

    fps: float
    eta_s: float | None
    workers: tuple[str, ...]


def clock(seconds: float | None) -> str:
    """Seconds as hours:minutes:seconds; a dash when unknown."""
    if seconds is None:
        return "-"
    whole = max(0, round(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def speed(job: Job, state: JobState) -> Speed:
    """Speed, time left and hosts at work, from a sample of outcomes."""
    running = [task for task in state.tasks if task.kind == "running"]
    owners = [owner for task in running[:_OWNERS] if (owner := job.log.owner(task.task, task.attempt))]
    hosts = [worker_name(owner.host, owner.slurm) for owner in owners]
    results = _sample(job, state)
    if not results or not running or state.segments is None:
        return Speed(0.0, None, tuple(hosts))
    seconds = max(1e-3, median(result.seconds for result in results))
    frames = median(result.frames for result in results)
    left = state.segments - state.counts.get("done", 0)
    return Speed(frames / seconds * len(running), left * seconds / len(running), tuple(hosts))


def _sample(job: Job, state: JobState) -> list[SegmentResult]:
    done = [task for task in state.tasks if task.kind == "done" and isinstance(task.task, int)]
    return [result for task in done[-_SAMPLE:] if (result := segment_result(job, task))]


def segment_result(job: Job, task: TaskState) -> SegmentResult | None:
    """What the worker of a finished segment reported."""
    end = job.log.end(task.task, task.attempt)
    if end is None:
        return None
    try:
        return msgspec.json.decode(end.info, type=SegmentResult)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def counts_text(state: JobState) -> str:
    """Segments by kind, most finished first."""
    parts = [
        f"{state.counts[kind]} {kind}"
        for kind in ("done", "running", "ready", "waiting", "dead")
        if state.counts.get(kind)
    ]
    return "  ".join(parts) or "-"


def row(job: Job, state: JobState) -> tuple[str, ...]:
    """One line of the table of jobs: id, state, segments, frames per second, time left, workers."""
    found = speed(job, state)
    fps = f"{found.fps:.1f}" if found.fps else "-"
    names = sorted(set(found.workers))
    workers = f"{len(found.workers)} ({', '.join(names[:3])}{', ..' if len(names) > 3 else ''})" if names else "-"
    passed = f" ({len(state.passed)} passed through)" if state.passed else ""
    return job.id, state_text(state) + passed, counts_text(state), fps, clock(found.eta_s), workers


def state_text(state: JobState) -> str:
    """The state, and whether the result lies where it was asked for."""
    return "publishing" if state.state == "done" and not state.published else state.state


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


def one_line(job: Job, state: JobState, *, elapsed_s: float) -> str:
    """Progress of one job for a log or a redrawn line."""
    found = speed(job, state)
    done, all_ = state.counts.get("done", 0), state.segments
    head = f"{job.id}  {state_text(state)}"
    if all_ is None:
        return f"{head}  {clock(elapsed_s)}"
    rate = f"  {found.fps:.1f} frames/s  ETA {clock(found.eta_s)}" if found.fps else ""
    return f"{head}  {done}/{all_} segments{rate}  {clock(elapsed_s)}"


JOB_COLUMNS = ("JOB", "STATE", "SEGMENTS", "FPS", "ETA", "WORKERS")
SEGMENT_COLUMNS = ("SEGMENT", "STATE", "ATTEMPT", "FAILED", "LOST", "RELEASED", "FRAMES", "SECONDS", "SEEN", "WEIGHT")


def segment_rows(job: Job, state: JobState) -> list[tuple[str, ...]]:
    """One line per task; reads every outcome."""
    rows = []
    for task in state.tasks:
        result = segment_result(job, task) if task.kind == "done" and isinstance(task.task, int) else None
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


def trust_text(confidence: Confidence | None) -> str:
    """What a confidence means, in a few words."""
    if confidence is None:
        return "nothing was hidden"
    level = "high" if confidence.weight >= 0.6 else "middle" if confidence.weight >= 0.3 else "low"
    return (
        f"{level} confidence: {confidence.seen:.0%} of the hidden pixels were seen, mean weight {confidence.weight:.2f}"
    )


def table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Plain aligned columns, safe for terminals and logs."""
    lines = [columns, *(tuple(printable(cell) for cell in row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _worker(job: Job, task: TaskState) -> dict[str, str] | None:
    owner = job.log.owner(task.task, task.attempt)
    return {"task": str(task.task), "host": owner.host, "slurm": owner.slurm} if owner else None


def summary(job: Job, state: JobState | None = None) -> dict[str, Any]:
    """A job as plain data for --json; its state may be known already (a listing of a long job takes time)."""
    state = state or job.state()
    record = job.published() if state.published else None
    running = [task for task in state.tasks if task.kind == "running"]
    data: dict[str, Any] = {
        "job": job.id,
        "name": job.name,
        "state": state_text(state),
        "segments": state.segments,
        "counts": state.counts,
        "output": record.path if record else None,
        "workers": [worker for task in running if (worker := _worker(job, task))],
    }
    if page := review_page(job, state):
        data["review"] = str(page)
    if state.reasons:
        data["reasons"] = state.reasons
    if state.passed:
        data["passed"] = state.passed
    return data
