"""Finalize: join the segments, put back everything else the source had, verify, and publish.

The result appears under its final name only after verification, exactly once, whoever does it and however often it is
tried: the outcome record decides which file is the result, publication is a derived step that anyone may repeat.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from waterz_spool import media
from waterz_spool.errors import InputError, TryAgainError, VerificationError
from waterz_spool.records import Plan, SegmentSpec
from waterz_spool.spool import EndRecord, FinalClaim, Job
from waterz_spool.stages.contract.payloads import plan_of
from waterz_spool.stages.contract.request import JobRequest, decode_request
from waterz_spool.stages.telling import job_result

log = logging.getLogger(__name__)


def finalize(claim: FinalClaim, check: Callable[[], None]) -> tuple[Path, bytes] | None:
    """Work on a claimed final task until the verified result lies in the job.

    Args:
        claim: The claim; all segments are done.
        check: Called between packets; raises to stop.

    Returns:
        The result file and the record of its outcome, a JobResult as JSON; None when the claim has ended because some
        segments must be made again.

    Raises:
        VerificationError: The joined video is not what the source promises.
    """
    begun = time.monotonic()
    job = claim.job
    request = decode_request(job.request())
    plan = plan_of(job.plan() or b"", job.id)
    results = claim.checked_results()
    if results is None:
        return None  # some outputs were damaged: they are made again, and final with them
    joining = _Joining(claim, plan, request, results, check)
    out, checks, copied = joining.result()
    check()
    reference = claim.sealed(out)
    seconds = time.monotonic() - begun
    result = job_result(request, plan, results, reference, checks=checks, copied=copied, seconds=seconds)
    return out, msgspec.json.encode(result)


class _Joining:
    """Joins and verifies the result of a job: with copied packets, and without where these do not hold."""

    def __init__(
        self,
        claim: FinalClaim,
        plan: Plan,
        request: JobRequest,
        results: Mapping[int, EndRecord],
        check: Callable[[], None],
    ) -> None:
        self._claim, self._plan, self._request, self._check = claim, plan, request, check
        self._source = claim.job.source()
        self._segments = [
            None if segment.copy else claim.job.layout.output_file(segment.index, results[segment.index].outs[0].file)
            for segment in plan.segments
        ]

    def result(self) -> tuple[Path, list[str], int]:
        """The verified file, what was checked, and how many of its frames are copies."""
        copies = [segment for segment in self._plan.segments if segment.copy]
        try:
            out = self._claim.output(f".{self._request.container}")
            return out, self._made(out, self._segments), sum(copy.stop - copy.start for copy in copies)
        except (VerificationError, InputError) as error:
            if not copies:
                raise
            log.warning("every frame is encoded again, for copied packets do not hold: %s", error.what)
            why = f"every frame is encoded again: {error.what}"
        made = [self._encoded(each) if path is None else path for each, path in self._each()]
        out = self._claim.output(f".{self._request.container}", stem="encoded")
        return out, [*self._made(out, made), why], 0

    def _each(self) -> Iterator[tuple[SegmentSpec, Path | None]]:
        return zip(self._plan.segments, self._segments, strict=True)

    def _encoded(self, segment: SegmentSpec) -> Path:
        """A segment that should have been a copy."""
        out = self._claim.output(".mkv", stem=f"segment{segment.index}")
        plan = self._plan
        frames = media.decode(self._source, plan.video, start=segment.start, stop=segment.stop, pts=plan.pts)
        with media.SegmentEncoder(out, plan.encode, plan.video) as encoder:
            for frame in frames:
                self._check()
                encoder.write(frame)
        return out

    def _made(self, out: Path, segments: Sequence[Path | None]) -> list[str]:
        """Write a result and verify it."""
        plan, drop = self._plan, self._request.drop
        self._claim.progress(0.0, "joining")
        media.join(
            out,
            segments,
            source=self._source,
            info=plan.video,
            plan_pts=plan.pts,
            last_duration=plan.last_duration,
            settings=plan.encode,
            counts=[segment.stop - segment.start for segment in plan.segments],
            drop=drop,
        )
        self._check()
        return media.verify(
            out,
            source=self._source,
            info=plan.video,
            plan_pts=plan.pts,
            last_duration=plan.last_duration,
            drop=drop,
            copied=[(s.start, s.stop) for s, path in zip(plan.segments, segments, strict=True) if path is None],
            tell=self._verified,
        )

    def _verified(self, frames: int) -> None:
        self._check()
        self._claim.progress(frames / self._plan.frame_count, "verifying")


def publish(job: Job, *, foreign: bool = False) -> Path:
    """Put the verified result where the user asked; safe to repeat.

    Args:
        job: The job.
        foreign: It is another user's, who must not be able to write with our rights where only we may: then its
            result goes only into a folder of that user or the spool's outbox, and replaces nothing.

    Returns:
        The path under which it appeared; not the one asked for if a different file lay there.

    Raises:
        TryAgainError: The result must be published by its own user.
    """
    request = decode_request(job.request())
    target = Path(request.output)
    overwrite = request.config.output.overwrite
    if foreign:
        _check_foreign(job, target, overwrite=overwrite)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        path = job.publish(target, overwrite=overwrite, mode=None if foreign else 0o666 & ~_umask())
    except OSError as error:
        raise _unpublished(job, target, error) from error
    log.info("published %s", path)
    return path


def _umask() -> int:
    """The mode bits that this user's new files lack; asking os.umask would change it for other threads."""
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("Umask:")), 8)
    return 0o077


def _unpublished(job: Job, target: Path, error: OSError) -> OSError:
    """The same error with the place that it is about: the system names none when a disk is full."""
    if error.filename or not error.errno:
        return error
    place = job.path if _is_full(job.path) and not _is_full(target.parent) else target.parent
    return OSError(error.errno, error.strerror, str(place))


def _is_full(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.statvfs(folder).f_bavail == 0
    return False


def _check_foreign(job: Job, target: Path, *, overwrite: bool) -> None:
    folder, outbox = target.parent.resolve(), job.path.parents[1].resolve() / "outbox"
    if overwrite or (folder != outbox and folder.stat().st_uid != job.owner()):
        raise TryAgainError(
            "the result of another user's job is published by that user",
            where=str(target),
            todo=f"its user runs: waterz-spool finalize {job.id}",
        )


def names_code(job: Job) -> bool:
    """Whether a job asks for files that run code when they are loaded: weights of its submitter's choice."""
    request = decode_request(job.request())
    return bool(request.config.detect.weights or request.weights_sha256)
