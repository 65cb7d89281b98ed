"""`detect`: looking before any work starts; tracks, masks and a contact sheet in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from waterz_spool import detect, media
from waterz_spool.config import Config
from waterz_spool.detect import patches
from waterz_spool.errors import InputError, NoOverlayError
from waterz_spool.geometry import Geometry
from waterz_spool.intake.submit import require_file
from waterz_spool.intake.tracksfile import MASKS, SCHEMA, TRACKS, TrackLine, TracksFile, tracks_text
from waterz_spool.records import DisplayBox, VideoInfo
from waterz_spool.stages.prepare.candidates import Candidate, advice, candidates_of, give_place
from waterz_spool.stages.prepare.detectors import findings_of, pinned_weights
from waterz_spool.stages.prepare.looking import Looking
from waterz_spool.stages.prepare.overlays import FoundOverlay, Overlay, hidden_by
from waterz_spool.stages.prepare.sheet import Looked, shown_tracks, write_sheet, write_whole


@dataclass(frozen=True)
class Look:
    """What was found and where it was written.

    Attributes:
        video: The file.
        folder: Holds contact.html and contact.png, and, when something was found, tracks.json and masks.mkv.
        tracks: The tracks; none when nothing certain was found.
        weights_sha256: Of the weights used; empty when none were.
        candidates: What may be an overlay and was not taken.
        reason: Why there are no tracks; empty otherwise.
    """

    video: Path
    folder: Path
    tracks: TracksFile
    weights_sha256: str
    candidates: tuple[Candidate, ...] = ()
    reason: str = ""

    def raise_if_nothing(self) -> None:
        """Say that nothing certain was found, and what may be an overlay.

        Raises:
            NoOverlayError: There are no tracks.
        """
        if not self.tracks.tracks:
            page = self.folder / "contact.html"
            todo = advice(self.candidates, otherwise=give_place(str(self.video)))
            raise NoOverlayError(f"no overlay found: {self.reason}", where=str(page), todo=todo)


def look_at(
    video: Path,
    config: Config,
    *,
    limits: Sequence[DisplayBox] = (),
    tell: Callable[[float], None] = lambda share: None,
) -> Looked:
    """Look at a whole video for overlays; with detector ``none`` only its times are read.

    Args:
        video: The file.
        config: Which detector, and how.
        limits: Nothing is masked outside these boxes; empty is no limit.
        tell: Told how far it is, 0..1.

    Raises:
        InputError: The video is unreadable or has no frames.
        SetupError: The detector's library or weights are missing.
    """
    require_file(video)
    info = media.probe(video)
    if config.detect.detector == "none":
        return Looked(video, str(video), info, _not_empty(media.frame_times(video, info), video), "none")
    config, sha256 = pinned_weights(config, used=True, spool=None)
    detector = detect.create(detect.Setting(options=config.detect, info=info, sha256=sha256))
    looking, pts = Looking(info, tell, check=lambda: None, again=True), list[int]()
    for frame in media.decode(video, info):
        detector.add(frame.index, frame.picture, media.planes(frame)[0])
        pts.append(frame.pts)
        looking.surveyed(frame.index)
    _not_empty(pts, video)
    found = findings_of(detector, video, info, pts, check=looking.again)
    grown = patches.grown(found.patches, config.detect.dilation_px)
    overlay = FoundOverlay(grown, info, source=detector.name, limits=limits)
    return Looked(
        video=video,
        name=str(video),
        info=info,
        pts=pts,
        source=detector.name,
        overlay=overlay,
        tracks=shown_tracks(hidden_by(overlay, len(pts)).tracks, found, info),
        found=found,
        sha256=sha256,
        candidates=candidates_of(found.rejected, info, pts, video=str(video)),
    )


def _not_empty(pts: Sequence[int], video: Path) -> Sequence[int]:
    if not pts:
        raise InputError("the video has no frames", where=str(video), todo="check that it plays")
    return pts


def detect_video(
    video: Path,
    folder: Path,
    config: Config,
    *,
    limits: Sequence[DisplayBox] = (),
    tell: Callable[[float], None] = lambda share: None,
) -> Look:
    """Look for overlays and write what people want to see and correct; arguments and errors as for `look_at`."""
    look = look_at(video, config, limits=limits, tell=tell)
    write_sheet(folder / "contact.html", look)
    tracks = TracksFile(
        schema=SCHEMA,
        video=video.name,
        frames=len(look.pts),
        size=Geometry.of(look.info).shown,
        detector=look.source,
        tracks=tuple(
            TrackLine(start=t.start, stop=t.stop, box=t.box, score=t.score, label=t.label) for t in look.tracks
        ),
    )
    candidates = tuple(look.candidates)
    if look.overlay is None or not look.tracks:
        for stale in (TRACKS, MASKS):
            (folder / stale).unlink(missing_ok=True)
        reason = look.found.reason or "all overlays found lie outside the limits"
        return Look(video, folder, tracks, look.sha256, candidates=candidates, reason=reason)
    _write_masks(folder, look.overlay, tracks, look.info)
    write_whole(folder / TRACKS, tracks_text(tracks).encode())
    return Look(video, folder, tracks, look.sha256, candidates=candidates)


def _write_masks(folder: Path, overlay: Overlay, tracks: TracksFile, info: VideoInfo) -> None:
    """All masks as a player shows the picture; the file gets its name when it is whole."""
    part, geometry = folder / f".{os.getpid()}.{MASKS}", Geometry.of(info)
    try:
        with media.MaskWriter(part, crops=[tracks.size]) as writer:
            for mask in overlay.masks(tracks.frames):
                writer.write_mask(0, geometry.shown_mask(mask))
        part.replace(folder / MASKS)
    finally:
        part.unlink(missing_ok=True)
