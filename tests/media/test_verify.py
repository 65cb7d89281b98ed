"""Verification must fail on every kind of damage; these tests would notice a verify that says yes to everything."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from tests.media import make
from tests.media.make import Audio, Subtitle
from tests.media.roundtrip import Trip, roundtrip
from waterz_spool.errors import VerificationError

MKV = {
    "frames": 40,
    "audio": [Audio(language="eng", default=True, title="Main"), Audio("flac", language="deu", pitch=21)],
    "subtitles": [Subtitle(language="fra")],
    "chapters": [(0, 0.5, "One"), (0.5, 1.6, "Two")],
    "attachments": [("font.ttf", "font/ttf", bytes(range(256)))],
    "tags": {"title": "Holiday", "hat": "red"},
    "rotation": 90,
    "context": {"color_primaries": 1, "color_trc": 1, "colorspace": 1, "color_range": 1},
}
MP4 = {
    "frames": 40,
    "audio": [Audio(language="eng", default=True)],
    "subtitles": [Subtitle("mov_text", language="fra")],
    "tags": {"title": "Holiday"},
    "rotation": 90,
}


@pytest.fixture(scope="module")
def mkv(tmp_path_factory: pytest.TempPathFactory) -> Trip:
    folder = tmp_path_factory.mktemp("mkv")
    return roundtrip(make.video(folder / "a.mkv", **MKV), folder / "work")


@pytest.fixture(scope="module")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> Trip:
    folder = tmp_path_factory.mktemp("mp4")
    return roundtrip(make.video(folder / "a.mp4", **MP4), folder / "work")


class Copy:
    """A remux that damages on the way; the plain one changes nothing that verify looks at."""

    skip: tuple[int, ...] = ()
    chapters = True

    def stream(self, stream: Any, index: int) -> None:
        """Change an output stream before the header is written."""

    def tags(self, tags: dict[str, str]) -> dict[str, str]:
        """Change the container's tags."""
        return tags

    def packet(self, packet: Any, index: int, number: int) -> Any:
        """Change or drop (None) the ``number``-th packet of source stream ``index``."""
        return packet

    def write(self, source: Path, out: Path) -> Path:
        with (
            av.open(str(source)) as given,
            av.open(str(out), "w", container_options={"avoid_negative_ts": "0"}) as made,
        ):
            streams = {}
            for stream in given.streams:
                if stream.index not in self.skip and stream.discard != 48:
                    streams[stream.index] = copy = made.add_stream_from_template(stream, opaque=True)
                    copy.metadata.update({k: v for k, v in stream.metadata.items() if k != "DURATION"})
                    copy.disposition = stream.disposition
                    if stream.time_base and stream.type != "attachment":
                        copy.time_base = stream.time_base
                    self.stream(copy, stream.index)
            made.metadata.update(self.tags(dict(given.metadata)))
            if self.chapters:
                made.set_chapters(given.chapters())
            counts: dict[int, int] = {}
            for packet in given.demux([s for s in given.streams if s.index in streams and s.type != "attachment"]):
                index = packet.stream_index
                number = counts[index] = counts.get(index, -1) + 1
                if (packet.size or packet.dts is not None) and self.packet(packet, index, number) is not None:
                    packet.stream = streams[index]
                    if packet.dts is None:
                        packet.dts = packet.pts - 1000
                    made.mux(packet)
        return out


class DropFrame(Copy):
    def packet(self, packet: Any, index: int, number: int) -> Any:
        return None if (index, number) == (0, 39) else packet


