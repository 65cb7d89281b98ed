"""Which frames of a video keep their packets, and how the others are encoded so that they fit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from waterz_spool import media
from waterz_spool.config import EncodeConfig
from waterz_spool.plan import plan_copies
from waterz_spool.records import EncodeSettings, OverlayTrack, VideoInfo

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Copying:
    """What is copied of a video.

    Attributes:
        encode: How the rest is encoded.
        copies: Ranges of frames, in order.
        notes: Why nothing is copied though some frames have no overlay, in at most one line.
    """

    encode: EncodeSettings
    copies: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()


def plan_copying(
    source: Path,
    info: VideoInfo,
    encode: EncodeSettings,
    pts: Sequence[int],
    tracks: Sequence[OverlayTrack],
    *,
    options: EncodeConfig,
    least: int,
) -> Copying:
    """Look for frames without overlay whose packets can stay.

    Args:
        source: The video.
        info: Its facts.
        encode: The encode settings of the job.
        pts: True pts of all frames.
        tracks: The overlays.
        options: What the user asked.
        least: Frames of the shortest range that is copied.
    """
    plain = Copying(encode)
    gaps = media.long_gaps(pts, info, encode)
    everywhere = range(len(pts) + 1)
    if _asks_for_all(options) or not plan_copies(everywhere, everywhere, tracks, gaps, least=least):
        return plain
    try:
        media.check_kind(info, encode)
        found = media.read_groups(source, info, pts)
        copies = plan_copies(found.starts, found.ends, tracks, gaps, least=least)
        if not copies:
            raise media.NoCopyError("in no place without overlay can a decoder start")
        return Copying(media.fit(source, info, encode, found.delay), copies)
    except media.NoCopyError as error:
        log.info("nothing is copied: %s", error)
        return Copying(encode, notes=(f"every frame is encoded again: {error}",))


def _asks_for_all(options: EncodeConfig) -> bool:
    return options.recode == "all" or options.lossless or bool(options.codec)
