"""Finalize: join the segments, put back everything else the source had, verify, and publish.

The result appears under its final name only after verification, exactly once, whoever does it and however often it is
tried: the outcome record decides which file is the result, publication is a derived step that anyone may repeat.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from waterz_spool import media
from waterz_spool.records import JobResult, SegmentResult, mean_confidence
from waterz_spool.spool import Claim, Job
from waterz_spool.stages.payloads import plan_of
from waterz_spool.stages.request import decode_request

log = logging.getLogger(__name__)


def finalize(claim: Claim, check: Callable[[], None]) -> tuple[Path, bytes] | None:
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
    segments = [job.layout.output_file(index, results[index].outs[0].file) for index in range(len(plan.segments))]
    out = claim.output(f".{request.container}")
    source = job.source()
    media.join(
        out,
        segments,
        source=source,
        info=plan.video,
        plan_pts=plan.pts,
        last_duration=plan.last_duration,
        settings=plan.encode,
        counts=[segment.stop - segment.start for segment in plan.segments],
        drop=request.drop,
    )
    check()
    checks = media.verify(
        out, source=source, info=plan.video, plan_pts=plan.pts, last_duration=plan.last_duration, drop=request.drop
    )
    check()
    found = [msgspec.json.decode(results[index].info, type=SegmentResult) for index in results]
    reference = claim.sealed(out)
    result = JobResult(
        output=request.output,
        bytes=reference.bytes,
        sha256=reference.sha256,
        frames=plan.frame_count,
        seconds=round(time.monotonic() - begun, 3),
        checks=tuple(checks),
        passed=tuple(index for index, end in results.items() if end.passed),
        confidence=mean_confidence([segment.confidence for segment in found]),
    )
    return out, msgspec.json.encode(result)


def publish(job: Job) -> Path:
    """Put the verified result where the user asked; safe to repeat.

    Returns:
        The path under which it appeared; not the one asked for if a different file lay there.
    """
    request = decode_request(job.request())
    target = Path(request.output)
    target.parent.mkdir(parents=True, exist_ok=True)
    path = job.publish(target, overwrite=request.config.output.overwrite)
    log.info("published %s", path)
    return path
