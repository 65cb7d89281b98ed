"""Plans and segments' jobs as they lie in the spool, believed only as far as they make sense.

Others can write there: what steers memory, loops, file names and encoders is checked before it is used.
"""

from __future__ import annotations

import struct
from typing import TypeVar

import msgspec

from waterz_spool import media
from waterz_spool.errors import InputError, UsageError
from waterz_spool.media.decoding import MAX_FRAMES
from waterz_spool.media.encode import check_encoder_options
from waterz_spool.media.source import MAX_PIXELS
from waterz_spool.records import SCHEMA, Box, CropSpec, Plan, SegmentJob, SegmentSpec, VideoInfo
from waterz_spool.spool import DamagedRecordError, check_file_name

MAX_CLIP_BYTES = 64 << 30
"""Decoded frames of one crop; ``plan.clip_mib`` allows no more."""

_PNG = b"\x89PNG\r\n\x1a\n"

T = TypeVar("T", Plan, SegmentJob)


def plan_of(data: bytes, where: str) -> Plan:
    """The plan that JSON holds.

    Raises:
        DamagedRecordError: It is none, of another version, or its frames, segments and crops do not fit together.
    """
    return _decoded(data, Plan, where)


def segment_job_of(data: bytes, where: str) -> SegmentJob:
    """The job of a segment that JSON holds.

    Raises:
        DamagedRecordError: As for a plan.
    """
    return _decoded(data, SegmentJob, where)


def _decoded(data: bytes, kind: type[T], where: str) -> T:
    try:
        found = msgspec.json.decode(data, type=kind)
        _expect(found.schema == SCHEMA, f"schema {found.schema}, not {SCHEMA}")
        _check_video(found.video)
        check_encoder_options(found.encode.options)
        if isinstance(found, Plan):
            _check_plan(found)
        else:
            _check_job(found)
    except (msgspec.MsgspecError, ValueError, RecursionError, InputError, UsageError) as error:
        raise DamagedRecordError(
            f"damaged {kind.__name__}: {str(error).splitlines()[0]:.200}", where=where, todo="submit the video again"
        ) from error
    return found


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _check_video(info: VideoInfo) -> None:
    _expect(info.width > 0 and info.height > 0, f"a picture of {info.width}x{info.height}")
    _expect(info.width * info.height <= MAX_PIXELS, f"a picture of {info.width}x{info.height}")
    _expect(min(info.time_base) > 0, f"time base {info.time_base}")
    _expect(info.average_rate is None or min(info.average_rate) > 0, f"rate {info.average_rate}")
    media.work_format(info.pix_fmt)


def _check_plan(plan: Plan) -> None:
    _expect(0 < len(plan.pts) <= MAX_FRAMES, f"{len(plan.pts)} frames")
    for patch in plan.patches:
        size = struct.unpack(">II", patch.png[16:24].ljust(8, b"\0"))
        _expect(patch.png[:8] == _PNG and size[0] * size[1] <= MAX_PIXELS, f"a mask of {size[0]}x{size[1]}")
    at = 0
    for index, segment in enumerate(plan.segments):
        _expect((segment.index, segment.start) == (index, at), f"segment {index} does not follow the one before it")
        _check_segment(segment, plan.video, len(plan.pts))
        at = segment.stop
    _expect(not all(segment.copy for segment in plan.segments), "nothing but copies")
    _expect(at == len(plan.pts), f"segments up to frame {at} of {len(plan.pts)}")


def _check_job(job: SegmentJob) -> None:
    segment = job.segment
    _expect(segment.index >= 0 and segment.start >= 0, f"segment {segment.index} from frame {segment.start}")
    _check_segment(segment, job.video, MAX_FRAMES)
    _expect(segment.stop - segment.start == len(job.pts), f"{len(job.pts)} times of {segment.stop - segment.start}")
    _expect(not segment.crops or (job.frames is not None and job.masks is not None), "crops without files")
    plates = job.plates
    for ref in filter(None, (job.frames, job.masks, *((plates.pictures, plates.masks) if plates else ()))):
        check_file_name(ref.file)
    _expect(len(job.growing) in (0, len(segment.crops)), f"{len(job.growing)} places of {len(segment.crops)} crops")
    for crop, box in zip(segment.crops, job.growing, strict=False):
        _expect(box is None or _within(crop.hole, box), f"hole {crop.hole} grows in {box}")
    _expect(len(job.layers) in (0, len(segment.crops)), f"layers of {len(job.layers)} of {len(segment.crops)} crops")
    channels = min(3, media.work_format(job.video.pix_fmt).plane_count)
    for layer in (layer for layers in job.layers for layer in layers or ()):
        _expect(0 < layer.slope <= 1 and len(layer.colour) == channels, f"a layer of {layer}")
    if plates:
        _expect(len(plates.boxes) == len(segment.crops), f"{len(plates.boxes)} plates of {len(segment.crops)} crops")
        whole = (0, 0, job.video.width, job.video.height)
        _expect(all(box is None or _within(box, whole) for box in plates.boxes), f"plates at {plates.boxes}")


def _check_segment(segment: SegmentSpec, info: VideoInfo, frames: int) -> None:
    _expect(not (segment.copy and segment.crops), f"segment {segment.index} is a copy with crops")
    _expect(segment.start < segment.stop <= frames, f"frames {segment.start} to {segment.stop} of {frames}")
    for crop in segment.crops:
        _check_crop(crop, info, frames)


def _check_crop(crop: CropSpec, info: VideoInfo, frames: int) -> None:
    whole = (0, 0, info.width, info.height)
    _expect(_within(crop.box, whole) and _within(crop.hole, crop.box), f"crop {crop.box} with hole {crop.hole}")
    times = (0, crop.context_start, crop.start, crop.stop, crop.context_stop, frames)
    _expect(list(times) == sorted(times) and crop.start < crop.stop, f"frames {times[1:5]} of a crop")
    x0, y0, x1, y1 = crop.box
    size = (x1 - x0) * (y1 - y0) * (crop.context_stop - crop.context_start) * 3
    _expect(size <= MAX_CLIP_BYTES, f"a crop of {size} bytes")


def _within(inner: Box, outer: Box) -> bool:
    left, top = outer[0] <= inner[0] < inner[2], outer[1] <= inner[1] < inner[3]
    return left and top and inner[2] <= outer[2] and inner[3] <= outer[3]
