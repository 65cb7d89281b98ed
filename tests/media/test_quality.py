"""The quality of a result follows the source's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.encode_quality import encoded, psnr
from tests.media import make
from waterz_spool import media
from waterz_spool.media.quality import mean_quantiser, wanted_db

SIZE = (192, 128)


def video(path: Path, crf: int) -> Path:
    return make.video(path, frames=40, size=SIZE, options={"crf": str(crf), "preset": "veryfast"})


def chosen(source: Path, **options: Any) -> tuple[Any, Any]:
    """Facts and settings of a source."""
    info = media.probe(source)
    settings = media.encode_settings(info, container=media.container_of(source), **options)
    return info, media.like_source(source, info, settings)


def test_the_coarser_the_source_the_smaller_the_result(tmp_path: Path) -> None:
    found = []
    for crf in (16, 30, 40):
        source = video(tmp_path / f"{crf}.mp4", crf)
        info, settings = chosen(source)
        quantiser = mean_quantiser(source, info)
        assert quantiser == pytest.approx(crf, abs=9)
        encoded(source, info, settings, tmp_path / "out.mkv")
        # a scene without noise is predicted better in a whole video than in a short piece
        assert -1 < psnr(source, info, tmp_path / "out.mkv") - wanted_db(quantiser) < 7
        found.append(float(settings.options["crf"]))
        assert settings.options["preset"] == "faster"
    assert found == sorted(found) and found[0] >= 11 and found[-1] - found[0] >= 3


@pytest.mark.parametrize(
    ("codec", "container"), [("libx265", "mp4"), ("libvpx-vp9", "mkv"), ("libsvtav1", "mkv"), ("libx264rgb", "mkv")]
)
def test_other_encoders_are_set_by_pieces_too(codec: str, container: str, tmp_path: Path) -> None:
    pix_fmt = "rgb24" if codec == "libx264rgb" else "yuv420p"
    source = make.video(tmp_path / f"a.{container}", codec=codec, frames=24, size=SIZE, pix_fmt=pix_fmt)
    info, settings = chosen(source)
    plain = media.encode_settings(info, container=container)
    assert float(settings.options["crf"]) >= float(plain.options["crf"])
    encoded(source, info, settings, tmp_path / "out.mkv")
    assert psnr(source, info, tmp_path / "out.mkv") >= 41


def test_the_choice_is_the_same_every_time(tmp_path: Path) -> None:
    source = video(tmp_path / "a.mp4", 28)
    assert chosen(source) == chosen(source)


def test_what_the_user_gave_is_left_alone(tmp_path: Path) -> None:
    source = video(tmp_path / "a.mp4", 28)
    info = media.probe(source)
    plain = media.encode_settings(info, container="mp4")
    for given in ({"qp": "20"}, {"x264-params": "bitrate=900"}):
        assert media.like_source(source, info, plain, given=given) == plain
    slow = media.encode_settings(info, container="mp4", preset="slow")
    assert media.like_source(source, info, slow, preset="slow").options["preset"] == "slow"


def test_encoders_without_a_scale_stay_as_they_are(tmp_path: Path) -> None:
    source = make.video(tmp_path / "a.mov", codec="prores_ks", pix_fmt="yuv422p10le", frames=3)
    info, settings = chosen(source)
    assert settings == media.encode_settings(info, container="mov")


def test_what_is_wanted_lies_between_its_ends() -> None:
    wanted = [wanted_db(float(value)) for value in np.arange(52)]
    assert wanted == sorted(wanted, reverse=True) and (wanted[0], wanted[-1]) == (46.0, 34.0)
