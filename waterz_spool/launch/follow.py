"""Following jobs until they end, with progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from waterz_spool.errors import JobFailedError, WaterzError
from waterz_spool.launch.local import LocalWorkers
from waterz_spool.launch.notices import Alone, Notices
from waterz_spool.report.ending import raise_if_failed
from waterz_spool.report.progress import Moment, Watch
from waterz_spool.report.status import notes_of
from waterz_spool.report.terminal import POLL_S, Progress
from waterz_spool.spool import Job, JobState, storage_error
from waterz_spool.stages.finalize import publish

PUBLISH_S = 2.0


class Following:
    """One job that is followed until it has ended and its result is published.

    Args:
        job: The job.
        progress: Shows where it stands; None is silent.
        tend: Called at each look, for example to replace dead workers; it may raise to stop waiting.
        alone: Told where the job stands, to say once that nobody works; None where whoever waits works, too.
    """

    def __init__(
        self,
        job: Job,
        *,
        progress: Progress | None = None,
        tend: Callable[[], None] = lambda: None,
        alone: Alone | None = None,
    ) -> None:
        self.job = job
        self._progress = progress
        self._tend = tend
        self._alone = alone
        self._last, self._watch = _LastStep(), Watch(job)
        self._notices = Notices(job, progress.line) if progress else None

    def look(self, *, show: bool = True) -> JobState | None:
        """One look: the state when the job has ended, else None.

        Args:
            show: Whether to show progress.

        Raises:
            WaterzError: The job failed or was cancelled, with the exit code of its reason.
            OSError: The result cannot be published from here.
        """
        try:
            return self._look(show=show)
        except OSError as error:
            if self._notices is None or self._last.due_since or not storage_error(error):
                raise
            self._notices.unreadable(error)  # the workers wait for it, too
            return None

    def _look(self, *, show: bool) -> JobState | None:
        state = self.job.state()
        if self._progress and show:
            self._watch.glance(state)
            self._progress.tell(partial(_look, self._watch, state))
        if state.terminal and (state.published or state.state != "done"):
            raise_if_failed(self.job, state)
            if self._progress:
                _say_notes(self.job, state, self._progress)
            return state
        if self._last.due(state):
            publish(self.job)
            return self._look(show=False)
        self._tend()
        if self._notices:
            self._notices.look()
        if self._alone:
            self._alone.look(state)
        return None


def follow(
    job: Job,
    *,
    progress: Progress | None = None,
    tend: Callable[[], None] = lambda: None,
    alone: Alone | None = None,
    timeout_s: float | None = None,
) -> JobState:
    """Wait until a job has ended and its result is published; see `Following`.

    Args:
        job: The job.
        progress: Shows where it stands; None is silent.
        tend: Called at each look.
        alone: Told where the job stands.
        timeout_s: Give up after so long; None waits for ever.

    Raises:
        WaterzError: The job failed or was cancelled, with the exit code of its reason.
        OSError: The result cannot be published from here.
        TimeoutError: The time is over.
    """
    following = Following(job, progress=progress, tend=tend, alone=alone)
    for _, end in follow_all([following], progress=progress, timeout_s=timeout_s):
        if isinstance(end, Exception):
            raise end
        return end
    raise AssertionError("one was followed")


def follow_all(
    followed: Sequence[Following], *, progress: Progress | None = None, timeout_s: float | None = None
) -> Iterator[tuple[Job, JobState | WaterzError]]:
    """Jobs as they end, with their last state or why they failed.

    Args:
        followed: The jobs; progress shows the first that has not ended.
        progress: Ended when all have.
        timeout_s: Give up after so long; None waits for ever.

    Raises:
        TimeoutError: The time is over.
    """
    begun, left = time.monotonic(), list(followed)
    try:
        while left:
            for each in list(left):
                try:
                    end: JobState | WaterzError | None = each.look(show=each is left[0])
                except WaterzError as error:
                    end = error
                if end is not None:
                    left.remove(each)
                    yield each.job, end
            if left and timeout_s is not None and time.monotonic() - begun > timeout_s:
                raise TimeoutError(f"job {left[0].job.id} did not end within {timeout_s:g} s")
            if left:
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


def run_local(job: Job, workers: LocalWorkers, count: int, progress: Progress | None = None) -> JobState:
    """Work on a job with so many local workers until it has ended; they are stopped whatever happens.

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
            workers.start(count)
        return follow(job, progress=progress, tend=tend)
    finally:
        workers.stop()
