"""What was done, when a result is published: in lines for people, and as data for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from waterz_spool.errors import printable
from waterz_spool.records import LOW_WEIGHT, JobResult, Place, Remains
from waterz_spool.report.words import clock, count
from waterz_spool.spool import FINAL, Job, JobState

SCHEMA = 1
_SHOWN = 5
_SURE = 0.8
_NOTHING = 0.02  # of the hidden pixels seen: a rounding error, or one frame's edge

_SOURCES = {
    "box": "as given by --box",
    "mask": "as given by --mask",
}
_DETECTORS = {"yolo": "your weights"}


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A published result.

    ``seen`` is the share of the hidden pixels that some other frame shows, ``weight`` the share of the filling that
    is taken from there, ``invented`` that of detail that only resembles the surroundings; None where nothing was
    hidden or the engine does not tell. ``seconds`` is the time from the first claim to publication, pauses included.
    ``guess`` is True where the filling is a guess; ``warnings`` say so in words. ``residue`` is what a second look
    at the result says of the overlay: clean, suspect or left, the worst of all places; ``remains`` names the places.
    """

    job: str
    output: str
    bytes: int
    sha256: str
    frames: int
    seconds: float | None
    source: str
    tracks: tuple[Place, ...]
    track_count: int
    engines: tuple[str, ...]
    seen: float | None
    weight: float | None
    invented: float | None
    hidden_px: int
    guess: bool
    warnings: tuple[str, ...]
    look_at_s: float | None  # the middle of the least certain segment, where it is not certain
    checks: tuple[str, ...]
    passed: tuple[int, ...]
    copied: int  # frames whose packets are the source's own, bit by bit
    residue: str
    remains: tuple[Remains, ...]
    remains_count: int
    regrown_count: int
    captions: int | None
    captions_file: str
    schema: int = SCHEMA


def result_of(job: Job, state: JobState | None = None) -> Result | None:
    """What was done for a job; None while its result is not published, or where its records do not tell."""
    state = state or job.state()
    record = job.published() if state.published else None
    final = next((task for task in state.tasks if task.task == FINAL and task.kind == "done"), None)
    end = job.log.end(FINAL, final.attempt) if final else None
    if record is None or end is None:
        return None
    try:
        made = msgspec.json.decode(end.info, type=JobResult)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    confidence = made.confidence
    doubt = made.doubts[0] if made.doubts and made.doubts[0].weight < _SURE else None
    return Result(
        job=job.id,
        output=record.path,
        bytes=record.bytes,
        sha256=record.sha256,
        frames=made.frames,
        seconds=job.log.span_s(),
        source=made.source,
        tracks=made.tracks,
        track_count=made.track_count,
        engines=made.engines,
        seen=confidence.seen if confidence else None,
        weight=confidence.weight if confidence else None,
        invented=confidence.invented if confidence else None,
        hidden_px=confidence.hidden_px if confidence else 0,
        guess=confidence is not None and confidence.weight < LOW_WEIGHT,
        warnings=(*_left_over(made), *_warnings(made, state.segments or 0)),
        look_at_s=(doubt.start_s + doubt.stop_s) / 2 if doubt else None,
        checks=made.checks,
        passed=made.passed,
        copied=made.copied,
        residue=made.residue,
        remains=made.remains,
        remains_count=made.remains_count,
        regrown_count=made.regrown_count,
        captions=made.captions,
        captions_file=made.captions_file,
    )


def _warnings(made: JobResult, segments: int) -> Iterator[str]:
    confidence = made.confidence
    if confidence is None:
        return
    if made.engines == ("membrane",):
        yield "warning: the membrane engine looks at no other frame; the place is a guess"
    elif confidence.weight < LOW_WEIGHT and confidence.seen < _NOTHING:
        yield "warning: nothing behind the overlay was ever visible; the place is a guess"
    elif confidence.weight < LOW_WEIGHT:
        yield (
            f"warning: only {confidence.weight:.0%} of the hidden picture could be taken from other frames; "
            "most of the place is a guess"
        )
    elif made.doubt_count:
        worst = made.doubts[0]
        yield (
            f"warning: in {made.doubt_count} of {count(segments, 'segment')} most of the place is a guess, "
            f"worst at {clock(worst.start_s)}-{clock(worst.stop_s)}"
        )


