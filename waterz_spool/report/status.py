"""Where jobs stand, in lines and tables; reads records only, so it is quick and imports nothing heavy."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from waterz_spool.errors import printable
from waterz_spool.report.living import Living, worker_name
from waterz_spool.report.pace import pace
from waterz_spool.report.words import clock, short
from waterz_spool.spool import Job, JobState

_PASSED_SHOWN = 20


class Speed(msgspec.Struct, frozen=True):
    """What the newest finished segments tell: frames per second of the whole job, and seconds left."""

    fps: float
    eta_s: float | None


def speed(job: Job, state: JobState, living: Living) -> Speed:
    """Speed and time left; what running segments have done already counts."""
    held = living.holders(job, state)
    found = pace(job, state)
    if found is None or not held or state.segments is None:
        return Speed(0.0, None)
    begun = sum(living.done_of(job, task) for task in held if isinstance(task.task, int))
    left = state.segments - state.counts.get("done", 0) - begun
    workers = sum(task.kind == "running" for task in state.tasks)
    return Speed(found.frames / found.segment_s * workers, max(0.0, left) * found.segment_s / workers)


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


def counts_text(counts: dict[str, int]) -> str:
    """Segments by kind, most finished first."""
    parts = [f"{counts[kind]} {kind}" for kind in ("done", "running", "ready", "waiting", "dead") if counts.get(kind)]
    return "  ".join(parts) or "-"


def row(data: dict[str, Any]) -> tuple[str, ...]:
    """One line of the table of jobs, from the data of `report.jobdata`."""
    passed = f" ({len(data['passed'])} passed through)" if data["passed"] else ""
    seen = data["result"]["seen"] if data["result"] else None
    return (
        data["job"],
        data["state"] + passed,
        f"{data['fraction']:.0%}",
        counts_text(data["counts"]),
        str(data["failed"] or "-"),
        f"{data['fps']:.1f}" if data["fps"] else "-",
        clock(data["eta_s"]),
        "-" if seen is None else f"{seen:.0%}",
        short(max(0.0, time.time() - data["submitted"])),
        _workers(data["workers"]),
    )


def _workers(workers: list[dict[str, Any]]) -> str:
    alive = [worker for worker in workers if worker["lives"]]
    names = sorted({worker_name(worker["host"], _slurm_job(worker["slurm"])) for worker in alive})
    return f"{len(alive)} ({', '.join(names[:3])}{', ..' if len(names) > 3 else ''})" if names else "-"


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


JOB_COLUMNS = ("JOB", "STATE", "DONE", "SEGMENTS", "FAILED", "FPS", "ETA", "SEEN", "AGE", "WORKERS")
SEGMENT_COLUMNS = (
    "SEGMENT",
    "STATE",
    "ATTEMPT",
    "FAILED",
    "LOST",
    "RELEASED",
    "FRAMES",
    "SECONDS",
    "SEEN",
    "WEIGHT",
    "LEFT",
)


def segment_rows(tasks: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    """One line per task, from the data of `report.jobdata`."""
    return [
        (
            *(str(task[key]) for key in ("task", "state", "attempt", "failed", "lost", "released")),
            "" if task["frames"] is None else str(task["frames"]),
            "" if task["seconds"] is None else f"{task['seconds']:.1f}",
            *("" if task["frames"] is None else "-" if task[key] is None else f"{task[key]:.2f}" for key in _TRUST),
            "" if task["frames"] is None else task["residue"] or "-",
        )
        for task in tasks
    ]


_TRUST = ("seen", "weight")


def table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Plain aligned columns, safe for terminals and logs."""
    lines = [columns, *(tuple(printable(cell) for cell in row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
