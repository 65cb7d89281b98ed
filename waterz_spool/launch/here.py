"""`run`: one video on this machine, from the file to its published result; for the command line and for Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from waterz_spool import restore
from waterz_spool.config import Config
from waterz_spool.errors import InputError, NoOverlayError, UsageError, WaterzError
from waterz_spool.intake.spools import open_or_create, private_spool
from waterz_spool.intake.submit import Order, settled_output, submit
from waterz_spool.intake.url import as_file, drop
from waterz_spool.launch.follow import run_local
from waterz_spool.launch.local import LocalWorkers, default_threads, default_workers, visible_gpus
from waterz_spool.report.jobdata import job_data
from waterz_spool.report.living import Living
from waterz_spool.report.result import Result, result_of
from waterz_spool.report.terminal import Progress
from waterz_spool.tools.reporting import write_beside
from waterz_spool.tools.summary import check_summary


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What became of a video.

    Attributes:
        output: Where the result lies.
        data: The job as `status --json` shows it, and what the boxes given turned out to hold.
        result: What was done; None where the same call beside this one was first and has tidied up.
        files: The summary and the report beside the result, when they were asked for.
    """

    output: Path
    data: dict[str, Any] = field(default_factory=dict)
    result: Result | None = None
    files: tuple[Path, ...] = ()


def run(
    video: str | Path, order: Order | None = None, config: Config | None = None, *, report: bool = False, **how: Any
) -> Ran:
    """Process one video on this machine, start to finish; calling it again continues where it stopped.

    Args:
        video: Path or URL.
        order: What to remove, and where the result goes.
        config: Resolved configuration.
        report: Write a summary and a report beside the result.
        how: As for `Here`.

    Raises:
        WaterzError: The class says why; what was done is kept for the next call unless none can succeed.
    """
    here = Here(str(video), order or Order(), config or Config(), report=report, **how)
    ran = here.work()
    here.tidy()
    return ran


class Here:
    """The job of one video, and this machine's workers for it, not started yet.

    Args:
        video: Path or URL.
        order: What to remove, and where the result goes; relative paths start from the current folder.
        config: Resolved configuration.
        root: The spool; without one a private spool, from which the job goes once it is done.
        keep: Keep the job in the private spool.
        report: Write a summary and a report beside the result.
        progress: Makes what shows how it goes; None is silent.
        config_file: Configuration file to hand on to the workers.

    Raises:
        UsageError: Contradicting options, the output exists, or the whole spool is paused.
        InputError: The video or mask cannot be read or is unsupported.
        SetupError: The engine that was asked for cannot run here.
        TryAgainError: The network failed too often; what came is kept for the next time.
    """

    def __init__(
        self,
        video: str,
        order: Order,
        config: Config,
        *,
        root: Path | None = None,
        keep: bool = False,
        report: bool = False,
        progress: Callable[[], Progress] | None = None,
        config_file: Path | None = None,
    ) -> None:
        restore.chosen(config.restore).require()  # say at once what prepare, here too, would say after some tries
        self._video = video
        self._spool = open_or_create(root or private_spool(), config)
        self._progress: Callable[[], Progress | None] = progress or (lambda: None)
        self._report = report
        self._tidies = root is None and not keep
        path, order = as_file(video, order, self._spool, config, progress=self._progress())
        self._output = settled_output(path, order, config, base=Path.cwd())
        if report:
            check_summary(self._output, overwrite=config.output.overwrite)
        self.job = submit(self._spool, path, replace(order, output=str(self._output)), config, base=Path.cwd())
        if self._spool.paused:
            raise UsageError("the whole spool is paused", where=str(self._spool.root), todo="waterz-spool resume")
        self._before = job_data(self.job, Living(self._spool))
        gpus, self._count, threads = local_share(config)
        self._workers = LocalWorkers(
            self._spool.root, [self.job.id], threads=threads, gpus=gpus, config_file=config_file
        )

    @property
    def done(self) -> int:
        """How many tasks of the job are done."""
        return sum(task.kind == "done" for task in self.job.state().tasks)

    def work(self) -> Ran:
        """Work until the result is published.

        Raises:
            WaterzError: The job failed or was cancelled; the class says why.
        """
        try:
            return self._worked()
        except FileNotFoundError:
            if self._tidies and self._output.exists():  # the same call beside this one was first, and has tidied up
                return Ran(output=self._output, data={**self._before, "state": "done", "output": str(self._output)})
            raise
        except (UsageError, NoOverlayError, InputError) as error:
            self._name_video(error)
            if self._tidies:  # no further attempt can succeed: leave no copy of the source behind
                self._spool.clean(older_than_s=0.0, states=("failed",), jobs=[self.job.id], dry_run=False)
            raise

    def tidy(self) -> None:
        """Remove a finished job from the private spool, and what was fetched for it."""
        if self._tidies:
            self._spool.clean(older_than_s=0.0, states=("done",), jobs=[self.job.id], dry_run=False)
            drop(self._video, self._spool)

    def _worked(self) -> Ran:
        if self.job.state().paused:
            self.job.resume()
        state = run_local(self.job, self._workers, self._count, self._progress())
        data = job_data(self.job, Living(self._spool), state)
        result = result_of(self.job, state)
        files = write_beside(self.job, result) if self._report and result else ()
        return Ran(output=Path(data["output"] or self._output), data=data, result=result, files=files)

    def _name_video(self, error: WaterzError) -> None:
        """The job is about to go: what is wrong is the video's."""
        if error.where == f"job {self.job.id}":
            error.where = self._video


def local_share(config: Config) -> tuple[tuple[str, ...], int, int]:
    """What `run` uses of this machine: its GPUs, how many workers, and how many threads the restorer of each has."""
    gpus = visible_gpus() if restore.may_use_gpu(config.restore) else ()
    count = config.worker.workers or len(gpus) or default_workers()
    return gpus, count, config.worker.restore_threads or default_threads(count)
