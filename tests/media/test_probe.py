"""Facts of a source, and the clear errors for what is none."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.media import make
from tests.media.make import Audio, Subtitle
from waterz_spool import media
from waterz_spool.errors import InputError


def test_facts_of_a_rich_file(tmp_path: Path) -> None:
    path = make.video(
        tmp_path / "a.mkv",
        codec="libx265",
        pix_fmt="yuv420p10le",
        frames=6,
        rate=Fraction(24000, 1001),
        rotation=90,
        context={**make.BT2020_PQ, "sample_aspect_ratio": Fraction(4, 3)},
        options={"x265-params": f"{make.HDR10}:log-level=none"},
        audio=[Audio(language="eng", default=True)],
        subtitles=[Subtitle(language="fra")],
        chapters=[(0, 0.1, "One")],
        attachments=[("f.ttf", "font/ttf", b"1")],
    )
    info = media.probe(path)
    assert (info.codec, info.pix_fmt, info.bits, info.width, info.height) == ("hevc", "yuv420p10le", 10, 96, 64)
    assert (info.time_base, info.rotation, info.sample_aspect) == ((1, 1000), 90, (4, 3))
    assert info.average_rate is not None and abs(Fraction(*info.average_rate) - Fraction(24000, 1001)) < Fraction(1, 50)
    assert (info.color_range, info.colorspace, info.color_primaries, info.color_trc) == (1, 9, 9, 16)
    assert info.content_light == (1000, 400)
    assert info.mastering_display is not None and info.mastering_display[9] == (10_000_000, 10_000)
    assert [(s.kind, s.codec, s.language, s.default) for s in info.streams] == [
        ("video", "hevc", "", False),
        ("audio", "aac", "eng", True),
        ("subtitle", "subrip", "fra", False),
        ("attachment", "", "", False),
    ]
    assert info.chapters == 1 and not info.counted_pts


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_is_counter_clockwise_degrees(degrees: int, tmp_path: Path) -> None:
    assert media.probe(make.video(tmp_path / "a.mp4", frames=1, rotation=degrees)).rotation == degrees


def test_a_cover_picture_is_not_the_video(tmp_path: Path) -> None:
    path = make.video(tmp_path / "a.mp4", frames=2, cover=make.jpeg())
    assert media.probe(path).codec == "h264"


def test_an_mp4_chapter_track_is_no_stream_of_its_own(tmp_path: Path) -> None:
    info = media.probe(make.video(tmp_path / "a.mp4", frames=5, chapters=[(0, 0.1, "One")]))
    assert [s.kind for s in info.streams] == ["video"] and info.chapters == 1


@pytest.mark.parametrize("name", ["a.avi", "a.h264"])
def test_containers_that_time_no_frames_are_counted(name: str, tmp_path: Path) -> None:
    path = make.video(tmp_path / name, frames=12, rate=Fraction(30))
    info = media.probe(path)
    assert info.counted_pts
    assert [f.pts for f in media.decode(path, info)] == list(range(12))
    assert info.time_base == (1, 30)


@pytest.mark.parametrize(
    "name",
    [
        "ünï çødé ☃.mp4",
        "with space.mp4",
        "-dash.mp4",
        "http:x.mp4",
        "a%03d.mp4",
        "quote'\".mp4",
        "new\nline.mp4",
        "a|b.mp4",
    ],
)
def test_hostile_names_are_only_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make.video(tmp_path / "plain.mp4", frames=2).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(list(media.decode(Path(name), media.probe(Path(name))))) == 2


def _nothing(path: Path) -> None:
    """No file at all."""


def _folder(path: Path) -> None:
    path.mkdir()


def _text(path: Path) -> None:
    path.write_text("This is not a video.\n" * 100)


def _noise(path: Path) -> None:
    path.write_bytes(bytes(i * i * 7 % 251 for i in range(20_000)))


def _playlist(path: Path) -> None:
    path.write_text("#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")


def _concat(path: Path) -> None:
    make.video(path.with_suffix(".real.mp4"), frames=2)
    path.write_text(f"ffconcat version 1.0\nfile {path.with_suffix('.real.mp4').name}\n")


def _picture(path: Path) -> None:
    path.write_bytes(make.jpeg())


def _sound(path: Path) -> None:
    make.sound(path.with_suffix(".m4a")).rename(path)


def _no_frames(path: Path) -> None:
    make.video(path.with_suffix(".mkv"), frames=0, audio=[Audio(seconds=0.5)]).rename(path)


def _cut(name: str, share: float, **spec: Any) -> Any:
    def write(path: Path) -> None:
        make.truncate(path, make.video(path.with_name(name), frames=60, audio=[Audio()], **spec), share)

    return write


def _interlaced(path: Path) -> None:
    options = {"flags": "+ildct+ilme", "x264-params": "tff=1"}
    make.video(path.with_suffix(".mkv"), frames=4, options=options).rename(path)


def _bayer(path: Path) -> None:
    make.video(path.with_suffix(".nut"), codec="rawvideo", pix_fmt="bayer_rggb8", frames=2).rename(path)


def _float(path: Path) -> None:
    make.video(path.with_suffix(".nut"), codec="rawvideo", pix_fmt="gbrpf32le", frames=2).rename(path)


def _gray_alpha(path: Path) -> None:
    make.video(path.with_suffix(".mkv"), codec="ffv1", pix_fmt="ya8", frames=2).rename(path)


def _dropped_alpha(path: Path) -> None:
    spec = {"codec": "libvpx-vp9", "video_tags": {"alpha_mode": "1"}}
    make.video(path.with_suffix(".webm"), frames=2, **spec).rename(path)


BAD = {
    "missing": (_nothing, "no such file"),
    "a folder": (_folder, "cannot be read|not a video"),
    "text": (_text, "not a video"),
    "noise": (_noise, "not a video"),
    "a playlist": (_playlist, "not a video"),
    "a concat list": (_concat, "not a video"),
    "a picture": (_picture, "not a video"),
    "empty": (lambda path: path.touch(), "not a video"),
    "sound only": (_sound, "no video stream"),
    "no frames": (_no_frames, "no frames"),
    "mp4 cut at 60 %": (_cut("a.mp4", 0.6), "not a video"),
    "mp4 with its index in front cut at 60 %": (_cut("a.mp4", 0.6, muxer={"movflags": "faststart"}), "cut short"),
    "mkv cut at 60 %": (_cut("a.mkv", 0.6), "cut short"),
    "mkv cut in its header": (_cut("a.mkv", 0.01), "not a video|cut short|no video stream"),
    "avi cut at 60 %": (_cut("a.avi", 0.6), "cut short"),
    "interlaced": (_interlaced, "interlaced"),
    "bayer": (_bayer, "bayer_rggb8"),
    "float": (_float, "gbrpf32le"),
    "gray with alpha": (_gray_alpha, "ya8"),
    "alpha that the decoder drops": (_dropped_alpha, "alpha channel"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_usable_video_gets_a_clear_error(name: str, tmp_path: Path) -> None:
    write, message = BAD[name]
    path = tmp_path / "in.video"
    write(path)
    with pytest.raises(InputError, match=message) as caught:
        media.probe(path)
    what, where, todo = caught.value.lines()
    assert caught.value.exit_code == 4 and what and where and todo
    assert "\n" not in what


def test_nothing_listens_to_libav_while_a_decoder_has_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log takes Python's lock, for which a decoder's threads would wait while Python waits for them."""
    path = make.video(tmp_path / "a.mp4", frames=9)
    asked = []

    def listen(container: Any, stream: Any) -> str:
        asked.append(stream.codec_context.is_open)
        return "left"

    monkeypatch.setattr("waterz_spool.media.probing.chroma_location", listen)
    assert media.probe(path).chroma_location == "left"
    assert asked == [False]


def test_a_stream_without_announced_length_is_what_can_be_decoded(tmp_path: Path) -> None:
    whole = make.video(tmp_path / "a.ts", frames=60)
    path = make.truncate(tmp_path / "b.ts", whole, 0.6)
    info = media.probe(path)
    assert 10 < len(list(media.decode(path, info))) < 60


def test_importing_media_imports_neither_av_nor_numpy() -> None:
    import subprocess
    import sys

    code = "import sys, waterz_spool.media; assert not {'av', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", media.__all__)
def test_public_names_exist(name: str) -> None:
    assert callable(getattr(media, name)) or name in ("Plane", "Planes", "TRACK_CONTAINERS")
