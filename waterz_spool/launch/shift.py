"""One worker's run from start to end: who it is, how long it has, and what its own log says."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator

from waterz_spool import __version__
from waterz_spool.errors import UsageError
from waterz_spool.launch.slurm.allocation import Allocation
from waterz_spool.launch.walltime import Paces, Walltime
from waterz_spool.spool import PREP, Job, Session, Spool, Task, pid_space
from waterz_spool.stages.finalize import names_code
from waterz_spool.stages.loop.tasklog import LogFile
from waterz_spool.stages.loop.worker import Limits, StopFlag, Worker

log = logging.getLogger(__name__)


class Shift:
    """A worker's run.

    Args:
        spool: The spool.
        tasks: Kinds of tasks to take.
        jobs: Ids of the only jobs to work on; None is all.
        allocation: Its place in Slurm, if any.
        time_limit_s: Ends after so long; the scheduler's limit holds, too.
        serve_group: Take jobs of other users, too.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        tasks: Iterable[str],
        jobs: list[str] | None,
        allocation: Allocation | None = None,
        time_limit_s: float | None = None,
        serve_group: bool = False,
    ) -> None:
        self._spool = spool
        self._tasks = tasks
        self._jobs = jobs
        self._allocation = allocation
        limits = [time_limit_s, allocation.time_left_s() if allocation else None]
        self._left_s = min((limit for limit in limits if limit is not None), default=None)
        self._serve_group = serve_group
        self._coded: dict[str, bool] = {}
        self._worker: Worker | None = None

    def work(self, stop: StopFlag, limits: Limits, *, threads: int) -> None:
        """Claim and work until told to stop, out of time, or nothing is left."""
        walltime = self._walltime(stop)
        place = self._allocation
        session = Session(
            self._spool,
            tasks=self._tasks,
            jobs=self._jobs,
            accept=self._accept(walltime),
            host=(place.node or None) if place else None,
            slurm=place.label if place else "",
            info={"version": __version__, **self._service(), **(place.info if place else {})},
            serve_group=self._serve_group,
        )
        self._owners = session.owners
        with self._own_log(session), session:
            self._check_jobs()
            self._greet(session)
            self._worker = Worker(session, stop, limits, threads=threads)
            self._worker.run()

    @property
    def finished(self) -> int:
        """Tasks that were done."""
        return self._worker.finished if self._worker else 0

    @property
    def published(self) -> list[str]:
        """Ids of jobs whose results were published."""
        return self._worker.published if self._worker else []

    def _service(self) -> dict[str, object]:
        """Whom this worker serves, for those who ask why nobody takes their job."""
        jobs = {"jobs": list(self._jobs)} if self._jobs else {}
        return {"pids": pid_space(), **jobs, **({"serve_group": True} if self._serve_group else {})}

    def come_back(self, number: int | None) -> bool:
        """Be queued again by Slurm, when that makes sense; everything is handed back by now."""
        assert self._allocation is not None
        with self._own_log():
            useful = self._worker is not None and self._worker.finished > 0
            return self._allocation.come_back(number, useful=useful)

    def _accept(self, walltime: Walltime | None) -> Callable[[Job, Task, int], bool]:
        def accept(job: Job, task: Task, attempt: int) -> bool:
            if walltime is not None and not walltime.accept(job, task, attempt):
                return False
            return task != PREP or not self._runs_foreign_code(job)

        return accept

    def _runs_foreign_code(self, job: Job) -> bool:
        """Weights run code when they are loaded: those that another user names are loaded by that user's workers."""
        if not self._serve_group or not self._owners.foreign(job):
            return False
        if job.id not in self._coded:
            self._coded[job.id] = names_code(job)
        return self._coded[job.id]

    def _walltime(self, stop: StopFlag) -> Walltime | None:
        if self._left_s is None:
            return None
        return Walltime(self._left_s, Paces().seconds, when_late=lambda: self._leave_late(stop))

    def _leave_late(self, stop: StopFlag) -> None:
        """A run that got something done makes room for the next, which has the whole time again."""
        if self._worker is not None and self._worker.finished:
            stop.set()

    def _check_jobs(self) -> None:
        for name in self._jobs or ():
            if self._owners.left_alone(self._spool.by_id(name)):
                raise UsageError("the job is another user's", where=name, todo="add --serve-group to work on it")

    def _greet(self, session: Session) -> None:
        log.info("worker %s on %s", session.wid, session.title)
        if self._allocation is not None:
            left = "no limit known" if self._left_s is None else f"{self._left_s:.0f} s left"
            log.info("SLURM_RESTART_COUNT=%d, %s", self._allocation.restarts, left)

    @contextlib.contextmanager
    def _own_log(self, session: Session | None = None) -> Iterator[None]:
        """Let the jobs' logs show this worker's coming and going; a worker for all jobs has its scheduler's log."""
        root = logging.getLogger("waterz_spool.launch")
        wid = session.wid if session else self._worker.session.wid if self._worker else ""
        names = self._jobs if self._allocation and wid else None
        handlers = []
        for job in names or []:
            path = self._spool.layout.job(job).worker_log(wid)
            handler = LogFile(path)
            root.addHandler(handler)
            handlers.append(handler)
        try:
            yield
        finally:
            for handler in handlers:
                root.removeHandler(handler)
                handler.close()
