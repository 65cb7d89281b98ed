"""The contact sheet of a video: what was found, as people look at it before the work starts."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from waterz_spool.detect.base import Detection, Findings, Luma
from waterz_spool.detect.masks import overlap_px
from waterz_spool.records import Box, OverlayTrack, VideoInfo
from waterz_spool.report.contact import Sheet, Shown, Thumbs, sheet_html, sheet_png
from waterz_spool.stages.request import DisplayBox


class SheetMaker:
    """Collects pictures while a video is looked at; says afterwards what was found in it.

    Args:
        name: Of the video.
        info: Its facts.
    """

    def __init__(self, name: str, info: VideoInfo) -> None:
        self._name, self._info = name, info
        self._thumbs = Thumbs()

    def add(self, index: int, picture: Any, luma: Luma) -> None:
        """A frame as ``av.VideoFrame``; frames come in order."""
        self._thumbs.add(index, picture, rotation=self._info.rotation)

    def write(
        self, page: Path, tracks: Sequence[Shown], found: Findings, *, frames: int, source: str, sha256: str = ""
    ) -> None:
        """Write the sheet as a page and, beside it, a PNG; whoever writes it again replaces it.

        Args:
            page: An .html file; its folder is made when it is not there.
            tracks: What will be masked.
            found: What was not taken, and why nothing was found.
            frames: Frames of the video.
            source: Where the tracks are from: the name of a detector, box, mask.
            sha256: Of the weights used; empty when none were.
        """
        width, height = shown_size(self._info)
        facts = [f"{width}x{height}, {frames} frames, {_ORIGIN.get(source, f'detector {source}')}"]
        facts += [f"weights sha256 {sha256}"] if sha256 else []
        facts += [f"nothing found: {found.reason}"] if found.reason else []
        notes = [f"{','.join(map(str, _displayed(item.box, self._info)))}: {item.reason}" for item in found.rejected]
        sheet = Sheet(self._name, facts, (width, height), tracks, notes, self._thumbs.pictures())
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


def shown_size(info: VideoInfo) -> tuple[int, int]:
    """Width and height of the picture as a player shows it."""
    return (info.height, info.width) if info.rotation in (90, 270) else (info.width, info.height)


def shown_tracks(tracks: Sequence[OverlayTrack], found: Findings, info: VideoInfo) -> list[Shown]:
    """Tracks as people see them, with the confidence of what was seen in them."""
    return [_shown(track, found, info) for track in tracks]


def _shown(track: OverlayTrack, found: Findings, info: VideoInfo) -> Shown:
    seen = [one for frame, one in found.scores if track.start <= frame < track.stop and overlap_px(one.box, track.box)]
    score = round(sum(one.score for one in seen) / len(seen), 3) if seen else None
    return Shown(track.start, track.stop, _displayed(track.box, info), score, _label(seen))


def _label(seen: Sequence[Detection]) -> str:
    labels = sorted(one.label for one in seen)
    return max(labels, key=labels.count) if labels else ""


def _displayed(box: Box, info: VideoInfo) -> DisplayBox:
    """A coded box as x, y, width, height of the picture as a player shows it."""
    x0, y0, x1, y1 = box
    if info.rotation == 90:
        x0, y0, x1, y1 = y0, info.width - x1, y1, info.width - x0
    elif info.rotation == 180:
        x0, y0, x1, y1 = info.width - x1, info.height - y1, info.width - x0, info.height - y0
    elif info.rotation == 270:
        x0, y0, x1, y1 = info.height - y1, x0, info.height - y0, x1
    return x0, y0, x1 - x0, y1 - y0
