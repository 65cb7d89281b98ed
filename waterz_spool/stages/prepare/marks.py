"""What all segments must know alike about an overlay, measured once per place, while the crops are written.

The first segment with an overlay is measured as soon as its crops are complete, and its record keeps the answer: all
later segments, and a second attempt at prepare, take it from there. So no border of segments shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from waterz_spool import restore
from waterz_spool.records import Box, MarkLayer, Plan, SegmentJob, SegmentSpec
from waterz_spool.restore import Clip
from waterz_spool.spool import PrepClaim
from waterz_spool.stages.clips import read_clips
from waterz_spool.stages.contract.payloads import segment_job_of

Layers = tuple[MarkLayer, ...]


class Marks:
    """The measured overlays of a job.

    Args:
        claim: The claimed prepare task.
        plan: The decided plan.
        check: Called between frames; raises to stop.
    """

    def __init__(self, claim: PrepClaim, plan: Plan, check: Callable[[], None]) -> None:
        self._claim, self._plan, self._check = claim, plan, check
        holes = [crop.hole for segment in plan.segments for crop in segment.crops]
        self._shared = {hole for hole, count in Counter(holes).items() if count > 1}
        self._known: dict[Box, Layers | None] = {}

    def layers(self, record: SegmentJob, paths: tuple[Path, Path]) -> tuple[Layers | None, ...]:
        """What a segment's record must say about its overlays; empty when that is nothing.

        Args:
            record: As it will be published, without layers.
            paths: Its files of frames and masks.
        """
        segment = record.segment
        unknown = [crop.hole for crop in segment.crops if crop.hole in self._shared and not self._recall(crop.hole)]
        if unknown:
            self._measure(record, paths, unknown)
        found = tuple(self._known.get(crop.hole) for crop in segment.crops)
        return found if any(layers is not None for layers in found) else ()

    def _recall(self, hole: Box) -> bool:
        """Whether an overlay is known, from the record of the first segment with it if need be."""
        if hole in self._known:
            return True
        first = next(segment for segment in self._plan.segments if any(crop.hole == hole for crop in segment.crops))
        payload = self._claim.job.segment(first.index)
        if payload is None:
            return False
        record = segment_job_of(payload, f"{self._claim.job.id}/{first.index}")
        self._known[hole] = record.layers[_number(first, hole)] if record.layers else None
        return True

    def _measure(self, record: SegmentJob, paths: tuple[Path, Path], holes: list[Box]) -> None:
        restorer = restore.create(record.engine, record.engine_options)
        with closing(read_clips(paths, record, beside=False)) as clips:
            for crop, clip in zip(record.segment.crops, clips, strict=True):
                if crop.hole in holes:
                    self._known[crop.hole] = _recorded(restorer, clip, self._check)


def _recorded(restorer: restore.Restorer, clip: Clip, check: Callable[[], None]) -> Layers | None:
    found = restorer.measure(clip, check=check)
    if found is None:
        return None
    return tuple(
        MarkLayer(slope=each.slope, colour=tuple(each.colour.tolist()), correlation=each.correlation) for each in found
    )


def _number(segment: SegmentSpec, hole: Box) -> int:
    return next(number for number, crop in enumerate(segment.crops) if crop.hole == hole)
