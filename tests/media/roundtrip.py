"""The whole media path without a spool: decode, encode in segments, join, verify."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from waterz_spool import media
from waterz_spool.records import EncodeSettings, VideoInfo


@dataclass
class Trip:
    """What a round trip was made of and what came out."""

    source: Path
    out: Path
    info: VideoInfo
    settings: EncodeSettings
    pts: tuple[int, ...]
    last_duration: int
    segments: Sequence[Path]
    counts: Sequence[int]
    checks: Sequence[str] = ()

    def verify(self, out: Path | None = None) -> list[str]:
        """Verify a result against this trip's source."""
        return media.verify(
            out or self.out,
            source=self.source,
            info=self.info,
            plan_pts=self.pts,
            last_duration=self.last_duration,
            threads=1,
        )


def bounds(count: int, cuts: Sequence[float]) -> list[tuple[int, int]]:
    """Uneven segments over ``count`` frames, none empty."""
    edges = sorted({0, count, *(min(count, max(0, round(count * c))) for c in cuts)})
    return list(pairwise(edges))


def roundtrip(
    source: Path, folder: Path, container: str | None = None, *, cuts: Sequence[float] = (0.23, 0.7), **options: Any
) -> Trip:
    """Take a video through the whole path."""
    folder.mkdir(parents=True, exist_ok=True)
    info = media.probe(source)
    settings = media.encode_settings(info, container=container or media.container_of(source), **options)
    media.check_container(source, info, settings)
    frames = [(f.pts, f.duration) for f in media.decode(source, info, threads=1)]
    pts = tuple(p for p, _ in frames)
    last = next(media.decode(source, info, start=len(pts) - 1, stop=len(pts), pts=pts, threads=1))
    ranges = bounds(len(pts), cuts)
    segments = [folder / f"segment{n}" for n in range(len(ranges))]
    for path, (start, stop) in zip(segments, ranges, strict=True):
        encode(path, source, info, settings, start=start, stop=stop, pts=pts)
    trip = Trip(
        source=source,
        out=folder / f"out.{settings.container}",
        info=info,
        settings=settings,
        pts=pts,
        last_duration=media.last_duration(info, pts, last),
        segments=segments,
        counts=[stop - start for start, stop in ranges],
    )
    join(trip)
    trip.checks = trip.verify()
    return trip


def encode(
    path: Path,
    source: Path,
    info: VideoInfo,
    settings: EncodeSettings,
    *,
    start: int,
    stop: int,
    pts: Sequence[int],
) -> None:
    """Encode frames [start, stop) as one segment."""
    with media.SegmentEncoder(path, settings, info) as encoder:
        for frame in media.decode(source, info, start=start, stop=stop, pts=pts, threads=1):
            encoder.write(frame)


def join(trip: Trip, out: Path | None = None, **changes: Any) -> None:
    """Join the trip's segments."""
    arguments: dict[str, Any] = {
        "source": trip.source,
        "info": trip.info,
        "plan_pts": trip.pts,
        "last_duration": trip.last_duration,
        "settings": trip.settings,
        "counts": trip.counts,
        **changes,
    }
    media.join(out or trip.out, trip.segments, **arguments)
