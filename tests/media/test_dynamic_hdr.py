"""HDR metadata that every frame carries anew: known at the first look, refused unless it may go, then gone wholly."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.media import make
from tests.media.roundtrip import roundtrip
from tests.media.test_decode import info_with
from waterz_spool import media
from waterz_spool.config import Config, EncodeConfig
from waterz_spool.errors import InputError
from waterz_spool.stages.contract.request import JobRequest
from waterz_spool.stages.prepare.asked import dropped_hdr, encode_settings

DROP = EncodeConfig(drop_dynamic_hdr=True)


def request(encode: EncodeConfig | None = None) -> JobRequest:
    config = msgspec.structs.replace(Config(), encode=encode or EncodeConfig())
    return JobRequest(source_name="a.mkv", output="/a.clean.mkv", config=config)


def video(path: Path, *, start: int = 0) -> Path:
    options = {"x265-params": f"log-level=none:repeat-headers=1:bframes=0:{make.HDR10}"}
    spec = {"codec": "libx265", "pix_fmt": "yuv420p10le", "context": make.BT2020_PQ, "options": options}
    return make.add_hdr10_plus(make.video(path, frames=8, **spec), start=start)


def test_hdr10_plus_is_refused_or_left_out_wholly(tmp_path: Path) -> None:
    source = video(tmp_path / "a.hevc")
    info = media.probe(source)
    assert info.dynamic_hdr == "HDR10+"
    with pytest.raises(InputError, match=r"HDR10\+ metadata for every frame") as caught:
        encode_settings(info, request())
    assert "--drop-dynamic-hdr" in caught.value.todo and "HDR10 remains" in caught.value.todo
    assert encode_settings(info, request(DROP)).codec == "libx265"
    assert "HDR10+" in dropped_hdr(info)[0]
    got = media.probe(roundtrip(source, tmp_path / "work", "mkv").out)
    assert got.dynamic_hdr == "" and got.mastering_display == info.mastering_display


def test_metadata_that_begins_in_midstream_is_refused_with_its_frame(tmp_path: Path) -> None:
    source = video(tmp_path / "a.hevc", start=5)
    with pytest.raises(InputError, match=r"changes at frame 5 .* dynamic HDR metadata none becomes HDR10\+"):
        list(media.decode(source, media.probe(source), threads=1))


def test_a_result_that_carries_it_is_not_verified(tmp_path: Path) -> None:
    trip = roundtrip(video(tmp_path / "a.hevc", start=99), tmp_path / "work", "mkv")
    with pytest.raises(Exception, match="dynamic HDR metadata"):
        trip.verify(video(tmp_path / "b.hevc"))


@pytest.mark.parametrize(("transfer", "kept"), [(16, "HDR10"), (18, "HLG"), (1, "the standard picture")])
def test_dolby_vision_over_a_picture_of_its_own_may_go(transfer: int, kept: str) -> None:
    info = info_with(codec="hevc", pix_fmt="yuv420p10le", color_trc=transfer, dynamic_hdr="Dolby Vision")
    with pytest.raises(InputError, match="Dolby Vision") as caught:
        encode_settings(info, request())
    assert f"{kept} remains" in caught.value.todo
    assert encode_settings(info, request(DROP))


def test_dolby_vision_that_is_the_picture_may_not(tmp_path: Path) -> None:
    info = info_with(codec="hevc", pix_fmt="yuv420p10le", color_trc=2, dynamic_hdr="Dolby Vision")
    for encode in (None, DROP):
        with pytest.raises(InputError, match="cannot be kept") as caught:
            encode_settings(info, request(encode))
        assert "--drop" not in caught.value.todo
