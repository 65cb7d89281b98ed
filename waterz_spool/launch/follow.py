"""Following jobs until they end, with progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from waterz_spool.errors import (
    InputError,
    JobFailedError,
    NoOverlayError,
    PassedThroughError,
    SetupError,
    UsageError,
    VerificationError,
    WaterzError,
)
from waterz_spool.launch.local import LocalWorkers
from waterz_spool.launch.notices import Notices
from waterz_spool.launch.progress import POLL_S, Progress
from waterz_spool.report.progress import Moment, Watch
from waterz_spool.report.status import notes_of, passed_text
from waterz_spool.spool import Job, JobState, storage_error
from waterz_spool.stages.finalize import publish

PUBLISH_S = 2.0

_BY_CODE: dict[int, type[WaterzError]] = {
    error.exit_code: error for error in (UsageError, NoOverlayError, InputError, VerificationError, SetupError)
}


def follow(
    job: Job,
    *,
    progress: Progress | None = None,
    tend: Callable[[], None] = lambda: None,
    timeout_s: float | None = None,
) -> JobState:
    """Wait until a job has ended and its result is published.

    Args:
        job: The job.
        progress: Shows where it stands; None is silent.
        tend: Called at each look, for example to replace dead workers; it may raise to stop waiting.
        timeout_s: Give up after so long; None waits for ever.

    Raises:
        WaterzError: The job failed or was cancelled, with the exit code of its reason.
        OSError: The result cannot be published from here.
        TimeoutError: The time is over.
    """
    begun = time.monotonic()
    last, watch = _LastStep(), Watch(job)
    notices = Notices(job, progress.line) if progress else None
    try:
        while True:
            try:
                state = job.state()
                if progress:
                    progress.tell(partial(_look, watch, state))
                if state.terminal and (state.published or state.state != "done"):
                    raise_if_failed(job, state)
                    if progress:
                        _say_notes(job, state, progress)
                    return state
                if last.due(state):
                    publish(job)
                    continue
                tend()
                if notices:
                    notices.look()
            except OSError as error:
                if notices is None or last.due_since or not storage_error(error):
                    raise
                notices.unreadable(error)  # the workers wait for it, too
            if timeout_s is not None and time.monotonic() - begun > timeout_s:
                raise TimeoutError(f"job {job.id} did not end within {timeout_s:g} s")
            time.sleep(POLL_S)
    finally:
        if progress:
            progress.end()


def _look(watch: Watch, state: JobState, elapsed_s: float) -> Moment:
    return watch.look(state)


def _say_notes(job: Job, state: JobState, progress: Progress) -> None:
    """What the boxes that the user gave turned out to hold."""
    for note in notes_of(job, state):
        progress.line(note)


class _LastStep:
    """Publishing what is decided, where whoever decided it is gone: anyone may do it after a while."""

    def __init__(self) -> None:
        self.due_since: float | None = None

    def due(self, state: JobState) -> bool:
        if state.state != "done":
            return False
        self.due_since = self.due_since or time.monotonic()
        return time.monotonic() - self.due_since >= PUBLISH_S


def run_local(job: Job, workers: LocalWorkers, progress: Progress | None = None) -> JobState:
    """Work on a job with local workers until it has ended; they are stopped whatever happens.

    Raises:
        WaterzError: The job failed, or all workers ended before it did.
    """

    def tend() -> None:
        if workers.tend() == 0 and not job.state().terminal:
            raise JobFailedError(
                "all workers ended before the job did", where=job.id, todo=f"waterz-spool logs {job.id}"
            )

    try:
        if not job.state().terminal:
            workers.start()
        return follow(job, progress=progress, tend=tend)
    finally:
        workers.stop()


def raise_if_failed(job: Job, state: JobState) -> None:
    """Turn a failed or cancelled job into the error of its first reason."""
    if state.state == "cancelled":
        raise JobFailedError("the job was cancelled", where=job.id, todo="run or submit the video again")
    if state.state != "failed":
        return
    reason = state.reasons[-1] if state.reasons else None
    kind = _BY_CODE.get(reason.rc if reason else 1, JobFailedError)
    lines = (reason.why if reason else "no reason recorded").splitlines()
    where = next((line.removeprefix("  where: ") for line in lines if line.startswith("  where: ")), "")
    todo = "\n".join(lines).partition("\n  to do: ")[2]  # the last part, and it may have lines of its own
    task = "" if reason is None or reason.task in ("prep", "final") else f" (segment {reason.task})"
    raise kind(lines[0] + task, where=where or f"job {job.id}", todo=todo or f"waterz-spool logs {job.id}")


def raise_if_passed(passed: dict[str, tuple[int, ...]]) -> None:
    """Tell of segments, by job, that could not be restored although the results are published.

    Raises:
        PassedThroughError: There are some.
    """
    lines = [f"{job_id}: {text}" for job_id, segments in passed.items() if (text := passed_text(segments))]
    if lines:
        raise PassedThroughError(
            "published, but not all of it could be restored",
            where="; ".join(lines),
            todo="look at these places of the result; try another --engine for them",
        )


def result_path(job: Job) -> Path | None:
    """Where the result of a published job lies."""
    record = job.published()
    return Path(record.path) if record else None
