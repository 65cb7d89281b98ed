"""What a run would do, before it does it: in lines for people, and as data for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from waterz_spool.errors import printable
from waterz_spool.records import Box, Place
from waterz_spool.report.result import places_text, size_text
from waterz_spool.report.words import clock, count

SCHEMA = 1


class PlannedCrop(msgspec.Struct, frozen=True, kw_only=True):
    """What a restorer will see, and the overlay in it: x, y, width, height in px as shown; frames that it fills."""

    box: Box
    overlay: Box
    start: int
    stop: int


class PlannedSegment(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the video that one worker takes: frames [start, stop), seconds from the start."""

    index: int
    kind: str
    start: int
    stop: int
    start_s: float
    stop_s: float
    crops: tuple[PlannedCrop, ...]


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """All segments of a kind together."""

    segments: int
    frames: int


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds by the clock with so many workers that each have what one has here; of all processors together."""

    workers: int
    seconds: float
    cpu_seconds: float


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What `plan` tells.

    ``estimates`` and ``bytes`` come from pieces that were made, ``measured_frames`` together; ``took_s`` is what
    planning itself took, the look at the whole video included.
    """

    name: str
    output: str
    frames: int
    duration_s: float
    engine: str
    source: str
    tracks: tuple[Place, ...]
    kinds: dict[str, Kind]
    segments: tuple[PlannedSegment, ...]
    workers: int  # that a run starts here
    estimates: tuple[Estimate, ...]
    bytes: int
    source_bytes: int
    measured_frames: int
    took_s: float
    notes: tuple[str, ...] = ()
    schema: int = SCHEMA


_ROWS = 12


def lines_of(planned: Planned) -> list[str]:
    """The plan in lines."""
    return [
        f"{printable(planned.name)}: {count(planned.frames, 'frame')}, {clock(planned.duration_s)}",
        *places_text(planned.tracks, planned.source, len(planned.tracks), removed="to remove:"),
        *planned.notes,
        *_kinds(planned),
        "",
        *_table(planned.segments),
        "",
        *_estimates(planned),
        f"result: about {size_text(planned.bytes)} (source {size_text(planned.source_bytes)}), {planned.output}",
    ]


def _kinds(planned: Planned) -> Iterator[str]:
    for name, kind in planned.kinds.items():
        by = f" by {planned.engine}" if name == "restored" else ""
        yield f"{name}{by}: {count(kind.frames, 'frame')} in {count(kind.segments, 'segment')}"


def _table(segments: Sequence[PlannedSegment]) -> Iterator[str]:
    yield f"{'SEGMENT':>7}  {'TIME':<17}  {'FRAMES':>6}  {'KIND':<9}  CROPS"
    for segment in segments[:_ROWS]:
        when = f"{clock(segment.start_s)}-{clock(segment.stop_s)}"
        crops = "  ".join(",".join(map(str, crop.box)) for crop in segment.crops) or "-"
        yield f"{segment.index:>7}  {when:<17}  {segment.stop - segment.start:>6}  {segment.kind:<9}  {crops}"
    if len(segments) > _ROWS:
        yield f"and {count(len(segments) - _ROWS, 'more segment')}: --json has them all"


def _estimates(planned: Planned) -> Iterator[str]:
    for each in planned.estimates:
        here = "  (a run here)" if each.workers == planned.workers else ""
        yield f"{count(each.workers, 'worker'):>10}: about {about(each.seconds)}{here}"
    measured = count(planned.measured_frames, "frame")
    yield f"measured on {measured} under the present load, for workers that have what one has here"


def about(seconds: float) -> str:
    """A time that is no better than an estimate: 40 s, 4 min, 2 h 10 min."""
    if seconds < 55:
        return f"{max(1, round(seconds))} s" if seconds < 10 else f"{5 * round(seconds / 5)} s"
    minutes = round(seconds / 60)
    if minutes < 10 and seconds < 570:
        half = round(seconds / 30) / 2
        return f"{half:g} min"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
