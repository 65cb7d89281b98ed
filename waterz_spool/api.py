"""The program from Python: a spool, jobs, waiting for results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from waterz_spool import config
from waterz_spool.intake.spools import open_or_create
from waterz_spool.intake.submit import Order, submit
from waterz_spool.intake.url import as_file
from waterz_spool.launch.follow import follow
from waterz_spool.records import DisplayBox
from waterz_spool.report.ending import result_path
from waterz_spool.report.living import Living, standing
from waterz_spool.report.result import Result, result_of
from waterz_spool.spool import Job as _Job


class Job:
    """A submitted video.

    Attributes:
        id: Its id, as the command line shows it.
    """

    def __init__(self, job: _Job) -> None:
        self.id = job.id
        self._job = job

    @property
    def state(self) -> str:
        """preparing, running, finalizing, publishing, done, failed, cancelled, paused, waiting or stopped."""
        return standing(self._job, self._job.state(), Living.around(self._job))

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

    def wait(self, timeout_s: float | None = None) -> Path:
        """Wait until the result is published and return its path. Workers must run somewhere.

        Raises:
            WaterzError: The job failed or was cancelled; the class says why.
            TimeoutError: The time is over.
        """
        follow(self._job, timeout_s=timeout_s)
        path = self.result
        assert path is not None
        return path

    def cancel(self) -> bool:
        """End the job without a result; False when the result was decided first."""
        return self._job.cancel()


class Spool:
    """A shared directory in which jobs wait for workers; made when it is not there.

    Args:
        path: The directory.
        options: Configuration by section, as in config.example.yaml.

    Raises:
        UsageError: An unknown key or a value out of range.
        SetupError: The directory is not a spool, or of another version.
    """

    def __init__(self, path: str | Path, options: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._config = config.load(overrides=options)
        self._spool = open_or_create(Path(path), self._config)

    def submit(
        self,
        video: str | Path,
        *,
        boxes: Iterable[DisplayBox] = (),
        exact_boxes: Iterable[DisplayBox] = (),
        mask: str | Path | None = None,
        from_s: float | None = None,
        to_s: float | None = None,
        drop: Iterable[int] = (),
        output: str | Path = "",
    ) -> Job:
        """Write a job; the same video with the same settings is the same job.

        Args:
            video: The file; it is pinned, never changed. Or an http or https URL, fetched before this returns.
            boxes: Boxes around overlays as (x, y, width, height) in px of the picture as a player shows it; the
                overlay's own pixels inside them are replaced.
            exact_boxes: Boxes that are replaced as they are.
            mask: Picture, folder of pictures or video, white where the overlay is.
            from_s: Boxes and mask pictures hold from this time on, in seconds.
            to_s: Up to this time.
            drop: Indices of streams of the source to leave out.
            output: File, folder or template; by default NAME.clean.EXT beside the video, or here for a URL.

        Raises:
            UsageError: Contradicting options, or the output exists.
            InputError: The video or mask cannot be read or is unsupported.
            TryAgainError: The network failed too often; what came is kept for the next time.
        """
        order = Order(
            boxes=tuple(boxes),
            exact_boxes=tuple(exact_boxes),
            mask=Path(mask) if mask else None,
            from_s=from_s,
            to_s=to_s,
            drop=tuple(drop),
            output=str(output),
        )
        path, order = as_file(str(video), order, self._spool, self._config)
        return Job(submit(self._spool, path, order, self._config, base=Path.cwd()))

    def job(self, name: str) -> Job:
        """A job by id, unique prefix or ``last``."""
        return Job(self._spool.job(name))

    def jobs(self) -> list[Job]:
        """All jobs, by id."""
        return [Job(job) for job in self._spool.jobs()]
