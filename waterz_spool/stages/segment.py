"""Restore and encode one segment: everything it needs lies beside its job file and in the pinned source."""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from waterz_spool import media
from waterz_spool.errors import InputError
from waterz_spool.records import Confidence, CropSpec, SegmentJob, SegmentResult, mean_confidence
from waterz_spool.restore import Clip, Restorer
from waterz_spool.restore.composite import composite, to_full_chroma
from waterz_spool.spool import Claim

log = logging.getLogger(__name__)

Check = Callable[[], None]
Planes = tuple[NDArray[Any], ...]

_FULL_RANGE = 2  # AVCOL_RANGE_JPEG

DECODE_THREADS = 2
"""Per worker; a node runs several workers."""


def process_segment(
    claim: Claim, check: Check, *, restorer_of: Callable[[str, dict[str, Any]], Restorer]
) -> tuple[Path, bytes]:
    """Work on a claimed segment until its encoded output is written.

    Args:
        claim: The claim of the segment.
        check: Called between frames and windows; raises to stop.
        restorer_of: Gives the back end of a name and options; it may be kept across segments.

    Returns:
        The output file and the record of its outcome, a SegmentResult as JSON.

    Raises:
        InputError: The source or an input is not what the job file names.
    """
    begun = time.monotonic()
    job = msgspec.json.decode(claim.payload(), type=SegmentJob)
    restorer = restorer_of(job.engine, job.engine_options)
    patches, confidence = _restore_crops(claim, job, restorer, check)
    out = claim.output(".mkv")
    _encode(claim, job, patches, out, check)
    result = SegmentResult(
        frames=job.segment.stop - job.segment.start,
        engine=restorer.name if job.segment.crops else "",
        seconds=round(time.monotonic() - begun, 3),
        peak_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        confidence=confidence,
    )
    log.info("segment %d: %d frames in %.1f s", job.segment.index, result.frames, result.seconds)
    return out, msgspec.json.encode(result)


def colour_planes(planes: Planes, form: media.WorkFormat) -> Planes:
    """The planes that a restorer sees, in its order: no alpha, and R, G, B where libav stores G, B, R."""
    if form.family == "rgb":
        return planes[2], planes[0], planes[1]
    return planes[:3]


class _Patch:
    """The restored pixels of one crop over its target frames."""

    def __init__(self, spec: CropSpec, frames: NDArray[Any], masks: NDArray[np.uint8]) -> None:
        self.spec = spec
        self.frames = frames
        self.masks = masks

    def paste(self, index: int, planes: Planes, steps: tuple[int, int]) -> None:
        spec = self.spec
        if spec.start <= index < spec.stop:
            offset = index - spec.start
            composite(planes, self.frames[offset], self.masks[offset], spec.box, sx=steps[0], sy=steps[1])


def _restore_crops(
    claim: Claim, job: SegmentJob, restorer: Restorer, check: Check
) -> tuple[list[_Patch], Confidence | None]:
    if not job.segment.crops:
        return [], None
    assert job.frames is not None and job.masks is not None
    paths = claim.opened_input(job.frames), claim.opened_input(job.masks)
    patches, found = [], []
    for number, spec in enumerate(job.segment.crops):
        clip = _read_clip(paths, number, spec, job)
        restored = restorer.restore(clip, check=check)
        masks = clip.masks[clip.start : clip.stop].copy()
        patches.append(_Patch(spec, restored.frames, _inside(masks, spec)))
        found.append(restored.confidence)
    return patches, mean_confidence(found)


def _read_clip(paths: tuple[Path, Path], number: int, spec: CropSpec, job: SegmentJob) -> Clip:
    form = media.work_format(job.video.pix_fmt)
    x0, y0, x1, y1 = spec.box
    count = spec.context_stop - spec.context_start
    frames: Any = np.empty((count, y1 - y0, x1 - x0, min(3, form.plane_count)), form.dtype)
    masks = np.empty((count, y1 - y0, x1 - x0), np.uint8)
    read = 0
    pictures, holes = media.CropReader(paths[0]), media.MaskReader(paths[1])
    for planes, mask in zip(pictures.read(number), holes.read_masks(number), strict=False):
        if read < count:
            frames[read] = to_full_chroma(colour_planes(planes, form), 1 << form.shift_x, 1 << form.shift_y)
            masks[read] = mask
        read += 1
    if read != count:
        raise InputError(f"crop {number} has {read} frames, the job file says {count}", where=str(paths[0]))
    return Clip(
        frames=frames,
        masks=masks,
        start=spec.start - spec.context_start,
        stop=spec.stop - spec.context_start,
        bits=form.bits,
        family=form.family,
        matrix=job.video.colorspace,
        full_range=job.video.color_range == _FULL_RANGE,
    )


def _inside(masks: NDArray[np.uint8], spec: CropSpec) -> NDArray[np.uint8]:
    """The masks with all but the crop's own overlay cleared: a neighbour is its own crop's work."""
    x0, y0 = spec.box[:2]
    hole = spec.hole
    keep = np.zeros(masks.shape[1:], np.uint8)
    keep[hole[1] - y0 : hole[3] - y0, hole[0] - x0 : hole[2] - x0] = 255
    masks &= keep
    return masks


def _encode(claim: Claim, job: SegmentJob, patches: list[_Patch], out: Path, check: Check) -> None:
    segment = job.segment
    form = media.work_format(job.video.pix_fmt)
    frames = media.decode(
        claim.job.source(), job.video, start=segment.start, stop=segment.stop, pts=job.pts, threads=DECODE_THREADS
    )
    with media.SegmentEncoder(out, job.encode, job.video) as encoder:
        for frame in frames:
            check()
            planes = _patched(frame, patches, form) if patches else None
            encoder.write(frame, planes)
            claim.progress((frame.index + 1 - segment.start) / (segment.stop - segment.start))


def _patched(frame: media.Frame, patches: list[_Patch], form: media.WorkFormat) -> Planes:
    planes = media.planes(frame)
    steps = 1 << form.shift_x, 1 << form.shift_y
    for patch in patches:
        patch.paste(frame.index, colour_planes(planes, form), steps)
    return planes
