"""What finalize tells of a result: where the overlay was, who said so, and how far the filling can be believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from waterz_spool.geometry import Geometry
from waterz_spool.records import (
    LOW_WEIGHT,
    Confidence,
    Doubt,
    FileRef,
    JobResult,
    OverlayTrack,
    Place,
    Plan,
    SegmentResult,
    mean_confidence,
)
from waterz_spool.spool import EndRecord
from waterz_spool.stages.contract.request import JobRequest

MOST_PLACES, MOST_DOUBTS = 32, 8  # an outcome has room for 16 KiB


def job_result(
    request: JobRequest,
    plan: Plan,
    results: Mapping[int, EndRecord],
    made: FileRef,
    *,
    checks: Sequence[str],
    copied: int = 0,
    seconds: float,
) -> JobResult:
    """All of it as a record.

    Args:
        request: What was asked.
        plan: What was decided.
        results: The outcome of every segment.
        made: The result's file.
        checks: What was verified, in words.
        copied: Frames whose packets are the source's own.
        seconds: What joining and verifying took.
    """
    found = {index: msgspec.json.decode(end.info, type=SegmentResult) for index, end in results.items()}
    doubts = sorted(_doubts(plan, found), key=lambda doubt: doubt.weight)
    return JobResult(
        output=request.output,
        bytes=made.bytes,
        sha256=made.sha256,
        frames=plan.frame_count,
        seconds=round(seconds, 3),
        checks=tuple(checks),
        passed=tuple(index for index, end in results.items() if end.passed),
        confidence=mean_confidence([segment.confidence for segment in found.values()]),
        source=plan.overlay_source,
        tracks=tuple(_place(plan, track) for track in plan.tracks[:MOST_PLACES]),
        track_count=len(plan.tracks),
        engines=tuple(sorted({segment.engine for segment in found.values() if segment.engine})),
        doubts=tuple(doubts[:MOST_DOUBTS]),
        copied=copied,
        doubt_count=sum(doubt.weight < LOW_WEIGHT for doubt in doubts),
    )


def _place(plan: Plan, track: OverlayTrack) -> Place:
    start_s, stop_s = _times(plan, track.start, track.stop)
    return Place(box=Geometry.of(plan.video).shown_box(track.box), start_s=start_s, stop_s=stop_s)


def _doubts(plan: Plan, found: Mapping[int, SegmentResult]) -> Iterator[Doubt]:
    """Every segment in which something was hidden."""
    for segment in plan.segments:
        confidence: Confidence | None = found[segment.index].confidence
        if confidence is not None and confidence.hidden_px:
            start_s, stop_s = _times(plan, segment.start, segment.stop)
            yield Doubt(
                segment=segment.index, start_s=start_s, stop_s=stop_s, weight=round(min(1.0, confidence.weight), 4)
            )


def _times(plan: Plan, start: int, stop: int) -> tuple[float, float]:
    """When frame ``start`` begins and frame ``stop - 1`` ends, in seconds from the first frame."""
    ends = (*plan.pts, plan.pts[-1] + plan.last_duration)
    tick_s = plan.video.time_base[0] / plan.video.time_base[1]
    return round((ends[start] - ends[0]) * tick_s, 3), round((ends[stop] - ends[0]) * tick_s, 3)
