"""Pictures with an alpha channel keep it, in their own codec or losslessly; what cannot keep it says what does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.media import make
from tests.media.roundtrip import roundtrip
from waterz_spool import media
from waterz_spool.errors import InputError


def planes_of(path: Path) -> list[media.Planes]:
    return [media.planes(frame) for frame in media.decode(path, media.probe(path), threads=1)]


PRORES = {
    "4444": ({"profile": "4444"}, "yuv444p10le", "ap4h"),
    "4444 XQ": ({"profile": "4444xq"}, "yuv444p10le", "ap4x"),
    "4444 with alpha": ({"profile": "4444"}, "yuva444p10le", "ap4h"),
    "4444 with alpha of 8 bit": ({"profile": "4444", "alpha_bits": "8"}, "yuva444p10le", "ap4h"),
    "4444 XQ with alpha": ({"profile": "4444xq"}, "yuva444p10le", "ap4x"),
}


@pytest.mark.parametrize("container", ["mov", "mkv"])
@pytest.mark.parametrize("name", PRORES)
def test_prores_4444_stays_what_it_is(name: str, container: str, tmp_path: Path) -> None:
    options, pix_fmt, tag = PRORES[name]
    source = make.video(tmp_path / "a.mov", codec="prores_ks", pix_fmt=pix_fmt, options=options, frames=3)
    trip = roundtrip(source, tmp_path / "work", container)
    got = media.probe(trip.out)
    assert (got.codec, got.pix_fmt, got.profile) == ("prores", trip.info.pix_fmt, trip.info.profile)
    assert got.codec_tag == tag
    for before, after in zip(planes_of(source), planes_of(trip.out), strict=True):
        for number, (a, b) in enumerate(zip(before, after, strict=True)):
            off = np.abs(a.astype(int) - b.astype(int))
            assert off.mean() < (2 if number == 3 else 12), (number, off.mean())  # of 4095
            assert number < 3 or (((a == 4095) == (b == 4095)).all() and ((a == 0) == (b == 0)).all())


KEPT: dict[str, tuple[str, dict[str, Any]]] = {
    "a GIF": ("gif", {"codec": "gif", "pix_fmt": "bgr8"}),
    "QuickTime animation": ("mov", {"codec": "qtrle", "pix_fmt": "argb"}),
    "PNG in MOV": ("mov", {"codec": "png", "pix_fmt": "rgba"}),
    "PNG of 16 bit in MOV": ("mov", {"codec": "png", "pix_fmt": "rgba64be"}),
    "raw RGBA": ("avi", {"codec": "rawvideo", "pix_fmt": "bgra"}),
    "FFV1 4:2:0": ("mkv", {"codec": "ffv1", "pix_fmt": "yuva420p"}),
    "FFV1 4:2:2 of 10 bit": ("mkv", {"codec": "ffv1", "pix_fmt": "yuva422p10le"}),
    "FFV1 4:4:4 of 12 bit": ("mkv", {"codec": "ffv1", "pix_fmt": "yuva444p12le"}),
    "Ut Video": ("avi", {"codec": "utvideo", "pix_fmt": "gbrap"}),
}


@pytest.mark.parametrize("name", KEPT)
def test_alpha_that_no_other_codec_holds_is_kept_losslessly_in_matroska(name: str, tmp_path: Path) -> None:
    extension, spec = KEPT[name]
    source = make.video(tmp_path / f"a.{extension}", frames=3, **spec)
    trip = roundtrip(source, tmp_path / "work", "mkv")
    assert media.probe(trip.out).codec == "ffv1"
    for before, after in zip(planes_of(source), planes_of(trip.out), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("container", ["mov", "webm", "mp4"])
@pytest.mark.parametrize("name", ["QuickTime animation", "PNG in MOV"])
def test_other_containers_say_which_one_holds_it(name: str, container: str, tmp_path: Path) -> None:
    source = make.video(tmp_path / "a.mov", frames=1, **KEPT[name][1])
    with pytest.raises(InputError, match=r"cannot hold .* in a codec that players know") as caught:
        media.encode_settings(media.probe(source), container=container)
    assert ".mkv" in caught.value.todo and "--codec" not in caught.value.todo
    assert media.encode_settings(media.probe(source), container="mkv").codec == "ffv1"


@pytest.mark.parametrize(("codec", "decoder"), [("libvpx-vp9", "libvpx-vp9"), ("libvpx", "libvpx")])
def test_alpha_that_the_decoder_drops_is_refused_with_the_way_to_keep_it(
    codec: str, decoder: str, tmp_path: Path
) -> None:
    path = make.video(tmp_path / "a.webm", frames=2, codec=codec, video_tags={"alpha_mode": "1"})
    with pytest.raises(InputError, match="alpha channel") as caught:
        media.probe(path)
    assert f"ffmpeg -c:v {decoder} -i IN -map 0 -c copy -c:v ffv1 OUT.mkv" in caught.value.todo