def _left_over(made: JobResult) -> Iterator[str]:
    """Where some of the overlay is, or may be, still there."""
    if not made.remains:
        return
    worst = made.remains[0]
    place = f"{','.join(map(str, worst.box))} in {clock(worst.start_s)}-{clock(worst.stop_s)}"
    more = f", and {count(made.remains_count - 1, 'more place')}" if made.remains_count > 1 else ""
    if worst.verdict == "left":
        yield f"warning: some of the overlay is LEFT at {place}{more}; its mask is too small"
    else:
        yield f"warning: a trace of the overlay may be left at the edge of its mask: {place}{more}"


def lines_of(result: Result, *, named: bool) -> list[str]:
    """What was done, in lines; each stands for itself.

    Args:
        result: The result.
        named: Whether to say where it lies, where that is not printed anyway.
    """
    took = f"{_took(result.seconds)}, " if result.seconds is not None else ""
    where = f"{printable(result.output)}: " if named else ""
    lines = [
        *places_text(result.tracks, result.source, result.track_count),
        trust_text(result),
        *_copies(result),
        f"{where}{took}{size_text(result.bytes)}, verified",
    ]
    if result.regrown_count:
        lines.append(f"the mask was too small in {count(result.regrown_count, 'place')}; made again with a larger one")
    if result.captions is not None:
        lines.append(_kept(result))
    if result.look_at_s is not None:
        lines.append(f"look at {clock(result.look_at_s)} first: least was seen there")
    return [*lines, *result.warnings]


def _copies(result: Result) -> list[str]:
    return [f"{result.copied} of {result.frames} frames are the source's own, without loss"] if result.copied else []


def _kept(result: Result) -> str:
    if not result.captions:
        return "no captions were read"
    where = printable(result.captions_file) or "a subtitle track of the result"
    return f"{count(result.captions, 'caption')} kept in {where}"


def _took(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else clock(seconds)


def _detectors(source: str) -> str:
    """The names of detectors, as joined by plus signs, in words."""
    *first, last = (_DETECTORS.get(name, f"the {printable(name)} detector") for name in source.split("+"))
    return f"by {', '.join(first)} and {last}" if first else f"by {last}"


def places_text(tracks: Sequence[Place], source: str, total: int, *, removed: str = "removed") -> Iterator[str]:
    """Where the overlay is, when, and who says so; one line per place.

    Args:
        tracks: The first of them.
        source: Who said where it is: box, mask, or the names of detectors.
        total: How many there are.
        removed: The verb for places that the user gave.
    """
    verb = removed if source in ("box", "mask") else "found"
    who = _SOURCES.get(source) or _detectors(source)
    for place in tracks[:_SHOWN]:
        when = f"{clock(place.start_s)}-{clock(place.stop_s)}"
        yield f"{verb} {','.join(map(str, place.box))} in {when} ({who})"
    if total > _SHOWN:
        yield f"and {count(total - _SHOWN, 'more place')}"


def trust_text(result: Result) -> str:
    """How much of the hidden picture was really seen, how much filled in, how much invented."""
    if result.seen is None or result.weight is None:
        if not result.engines:
            return "nothing was hidden"
        return f"how much was seen in other frames was not measured by {' and '.join(result.engines)}"
    return trust_words(result.seen, result.weight, result.invented or 0.0)


def trust_words(seen: float, weight: float, invented: float) -> str:
    """The same from the shares themselves, 0..1."""
    smooth = max(0.0, 1 - weight - invented)
    rest = [f"{smooth:.0%} filled in smoothly", *([f"{invented:.0%} invented"] if invented >= 0.005 else [])]
    return (
        f"{level_of(weight)} confidence: {seen:.0%} of the hidden picture was seen in other frames; "
        f"{weight:.0%} is taken from them, {', '.join(rest)}"
    )


def level_of(weight: float) -> str:
    """high, middle or low: a blend weight in a word."""
    return "high" if weight >= _SURE else "middle" if weight >= LOW_WEIGHT else "low"


def size_text(size: int) -> str:
    """Bytes for people: 830 B, 12.4 kB, 1.6 MB."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def data_of(result: Result) -> dict[str, Any]:
    """The same as plain data, for --json and summary files."""
    found: dict[str, Any] = msgspec.to_builtins(result)
    return found
