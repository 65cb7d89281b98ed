"""`report`: everything a finished or running job can tell, gathered from its records, its source and its result."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from waterz_spool import __version__
from waterz_spool.geometry import Geometry
from waterz_spool.media import Frame, frame_times, probe, stills
from waterz_spool.records import Box, DisplayBox, OverlayTrack, Plan
from waterz_spool.report.jobpage import AttemptBar, JobPage, Pair, SegmentLine, report_html
from waterz_spool.report.living import Living, standing
from waterz_spool.report.pace import segment_result
from waterz_spool.report.picking import jpeg_uri
from waterz_spool.report.result import Result, lines_of, result_of, size_text
from waterz_spool.report.status import passed_text
from waterz_spool.spool import Job, JobState
from waterz_spool.stages.contract.payloads import plan_of
from waterz_spool.stages.contract.request import JobRequest, decode_request
from waterz_spool.stages.prepare.sheet import write_whole
from waterz_spool.tools.summary import summary_path, write_summary

MOST_PAIRS = 6
_AROUND = 1.5  # of an overlay's sides: so much of the picture is shown on each side of it
_PAIR_PX = 640  # longer side of a shown cut-out


def job_report(job: Job, state: JobState | None = None) -> str:
    """The report of a job as one self-contained page.

    Args:
        job: The job; it may still be running.
        state: Where it stands, if known.

    Raises:
        OSError: The job's records cannot be read.
        InputError: The source or the result cannot be decoded any more.
    """
    state = state or job.state()
    payload, result = job.plan(), result_of(job, state)
    plan = plan_of(payload, job.id) if payload else None
    lines = list(_segments(job, state, plan)) if plan else []
    output = Path(result.output) if result else None
    return report_html(
        JobPage(
            name=job.name,
            state=standing(job, state, Living.around(job)),
            output=result.output if result else "",
            warnings=[line for line in (passed_text(state.passed), *(result.warnings if result else ())) if line],
            said=[line for line in lines_of(result, named=False) if line not in result.warnings] if result else (),
            pairs=_pairs(job.source(), output, plan, lines) if plan and output and output.is_file() else (),
            segments=lines,
            attempts=list(_attempts(job, state)),
            checks=result.checks if result else (),
            details=_details(job, decode_request(job.request()), plan, result),
        )
    )


def write_report(job: Job, path: Path) -> None:
    """Write the report of a job; the file is whole whenever it is there. Errors as for `job_report`."""
    write_whole(path, job_report(job).encode())


def write_beside(job: Job, result: Result) -> tuple[Path, Path]:
    """Write the summary file and the report beside a published result; where they lie. Errors as for `job_report`."""
    page = summary_path(Path(result.output)).with_suffix(".html")
    write_report(job, page)
    return write_summary(result), page


def _segments(job: Job, state: JobState, plan: Plan) -> Iterator[SegmentLine]:
    base = Fraction(*plan.video.time_base)

    def at(index: int) -> float:
        last = plan.pts[-1] + plan.last_duration
        return float(((plan.pts[index] if index < len(plan.pts) else last) - plan.pts[0]) * base)

    for task in state.tasks:
        if task.kind != "done" or not isinstance(task.task, int) or task.task >= len(plan.segments):
            continue
        end, spec = job.log.end(task.task, task.attempt), plan.segments[task.task]
        found = segment_result(end)
        if found is None or end is None:
            continue
        yield SegmentLine(
            index=spec.index,
            start_s=at(spec.start),
            stop_s=at(spec.stop),
            frames=found.frames,
            engine=found.engine,
            seconds=found.seconds,
            host=end.host,
            attempts=task.attempt,
            confidence=found.confidence,
            passed=task.task in state.passed,
            residue=found.residue,
        )


def _attempts(job: Job, state: JobState) -> Iterator[AttemptBar]:
    for task in state.tasks:
        for attempt in range(1, task.attempt + 1):
            end = job.log.end(task.task, attempt)
            if end is not None and end.t:
                yield AttemptBar(end.host, str(task.task), end.kind, end.t - end.seconds, end.t, end.why)


def _details(job: Job, request: JobRequest, plan: Plan | None, result: Result | None) -> list[tuple[str, str]]:
    rows = [("job", job.id), ("submitted", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.file.submitted)))]
    rows += [("source", f"{size_text(job.file.source.bytes)}, sha256 {job.file.source.sha256}")]
    if result:
        rows += [("result", f"{size_text(result.bytes)}, sha256 {result.sha256}")]
    if plan:
        shown = Geometry.of(plan.video)
        options = " ".join(f"{key}={value}" for key, value in sorted(plan.encode.options.items()))
        rows += [("picture", f"{shown.words}, {plan.video.pix_fmt}")]
        rows += [("encoder", f"{plan.encode.codec} {plan.encode.pix_fmt} {options}")]
    rows += [("engine asked for", request.config.restore.engine), ("version", __version__)]
    return rows


def _pairs(source: Path, output: Path, plan: Plan, lines: Sequence[SegmentLine]) -> list[Pair]:
    """The least certain frame of each track, of the least certain tracks, in order of time."""
    uncertain = sorted(_least_certain(track, plan, lines) for track in plan.tracks)[:MOST_PAIRS]
    shown, info = Geometry.of(plan.video), probe(output)
    times = frame_times(output, info)
    pairs = []
    for _, index, box in sorted(uncertain, key=lambda each: each[1]):
        place = shown.shown_box(box)
        (before,) = stills(source, plan.video, plan.pts, [index])
        (after,) = stills(output, info, times, [index])
        pairs.append(pair_of(shown, place, index, (before, after)))
    return pairs


def pair_of(shown: Geometry, place: DisplayBox, index: int, frames: tuple[Frame, Frame]) -> Pair:
    """A frame before and after, cut out around an overlay."""
    cut = _around(place, shown.shown)
    before, after = (_cut_out(shown.small(frame.picture, 1.0), cut) for frame in frames)
    middle = round(100 * (place[0] + place[2] / 2 - cut[0]) / (cut[2] - cut[0]))
    return Pair(before, after, f"frame {index}, overlay at {','.join(map(str, place))}", middle)


def _least_certain(track: OverlayTrack, plan: Plan, lines: Sequence[SegmentLine]) -> tuple[float, int, Box]:
    """How little was seen where a track was least certain, the middle frame of that, and where the overlay lies."""
    spans = [(0.0, track.start, track.stop)] if not lines else []
    for line in lines:
        spec = plan.segments[line.index]
        start, stop = max(track.start, spec.start), min(track.stop, spec.stop)
        if start < stop:
            spans.append((line.confidence.weight if line.confidence else 1.0, start, stop))
    weight, start, stop = min(spans, default=(1.0, track.start, track.stop))
    return weight, (start + stop) // 2, track.box


def _around(place: DisplayBox, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of a part of the picture with the overlay in its middle."""
    x, y, w, h = place
    more = round(_AROUND * max(h, min(w, 2 * h)))
    return max(0, x - more), max(0, y - more), min(size[0], x + w + more), min(size[1], y + h + more)


def _cut_out(picture: NDArray[np.uint8], cut: tuple[int, int, int, int]) -> str:
    """A part of a picture, uint8 [H, W, 3] BGR, as a data URI."""
    x0, y0, x1, y1 = cut
    part = picture[y0:y1, x0:x1]
    return jpeg_uri(part, quality=88, scale=min(1.0, _PAIR_PX / max(part.shape[:2])))
