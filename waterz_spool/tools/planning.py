"""Measuring for a forecast: pieces of a plan, spread over the video, as few as tell enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

import msgspec

from waterz_spool.geometry import Geometry
from waterz_spool.plan.forecast import Forecast, Measured
from waterz_spool.plan.pieces import context_of, effort, kind_of, piece
from waterz_spool.records import CropSpec, Place, SegmentSpec
from waterz_spool.report.planned import Estimate, Kind, Planned, PlannedCrop, PlannedSegment
from waterz_spool.tools.trial import MOST_PIECES, Trial

_RESTORE_S, _ENCODE_S = 6.0, 4.0
"""Seconds of processors; the piece in which they are used up is the last one."""

_COUNTS = (1, 4, 16)
"""Of workers: what estimates are for, besides what a run would start here."""

_RESTORED, _PLAIN = 32, 24
"""Frames of pieces; plain ones are only encoded."""


def forecast(
    trial: Trial, measured: Sequence[Measured] = (), *, tell: Callable[[float], None] = lambda share: None
) -> Forecast:
    """Measure some pieces of a plan, and say what all of it would take.

    Args:
        trial: The video.
        measured: Pieces that were made before; when something was restored in them, nothing more is.
        tell: Told how much of the measuring is done, 0..1.
    """
    looked, found = trial.looked, list(measured)
    known = any(each.piece.crops for each in found)
    restored = [] if known else list(_restored(looked.plan.segments))
    plain = list(_plain(looked.plan.segments))
    done = 0
    for wanted, budget_s in ((restored, _RESTORE_S), (plain, _ENCODE_S)):
        spent_s = 0.0
        for each in wanted:
            if len(found) < MOST_PIECES and spent_s < budget_s:
                made = trial.make(msgspec.structs.replace(each, index=len(found))).measured
                spent_s += made.restore.cpu_s + made.encode.cpu_s
                found.append(made)
            done += 1
            tell(done / (len(restored) + len(plain)))
    return Forecast(looked.plan.segments, looked.plan.cuts, looked.source, found, looked.decode, looked.once)


def _restored(segments: Sequence[SegmentSpec]) -> Iterator[SegmentSpec]:
    """Pieces with something to restore, the middle of the work first."""
    context = context_of(segments)
    work = [sum(map(effort, segment.crops)) for segment in segments]
    places = list(dict.fromkeys(_at(work, share)[0] for share in (1 / 2, 1 / 6, 5 / 6)))
    for index in places:
        crop = max(segments[index].crops, key=effort)
        start, stop = _middle(crop.start, crop.stop, _RESTORED)
        yield piece(segments[index], start, stop, context=context, index=0)


def _plain(segments: Sequence[SegmentSpec]) -> Iterator[SegmentSpec]:
    """Pieces that are only encoded."""
    frames = [0 if segment.copy else segment.stop - segment.start for segment in segments]
    for share in (3 / 8, 7 / 8, 1 / 8, 5 / 8):
        index, within = _at(frames, share)
        segment = segments[index]
        at = segment.start + round(within * frames[index])
        start = max(segment.start, min(at, segment.stop - _PLAIN))
        yield SegmentSpec(index=0, start=start, stop=min(segment.stop, start + _PLAIN))


def _at(weights: Sequence[int], share: float) -> tuple[int, float]:
    """Which of some things a share of all their weights falls into, and how far into it."""
    sums = list(accumulate(weights))
    wanted = share * sums[-1]
    index = next(index for index, reached in enumerate(sums) if reached >= wanted and weights[index])
    return index, 1 - (sums[index] - wanted) / weights[index]


def _middle(start: int, stop: int, frames: int) -> tuple[int, int]:
    first = max(start, (start + stop - frames) // 2)
    return first, min(stop, first + frames)


def planned(trial: Trial, found: Forecast, *, workers: int, took_s: float) -> Planned:
    """All that is known of a run before it.

    Args:
        trial: The video.
        found: What it would take.
        workers: How many a run would start here.
        took_s: What it took to find out.
    """
    looked = trial.looked
    plan, shown = looked.plan, Geometry.of(looked.info)
    ends = (*plan.pts, plan.pts[-1] + plan.last_duration)
    tick_s = plan.video.time_base[0] / plan.video.time_base[1]

    def at(index: int) -> float:
        return round((ends[index] - ends[0]) * tick_s, 3)

    return Planned(
        name=looked.name,
        output=str(looked.output),
        frames=plan.frame_count,
        duration_s=at(plan.frame_count),
        engine=looked.engine,
        source=plan.overlay_source,
        tracks=tuple(
            Place(box=shown.shown_box(track.box), start_s=at(track.start), stop_s=at(track.stop))
            for track in plan.tracks
        ),
        kinds=_kinds(plan.segments),
        segments=tuple(
            PlannedSegment(
                index=each.index,
                kind=kind_of(each),
                start=each.start,
                stop=each.stop,
                start_s=at(each.start),
                stop_s=at(each.stop),
                crops=tuple(_crop(crop, shown) for crop in each.crops),
            )
            for each in plan.segments
        ),
        workers=workers,
        estimates=tuple(
            Estimate(workers=each, seconds=round(found.seconds(each), 1), cpu_seconds=round(found.cpu_s(each), 1))
            for each in sorted({workers, *_COUNTS})
        ),
        bytes=found.bytes(),
        source_bytes=looked.source.others + sum(looked.source.frames),
        measured_frames=sum(each.frames for each in found.measured),
        took_s=round(took_s, 1),
        notes=plan.notes,
    )


def _kinds(segments: Sequence[SegmentSpec]) -> dict[str, Kind]:
    names = dict.fromkeys(map(kind_of, segments))
    chosen = {name: [each for each in segments if kind_of(each) == name] for name in names}
    return {
        name: Kind(segments=len(some), frames=sum(each.stop - each.start for each in some))
        for name, some in chosen.items()
    }


def _crop(crop: CropSpec, shown: Geometry) -> PlannedCrop:
    return PlannedCrop(
        box=shown.shown_box(crop.box), overlay=shown.shown_box(crop.hole), start=crop.start, stop=crop.stop
    )
