"""Settings and segments: the source's own kind, same bytes everywhere, no state across segments."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest

from tests.media import make
from tests.media.make import Audio
from tests.media.roundtrip import encode, join, roundtrip
from tests.media.test_decode import info_with, prints
from waterz_spool import media
from waterz_spool.errors import InputError, SetupError, UsageError, VerificationError

CHOICES = [
    ({}, "mp4", "libx264", "yuv420p"),
    ({"pix_fmt": "yuvj420p", "color_range": 2}, "mp4", "libx264", "yuvj420p"),
    ({"pix_fmt": "yuv422p10le"}, "mkv", "libx264", "yuv422p10le"),
    ({"pix_fmt": "yuv420p9le"}, "mkv", "libx264", "yuv420p10le"),
    ({"pix_fmt": "nv12"}, "mov", "libx264", "yuv420p"),
    ({"pix_fmt": "gbrp"}, "mkv", "libx264rgb", "rgb24"),
    ({"pix_fmt": "gray"}, "mp4", "libx265", "gray"),
    ({"codec": "hevc", "pix_fmt": "yuv420p10le"}, "mp4", "libx265", "yuv420p10le"),
    ({"codec": "hevc", "pix_fmt": "gbrp12le"}, "mkv", "libx265", "gbrp12le"),
    ({"codec": "vp9"}, "webm", "libvpx-vp9", "yuv420p"),
    ({"codec": "vp8"}, "webm", "libvpx-vp9", "yuv420p"),
    ({"codec": "vp9", "pix_fmt": "yuv420p10le"}, "mkv", "libx264", "yuv420p10le"),
    ({"codec": "av1", "pix_fmt": "yuv420p10le"}, "mp4", "libsvtav1", "yuv420p10le"),
    ({"codec": "av1", "pix_fmt": "yuv444p"}, "mp4", "libx264", "yuv444p"),
    ({"codec": "prores", "pix_fmt": "yuv422p10le", "profile": "LT"}, "mov", "prores_ks", "yuv422p10le"),
    ({"codec": "prores", "pix_fmt": "yuv444p12le", "profile": "4444"}, "mov", "prores_ks", "yuv444p10le"),
    ({"codec": "prores", "pix_fmt": "yuva444p12le", "profile": "XQ"}, "mov", "prores_ks", "yuva444p10le"),
    ({"codec": "gif", "pix_fmt": "bgra"}, "mkv", "ffv1", "bgra"),
    ({"codec": "hevc", "pix_fmt": "yuva420p"}, "mkv", "ffv1", "yuva420p"),
    ({"pix_fmt": "yuv444p16le"}, "mkv", "ffv1", "yuv444p16le"),
    ({"codec": "dnxhd", "pix_fmt": "yuv422p10le"}, "mov", "dnxhd", "yuv422p10le"),
    ({"codec": "mpeg2video"}, "mkv", "mpeg2video", "yuv420p"),
    ({"codec": "mjpeg", "pix_fmt": "yuvj422p", "color_range": 2}, "mov", "mjpeg", "yuvj422p"),
    ({"codec": "ffv1", "pix_fmt": "yuv444p16le"}, "mkv", "ffv1", "yuv444p16le"),
    ({"codec": "ffv1", "pix_fmt": "bgr0"}, "mkv", "ffv1", "bgr0"),
    ({"codec": "huffyuv", "pix_fmt": "yuv422p"}, "mkv", "ffv1", "yuv422p"),
    ({"codec": "mpeg4"}, "mp4", "libx264", "yuv420p"),
    ({"codec": "rawvideo", "pix_fmt": "yuv422p12le"}, "mkv", "libx265", "yuv422p12le"),
]


@pytest.mark.parametrize(("facts", "container", "codec", "pix_fmt"), CHOICES)
def test_the_encoder_matches_the_source(facts: Any, container: str, codec: str, pix_fmt: str) -> None:
    settings = media.encode_settings(info_with(**facts), container=container)
    assert (settings.codec, settings.pix_fmt, settings.container) == (codec, pix_fmt, container)
    assert settings.options["threads"] == "2"


def test_options_of_the_user_win() -> None:
    settings = media.encode_settings(
        info_with(), container="mp4", crf=20.5, preset="slow", options={"tune": "film", "threads": "1"}
    )
    wanted = {"crf": "20.5", "preset": "slow", "tune": "film", "threads": "1"}
    assert wanted.items() <= settings.options.items()


REFUSED: list[tuple[dict[str, Any], dict[str, Any], type[Exception], str]] = [
    ({}, {"container": "avi"}, UsageError, "only .mp4"),
    ({"codec": "ffv1"}, {"container": "mov"}, InputError, ".mov cannot hold ffv1"),
    ({"codec": "av1"}, {"container": "mkv", "lossless": True}, UsageError, "av1 cannot be lossless"),
    ({}, {"container": "webm"}, InputError, ".webm cannot hold h264"),
    ({"pix_fmt": "yuv444p16le"}, {"container": "mov"}, InputError, "cannot hold yuv444p16le pictures"),
    ({"pix_fmt": "yuv420p10le", "width": 97, "height": 65}, {"container": "mp4"}, InputError, "of 97x65"),
    ({"pix_fmt": "yuv444p12le"}, {"container": "mov", "codec": "prores_ks"}, InputError, "prores_ks cannot hold"),
    ({"codec": "prores", "pix_fmt": "yuv422p10le"}, {"container": "mov", "crf": 3}, UsageError, "no setting for --crf"),
    ({"codec": "mjpeg", "pix_fmt": "yuvj420p"}, {"container": "mov", "lossless": True}, UsageError, "lossless"),
    ({}, {"container": "mov", "codec": "prores_ks"}, InputError, "prores_ks cannot hold"),
]


@pytest.mark.parametrize(("facts", "arguments", "error", "message"), REFUSED)
def test_what_cannot_be_encoded_is_refused(facts: Any, arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        media.encode_settings(info_with(**facts), **arguments)
    assert caught.value.todo


def test_library_parameters_of_the_user_are_added() -> None:
    params = media.encode_settings(info_with(), container="mp4", options={"x264-params": "mbtree=1"}).options
    assert params["x264-params"].startswith("open-gop=0:") and params["x264-params"].endswith(":mbtree=1")


def test_settings_that_this_machine_s_encoder_refuses_are_a_clear_error(tmp_path: Path) -> None:
    info = info_with()
    settings = media.encode_settings(info, container="mp4")
    settings = msgspec.structs.replace(settings, options={**settings.options, "g": "nothing"})
    with pytest.raises(SetupError, match="libx264 cannot be used"):
        media.SegmentEncoder(tmp_path / "a", settings, info)


ENCODERS: dict[str, dict[str, Any]] = {
    "h264": {},
    "hevc": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "vp9": {"codec": "libvpx-vp9", "options": {"cpu-used": "8"}},
    "av1": {"codec": "libsvtav1", "options": {"preset": "12"}},
    "mpeg2": {"codec": "mpeg2video"},
    "mjpeg": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "context": {"color_range": 2}},
    "ffv1": {"codec": "ffv1"},
    "prores": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
}


@pytest.mark.parametrize("name", ENCODERS)
def test_segments_join_to_what_each_of_them_decodes_to(name: str, tmp_path: Path) -> None:
    """No picture of one segment depends on another one, and equal work gives equal bytes."""
    source = make.video(tmp_path / "a.mkv", frames=26, **ENCODERS[name])
    trip = roundtrip(source, tmp_path / "1", cuts=(0.04, 0.3, 0.62))
    again = roundtrip(source, tmp_path / "2", cuts=(0.04, 0.3, 0.62))
    assert trip.out.read_bytes() == again.out.read_bytes()
    joined = [digest for _, _, digest in prints(media.decode(trip.out, media.probe(trip.out)))]
    alone = [digest for path in trip.segments for _, _, digest in prints(media.decode(path, media.probe(path)))]
    assert joined == alone


def test_other_segment_bounds_give_the_same_times(tmp_path: Path) -> None:
    pts = [i * 20 + i * i % 19 for i in range(40)]
    source = make.video(tmp_path / "a.mp4", frames=40, pts=pts, time_base=Fraction(1, 600), audio=[Audio()])
    times = []
    for number, cuts in enumerate([(), (0.5,), (0.1, 0.2, 0.9), tuple(n / 40 for n in range(40))]):
        trip = roundtrip(source, tmp_path / str(number), cuts=cuts)
        times.append([f.pts for f in media.decode(trip.out, media.probe(trip.out))])
        assert times[-1] == list(trip.pts)
    assert len(times) == 4


LOSSLESS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "h264": ("a.mp4", {}, {}),
    "h264 10-bit": ("a.mkv", {"pix_fmt": "yuv422p10le"}, {}),
    "h264 full range": ("a.mp4", {"pix_fmt": "yuvj444p", "context": {"color_range": 2}}, {}),
    "h264 rgb": ("a.mkv", {"codec": "libx264rgb", "pix_fmt": "rgb24"}, {}),
    "hevc 12-bit": (
        "a.mkv",
        {"codec": "libx265", "pix_fmt": "yuv444p12le", "options": {"x265-params": "log-level=none"}},
        {},
    ),
    "vp9": ("a.webm", {"codec": "libvpx-vp9"}, {}),
    "ffv1 rgb": ("a.mkv", {"codec": "ffv1", "pix_fmt": "gbrp10le"}, {}),
    "ffv1 8-bit rgb": ("a.mkv", {"codec": "ffv1", "pix_fmt": "bgr0"}, {}),
    "ffv1 alpha": ("a.mkv", {"codec": "ffv1", "pix_fmt": "bgra"}, {}),
    "av1 as h264": ("a.mkv", {"codec": "libsvtav1", "options": {"preset": "12"}}, {"codec": "libx264"}),
    "gray": ("a.mkv", {"codec": "rawvideo", "pix_fmt": "gray"}, {}),
    "prores as ffv1": ("a.mkv", {"codec": "prores_ks", "pix_fmt": "yuv422p10le"}, {"codec": "ffv1"}),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_gives_every_sample_back(name: str, tmp_path: Path) -> None:
    file, spec, options = LOSSLESS[name]
    source = make.video(tmp_path / file, frames=6, **spec)
    trip = roundtrip(source, tmp_path / "work", lossless=True, **options)
    a = [digest for _, _, digest in prints(media.decode(source, trip.info))]
    b = [digest for _, _, digest in prints(media.decode(trip.out, media.probe(trip.out)))]
    assert a == b


@pytest.mark.parametrize("name", ENCODERS)
def test_default_quality_is_visually_lossless(name: str, tmp_path: Path) -> None:
    source = make.video(tmp_path / "a.mkv", frames=8, **ENCODERS[name])
    trip = roundtrip(source, tmp_path / "work")
    pairs = zip(media.decode(source, trip.info), media.decode(trip.out, media.probe(trip.out)), strict=True)
    for a, b in pairs:
        for x, y in zip(media.planes(a), media.planes(b), strict=True):
            error = float(np.mean((x.astype(np.float64) - y) ** 2))
            assert 10 * np.log10((2**trip.info.bits - 1) ** 2 / max(error, 1e-9)) > 40


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "nv12", "yuv422p10le"])
def test_changed_planes_reach_the_result_and_only_they_change(pix_fmt: str, tmp_path: Path) -> None:
    stored = {"nv12": "rawvideo"}.get(pix_fmt, "ffv1" if pix_fmt != "yuvj420p" else "libx264")
    source = make.video(tmp_path / "a.mkv", frames=5, codec=stored, pix_fmt=pix_fmt)
    info = media.probe(source)
    settings = media.encode_settings(info, container="mkv", codec="libx264", lossless=True)
    wanted = []
    with media.SegmentEncoder(tmp_path / "segment", settings, info) as encoder:
        for frame in media.decode(source, info):
            planes = media.planes(frame)
            if frame.index % 2:
                planes[0][10:20, 10:20] = 50
                encoder.write(frame, planes)
            else:
                encoder.write(frame)
            wanted.append(hashlib.sha256(b"".join(p.tobytes() for p in planes)).hexdigest())
    got = media.decode(tmp_path / "segment", media.probe(tmp_path / "segment"))
    assert [digest for _, _, digest in prints(got)] == wanted


def test_planes_alone_can_be_written(tmp_path: Path) -> None:
    info = info_with(pix_fmt="yuv420p")
    settings = media.encode_settings(info, container="mkv", lossless=True)
    planes = media.planes(make.frame(3))
    with media.SegmentEncoder(tmp_path / "segment", settings, info) as encoder:
        encoder.write_planes(planes)
        assert encoder.frames == 1
    read = next(media.decode(tmp_path / "segment", media.probe(tmp_path / "segment")))
    assert all(np.array_equal(a, b) for a, b in zip(media.planes(read), planes, strict=True))


def test_the_source_does_not_steer_picture_types(tmp_path: Path) -> None:
    source = make.video(tmp_path / "a.mp4", frames=20, options={"g": "1"})
    trip = roundtrip(source, tmp_path / "work", cuts=())
    with av.open(str(trip.out)) as container:
        assert sum(p.is_keyframe for p in container.demux(video=0)) < 5


@pytest.fixture(scope="module")
def trip(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("join")
    return roundtrip(make.video(folder / "a.mp4", frames=20, audio=[Audio()]), folder / "work", cuts=(0.5,))


def test_a_segment_with_a_frame_too_few_is_noticed(trip: Any, tmp_path: Path) -> None:
    encode(tmp_path / "short", trip.source, trip.info, trip.settings, start=10, stop=19, pts=trip.pts)
    bad = type(trip)(**{**trip.__dict__, "segments": [trip.segments[0], tmp_path / "short"]})
    with pytest.raises(VerificationError, match="holds 9 of its 10 frames"):
        join(bad, tmp_path / "out.mp4")


def test_a_segment_with_a_frame_too_many_is_noticed(trip: Any, tmp_path: Path) -> None:
    encode(tmp_path / "long", trip.source, trip.info, trip.settings, start=9, stop=20, pts=trip.pts)
    bad = type(trip)(**{**trip.__dict__, "segments": [trip.segments[0], tmp_path / "long"]})
    with pytest.raises(VerificationError, match="more than its 10 frames"):
        join(bad, tmp_path / "out.mp4")


def test_a_segment_of_other_settings_is_noticed(trip: Any, tmp_path: Path) -> None:
    other = media.encode_settings(trip.info, container="mp4", options={"bf": "0", "refs": "1"})
    encode(tmp_path / "other", trip.source, trip.info, other, start=10, stop=20, pts=trip.pts)
    bad = type(trip)(**{**trip.__dict__, "segments": [trip.segments[0], tmp_path / "other"]})
    with pytest.raises(VerificationError, match="other settings"):
        join(bad, tmp_path / "out.mp4")


def test_a_missing_or_damaged_segment_is_noticed(trip: Any, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"noise" * 100)
    for name in ("missing", "noise"):
        bad = type(trip)(**{**trip.__dict__, "segments": [trip.segments[0], tmp_path / name]})
        with pytest.raises(VerificationError, match="cannot be read"):
            join(bad, tmp_path / "out.mp4")


def test_counts_must_make_the_plan(trip: Any, tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="19 frames do not make 20"):
        join(trip, tmp_path / "out.mp4", counts=[10, 9])


def test_a_deeper_reordering_than_announced_is_written_too(
    trip: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from waterz_spool.media import joining

    announced = joining._reordering
    monkeypatch.setattr(joining, "_reordering", lambda *a: (0, announced(*a)[1]))
    join(trip, tmp_path / "out.mp4")
    assert trip.verify(tmp_path / "out.mp4")
