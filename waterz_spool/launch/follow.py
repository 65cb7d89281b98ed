"""Following jobs until they end, with progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from waterz_spool.errors import JobFailedError
from waterz_spool.launch.local import LocalWorkers
from waterz_spool.launch.notices import Notices
from waterz_spool.report.ending import raise_if_failed
from waterz_spool.report.progress import Moment, Watch
from waterz_spool.report.status import notes_of
from waterz_spool.report.terminal import POLL_S, Progress
from waterz_spool.spool import Job, JobState, storage_error
from waterz_spool.stages.finalize import publish

PUBLISH_S = 2.0


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
