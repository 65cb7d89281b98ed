"""The inputs of segments: lossless crops and masks beside each segment's job file, published as they are complete."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from waterz_spool import media
from waterz_spool.backends import RESTORERS
from waterz_spool.detect.masks import Mask
from waterz_spool.records import Box, FileRef, Plan, Plates, SegmentJob, SegmentSpec
from waterz_spool.restore.composite import crop_planes
from waterz_spool.spool import PrepClaim
from waterz_spool.stages.plates import PlateMaker
from waterz_spool.stages.prepare.marks import Marks
from waterz_spool.stages.prepare.overlays import Overlay

log = logging.getLogger(__name__)

Planes = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class Engine:
    """The restorer that all segments of a job use, and the options that its result depends on.

    Attributes:
        name: Of the restorer.
        options: Of it.
        texture: Whether it is given plates, to add texture where no frame shows anything.
        growing: Where a mask may become larger if some of its overlay is left, coded px; it must lie in one of them.
    """

    name: str
    options: dict[str, Any]
    texture: bool = False
    growing: tuple[Box, ...] = ()

    @property
    def measures(self) -> bool:
        """Whether it measures overlays once, for all segments."""
        return RESTORERS.load(self.name).measures  # type: ignore[no-any-return]


def publish_segments(
    claim: PrepClaim, plan: Plan, overlay: Overlay, *, engine: Engine, check: Callable[[], None] = lambda: None
) -> None:
    """Write and publish every segment that is not published yet.

    The frames that any unpublished crop needs are decoded once, in order; the crops of at most a few segments are
    open at a time, whatever the length of the video.

    Args:
        claim: The claimed prepare task.
        plan: The decided plan.
        overlay: The masks of all frames.
        engine: The restorer of the whole job.
        check: Called between frames; raises to stop.
    """
    missing = [segment for segment in plan.segments if claim.job.segment(segment.index) is None]
    for segment in missing:
        if not segment.crops:
            _publish(claim, _record(plan, segment, engine))
    waiting = [segment for segment in missing if segment.crops]
    if not waiting:
        return
    plates = PlateMaker(plan, waiting if engine.texture else [])
    marks = Marks(claim, plan, check) if engine.measures else None
    writers: list[_Writer] = []  # the open ones alone: each holds its encoders' memory as long as it is known
    try:
        for index, planes, mask in _frames(claim, plan, overlay, waiting, first=plates.first):
            check()
            plates.add(index, planes, mask)
            while waiting and _needed(waiting[0])[0] <= index:
                writers.append(_Writer(claim, plan, waiting.pop(0), engine))
            for writer in writers:
                writer.add(index, planes, mask)
            for writer in [w for w in writers if w.stop == index + 1]:
                writer.publish(plates, marks)
                writers.remove(writer)
            claim.progress((index + 1) / plan.frame_count, "cutting")
    finally:
        for writer in writers:
            writer.abandon()


def _needed(segment: SegmentSpec) -> tuple[int, int]:
    """Frames that the segment's crops need, context included."""
    return min(c.context_start for c in segment.crops), max(c.context_stop for c in segment.crops)


def _frames(
    claim: PrepClaim, plan: Plan, overlay: Overlay, waiting: list[SegmentSpec], *, first: int
) -> Iterator[tuple[int, Planes, Mask]]:
    start = min(first, *(_needed(segment)[0] for segment in waiting))
    stop = max(_needed(segment)[1] for segment in waiting)
    masks = overlay.masks(plan.frame_count)
    for _ in range(start):
        next(masks)
    source = claim.job.source()
    frames = media.decode(source, plan.video, start=start, stop=stop, pts=plan.pts)
    for frame, mask in zip(frames, masks, strict=False):
        yield frame.index, media.planes(frame), mask


def _cut(planes: Planes, box: Box, form: media.WorkFormat) -> Planes:
    """The planes inside a box, alpha too."""
    steps = 1 << form.shift_x, 1 << form.shift_y
    if form.family == "yuv":
        alpha = crop_planes(planes[3:], box, 1, 1) if form.alpha else ()
        return (*crop_planes(planes[:3], box, *steps), *alpha)
    return crop_planes(planes, box, 1, 1)


class _Writer:
    """Writes the crops and masks of one segment; publishes it when the last frame is in."""

    def __init__(self, claim: PrepClaim, plan: Plan, segment: SegmentSpec, engine: Engine) -> None:
        self.stop = _needed(segment)[1]
        self._claim, self._plan, self._segment, self._engine = claim, plan, segment, engine
        form = media.work_format(plan.video.pix_fmt)
        self._form = form
        sizes = [(x1 - x0, y1 - y0) for x0, y0, x1, y1 in (crop.box for crop in segment.crops)]
        self._paths = (
            claim.segment_input(segment.index, "frames", ".mkv"),
            claim.segment_input(segment.index, "masks", ".mkv"),
        )
        self._frames = media.CropWriter(self._paths[0], crops=sizes, work=form, info=plan.video)
        self._masks = media.MaskWriter(self._paths[1], crops=sizes)

    def add(self, index: int, planes: Planes, mask: Mask) -> None:
        for number, crop in enumerate(self._segment.crops):
            if crop.context_start <= index < crop.context_stop:
                x0, y0, x1, y1 = crop.box
                self._frames.write(number, _cut(planes, crop.box, self._form))
                self._masks.write_mask(number, np.ascontiguousarray(mask[y0:y1, x0:x1]))

    def abandon(self) -> None:
        """Let go of files that nobody will read."""
        self._frames.abandon()
        self._masks.abandon()

    def publish(self, plates: PlateMaker, marks: Marks | None) -> None:
        """Finish the files and publish the segment."""
        self._frames.close()
        self._masks.close()
        frames, masks = (self._claim.sealed(path) for path in self._paths)
        made = plates.write(self._claim, self._segment) if self._engine.texture else None
        record = _record(self._plan, self._segment, self._engine, (frames, masks), plates=made)
        if marks is not None:
            record = msgspec.structs.replace(record, layers=marks.layers(record, self._paths))
        _publish(self._claim, record)


def _record(
    plan: Plan,
    segment: SegmentSpec,
    engine: Engine,
    inputs: tuple[FileRef, FileRef] | None = None,
    *,
    plates: Plates | None = None,
) -> SegmentJob:
    frames, masks = inputs or (None, None)
    return SegmentJob(
        segment=segment,
        video=plan.video,
        encode=plan.encode,
        pts=plan.pts[segment.start : segment.stop],
        engine=engine.name,
        engine_options=engine.options,
        frames=frames,
        masks=masks,
        plates=plates,
        growing=tuple(_around(crop.hole, engine.growing) for crop in segment.crops),
    )


def _publish(claim: PrepClaim, record: SegmentJob) -> None:
    segment = record.segment
    claim.job.put_segment(segment.index, msgspec.json.encode(record))
    log.info("segment %d ready: frames %d to %d", segment.index, segment.start, segment.stop)


def _around(hole: Box, places: Sequence[Box]) -> Box | None:
    """The place that an overlay lies in; None where it lies in none of them."""
    x0, y0, x1, y1 = hole
    return next((box for box in places if box[0] <= x0 and box[1] <= y0 and x1 <= box[2] and y1 <= box[3]), None)
