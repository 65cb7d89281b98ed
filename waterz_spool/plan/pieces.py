"""Short pieces of a plan's segments, for measuring and previews: as they would be cut, only shorter."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from waterz_spool.records import Box, CropSpec, SegmentSpec

Shot = tuple[int, Box]
"""Number of the scene, and where the overlay lies: what is made once for it serves all its segments."""


def shot_of(crop: CropSpec, cuts: Sequence[int]) -> Shot:
    """The shot that a crop belongs to."""
    return bisect_right(cuts, crop.start), crop.hole


def kind_of(segment: SegmentSpec) -> str:
    """What happens to a segment, in a word."""
    return "copied" if segment.copy else "restored" if segment.crops else "encoded"


def context_of(segments: Sequence[SegmentSpec]) -> int:
    """How many frames a plan's crops see on each side, where no cut is in the way."""
    crops = [crop for segment in segments for crop in segment.crops]
    return max((max(c.start - c.context_start, c.context_stop - c.stop) for c in crops), default=0)


def piece(segment: SegmentSpec, start: int, stop: int, *, context: int, index: int) -> SegmentSpec:
    """Frames [start, stop) of a segment as a segment of its own, with the crops that it has there.

    Args:
        segment: Of the plan.
        start: First frame, within it.
        stop: One past the last, within it.
        context: Frames that its crops see on each side, where the segment's own see as many.
        index: Of the piece.
    """
    crops = tuple(
        msgspec.structs.replace(
            crop,
            start=max(start, crop.start),
            stop=min(stop, crop.stop),
            context_start=max(crop.context_start, max(start, crop.start) - context),
            context_stop=min(crop.context_stop, min(stop, crop.stop) + context),
        )
        for crop in segment.crops
        if max(start, crop.start) < min(stop, crop.stop)
    )
    return SegmentSpec(index=index, start=start, stop=stop, crops=crops)


def pieces(segments: Sequence[SegmentSpec], start: int, stop: int) -> list[SegmentSpec]:
    """Frames [start, stop) of a plan, in as many pieces as segments they lie in."""
    context = context_of(segments)
    touched = [each for each in segments if max(start, each.start) < min(stop, each.stop)]
    return [
        piece(each, max(start, each.start), min(stop, each.stop), context=context, index=number)
        for number, each in enumerate(touched)
    ]


def needed(segment: SegmentSpec) -> tuple[int, int]:
    """Frames that a segment's crops need, context included; none where it has no crops."""
    starts = [crop.context_start for crop in segment.crops]
    return min(starts, default=segment.start), max((crop.context_stop for crop in segment.crops), default=segment.start)


def before(keys: Sequence[int], index: int) -> int:
    """The last key frame at or before a frame: where its decoding begins."""
    at = bisect_right(keys, index)
    return keys[at - 1] if at else 0


def effort(crop: CropSpec) -> int:
    """What a restorer has to do for a crop: its area times frames.

    Each frame that it looks at counts once, each that it fills twice more: measured, a motion costs about half of
    what filling a frame does.
    """
    x0, y0, x1, y1 = crop.box
    frames = crop.context_stop - crop.context_start + 2 * (crop.stop - crop.start)
    return (x1 - x0) * (y1 - y0) * frames
