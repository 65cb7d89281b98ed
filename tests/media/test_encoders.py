"""Words that an encoder does not know are errors of usage before any work, with the words that it does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.media import make
from tests.media.test_decode import info_with
from waterz_spool import media
from waterz_spool.errors import InputError, UsageError

WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "an option of nobody": ({}, {"options": {"bogus": "1"}}, "no option bogus", "leave it out"),
    "an option misspelt": ({}, {"options": {"tunes": "film"}}, "no option tunes", "mean tune"),
    "an option of sound": ({}, {"options": {"ar": "48000"}}, "no option ar", ""),
    "an option of another encoder": ({"codec": "hevc"}, {"options": {"cpu-used": "1"}}, "no option cpu-used", ""),
    "a value that is no number": ({}, {"options": {"g": "abc"}}, "does not take g=abc", "correct"),
    "a value out of range": ({}, {"options": {"crf": "99"}}, "no crf above 51", "smaller"),
    "a quality of AV1 out of range": ({"codec": "av1"}, {"crf": 64}, "no crf above 63", "smaller"),
    "a quality that is no number": ({}, {"options": {"crf": "good"}}, "does not take crf=good", "correct"),
    "threads in words": ({}, {"options": {"threads": "many"}}, "threads=many|these options", ""),
    "a word of a list": ({"codec": "vp9"}, {"options": {"deadline": "fast"}}, "deadline=fast", "good"),
    "a tune": ({}, {"options": {"tune": "gold"}}, "does not take tune=gold", "correct"),
    "a tune beside a preset": ({}, {"preset": "medium", "options": {"tune": "gold"}}, "does not take tune=gold", ""),
    "a tune of x265 beside a preset": (
        {"codec": "hevc"},
        {"preset": "fast", "options": {"tune": "gold"}},
        "does not take tune=gold",
        "",
    ),
    "a tune, again": ({}, {"preset": "medium", "options": {"tune": "gold"}}, "does not take tune=gold", ""),
    "a parameter of x264": ({}, {"options": {"x264-params": "ref=2:bogus=1"}}, "does not take bogus=1", "correct"),
    "a parameter of x265": ({"codec": "hevc"}, {"options": {"x265-params": "bogus=1"}}, "take bogus=1", "correct"),
    "a parameter of x265 without a value": (
        {"codec": "hevc"},
        {"options": {"x265-params": "no-sao"}},
        "pairs",
        "sao=1",
    ),
    "an option in x264's old way": ({}, {"options": {"x264opts": "bogus=1"}}, "does not take", ""),
    "a value of x265": ({"codec": "hevc"}, {"options": {"x265-params": "ref=x"}}, "take ref=x", "correct"),
    "a parameter of SVT-AV1": ({"codec": "av1"}, {"options": {"svtav1-params": "bogus=1"}}, "take bogus=1", ""),
    "a preset of x264": ({}, {"preset": "ultrafastest"}, "preset=ultrafastest", "ultrafast superfast .* placebo"),
    "a preset of x265": ({"codec": "hevc"}, {"preset": "best"}, "preset=best", "ultrafast .* placebo"),
    "a preset of SVT-AV1": ({"codec": "av1"}, {"preset": "99"}, "preset=99.*-2 - 13", ""),
    "a speed of VP9": ({"codec": "vp9"}, {"preset": "slow"}, "cpu-used=slow", ""),
    "a codec's nickname": ({}, {"codec": "h265"}, "no encoder h265", "mean libx265.*There are libx264, .*ffv1"),
    "an encoder misspelt": ({}, {"codec": "libx246"}, "no encoder libx246", "mean .*libx264"),
    "an encoder of nobody": ({}, {"codec": "copy"}, "no encoder copy", "There are libx264"),
    "an encoder of sound": ({}, {"codec": "aac"}, "aac encodes audio", "libx264"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_word_that_the_encoder_does_not_know_is_told(name: str) -> None:
    facts, arguments, message, todo = WRONG[name]
    with pytest.raises(UsageError, match=message) as caught:
        media.encode_settings(info_with(**facts), container="mkv", **arguments)
    what, where, advice = caught.value.lines()
    assert where and "\n" not in what
    assert re.search(todo, advice)


@pytest.mark.parametrize(
    ("facts", "options"),
    [
        ({}, {"tune": "film", "g": "50", "bf": "0", "b": "2M", "x264-params": "ref=2:me=umh", "threads": "1"}),
        ({"codec": "hevc"}, {"x265-params": "ref=2:no-sao=1", "tune": "grain"}),
        ({"codec": "av1"}, {"svtav1-params": "tune=0"}),
        ({"codec": "vp9"}, {"deadline": "best", "tile-columns": "0"}),
        ({"codec": "prores", "pix_fmt": "yuv422p10le"}, {"vendor": "abcd", "quant_mat": "hq"}),
        ({"codec": "ffv1"}, {"slices": "4", "context": "1"}),
    ],
)
def test_words_that_it_knows_are_taken(facts: Any, options: dict[str, str]) -> None:
    settings = media.encode_settings(info_with(**facts), container="mkv", options=options)
    assert options.keys() <= settings.options.keys()


@pytest.mark.parametrize(("asked", "name"), [("h264", "libx264"), ("hevc", "libx265"), ("vp9", "libvpx-vp9")])
def test_a_codec_by_its_own_name_is_the_encoder_with_our_settings(asked: str, name: str) -> None:
    given = media.encode_settings(info_with(), container="mkv", codec=asked)
    assert given == media.encode_settings(info_with(), container="mkv", codec=name)


def test_a_container_that_does_not_know_the_codec_offers_those_it_does() -> None:
    with pytest.raises(InputError, match=r"\.webm cannot hold h264") as caught:
        media.encode_settings(info_with(), container="webm")
    assert ".mkv" in caught.value.todo and "--codec libvpx-vp9 or libsvtav1" in caught.value.todo
    assert media.encode_settings(info_with(), container="webm", codec="libvpx-vp9").container == "webm"


ENCODE = """
import sys
from pathlib import Path
from tests.media.roundtrip import encode
from waterz_spool.media.probing import probe
from waterz_spool.records import EncodeSettings
source = Path(sys.argv[1])
settings = EncodeSettings(codec=sys.argv[3], pix_fmt="yuv420p", options={}, container="mkv")
encode(Path(sys.argv[2]), source, probe(source), settings, start=0, stop=3, pts=(0, 512, 1024))
"""


@pytest.mark.parametrize("codec", ["libsvtav1", "libvpx-vp9", "libx264"])
def test_encoders_do_not_write_to_the_terminal(codec: str, tmp_path: Path) -> None:
    source = make.video(tmp_path / "a.mp4", frames=3)
    done = subprocess.run(
        [sys.executable, "-c", ENCODE, str(source), str(tmp_path / "out"), codec],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout + done.stderr == ""
