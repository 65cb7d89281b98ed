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
from fractions import Fraction
from pathlib import Path

import msgspec

from waterz_spool import media
from waterz_spool.errors import InputError, TryAgainError, VerificationError
from waterz_spool.records import Cue, Plan, SegmentSpec
from waterz_spool.spool import FINAL, EndRecord, FinalClaim, Job
from waterz_spool.stages.captions.beside import place_beside
from waterz_spool.stages.contract.payloads import plan_of
from waterz_spool.stages.contract.request import MUX, JobRequest, decode_request
from waterz_spool.stages.telling import job_result

log = logging.getLogger(__name__)


def finalize(claim: FinalClaim, check: Callable[[], None]) -> tuple[list[Path], bytes] | None:
    """Work on a claimed final task until the verified result lies in the job.

    Args:
        claim: The claim; all segments are done.
        check: Called between packets; raises to stop.

    Returns:
        The result, with its captions where they become a file, and the record of its outcome, a JobResult as JSON;
        None when the claim has ended because some segments must be made again.

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
    cues = _captions(claim, plan, request, check)
    joining = _Joining(claim, plan, request, results, check, cues=cues)
    out, checks, copied = joining.result()
    check()
    reference = claim.sealed(out)
    seconds = time.monotonic() - begun
    result = job_result(request, plan, results, reference, checks=checks, copied=copied, cues=cues, seconds=seconds)
    return [out, *_captions_file(claim, plan, request, cues)], msgspec.json.encode(result)


def _captions(claim: FinalClaim, plan: Plan, request: JobRequest, check: Callable[[], None]) -> tuple[Cue, ...]:
    """What the removed captions say, where the user wants that kept."""
    if not request.captions:
        return ()
    from waterz_spool.stages.captions.reading import captions_of

    claim.progress(0.0, "reading")
    cues = captions_of(plan, claim.job.source(), check=check)
    log.info("read %d captions", len(cues))
    return cues


def captions_name(request: JobRequest) -> str:
    """The file that captions become; empty where they are not kept, or in the result."""
    return "" if request.captions == MUX else request.captions


def _captions_file(claim: FinalClaim, plan: Plan, request: JobRequest, cues: Sequence[Cue]) -> list[Path]:
    """The captions as SubRip, unless they are in the result or there are none."""
    if not cues or not captions_name(request):
        return []
    path = claim.output(".srt")
    text = media.srt_text(cues, plan.pts, plan.last_duration, Fraction(*plan.video.time_base))
    path.write_text(text, encoding="utf-8", newline="\r\n")
    return [path]


class _Joining:
    """Joins and verifies the result of a job: with copied packets, and without where these do not hold."""

    def __init__(
        self,
        claim: FinalClaim,
        plan: Plan,
        request: JobRequest,
        results: Mapping[int, EndRecord],
        check: Callable[[], None],
        *,
        cues: Sequence[Cue] = (),
    ) -> None:
        self._claim, self._plan, self._request, self._check = claim, plan, request, check
        self._cues = cues if request.captions == MUX else ()
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
            cues=self._cues,
            language=self._request.language,
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
        for place in (target, *([Path(request.captions)] if captions_name(request) else [])):
            _check_foreign(job, place, overwrite=overwrite)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if captions := _captions_of(job):
            place_beside(captions, Path(request.captions), overwrite=overwrite)
        path = job.publish(target, overwrite=overwrite, mode=None if foreign else 0o666 & ~_umask())
    except OSError as error:
        raise _unpublished(job, target, error) from error
    log.info("published %s", path)
    return path


def _captions_of(job: Job) -> Path | None:
    """The captions that final has written beside the result; None where it has not."""
    final = next((task for task in job.state().tasks if task.task == FINAL and task.kind == "done"), None)
    end = job.log.end(FINAL, final.attempt) if final else None
    return job.layout.output_file(FINAL, end.outs[1].file) if end and len(end.outs) > 1 else None


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
