"""Groups of pictures that are copied: exact to the packet, or encoded again; never wrong."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.media import make
from tests.media.roundtrip import encode
from waterz_spool import media
from waterz_spool.media.decoding import decode
from waterz_spool.plan import plan_copies
from waterz_spool.records import OverlayTrack

BOX = (8, 8, 40, 24)
GOP = "keyint=20:min-keyint=20:scenecut=0"


class Spliced:
    """A video whose frames [start, stop) are encoded again, and the rest copied as far as that can be."""

    def __init__(self, source: Path, folder: Path, start: int, stop: int, container: str = "") -> None:
        folder.mkdir(exist_ok=True)
        self.source, self.info = source, media.probe(source)
        settings = media.encode_settings(self.info, container=container or media.container_of(source))
        frames = list(decode(source, self.info, threads=1))
        self.pts = tuple(frame.pts for frame in frames)
        self.last = media.last_duration(self.info, self.pts, frames[-1])
        self.out = folder / f"out.{settings.container}"
        media.check_kind(self.info, settings)
        found = media.read_groups(source, self.info, self.pts)
        tracks = [OverlayTrack(start=start, stop=stop, box=BOX)]
        entries = [(entry.frame, entry.lead) for entry in found.entries]
        self.copies = plan_copies(entries, tracks, (), least=2)
        if not self.copies:
            raise media.NoCopyError("none")
        self.settings = media.fit(source, self.info, settings, found.delay)
        edges = sorted({0, len(self.pts), *(edge for span in self.copies for edge in span)})
        self.ranges = list(pairwise(edges))
        self.files = [None if span in self.copies else folder / f"{span[0]}.mkv" for span in self.ranges]
        for path, span in zip(self.files, self.ranges, strict=True):
            if path:
                encode(path, source, self.info, self.settings, start=span[0], stop=span[1], pts=self.pts)
        media.join(self.out, self.files, settings=self.settings, counts=[b - a for a, b in self.ranges], **self.plan)

    @property
    def plan(self) -> dict[str, Any]:
        return {"source": self.source, "info": self.info, "plan_pts": self.pts, "last_duration": self.last}

    @property
    def copied(self) -> int:
        return sum(stop - start for start, stop in self.copies)

    def verify(self, copied: Sequence[tuple[int, int]] | None = None) -> list[str]:
        return media.verify(self.out, **self.plan, copied=self.copies if copied is None else copied, threads=1)


SOURCES = {
    "H.264, closed groups": ({"options": {"x264-params": GOP}}, ("mp4", "mov", "mkv"), 70),
    "H.264, B-pyramid": ({"options": {"x264-params": f"{GOP}:bframes=6:b-pyramid=normal:ref=6"}}, ("mp4",), 70),
    "H.264 baseline": ({"options": {"profile": "baseline", "x264-params": GOP}}, ("mp4", "mkv"), 70),
    "H.264, one reference": ({"options": {"preset": "ultrafast", "x264-params": GOP}}, ("mp4",), 70),
    "H.264, several slices": ({"options": {"x264-params": f"{GOP}:slices=4"}}, ("mp4",), 70),
    "H.264, 10 bit": ({"pix_fmt": "yuv420p10le", "options": {"x264-params": GOP}}, ("mp4",), 70),
    "H.264, 4:2:2": ({"pix_fmt": "yuv422p", "options": {"x264-params": GOP}}, ("mkv",), 70),
    "HEVC, closed groups": (
        {"codec": "libx265", "options": {"x265-params": f"{GOP}:open-gop=0:log-level=none"}},
        ("mp4", "mkv"),
        70,
    ),
    "HEVC, open groups": (
        {"codec": "libx265", "options": {"x265-params": f"{GOP}:open-gop=1:log-level=none"}},
        ("mp4", "mov", "mkv"),
        60,
    ),
    "HEVC, 10 bit": (
        {"codec": "libx265", "pix_fmt": "yuv420p10le", "options": {"x265-params": f"{GOP}:log-level=none"}},
        ("mp4",),
        60,
    ),
    "ProRes": ({"codec": "prores_ks", "pix_fmt": "yuv422p10le"}, ("mov", "mkv"), 89),
    "ProRes 4444": ({"codec": "prores_ks", "pix_fmt": "yuv444p10le"}, ("mov",), 89),
    "DNxHR": (
        {"codec": "dnxhd", "pix_fmt": "yuv422p", "options": {"profile": "dnxhr_hq"}, "size": (256, 128)},
        ("mov",),
        89,
    ),
    "MJPEG": ({"codec": "mjpeg", "pix_fmt": "yuvj420p"}, ("mov", "mkv"), 89),
}  # fmt: skip
CASES = [(name, container) for name, (_, containers, _) in SOURCES.items() for container in containers]


@pytest.mark.parametrize(("name", "container"), CASES, ids=[" ".join(case) for case in CASES])
def test_what_is_not_hidden_stays_as_it_is_to_the_bit(name: str, container: str, tmp_path: Path) -> None:
    spec, _, least = SOURCES[name]
    source = make.video(tmp_path / f"a.{container}", frames=100, **spec)
    made = Spliced(source, tmp_path / "work", 41, 52)
    assert made.copied >= least
    checks = made.verify()
    assert any(f"{made.copied} frames are copies" in check for check in checks)
