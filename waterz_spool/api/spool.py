"""A spool from Python, and one video without any."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from waterz_spool.api.asked import Asked, Options, config_of, order_of
from waterz_spool.api.job import Job
from waterz_spool.errors import TryAgainError
from waterz_spool.intake.spools import open_or_create
from waterz_spool.intake.submit import submit
from waterz_spool.intake.url import as_file
from waterz_spool.launch.local import LocalWorkers, default_threads, default_workers
from waterz_spool.report.progress import Moment
from waterz_spool.report.result import Result
from waterz_spool.report.terminal import POLL_S, Progress
from waterz_spool.spool import Spool as _Spool

if TYPE_CHECKING:
    from typing import Unpack


def run(
    video: str | Path,
    *,
    workers: int | None = None,
    report: bool = False,
    on_progress: Callable[[Moment], None] | None = None,
    options: Options | None = None,
    **asked: Unpack[Asked],
) -> Result:
    """Process one video on this machine, start to finish, as `waterz-spool run` does.

    Calling it again continues where it stopped. Without boxes, mask or tracks the overlay is looked for.

    Args:
        video: The file, which is never changed, or an http or https URL.
        workers: Local workers; None is one per GPU, else one per two cores.
        report: Write a summary and a report beside the result.
        on_progress: Called about once a second with where it stands.
        options: Configuration by section, as in config.example.yaml.
        **asked: See `Asked`.

    Raises:
        WaterzError: The class says why; what was done is kept for the next call unless none can succeed.
    """
    from waterz_spool.launch import here

    progress = (lambda: Progress(call=on_progress)) if on_progress else None
    config = config_of(options or {}, asked, workers=workers)
    ran = here.run(video, order_of(asked), config, report=report, progress=progress)
    if ran.result is None:
        raise TryAgainError(
            "another call for this video was first; its result is there, what was done is not known here",
            where=str(ran.output),
        )
    return ran.result


class Spool:
    """A shared directory in which jobs wait for workers; `submit` or `create` makes it, reading never does.

    Args:
        path: The directory.
        options: Configuration by section, as in config.example.yaml.

    Raises:
        UsageError: An unknown key or a value out of range.
    """

    def __init__(self, path: str | Path, options: Options | None = None) -> None:
        self.path = Path(path).absolute()
        self._options: Options = options or {}
        config_of(self._options, {})
        self._found: _Spool | None = None

    def __repr__(self) -> str:
        return f"Spool({str(self.path)!r})"

    def create(self) -> Spool:
        """Make it now if it is not there, for workers that start before the first job.

        Raises:
            SetupError: It cannot be made there, or is of another version.
        """
        self._found = open_or_create(self.path, config_of(self._options, {}))
        return self

    @property
    def _spool(self) -> _Spool:
        """The spool, which must be there.

        Raises:
            SetupError: There is none.
        """
        self._found = self._found or _Spool.open(self.path)
        return self._found

    def submit(self, video: str | Path, **asked: Unpack[Asked]) -> Job:
        """Write a job; the same video with the same settings is the same job.

        Args:
            video: The file; it is pinned, never changed. Or an http or https URL, fetched before this returns.
            **asked: See `Asked`.

        Raises:
            UsageError: Contradicting options, or the output exists.
            InputError: The video or mask cannot be read or is unsupported.
            SetupError: No spool can be made there.
            TryAgainError: The network failed too often; what came is kept for the next time.
        """
        config, order = config_of(self._options, asked), order_of(asked)
        self.create()
        path, order = as_file(str(video), order, self._spool, config)
        return Job(submit(self._spool, path, order, config, base=Path.cwd()))

    def job(self, name: str) -> Job:
        """A job by id, unique prefix or ``last``.

        Raises:
            UsageError: None or several.
            SetupError: There is no spool.
        """
        return Job(self._spool.job(name))

    def jobs(self) -> list[Job]:
        """All jobs, by id.

        Raises:
            SetupError: There is no spool.
        """
        return [Job(job) for job in self._spool.jobs()]

    def work(self, workers: int | None = None) -> None:
        """Work on this machine until nothing is left to do.

        Args:
            workers: Processes; None is one per two cores.

        Raises:
            SetupError: There is no spool.
        """
        count = workers or default_workers()
        local = LocalWorkers(self._spool.root, [], threads=default_threads(count))
        local.start(count)
        try:
            while local.tend():
                time.sleep(POLL_S)
        finally:
            local.stop()

    def pause(self) -> None:
        """Hold the whole spool, for everybody who uses it."""
        self._spool.pause()

    def resume(self) -> None:
        """Undo `pause`."""
        self._spool.resume()
