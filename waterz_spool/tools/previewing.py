"""`preview`: a few seconds of a video made as `run` would make them, on a page with before and after."""

from __future__ import annotations

import shlex
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from waterz_spool import media
from waterz_spool.errors import UsageError
from waterz_spool.geometry import Geometry
from waterz_spool.plan.pieces import pieces
from waterz_spool.records import LOW_WEIGHT, Confidence, Plan, SegmentResult, mean_confidence
from waterz_spool.report.clips import clip_uri
from waterz_spool.report.jobpage import Pair
from waterz_spool.report.planned import Planned, about
from waterz_spool.report.previewpage import CLIP_BYTES, PreviewPage, preview_html
from waterz_spool.report.result import places_text, size_text, trust_words
from waterz_spool.report.words import clock, count
from waterz_spool.stages.prepare.sheet import write_whole
from waterz_spool.tools.reporting import pair_of
from waterz_spool.tools.trial import Made, Trial

MOST_FRAMES = 600
_MOST_PAIRS = 4
_CLIP_PX = 1280  # longer side

Picture = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Previewed:
    """A stretch of a video that was made.

    Attributes:
        start: First frame.
        stop: One past the last.
        made: In order, without gaps.
        confidence: None where nothing was hidden or the engine does not tell.
    """

    start: int
    stop: int
    made: Sequence[Made]
    confidence: Confidence | None

    @property
    def guess(self) -> bool:
        """Whether the filling is a guess."""
        return self.confidence is not None and self.confidence.weight < LOW_WEIGHT


def stretch(plan: Plan, *, at_s: float | None, seconds: float) -> tuple[int, int]:
    """Frames [start, stop) to preview.

    Args:
        plan: Of the whole video.
        at_s: From this time on, in seconds from the first frame; None: the middle of the longest overlay.
        seconds: So long, at most MOST_FRAMES.

    Raises:
        UsageError: No overlay is removed then.
    """
    tick = Fraction(*plan.video.time_base)
    times = [(pts - plan.pts[0]) * tick for pts in plan.pts]
    longest = max(plan.tracks, key=lambda track: track.stop - track.start)
    if at_s is None:
        middle = times[(longest.start + longest.stop) // 2]
        at_s = max(float(times[longest.start]), float(middle) - seconds / 2)
    start = bisect_left(times, Fraction(str(round(at_s, 6))))
    stop = min(bisect_left(times, Fraction(str(round(at_s + seconds, 6)))), start + MOST_FRAMES)
    if not any(max(track.start, start) < min(track.stop, stop) for track in plan.tracks):
        spans = f"{clock(float(times[longest.start]))}-{clock(float(times[longest.stop - 1]))}"
        raise UsageError(
            "no overlay is removed there", where=f"--at {at_s:g} --seconds {seconds:g}", todo=f"look within {spans}"
        )
    return start, stop


def preview(trial: Trial, start: int, stop: int, *, tell: Callable[[float], None] = lambda share: None) -> Previewed:
    """Make frames [start, stop) as `run` would; ``tell`` is told the share that is done, 0..1."""
    made = []
    for each in pieces(trial.looked.plan.segments, start, stop):
        before, own = (each.start - start) / (stop - start), (each.stop - each.start) / (stop - start)
        made.append(trial.make(each, tell=partial(_within, tell, before, own)))
    results = [msgspec.json.decode(each.info, type=SegmentResult) for each in made]
    return Previewed(
        start=start, stop=stop, made=made, confidence=mean_confidence([result.confidence for result in results])
    )


def _within(tell: Callable[[float], None], before: float, own: float, share: float) -> None:
    tell(before + own * share)


def write_preview(page: Path, trial: Trial, shown: Previewed, planned: Planned, *, command: Sequence[str]) -> None:
    """Write the page.

    Args:
        page: An .html file.
        trial: The video.
        shown: What was made of it.
        planned: What the whole would take.
        command: That runs the whole, in words.
    """
    plan, looked = trial.looked.plan, trial.looked
    ends = (*plan.pts, plan.pts[-1] + plan.last_duration)
    begin_s, end_s = (float((ends[at] - ends[0]) * Fraction(*plan.video.time_base)) for at in (shown.start, shown.stop))
    rate = (shown.stop - shown.start) / (end_s - begin_s)
    geometry = Geometry.of(looked.info)
    label = f"{clock(begin_s)}-{clock(end_s)}"
    clips = [
        clip_uri(_pictures(frames, geometry), size=_clip_size(geometry), rate=rate, most_bytes=CLIP_BYTES)
        for frames in (_before(trial, shown), _after(shown))
    ]
    confidence = shown.confidence
    places = places_text(planned.tracks, planned.source, len(planned.tracks), removed="to remove:")
    write_whole(
        page,
        preview_html(
            PreviewPage(
                name=looked.name,
                facts=[geometry.words, f"preview of {label}", count(shown.stop - shown.start, "frame"), looked.engine],
                clips=Pair(clips[0], clips[1], label),
                rate=rate,
                frames=shown.stop - shown.start,
                said=[trust_words(confidence.seen, confidence.weight, confidence.invented)] if confidence else [],
                warnings=["Most of the place is a guess: little behind the overlay was ever visible."]
                if shown.guess
                else [],
                whole=[*places, whole_text(planned)],
                pairs=list(_pairs(trial, shown)),
                command=shlex.join(command),
            )
        ).encode(),
    )


def whole_text(planned: Planned) -> str:
    """What all of the video would take here, in a line."""
    here = next(each for each in planned.estimates if each.workers == planned.workers)
    return (
        f"whole video: about {about(here.seconds)} here with {count(here.workers, 'worker')}, "
        f"result about {size_text(planned.bytes)}"
    )


def _before(trial: Trial, shown: Previewed) -> Iterator[media.Frame]:
    looked = trial.looked
    return media.decode(trial.job.source(), looked.info, start=shown.start, stop=shown.stop, pts=looked.plan.pts)


def _after(shown: Previewed) -> Iterator[media.Frame]:
    for each in shown.made:
        yield from media.decode(each.path, media.probe(each.path))


def _clip_size(geometry: Geometry) -> tuple[int, int]:
    """Even sides, as its pixel format needs."""
    scale = min(1.0, _CLIP_PX / max(geometry.shown))
    width, height = (max(2, round(side * scale / 2) * 2) for side in geometry.shown)
    return width, height


def _pictures(frames: Iterator[media.Frame], geometry: Geometry) -> Iterator[Picture]:
    scale = min(1.0, _CLIP_PX / max(geometry.shown))
    for frame in frames:
        yield geometry.small(frame.picture, scale)


def _pairs(trial: Trial, shown: Previewed) -> Iterator[Pair]:
    """Each overlay in full size, in the middle of what is shown of it."""
    plan = trial.looked.plan
    geometry = Geometry.of(plan.video)
    spans = [(max(t.start, shown.start), min(t.stop, shown.stop), t.box) for t in plan.tracks]
    for start, stop, box in [span for span in spans if span[0] < span[1]][:_MOST_PAIRS]:
        index, place = (start + stop) // 2, geometry.shown_box(box)
        (before,) = media.stills(trial.job.source(), plan.video, plan.pts, [index])
        yield pair_of(geometry, place, index, (before, _made_frame(shown, index)))


def _made_frame(shown: Previewed, index: int) -> Any:
    """A frame of what was made."""
    each = next(each for each in shown.made if each.measured.piece.stop > index)
    wanted = index - each.measured.piece.start
    frames = media.decode(each.path, media.probe(each.path), stop=wanted + 1)
    return next(frame for frame in frames if frame.index == wanted)
