"""Joining segments packet by packet under their true times, beside a copy of every other stream."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import accumulate
from pathlib import Path

from waterz_spool.errors import VerificationError
from waterz_spool.media.check import needs_all_tags
from waterz_spool.media.packets import DelayError, Recipe, Segment, demux, frame_of, open_segment, source_order, write
from waterz_spool.media.timing import Timing
from waterz_spool.records import Cue, EncodeSettings, VideoInfo

_MOST_REORDERED = 16  # more than this no codec reorders


def join(
    out: Path,
    segments: Sequence[Segment],
    *,
    source: Path,
    info: VideoInfo,
    plan_pts: Sequence[int],
    last_duration: int,
    settings: EncodeSettings,
    counts: Sequence[int],
    drop: Collection[int] = (),
    cues: Sequence[Cue] = (),
    language: str = "und",
) -> None:
    """Write the result.

    Args:
        out: File to write; the container is ``settings.container`` whatever the name.
        segments: Segment files in order; None where the packets are the source's. At least one is a file.
        source: The source, for everything that is not the video.
        info: The source's facts.
        plan_pts: True pts of all frames in ``info.time_base``.
        last_duration: Duration of the last frame in ``info.time_base``.
        settings: The encode settings all segments were encoded with.
        counts: Frames of each segment.
        drop: Stream indices of the source that the user wants left out.
        cues: Captions to be added as a subtitle track.
        language: Of that track, ISO 639-2.

    Raises:
        VerificationError: A segment does not hold its frames, or was encoded with other settings.
        InputError: The container cannot hold something.
    """
    _check_counts(out, segments, counts, plan_pts)
    all_tags = needs_all_tags(source, info, settings)
    recipe = Recipe(
        source=source, info=info, settings=settings, drop=drop, all_tags=all_tags, cues=cues, language=language
    )
    delay, tail = _reordering(segments, recipe, plan_pts, sum(counts[:-1]))
    starts = list(accumulate(counts[:-1]))
    for attempt in (delay, _MOST_REORDERED):
        timing = Timing(plan_pts, last_duration, delay=min(attempt, len(plan_pts) - 1), tail=tail, starts=starts)
        try:
            write(out, segments, counts, timing, recipe=recipe)
            return
        except DelayError:
            continue
    raise VerificationError("the segments reorder frames too far", where=str(out), todo="report this")


def _reordering(segments: Sequence[Segment], recipe: Recipe, pts: Sequence[int], offset: int) -> tuple[int, int]:
    """(frames by which decoding runs ahead, frame of the very last packet)."""
    with open_segment(next(path for path in segments if path)) as container:
        delay = max(container.streams.video[0].codec_context.reorder_depth, 0)
    tail, last = 0, segments[-1]
    if None in segments:
        ahead, tail = source_order(recipe, pts)
        delay = max(delay, ahead)
    if last is not None:
        with open_segment(last) as container:
            for packet in demux(container, container.streams.video[0], last):
                tail = offset + frame_of(packet)
    return delay, tail


def _check_counts(out: Path, segments: Sequence[Segment], counts: Sequence[int], plan_pts: Sequence[int]) -> None:
    if len(segments) != len(counts) or sum(counts) != len(plan_pts):
        raise VerificationError(
            f"{len(segments)} segments with {sum(counts)} frames do not make {len(plan_pts)} frames",
            where=str(out),
            todo="report this: the plan and the segments disagree",
        )
