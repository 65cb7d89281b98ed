"""The contact sheet of a video: what was found, as people look at it before the work starts."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from waterz_spool.detect.base import Detection, Findings, Luma, Rejected
from waterz_spool.detect.masks import overlap_px
from waterz_spool.geometry import Geometry
from waterz_spool.records import OverlayTrack, VideoInfo
from waterz_spool.report.contact import Sheet, Shown, Thumbs, sheet_html, sheet_png
from waterz_spool.stages.candidates import Candidate


class SheetMaker:
    """Collects pictures while a video is looked at; says afterwards what was found in it.

    Args:
        name: Of the video.
        info: Its facts.
    """

    def __init__(self, name: str, info: VideoInfo) -> None:
        self._name, self._geometry = name, Geometry.of(info)
        self._thumbs = Thumbs(self._geometry)

    def add(self, index: int, picture: Any, luma: Luma) -> None:
        """A frame as ``av.VideoFrame``; frames come in order."""
        self._thumbs.add(index, picture)

    def write(
        self,
        page: Path,
        tracks: Sequence[Shown],
        found: Findings,
        *,
        frames: int,
        source: str,
        sha256: str = "",
        candidates: Sequence[Candidate] = (),
    ) -> None:
        """Write the sheet as a page and, beside it, a PNG; whoever writes it again replaces it.

        Args:
            page: An .html file; its folder is made when it is not there.
            tracks: What will be masked.
            found: What was not taken, and why nothing was found.
            frames: Frames of the video.
            source: Where the tracks are from: the name of a detector, box, mask.
            sha256: Of the weights used; empty when none were.
            candidates: What may be an overlay, drawn thinly, with the command that takes it.
        """
        facts = [f"{self._geometry.words}, {frames} frames, {_ORIGIN.get(source, f'detector {source}')}"]
        facts += [f"weights sha256 {sha256}"] if sha256 else []
        facts += [f"nothing found: {found.reason}"] if found.reason else []
        notes = [_note(item, self._geometry) for item in found.rejected]
        likely = [(Shown(c.start, c.stop, c.box, c.confidence, "?"), c.command) for c in candidates]
        sheet = Sheet(self._name, facts, self._geometry.shown, tracks, notes, self._thumbs.pictures(), likely)
        page.parent.mkdir(parents=True, exist_ok=True)
        write_whole(page.with_suffix(".png"), sheet_png(sheet))
        write_whole(page, sheet_html(sheet).encode())


_ORIGIN = {"box": "given by boxes", "mask": "given by a mask"}


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
    place = ",".join(map(str, geometry.shown_box(item.box)))
    return f"{place}: {item.reason}" + (f" (confidence {item.confidence:.2f})" if item.confidence else "")


def _label(seen: Sequence[Detection]) -> str:
    labels = sorted(one.label for one in seen)
    return max(labels, key=labels.count) if labels else ""
