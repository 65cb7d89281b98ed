"""The page of a video: frames with what was found, for people to check and to correct before the work starts."""

from __future__ import annotations

import os
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from waterz_spool import media
from waterz_spool.detect.base import Detection, Findings, Rejected
from waterz_spool.detect.masks import overlap_px
from waterz_spool.geometry import Geometry
from waterz_spool.records import OverlayTrack, VideoInfo
from waterz_spool.report.contact import Shown, sheet_png
from waterz_spool.report.picking import Marked, PickPage, Still, pick_html
from waterz_spool.stages.prepare.candidates import Candidate
from waterz_spool.stages.prepare.overlays import Overlay

EVENLY, MOST = 10, 12
"""Frames spread over the video; and with those that show overlays which none of these shows."""


@dataclass(frozen=True)
class Looked:
    """What a look at a video told.

    Attributes:
        video: The file.
        name: As the user knows it; also what the command calls it.
        info: Its facts.
        pts: Of all its frames.
        source: Where the tracks are from: the name of a detector, box, mask.
        overlay: What will be masked; None when nothing will.
        tracks: The same in boxes.
        found: What was not taken, and why nothing was found.
        sha256: Of the weights used; empty when none were.
        candidates: What may be an overlay.
    """

    video: Path
    name: str
    info: VideoInfo
    pts: Sequence[int]
    source: str
    overlay: Overlay | None = None
    tracks: Sequence[Shown] = ()
    found: Findings = field(default_factory=lambda: Findings(()))
    sha256: str = ""
    candidates: Sequence[Candidate] = ()


def write_sheet(page: Path, look: Looked, *, png: bool = True) -> None:
    """Write the page and, beside it, a PNG; whoever writes it again replaces it.

    Args:
        page: An .html file; its folder is made when it is not there.
        look: What it shows.
        png: Whether to write the PNG, too.
    """
    stills = _stills(look)
    page.parent.mkdir(parents=True, exist_ok=True)
    if png:
        likely = [Shown(each.start, each.stop, each.box, each.confidence, "") for each in look.candidates]
        write_whole(page.with_suffix(".png"), sheet_png(stills, look.tracks, likely))
    write_whole(page, pick_html(_page(look, stills)).encode())


def _page(look: Looked, stills: Sequence[Still]) -> PickPage:
    geometry, count = Geometry.of(look.info), len(look.pts)
    facts = [f"{geometry.words}, {count} frames", _ORIGIN.get(look.source, f"detector {look.source}")]
    facts += [f"weights sha256 {look.sha256}"] if look.sha256 else []
    span_s = _time_s(look, count - 1)
    return PickPage(
        name=Path(look.name).name,
        command_name=shlex.quote(look.name),
        facts=facts,
        size=geometry.shown,
        frame_count=count,
        rate=(count - 1) / span_s if span_s > 0 else 25.0,
        stills=stills,
        boxes=[_marked(look, track, track.words) for track in look.tracks],
        doubts=[_marked(look, each, f"confidence {each.confidence:.2f}: {each.reason}") for each in look.candidates],
        notes=[_note(item, geometry) for item in look.found.rejected if not item.confidence],
        reason=look.found.reason,
    )


_ORIGIN = {"box": "given by boxes", "mask": "given by a mask", "none": "nothing was looked for"}


def _marked(look: Looked, each: Shown | Candidate, note: str) -> Marked:
    start_s = _time_s(look, each.start) if each.start > 0 else None
    stop_s = _time_s(look, each.stop) if each.stop < len(look.pts) else None
    return Marked(each.box, start_s, stop_s, note)


def _time_s(look: Looked, index: int) -> float:
    return float((look.pts[index] - look.pts[0]) * Fraction(*look.info.time_base))


def _stills(look: Looked) -> list[Still]:
    """Frames as a player shows them, with what will be masked in them."""
    indexes, geometry = _chosen(len(look.pts), look.tracks), Geometry.of(look.info)
    masks = {}
    if look.overlay is not None:
        wanted = set(indexes)
        found = enumerate(look.overlay.masks(len(look.pts)))
        masks = {index: geometry.shown_mask(mask) for index, mask in found if index in wanted and mask.any()}
    return [
        Still(frame.index, _time_s(look, frame.index), geometry.small(frame.picture, 1.0), masks.get(frame.index))
        for frame in media.stills(look.video, look.info, look.pts, indexes)
    ]


def _chosen(count: int, tracks: Sequence[Shown]) -> list[int]:
    """Frames spread evenly, and one of each track that none of these shows."""
    found = {int(index) for index in np.linspace(0, count - 1, min(EVENLY, count)).round()}
    for track in tracks:
        if len(found) < MOST and not any(track.start <= index < track.stop for index in found):
            found.add((track.start + track.stop) // 2)
    return sorted(found)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is whole whenever it is there."""
    part = path.with_name(f".{secrets.token_hex(8)}.{path.name}")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def shown_tracks(tracks: Sequence[OverlayTrack], found: Findings, info: VideoInfo) -> list[Shown]:
    """Tracks as people see them, with the confidence of what was seen in them."""
    geometry = Geometry.of(info)
    return [_shown(track, found, geometry) for track in tracks]


def _shown(track: OverlayTrack, found: Findings, geometry: Geometry) -> Shown:
    seen = [one for frame, one in found.scores if track.start <= frame < track.stop and overlap_px(one.box, track.box)]
    score = round(sum(one.score for one in seen) / len(seen), 3) if seen else None
    return Shown(track.start, track.stop, geometry.shown_box(track.box), score, _label(seen))


def _note(item: Rejected, geometry: Geometry) -> str:
    """What was not taken, in one line."""
    return f"{','.join(map(str, geometry.shown_box(item.box)))}: {item.reason}"


def _label(seen: Sequence[Detection]) -> str:
    labels = sorted(one.label for one in seen)
    return max(labels, key=labels.count) if labels else ""
