"""Groups of pictures that are copied: exact to the packet, or encoded again; never wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import av
import pytest

from tests.media import make
from tests.media.roundtrip import encode
from waterz_spool import media
from waterz_spool.errors import VerificationError
from waterz_spool.media import splicing
from waterz_spool.media.decoding import decode
from waterz_spool.plan import plan_copies
from waterz_spool.records import OverlayTrack

BOX = (8, 8, 40, 24)
GOP = "keyint=20:min-keyint=20:scenecut=0"
FFV1 = {"level": "3", "coder": "1", "context": "0", "slices": "4", "slicecrc": "1", "g": "1"}
IRREGULAR = [24 * n + (n % 3) * 5 + (n > 70) * 900 for n in range(100)]


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
        self.copies = plan_copies(found.starts, found.ends, tracks, (), least=2)
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


ODD_BUT_COPIED = {
    "sets of another number": ({"options": {"x264-params": f"{GOP}:sps-id=3"}}, "mp4"),
    "sets repeated in the packets": ({"options": {"x264-params": f"{GOP}:repeat-headers=1:aud=1"}}, "mkv"),
    "buffering messages": ({"options": {"x264-params": f"{GOP}:nal-hrd=vbr:vbv-maxrate=900:vbv-bufsize=900"}}, "mp4"),
    "no arithmetic coding": ({"options": {"x264-params": f"{GOP}:cabac=0:8x8dct=0:weightp=0:bframes=1"}}, "mp4"),
    "main profile": ({"options": {"profile": "main", "x264-params": GOP}}, "mov"),
    "a late start": ({"options": {"x264-params": GOP}, "start": 33}, "mp4"),
    "a late start in mkv": ({"options": {"x264-params": GOP}, "start": 33}, "mkv"),
    "variable rate": ({"options": {"x264-params": GOP}, "pts": IRREGULAR, "time_base": Fraction(1, 600)}, "mp4"),
    "a rotated picture": ({"options": {"x264-params": GOP}, "rotation": 90}, "mp4"),
    "fragments": ({"options": {"x264-params": GOP}, "muxer": {"movflags": "frag_keyframe+empty_moov"}}, "mp4"),
    "uneven groups": ({"options": {"x264-params": "keyint=30:min-keyint=3:scenecut=80"}}, "mp4"),
    "pictures of odd size": ({"options": {"x264-params": GOP}, "size": (98, 70)}, "mp4"),
    "HEVC with decodable leading pictures": (
        {"codec": "libx265", "options": {"x265-params": f"{GOP}:open-gop=0:radl=2:bframes=3:log-level=none"}},
        "mp4",
    ),
    "HEVC without B": (
        {"codec": "libx265", "options": {"x265-params": f"{GOP}:bframes=0:open-gop=0:log-level=none"}},
        "mkv",
    ),
    "HEVC, HDR10": (
        {
            "codec": "libx265",
            "pix_fmt": "yuv420p10le",
            "options": {"x265-params": f"{GOP}:log-level=none:hdr10=1:{make.HDR10}"},
            "context": make.BT2020_PQ,
        },
        "mp4",
    ),
    "FFV1 as our own": ({"codec": "ffv1", "options": FFV1}, "mkv"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_BUT_COPIED)
def test_odd_sources_are_copied_exactly(name: str, tmp_path: Path) -> None:
    spec, container = ODD_BUT_COPIED[name]
    source = make.video(tmp_path / f"a.{container}", **{"frames": 100, **spec})
    made = Spliced(source, tmp_path / "work", 41, 52)
    assert made.copied >= 50
    made.verify()


ONE_ENTRY = {
    "open groups, one IDR": ({"options": {"x264-params": f"{GOP}:open-gop=1"}}, "mp4"),
    "one IDR": ({"options": {"x264-params": "keyint=infinite:scenecut=0"}}, "mp4"),
    "refreshed bit by bit": ({"options": {"x264-params": f"{GOP}:intra-refresh=1:bframes=0"}}, "mp4"),
    "HEVC, one entry": ({"codec": "libx265", "options": {"x265-params": "keyint=-1:log-level=none"}}, "mp4"),
}


@pytest.mark.parametrize("name", ONE_ENTRY)
def test_of_a_single_group_only_what_lies_before_the_overlay_is_copied(name: str, tmp_path: Path) -> None:
    spec, container = ONE_ENTRY[name]
    source = make.video(tmp_path / f"a.{container}", **{"frames": 100, **spec})
    made = Spliced(source, tmp_path / "work", 41, 52)
    assert [start for start, _ in made.copies] == [0] and 32 <= made.copied <= 41
    made.verify()
    with pytest.raises(media.NoCopyError):
        Spliced(source, tmp_path / "none", 0, 52)


NOT_COPIED = {
    "fields": ({"options": {"x264-params": f"{GOP}:fake-interlaced=1"}}, "mp4"),
    "lossless": ({"options": {"qp": "0", "x264-params": GOP}}, "mp4"),
    "a transport stream": ({"options": {"x264-params": GOP}}, "ts"),
    "AVI": ({"options": {"x264-params": f"{GOP}:bframes=0"}}, "avi"),
    "FFV1 with long groups": ({"codec": "ffv1", "options": {**FFV1, "g": "20"}}, "mkv"),
    "FFV1 of another kind": ({"codec": "ffv1", "options": {**FFV1, "slices": "12"}}, "mkv"),
    "VP9": ({"codec": "libvpx-vp9", "options": {"g": "20"}}, "mkv"),
    "MPEG-2": ({"codec": "mpeg2video", "options": {"g": "12", "bf": "2"}}, "mkv"),
}


@pytest.mark.parametrize("name", NOT_COPIED)
def test_what_cannot_be_proven_is_not_copied(name: str, tmp_path: Path) -> None:
    spec, container = NOT_COPIED[name]
    source = make.video(tmp_path / f"a.{container}", **{"frames": 100, **spec})
    with pytest.raises(media.NoCopyError):
        Spliced(source, tmp_path / "work", 41, 52, "mkv" if container in ("ts", "avi") else "")


def remuxed(source: Path, target: Path, change: Callable[[int, Any], Any], **muxer: str) -> Path:
    """The packets of a video again, each as ``change(number, packet)`` gives it back."""
    with av.open(str(source)) as given, av.open(str(target), "w", container_options=muxer) as out:
        stream = out.add_stream_from_template(given.streams.video[0], opaque=True)
        stream.time_base = given.streams.video[0].time_base
        for number, packet in enumerate(p for p in given.demux(video=0) if p.size):
            packet = change(number, packet)
            packet.stream = stream
            out.mux(packet)
    return target


def test_a_file_whose_edit_list_cuts_pictures_away_is_not_copied(tmp_path: Path) -> None:
    """What editors make of a part of a video: it begins within a group, and what lies before is hidden."""
    source = make.video(tmp_path / "a.mp4", frames=100, options={"x264-params": GOP})

    def earlier(number: int, packet: Any) -> Any:
        shift = round(Fraction(10, 25) / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        return packet

    cut = remuxed(source, tmp_path / "cut.mp4", earlier, avoid_negative_ts="disabled", use_editlist="1")
    info = media.probe(cut)
    assert len(list(decode(cut, info, threads=1))) == 90
    with pytest.raises(media.NoCopyError):
        Spliced(cut, tmp_path / "work", 41, 52)


def test_parameter_sets_that_change_within_the_packets_are_not_copied(tmp_path: Path) -> None:
    """Two recordings put end to end without a word of it in the header."""
    plain = {"bframes": "0", "repeat-headers": "1", "keyint": "20", "scenecut": "0"}
    raws = []
    for number, more in enumerate(({"ref": "1"}, {"ref": "3", "cabac": "0"})):
        words = ":".join(f"{key}={value}" for key, value in {**plain, **more}.items())
        raws.append(make.video(tmp_path / f"{number}.h264", frames=50, options={"x264-params": words}))
    both = tmp_path / "both.h264"
    both.write_bytes(b"".join(raw.read_bytes() for raw in raws))

    def timed(number: int, packet: Any) -> Any:
        packet.pts = packet.dts = number * 40
        packet.time_base, packet.duration = Fraction(1, 1000), 40
        return packet

    joined = remuxed(both, tmp_path / "both.mkv", timed)
    with pytest.raises(media.NoCopyError, match="parameter sets"):
        Spliced(joined, tmp_path / "work", 41, 45)


def test_a_copy_that_differs_from_the_source_is_found(tmp_path: Path) -> None:
    """An encoded segment that claims to be a copy, and one without the parameter sets that it needs."""
    source = make.video(tmp_path / "a.mp4", frames=100, options={"x264-params": GOP})
    made = Spliced(source, tmp_path / "work", 41, 52)
    with pytest.raises(VerificationError, match="differs from the source's"):
        made.verify(copied=[*made.copies[:1], (40, 60), *made.copies[1:]])


def test_the_decoder_that_a_player_starts_at_an_entry_is_asked(tmp_path: Path) -> None:
    """Without their own parameter sets, packets are decoded by those of the others."""
    options = {"x265-params": f"{GOP}:open-gop=1:ctu=16:log-level=none"}
    source = make.video(tmp_path / "a.mp4", frames=100, codec="libx265", options=options)
    with mock.patch.object(splicing, "_with_sets", lambda data, sets: data):
        made = Spliced(source, tmp_path / "work", 41, 52)
    with pytest.raises(VerificationError):
        made.verify()
