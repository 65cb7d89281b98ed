"""What must survive, case by case: decode, uneven segments, join, verify."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.media import make
from tests.media.make import Audio, Subtitle
from tests.media.roundtrip import join, roundtrip
from tests.media.test_encode import ENCODERS
from waterz_spool import media
from waterz_spool.media.source import side_data

X265 = "log-level=none"
VFR = [i * 512 + (7000 if i > 10 else 0) + (i * i) % 100 for i in range(30)]
NTSC = Fraction(24000, 1001)
HDR = {"codec": "libx265", "pix_fmt": "yuv420p10le", "context": make.BT2020_PQ}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "cfr mp4": ("a.mp4", {"audio": [Audio()]}),
    "cfr mkv": ("a.mkv", {"audio": [Audio()]}),
    "cfr mov": ("a.mov", {"audio": [Audio()]}),
    "cfr m4v": ("a.m4v", {"audio": [Audio()], "format": "mp4"}),
    "webm": ("a.webm", {"codec": "libvpx-vp9", "options": {"cpu-used": "8"}, "audio": [Audio("libopus")]}),
    "no audio": ("a.mp4", {}),
    "one frame": ("a.mp4", {"frames": 1}),
    "one frame mkv": ("a.mkv", {"frames": 1}),
    "two frames": ("a.mp4", {"frames": 2}),
    "vfr with a gap": ("a.mp4", {"pts": VFR, "time_base": Fraction(1, 12800), "audio": [Audio()]}),
    "vfr mkv": (
        "a.mkv",
        {"pts": [i * 40 + (900 if i > 9 else i % 3) for i in range(30)], "time_base": Fraction(1, 1000)},
    ),
    "23.976": ("a.mp4", {"rate": NTSC, "audio": [Audio()]}),
    "23.976 mkv": ("a.mkv", {"rate": NTSC, "audio": [Audio()]}),
    "no b-frames": ("a.mp4", {"options": {"bf": "0"}}),
    "many b-frames": ("a.mp4", {"frames": 50, "options": {"bf": "8", "b_strategy": "0", "refs": "8"}}),
    "open gop": ("a.mp4", {"frames": 60, "options": {"g": "12", "x264-params": "open-gop=1:scenecut=0"}}),
    "hevc open gop": ("a.mp4", {"codec": "libx265", "options": {"g": "12", "x265-params": X265}}),
    "non-zero start": ("a.mp4", {"start": 25, "audio": [Audio()]}),
    "non-zero start mkv": ("a.mkv", {"start": 25, "audio": [Audio()]}),
    "audio starts late": ("a.mp4", {"audio": [Audio(start=24_000)]}),
    "width 874": ("a.mp4", {"size": (874, 66), "frames": 8}),
    "odd size": ("a.mkv", {"size": (97, 65), "pix_fmt": "yuv444p", "frames": 8}),
    "odd size to vp9 to mp4": ("a.mkv", {"size": (97, 65), "codec": "rawvideo", "frames": 8}),
    "odd size 4:2:0": ("a.webm", {"size": (97, 65), "codec": "libvpx-vp9", "frames": 8}),
    "10-bit 4:2:2": ("a.mkv", {"pix_fmt": "yuv422p10le"}),
    "10-bit hevc": ("a.mp4", {**HDR, "frames": 12, "options": {"x265-params": X265}}),
    "12-bit hevc 4:4:4": (
        "a.mkv",
        {"codec": "libx265", "pix_fmt": "yuv444p12le", "frames": 8, "options": {"x265-params": X265}},
    ),
    "vp9 mp4": ("a.mp4", {"codec": "libvpx-vp9", "frames": 8, "options": {"cpu-used": "8"}}),
    "av1": ("a.mp4", {"codec": "libsvtav1", "frames": 12, "options": {"preset": "12"}}),
    "prores hq": ("a.mov", {"codec": "prores_ks", "pix_fmt": "yuv422p10le", "options": {"profile": "3"}, "frames": 6}),
    "prores 4444": (
        "a.mov",
        {"codec": "prores_ks", "pix_fmt": "yuv444p10le", "options": {"profile": "4"}, "frames": 6},
    ),
    "alpha": ("a.mkv", {"codec": "ffv1", "pix_fmt": "yuva422p10le", "frames": 4}),
    "dnxhr": (
        "a.mov",
        {"codec": "dnxhd", "pix_fmt": "yuv422p", "size": (256, 128), "options": {"profile": "dnxhr_sq"}, "frames": 4},
    ),
    "mpeg2": ("a.mkv", {"codec": "mpeg2video", "options": {"bf": "2"}}),
    "mjpeg": ("a.mov", {"codec": "mjpeg", "pix_fmt": "yuvj422p", "context": {"color_range": 2}, "frames": 6}),
    "ffv1 rgb": ("a.mkv", {"codec": "ffv1", "pix_fmt": "gbrp10le", "frames": 6}),
    "gray": ("a.mkv", {"pix_fmt": "gray", "frames": 8}),
    "full range": ("a.mp4", {"pix_fmt": "yuvj420p", "context": {"color_range": 2}}),
    "limited range": ("a.mp4", {"context": {"color_range": 1}}),
    "bt601": ("a.mp4", {"context": {"color_primaries": 6, "color_trc": 6, "colorspace": 6, "color_range": 1}}),
    "bt709": ("a.mkv", {"context": {"color_primaries": 1, "color_trc": 1, "colorspace": 1, "color_range": 1}}),
    "bt2020 pq": ("a.mov", {**HDR, "frames": 8, "options": {"x265-params": X265}}),
    "prores tags": (
        "a.mov",
        {
            "codec": "prores_ks",
            "pix_fmt": "yuv422p10le",
            "frames": 4,
            "context": {"color_primaries": 1, "color_trc": 1, "colorspace": 1},
        },
    ),
    "hdr10 mkv": ("a.mkv", {**HDR, "frames": 8, "options": {"x265-params": f"{make.HDR10}:{X265}"}}),
    "hdr10 mp4": ("a.mp4", {**HDR, "frames": 8, "options": {"x265-params": f"{make.HDR10}:{X265}"}}),
    "rotation 90": ("a.mp4", {"rotation": 90}),
    "rotation 180 mkv": ("a.mkv", {"rotation": 180}),
    "anamorphic": ("a.mp4", {"context": {"sample_aspect_ratio": Fraction(4, 3)}}),
    "anamorphic mkv": ("a.mkv", {"context": {"sample_aspect_ratio": Fraction(4, 3)}}),
    "two audio tracks": (
        "a.mp4",
        {"audio": [Audio(language="eng", title="Main"), Audio("ac3", language="deu", default=True, pitch=21)]},
    ),
    "everything mkv": (
        "a.mkv",
        {
            "audio": [Audio(language="eng", default=True, title="Main"), Audio("flac", language="deu")],
            "subtitles": [Subtitle(language="fra", forced=True), Subtitle("webvtt", language="ita")],
            "chapters": [(0, 0.5, "One"), (0.5, 1.2, "Two")],
            "attachments": [("font.ttf", "font/ttf", bytes(range(256)))],
            "tags": {"title": "Holiday", "COLOUR_OF_HAT": "red"},
            "video_tags": {"title": "Main camera", "language": "jpn"},
            "rotation": 270,
        },
    ),
    "everything mp4": (
        "a.mp4",
        {
            "audio": [Audio(language="eng", default=True, title="Main"), Audio("libopus", language="deu")],
            "subtitles": [Subtitle("mov_text", language="fra")],
            "chapters": [(0, 0.5, "One"), (0.5, 1.2, "Two")],
            "cover": make.jpeg(),
            "tags": {"title": "Holiday", "artist": "Me", "creation_time": "2020-02-03T04:05:06.000000Z"},
            "video_tags": {"language": "jpn"},
        },
    ),
    "own tags mp4": ("a.mp4", {"tags": {"hat": "red"}, "muxer": {"movflags": "use_metadata_tags"}}),
    "timecode mov": ("a.mov", {"video_tags": {"timecode": "01:02:03:04"}}),
    "pcm mov": ("a.mov", {"audio": [Audio("pcm_s16le")]}),
    "ts to mkv": ("a.ts", {"audio": [Audio()]}),
    "ts to mp4": ("a.ts", {"audio": [Audio()]}),
    "avi to mkv": ("a.avi", {"codec": "mpeg4", "options": {"bf": "2"}, "audio": [Audio("libmp3lame")]}),
    "avi with dropped frames to mp4": ("a.avi", {"codec": "mpeg4", "audio": [Audio("libmp3lame")]}),
    "avi h264 to mp4": ("a.avi", {}),
    "raw h264 to mkv": ("a.h264", {"rate": NTSC}),
    "mpeg program stream to mkv": ("a.mpg", {"codec": "mpeg2video", "options": {"bf": "2"}, "audio": [Audio("mp2")]}),
    "mp4 to mkv": ("a.mp4", {"audio": [Audio(language="eng")], "pts": VFR, "time_base": Fraction(1, 12800)}),
    "mkv to mp4": ("a.mkv", {"rate": NTSC, "audio": [Audio(language="eng")]}),
}


@pytest.mark.parametrize("name", CASES)
def test_it_survives(name: str, tmp_path: Path) -> None:
    file, spec = CASES[name]
    container = name.rsplit(" to ", maxsplit=1)[-1] if " to " in name else None
    trip = roundtrip(make.video(tmp_path / file, **spec), tmp_path / "work", container)
    exact = container != "mkv" or trip.info.time_base in ((1, 1000), (1, 90_000), (1, 25))
    assert ("pts equal" in trip.checks[0]) and (not exact or "tick" not in trip.checks[0])


@pytest.mark.parametrize("name", ENCODERS)
def test_odd_frame_times_survive_in_every_codec(name: str, tmp_path: Path) -> None:
    pts = [i * 37 + (900 if i > 5 else i % 3) for i in range(12)]
    kind = ENCODERS[name]
    source = make.video(
        tmp_path / "a.mkv",
        frames=12,
        pts=pts,
        time_base=Fraction(1, 1000),
        codec="ffv1",
        pix_fmt=kind.get("pix_fmt", "yuv420p").replace("yuvj", "yuv"),
        context={**kind.get("context", {}), "colorspace": 5},  # JPEG has no other matrix
    )
    trip = roundtrip(source, tmp_path / "work", codec=kind.get("codec", "libx264"))
    assert "pts equal" in trip.checks[0] and "tick" not in trip.checks[0] and trip.pts[:3] == (0, 38, 76)


@pytest.mark.parametrize("container", ["mov", "mkv"])
def test_hdr_that_only_the_container_knows_survives(container: str, tmp_path: Path) -> None:
    spec: dict[str, Any] = {"codec": "prores_ks", "pix_fmt": "yuv422p10le", "frames": 4, "options": {"profile": "3"}}
    source = make.add_hdr_boxes(make.video(tmp_path / "a.mov", context=make.BT2020_PQ, **spec), tag=b"apch")
    trip = roundtrip(source, tmp_path / "work", container)
    got = media.probe(trip.out)
    assert got.codec == "prores" and got.content_light == (1000, 400)
    assert got.mastering_display is not None and Fraction(*got.mastering_display[9]) == 1000


def test_a_result_is_named_by_no_one_but_its_caller(tmp_path: Path) -> None:
    """Whatever temporary name the result is written under, its container is the one that was asked for."""
    trip = roundtrip(make.video(tmp_path / "a.mp4", frames=5), tmp_path / "work")
    join(trip, tmp_path / ".tmp-result.part")
    assert trip.verify(tmp_path / ".tmp-result.part")
    assert "mp4" in media.probe(tmp_path / ".tmp-result.part").container


@pytest.mark.parametrize("changed", [False, True], ids=["passed through", "composited"])
def test_closed_captions_in_the_picture_stream_survive(changed: bool, tmp_path: Path) -> None:
    """CEA-708 captions (A/53 part 4, in an SEI message) ride with the frames into the new bitstream."""
    source = make.add_captions(make.video(tmp_path / "a.h264", frames=10, options={"aud": "0"}))
    info = media.probe(source)
    settings = media.encode_settings(info, container="mkv")
    with media.SegmentEncoder(tmp_path / "segment", settings, info) as encoder:
        for frame in media.decode(source, info):
            encoder.write(frame, media.planes(frame) if changed else None)
    wanted = [side_data(f.picture, "A53_CC") for f in media.decode(source, info)]
    got = [
        side_data(f.picture, "A53_CC") for f in media.decode(tmp_path / "segment", media.probe(tmp_path / "segment"))
    ]
    assert got == wanted and all(wanted) and len(set(wanted)) > 5
