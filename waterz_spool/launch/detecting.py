"""`detect`: looking before any work starts; tracks, masks and a contact sheet in a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from waterz_spool import media
from waterz_spool.config import Config
from waterz_spool.detect import patches
from waterz_spool.detect.base import Detection, Findings
from waterz_spool.detect.masks import overlap_px
from waterz_spool.errors import InputError, NoOverlayError
from waterz_spool.launch.tracksfile import MASKS, SCHEMA, TRACKS, TrackLine, TracksFile, tracks_text
from waterz_spool.records import Box, OverlayTrack, VideoInfo
from waterz_spool.report.contact import Sheet, Shown, Thumbs, sheet_html, sheet_png
from waterz_spool.stages.detectors import detector_of, findings_of, pinned_weights
from waterz_spool.stages.overlays import FoundOverlay
from waterz_spool.stages.request import DisplayBox


@dataclass(frozen=True)
class Look:
    """What was found and where it was written.

    Attributes:
        folder: Holds tracks.json, masks.mkv, contact.html and contact.png.
        tracks: The tracks.
        weights_sha256: Of the weights used; empty when none were.
    """

    folder: Path
    tracks: TracksFile
    weights_sha256: str


def detect_video(video: Path, folder: Path, config: Config, *, limits: Sequence[DisplayBox] = ()) -> Look:
    """Look for overlays and write what people want to see and correct.

    Raises:
        InputError: The video is unreadable or has no frames.
        NoOverlayError: Nothing was found; the contact sheet is written all the same.
        SetupError: The detector's library or weights are missing.
    """
    if not video.is_file():
        raise InputError("no such video file", where=str(video), todo="check the path")
    info = media.probe(video)
    config, sha256 = pinned_weights(config, used=True, spool=None)
    detector = detector_of(config.detect, info, sha256=sha256, spool=None)
    thumbs, count = Thumbs(), 0
    for frame in media.decode(video, info):
        detector.add(frame.index, frame.picture, media.planes(frame)[0])
        thumbs.add(frame.index, frame.picture, rotation=info.rotation)
        count += 1
    if not count:
        raise InputError("the video has no frames", where=str(video), todo="check that it plays")
    found = findings_of(detector, video, info, check=lambda: None)
    overlay = FoundOverlay(
        patches.grown(found.patches, config.detect.dilation_px), info, source=detector.name, limits=limits
    )
    lines = tuple(_line(track, found, info) for track in overlay.tracks(count))
    tracks = TracksFile(
        schema=SCHEMA, video=video.name, frames=count, size=_shown(info), detector=detector.name, tracks=lines
    )
    folder.mkdir(parents=True, exist_ok=True)
    _write_sheet(folder, _sheet(tracks, found, thumbs, sha256))
    if not lines:
        reason = found.reason or "all overlays found lie outside the limits"
        raise NoOverlayError(f"no overlay found: {reason}", where=str(folder / "contact.html"), todo="give its place")
    _write_masks(folder, overlay, tracks, info)
    _write(folder / TRACKS, tracks_text(tracks).encode())
    return Look(folder, tracks, sha256)


def _shown(info: VideoInfo) -> tuple[int, int]:
    return (info.height, info.width) if info.rotation in (90, 270) else (info.width, info.height)


def _line(track: OverlayTrack, found: Findings, info: VideoInfo) -> TrackLine:
    seen = [one for frame, one in found.scores if track.start <= frame < track.stop and overlap_px(one.box, track.box)]
    score = round(sum(one.score for one in seen) / len(seen), 3) if seen else None
    return TrackLine(
        start=track.start, stop=track.stop, box=_displayed(track.box, info), score=score, label=_label(seen)
    )


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


def _sheet(tracks: TracksFile, found: Findings, thumbs: Thumbs, sha256: str) -> Sheet:
    facts = [f"{tracks.size[0]}x{tracks.size[1]}, {tracks.frames} frames, detector {tracks.detector}"]
    if sha256:
        facts.append(f"weights sha256 {sha256}")
    if found.reason:
        facts.append(f"nothing found: {found.reason}")
    shown = [Shown(line.start, line.stop, line.box, line.score, line.label) for line in tracks.tracks]
    notes = [f"{','.join(map(str, item.box))}: {item.reason}" for item in found.rejected]
    return Sheet(tracks.video, facts, tracks.size, shown, notes, thumbs.pictures())


def _write_sheet(folder: Path, sheet: Sheet) -> None:
    _write(folder / "contact.png", sheet_png(sheet))
    _write(folder / "contact.html", sheet_html(sheet).encode())


def _write_masks(folder: Path, overlay: FoundOverlay, tracks: TracksFile, info: VideoInfo) -> None:
    """All masks as a player shows the picture; the file gets its name when it is whole."""
    part = folder / f".{os.getpid()}.{MASKS}"
    try:
        with media.MaskWriter(part, crops=[tracks.size]) as writer:
            for mask in overlay.masks(tracks.frames):
                writer.write_mask(0, np.ascontiguousarray(np.rot90(mask, info.rotation // 90)))
        part.replace(folder / MASKS)
    finally:
        part.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{os.getpid()}.{path.name}")
    part.write_bytes(data)
    part.replace(path)
