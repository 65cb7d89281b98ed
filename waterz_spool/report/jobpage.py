"""The report of a job as one page: before and after, where the pixels come from, who worked when, what was verified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from waterz_spool.records import Confidence
from waterz_spool.report.pages import page
from waterz_spool.report.result import level_of
from waterz_spool.report.words import clock

MOST_SEGMENTS = 400  # listed; a page of thousands of rows helps nobody
_WIDTH, _HEIGHT = 1000, 60  # of the charts, in their own units


@dataclass(frozen=True)
class Pair:
    """One place before and after.

    Attributes:
        before: Data URI of a picture.
        after: Another of the same size.
        label: Which frame of which overlay.
        at: Where the line between them begins, percent of the width: in the middle of the overlay.
    """

    before: str
    after: str
    label: str
    at: int = 50


@dataclass(frozen=True)
class SegmentLine:
    """One finished segment.

    Attributes:
        index: Of the segment.
        start_s: Since the first frame.
        stop_s: Of its last frame's end.
        frames: In it.
        engine: That restored it; empty when nothing was hidden.
        seconds: Its worker took.
        host: Of that worker.
        attempts: Until it was done.
        confidence: None when nothing was hidden.
        passed: It could not be restored and is the source's own.
        residue: Whether some of the overlay is left: clean, suspect or left; empty where that could not be told.
    """

    index: int
    start_s: float
    stop_s: float
    frames: int
    engine: str
    seconds: float
    host: str
    attempts: int
    confidence: Confidence | None
    passed: bool = False
    residue: str = ""


@dataclass(frozen=True)
class AttemptBar:
    """One attempt at a task.

    Attributes:
        host: That made it.
        task: Segment number, prep or final.
        kind: done, failed, lost, released or dead.
        start_s: On the server's clock, seconds since the epoch; for people only.
        stop_s: The same.
        why: Reason, for those that did not end well.
    """

    host: str
    task: str
    kind: str
    start_s: float
    stop_s: float
    why: str = ""


@dataclass(frozen=True)
class JobPage:
    """All that the report shows.

    Attributes:
        name: Of the video.
        state: Of the job.
        output: Path of the result; empty before there is one.
        warnings: Loud lines, worst first.
        said: What was done, in lines.
        pairs: Before and after.
        segments: Finished ones, in order.
        attempts: All that ended.
        checks: What was verified, in words.
        details: Label and value: settings, versions, sizes, sums.
    """

    name: str
    state: str
    output: str = ""
    warnings: Sequence[str] = ()
    said: Sequence[str] = ()
    pairs: Sequence[Pair] = ()
    segments: Sequence[SegmentLine] = ()
    attempts: Sequence[AttemptBar] = ()
    checks: Sequence[str] = ()
    details: Sequence[tuple[str, str]] = ()


def report_html(shown: JobPage) -> str:
    """The page as HTML that needs nothing but itself."""
    lanes, span_s = _lanes(shown.attempts)
    return page(
        "report.html",
        name=shown.name,
        state=shown.state,
        output=shown.output,
        warnings=list(shown.warnings),
        said=list(shown.said),
        pairs=list(shown.pairs),
        bars=_bars(shown.segments),
        any_made=any(each.confidence and each.confidence.invented for each in shown.segments),
        lanes=lanes,
        span=clock(span_s),
        segments=[_row(each) for each in shown.segments[:MOST_SEGMENTS]],
        left_out=max(0, len(shown.segments) - MOST_SEGMENTS),
        checks=list(shown.checks),
        details=list(shown.details),
    )


def _bars(segments: Sequence[SegmentLine]) -> list[dict[str, Any]]:
    """One bar per segment that hid something, as wide as it is long."""
    if not any(each.confidence for each in segments):
        return []
    end = max(each.stop_s for each in segments) or 1.0
    return [
        {
            "x": round(each.start_s / end * _WIDTH, 2),
            "width": round(max(1.0, (each.stop_s - each.start_s) / end * _WIDTH - 0.5), 2),
            "taken": round(each.confidence.weight * _HEIGHT, 1),
            "made": round(each.confidence.invented * _HEIGHT, 1),
            "title": f"segment {each.index}, {clock(each.start_s)}: {each.confidence.weight:.0%} from other frames",
        }
        for each in segments
        if each.confidence
    ]


def _lanes(attempts: Sequence[AttemptBar]) -> tuple[list[dict[str, Any]], float]:
    """One row per host, and how many seconds they span."""
    if not attempts:
        return [], 0.0
    begin = min(each.start_s for each in attempts)
    span = max(1e-3, max(each.stop_s for each in attempts) - begin)
    hosts: dict[str, list[dict[str, Any]]] = {}
    for each in attempts:
        seconds = each.stop_s - each.start_s
        ending = f": {each.why}" if each.why else ""
        hosts.setdefault(each.host or "unknown", []).append(
            {
                "kind": each.kind,
                "x": round((each.start_s - begin) / span * _WIDTH, 2),
                "width": round(max(1.5, seconds / span * _WIDTH), 2),
                "title": f"{each.task} on {each.host}, {each.kind} after {seconds:.1f} s{ending}",
            }
        )
    return [{"host": host, "attempts": bars} for host, bars in sorted(hosts.items())], span


def _row(each: SegmentLine) -> dict[str, Any]:
    word, tone = _trust(each.confidence) if not each.passed else ("passed through", "bad")
    return {
        "index": each.index,
        "time": clock(each.start_s),
        "frames": each.frames,
        "engine": each.engine or "-",
        "seconds": f"{each.seconds:.1f}",
        "host": each.host,
        "attempts": each.attempts,
        "seen": f"{each.confidence.seen:.0%}" if each.confidence else "-",
        "trust": word,
        "tone": tone,
        "left": each.residue or "-",
        "left_tone": _LEFT_TONES.get(each.residue, "soft"),
    }


_LEFT_TONES = {"clean": "good", "suspect": "fair", "left": "bad"}
_TONES = {"high": "good", "middle": "fair", "low": "bad"}


def _trust(confidence: Confidence | None) -> tuple[str, str]:
    """A confidence in one word, and its colour class."""
    if confidence is None:
        return "-", "soft"
    level = level_of(confidence.weight)
    return level, _TONES[level]