class LateFrame(Copy):
    def packet(self, packet: Any, index: int, number: int) -> Any:
        if (index, number) == (0, 39):
            packet.pts += max(1, packet.duration // 8)
        return packet


class DropSound(Copy):
    def packet(self, packet: Any, index: int, number: int) -> Any:
        return None if (index, number) == (1, 5) else packet


class ShiftSound(Copy):
    def packet(self, packet: Any, index: int, number: int) -> Any:
        if index == 1:
            packet.pts, packet.dts = packet.pts + packet.duration, packet.dts + packet.duration
        return packet


class ShortText(Copy):
    def packet(self, packet: Any, index: int, number: int) -> Any:
        if index == 3:
            packet.duration //= 2
        return packet


class NoTrack(Copy):
    skip = (2,)


class NoText(Copy):
    skip = (3,)


class NoFile(Copy):
    skip = (4,)


class NoChapters(Copy):
    chapters = False


class NoTag(Copy):
    def tags(self, tags: dict[str, str]) -> dict[str, str]:
        return {k: v for k, v in tags.items() if k.lower() != "title"}


class OtherLanguage(Copy):
    def stream(self, stream: Any, index: int) -> None:
        if index == 1:
            stream.metadata["language"] = "spa"


class OtherTitle(Copy):
    def stream(self, stream: Any, index: int) -> None:
        if index == 1:
            stream.metadata["title"] = "Commentary"


class NotDefault(Copy):
    def stream(self, stream: Any, index: int) -> None:
        if index == 1:
            stream.disposition = 0
        if index == 2:
            stream.disposition = 1


class Upright(Copy):
    def stream(self, stream: Any, index: int) -> None:
        if index == 0:
            stream.set_display_rotation(0)


class OtherShape(Copy):
    def stream(self, stream: Any, index: int) -> None:
        if index == 0:
            stream.codec_context.sample_aspect_ratio = Fraction(4, 3)


DAMAGE: dict[str, tuple[type[Copy], str]] = {
    "a frame is missing": (DropFrame, "frame 38 is shown at|39 frames, the source 40"),
    "a frame is late": (LateFrame, "is shown at"),
    "a sound packet is missing": (DropSound, "packets instead of"),
    "the sound is late": (ShiftSound, "not at its time"),
    "a track is missing": (NoTrack, "stream 2 audio flac"),
    "the subtitles are missing": (NoText, "stream 3 subtitle"),
    "a text is short": (ShortText, "does not last"),
    "the attachment is missing": (NoFile, "attachment font.ttf"),
    "the chapters are missing": (NoChapters, "the chapters"),
    "a tag is missing": (NoTag, "tag title"),
    "a language is wrong": (OtherLanguage, "language of stream 1 audio"),
    "a title is wrong": (OtherTitle, "title"),
    "the default track is wrong": (NotDefault, "disposition default"),
    "the rotation is lost": (Upright, "rotation"),
}


def test_a_plain_copy_passes(mkv: Trip, mp4: Trip, tmp_path: Path) -> None:
    assert mkv.verify(Copy().write(mkv.out, tmp_path / "a.mkv"))
    assert mp4.verify(Copy().write(mp4.out, tmp_path / "a.mp4"))


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(name: str, mkv: Trip, tmp_path: Path) -> None:
    damage, message = DAMAGE[name]
    out = damage().write(mkv.out, tmp_path / "a.mkv")
    with pytest.raises(VerificationError, match=message) as caught:
        mkv.verify(out)
    assert caught.value.exit_code == 5 and caught.value.where == str(out)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (DropFrame, "frame 38 is shown at|39 frames, the source 40"),
        (LateFrame, "is shown at"),
        (ShiftSound, "not at its time|ends at"),
        (NoTag, "tag title"),
        (Upright, "rotation"),
        (OtherShape, "sample aspect ratio"),
    ],
)
def test_damage_is_named_in_mp4_too(damage: type[Copy], message: str, mp4: Trip, tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match=message):
        mp4.verify(damage().write(mp4.out, tmp_path / "a.mp4"))


def test_changed_bytes_of_a_copied_stream_are_noticed(mkv: Trip, tmp_path: Path) -> None:
    with av.open(str(mkv.out)) as given:
        packet = [bytes(p) for p in given.demux(given.streams[1]) if p.size][5]
    data = mkv.out.read_bytes()
    assert data.count(packet) == 1
    out = tmp_path / "a.mkv"
    out.write_bytes(data.replace(packet, packet[:-1] + bytes([packet[-1] ^ 1])))
    with pytest.raises(VerificationError, match="data of stream 1 audio"):
        mkv.verify(out)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_cut_result_does_not_pass(share: float, mkv: Trip, tmp_path: Path) -> None:
    with pytest.raises(VerificationError):
        mkv.verify(make.truncate(tmp_path / "a.mkv", mkv.out, share))


def test_other_colours_do_not_pass(tmp_path: Path) -> None:
    tags = {"color_primaries": 1, "color_trc": 1, "colorspace": 1, "color_range": 1}
    source = make.video(tmp_path / "a.mp4", frames=6, context=tags)
    trip = roundtrip(source, tmp_path / "work")
    other = make.video(tmp_path / "b.mp4", frames=6, context={**tags, "colorspace": 6})
    with pytest.raises(VerificationError, match="colour matrix"):
        trip.verify(other)


def test_a_shallower_result_does_not_pass(tmp_path: Path) -> None:
    trip = roundtrip(make.video(tmp_path / "a.mkv", frames=6, pix_fmt="yuv422p10le"), tmp_path / "work")
    with pytest.raises(VerificationError, match="chroma layout"):
        trip.verify(make.video(tmp_path / "b.mkv", frames=6))
    with pytest.raises(VerificationError, match="bit depth"):
        trip.verify(make.video(tmp_path / "c.mkv", frames=6, pix_fmt="yuv422p"))


def test_lost_hdr_does_not_pass(tmp_path: Path) -> None:
    spec: dict[str, Any] = {"codec": "libx265", "pix_fmt": "yuv420p10le", "frames": 6, "context": make.BT2020_PQ}
    quiet = "log-level=none"
    source = make.video(tmp_path / "a.mkv", options={"x265-params": f"{make.HDR10}:{quiet}"}, **spec)
    trip = roundtrip(source, tmp_path / "work")
    plain = make.video(tmp_path / "b.mkv", options={"x265-params": quiet}, **spec)
    with pytest.raises(VerificationError, match="mastering display"):
        trip.verify(plain)


def test_drift_does_not_pass(tmp_path: Path) -> None:
    source = make.video(tmp_path / "a.mp4", frames=60, rate=Fraction(24000, 1001))
    trip = roundtrip(source, tmp_path / "work")
    other = make.video(tmp_path / "b.mp4", frames=60, rate=Fraction(24))
    with pytest.raises(VerificationError, match=r"frame 1 is shown at"):
        trip.verify(other)
