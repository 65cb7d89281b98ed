"""A job, from Python."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from waterz_spool.config import SlurmConfig
from waterz_spool.errors import TryAgainError, UsageError, WaterzError
from waterz_spool.intake.spools import private_spool
from waterz_spool.launch.follow import Following, follow_all
from waterz_spool.launch.notices import Alone
from waterz_spool.launch.slurm.workers import workers_coming
from waterz_spool.report.ending import raise_if_failed, result_path
from waterz_spool.report.explain import Around, explain_job, explain_task
from waterz_spool.report.jobdata import TaskInfo, tasks_of
from waterz_spool.report.living import Living, standing
from waterz_spool.report.logs import merged
from waterz_spool.report.progress import Moment, Watch
from waterz_spool.report.result import Result, result_of
from waterz_spool.report.terminal import POLL_S, Progress
from waterz_spool.spool import Job as _Job
from waterz_spool.spool import JobState, Task, TaskState

log = logging.getLogger(__name__)

State = Literal[
    "preparing",
    "running",
    "finalizing",
    "publishing",
    "waiting",
    "stopped",
    "paused",
    "done",
    "failed",
    "cancelled",
]
"""Of a job; see docs/usage.md."""


class Job:
    """A submitted video.

    Two objects of the same job are equal. ``await job`` waits like `wait`.

    Attributes:
        id: Its id, as the command line shows it.
    """

    def __init__(self, job: _Job) -> None:
        self.id = job.id
        self._job = job

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other._job.path == self._job.path

    def __hash__(self) -> int:
        return hash(self._job.path)

    @property
    def name(self) -> str:
        """The video's own name."""
        return self._job.name

    @property
    def state(self) -> State:
        """Where it stands, and whether a worker has its hand on it."""
        found: Any = standing(self._job, self._job.state(), Living.around(self._job))
        return found  # type: ignore[no-any-return]  # one of them

    @property
    def result(self) -> Path | None:
        """Where the published result lies; None before."""
        return result_path(self._job)

    @property
    def details(self) -> Result | None:
        """What was done: where the overlay was, how much of it was really seen, time, size; None before."""
        return result_of(self._job)

    @property
    def passed(self) -> tuple[int, ...]:
        """Segments of a finished job that could not be restored and still show the overlay (on_dead passthrough)."""
        return self._job.state().passed

    def done(self) -> bool:
        """Whether it has ended: published, failed or cancelled."""
        return _ended(self._job.state())

    def exception(self) -> WaterzError | None:
        """Why it failed or was cancelled; None while it has not ended, or when its result is published."""
        try:
            raise_if_failed(self._job, self._job.state())
        except WaterzError as error:
            return error
        return None

    def progress(self) -> Moment:
        """Where it stands now: step, share, frames, speed, seconds left; the speed comes from earlier calls."""
        return self._watch.look(self._job.state())

    @cached_property
    def _watch(self) -> Watch:
        return Watch(self._job)

    def wait(self, timeout_s: float | None = None, *, on_progress: Callable[[Moment], None] | None = None) -> Path:
        """Wait until the result is published and return its path.

        Workers must run somewhere: when none is found, the log of the program says so, once.

        Args:
            timeout_s: Give up after so long; None waits for ever.
            on_progress: Called about once a second with where the job stands.

        Raises:
            WaterzError: The job failed or was cancelled; the class says why.
            TimeoutError: The time is over.
        """
        for _, end in follow_all([self._following(on_progress)], timeout_s=timeout_s):
            if isinstance(end, WaterzError):
                raise end
        return self._published()

    def __await__(self) -> Generator[Any, None, Path]:
        return self._awaited().__await__()

    async def _awaited(self) -> Path:
        following = self._following(None)
        while await asyncio.to_thread(following.look) is None:
            await asyncio.sleep(POLL_S)
        return self._published()

    def _following(self, on_progress: Callable[[Moment], None] | None) -> Following:
        progress = Progress(call=on_progress) if on_progress else None
        return Following(self._job, progress=progress, alone=Alone(self._job, log.warning, self._coming))

    def _coming(self) -> list[str]:
        return workers_coming(self._living().spool, SlurmConfig())

    def _living(self) -> Living:
        return Living.around(self._job)

    def _published(self) -> Path:
        path = self.result
        if path is None:
            raise TryAgainError("the result is published, but this machine does not see it yet", where=self.id)
        return path

    def explain(self, task: Task | None = None) -> list[str]:
        """Why it, or one of its tasks, makes no progress, in lines.

        Args:
            task: A segment's number, ``prep`` or ``final``.

        Raises:
            UsageError: It has no such task.
        """
        state, living = self._job.state(), self._living()
        private = living.spool.root == private_spool().absolute()
        around = Around(living, queued=self._coming, private=private)
        if task is None:
            return explain_job(self._job, state, around)
        return explain_task(self._job, state, self._task(state, task), around)

    def _task(self, state: JobState, task: Task) -> TaskState:
        found = next((each for each in state.tasks if each.task == task), None)
        if found is None:
            raise UsageError(f"the job has no task {task!r}", where=self.id, todo="job.segments() lists them")
        return found

    def logs(self, task: Task | None = None) -> list[str]:
        """What workers wrote about it or one of its tasks, in order of time."""
        return [str(line) for line in merged(self._job, task)]

    def segments(self) -> list[TaskInfo]:
        """Its segments as far as they are known, with confidence; reads every outcome."""
        return [each for each in tasks_of(self._job, self._job.state()) if isinstance(each.task, int)]

    def retry(self, task: Task | None = None) -> None:
        """Grant it, or one of its tasks, another round of attempts.

        Raises:
            UsageError: It has no such task.
            JobFailedError: It has ended for good.
        """
        if task is not None:
            self._task(self._job.state(), task)
        self._job.retry(task)

    def pause(self) -> None:
        """Hold it: workers hand back what they have and claim nothing of it."""
        self._job.pause()

    def resume(self) -> None:
        """Go on after `pause`, or after a review."""
        self._job.resume()

    def cancel(self) -> bool:
        """End it without a result; False when the result was decided first."""
        return self._job.cancel()


def _ended(state: JobState) -> bool:
    return state.terminal and (state.published or state.state != "done")


def as_completed(jobs: Iterable[Job], timeout_s: float | None = None) -> Iterator[Job]:
    """Jobs as they end, however they end; `Job.exception` says whether one failed.

    Args:
        jobs: Of any spools.
        timeout_s: Give up after so long; None waits for ever.

    Raises:
        TimeoutError: The time is over.
    """
    by_path = {job._job.path: job for job in jobs}
    followed = [job._following(None) for job in by_path.values()]
    for job, _ in follow_all(followed, timeout_s=timeout_s):
        yield by_path[job.path]
