"""What finalize tells of a result: where the overlay was, who said so, and how far the filling can be believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from waterz_spool.geometry import Geometry
from waterz_spool.records import (
    LOW_WEIGHT,
    Confidence,
    Cue,
    Doubt,
    FileRef,
    JobResult,
    OverlayTrack,
    Place,
    Plan,
    Remains,
    SegmentResult,
    mean_confidence,
    worst_verdict,
)
from waterz_spool.restore.residue import rank
from waterz_spool.spool import EndRecord
from waterz_spool.stages.contract.request import MUX, JobRequest

MOST_PLACES, MOST_DOUBTS, MOST_REMAINS = 32, 8, 8  # an outcome has room for 16 KiB


def job_result(
    request: JobRequest,
    plan: Plan,
    results: Mapping[int, EndRecord],
    made: FileRef,
    *,
    checks: Sequence[str],
    copied: int = 0,
    cues: Sequence[Cue] = (),
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
        cues: The captions that were read.
        seconds: What joining and verifying took.
    """
    found = {index: msgspec.json.decode(end.info, type=SegmentResult) for index, end in results.items()}
    doubts = sorted(_doubts(plan, found), key=lambda doubt: doubt.weight)
    residues = [one for segment in found.values() for one in segment.residues if one is not None]
    remains = sorted(_remains(plan, found), key=lambda one: (-rank(one.verdict), -one.levels))
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
        residue=worst_verdict(residues),
        remains=tuple(remains[:MOST_REMAINS]),
        remains_count=len(remains),
        captions=len(cues) if request.captions else None,
        captions_file=request.captions if cues and request.captions != MUX else "",
        regrown_count=sum(one.grown_px > 0 for one in residues),
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


def _remains(plan: Plan, found: Mapping[int, SegmentResult]) -> Iterator[Remains]:
    """Every place of which some may still be there."""
    shown = Geometry.of(plan.video)
    for segment in plan.segments:
        for crop, residue in zip(segment.crops, found[segment.index].residues, strict=False):
            if residue is not None and rank(residue.verdict):
                start_s, stop_s = _times(plan, crop.start, crop.stop)
                yield Remains(
                    segment=segment.index,
                    box=shown.shown_box(crop.hole),
                    start_s=start_s,
                    stop_s=stop_s,
                    verdict=residue.verdict,
                    levels=residue.levels,
                )


def _times(plan: Plan, start: int, stop: int) -> tuple[float, float]:
    """When frame ``start`` begins and frame ``stop - 1`` ends, in seconds from the first frame."""
    ends = (*plan.pts, plan.pts[-1] + plan.last_duration)
    tick_s = plan.video.time_base[0] / plan.video.time_base[1]
    return round((ends[start] - ends[0]) * tick_s, 3), round((ends[stop] - ends[0]) * tick_s, 3)
