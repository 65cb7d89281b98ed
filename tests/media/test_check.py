"""What a container cannot hold is named before any work; nothing is lost silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.media import make
from tests.media.make import Audio, Subtitle
from waterz_spool import media
from waterz_spool.errors import InputError, UsageError, WaterzError

CASES: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "srt in mp4": ("a.mkv", {"subtitles": [Subtitle(language="fra")]}, "mp4", r"stream 1 subtitle subrip \(fra\)"),
    "ass in mp4": ("a.mkv", {"subtitles": [Subtitle("ass")]}, "mp4", "subtitle ass"),
    "pgs in mp4": ("a.mkv", {"subtitles": [Subtitle("hdmv_pgs_subtitle")]}, "mp4", "hdmv_pgs_subtitle"),
    "attachment in mp4": ("a.mkv", {"attachments": [("f.ttf", "font/ttf", b"123")]}, "mp4", "attachment"),
    "attachment in webm": (
        "a.mkv",
        {"codec": "libvpx-vp9", "attachments": [("f.ttf", "font/ttf", b"123")]},
        "webm",
        "attachment",
    ),
    "aac in webm": ("a.mkv", {"codec": "libvpx-vp9", "audio": [Audio()]}, "webm", "audio aac"),
    "mov_text in mkv": ("a.mp4", {"subtitles": [Subtitle("mov_text")]}, "mkv", "mov_text"),
    "cover in webm": ("a.mp4", {"codec": "libvpx-vp9", "cover": make.jpeg()}, "webm", "mjpeg"),
    "klv data in mkv": ("a.ts", {"data": "klv"}, "mkv", "data klv"),
    "klv data in mp4": ("a.ts", {"data": "klv"}, "mp4", "data klv"),
    "disposition in mp4": (
        "a.mkv",
        {"audio": [Audio(default=True), Audio(language="eng", disposition=4)]},
        "mp4",
        "disposition original",
    ),
    "stream tag in mp4": ("a.mkv", {"video_tags": {"scanner": "X1"}}, "mp4", "scanner"),
    "chapter tag in mp4": ("a.mkv", {"chapters": [(0, 1, "One")], "chapter_tags": {"mood": "good"}}, "mp4", "mood"),
    "language in mp4": ("a.mkv", {"audio": [Audio(language="en-US")]}, "mp4", "language"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_container_cannot_hold_is_named(name: str, tmp_path: Path) -> None:
    file, spec, container, message = CASES[name]
    path = make.video(tmp_path / file, frames=10, **spec)
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(InputError, match=message) as caught:
        media.check_container(path, media.probe(path), container)
    assert caught.value.exit_code == 4 and container in caught.value.where
    assert container == "mkv" or ".mkv" in caught.value.todo
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case[2] != "mkv" and "data" not in n])
def test_matroska_holds_it_as_the_error_says(name: str, tmp_path: Path) -> None:
    file, spec, _, _ = CASES[name]
    path = make.video(tmp_path / file, frames=10, **spec)
    media.check_container(path, media.probe(path), "mkv")


def test_a_stream_can_be_dropped_on_purpose(tmp_path: Path) -> None:
    path = make.video(tmp_path / "a.mkv", frames=10, subtitles=[Subtitle()])
    info = media.probe(path)
    media.check_container(path, info, "mp4", drop=[1])


def test_a_text_that_begins_late_does_not_hinder(tmp_path: Path) -> None:
    late = Subtitle(lines=((11.0, 0.5, "late"),))
    path = make.video(
        tmp_path / "a.mkv", frames=300, options={"preset": "ultrafast"}, subtitles=[late], audio=[Audio()]
    )
    media.check_container(path, media.probe(path), "mkv")


@pytest.mark.parametrize("name", ["a.mp4", "a.MP4", "a.mkv", "a.mov", "a.m4v", "a.webm"])
def test_a_result_is_written_in_the_container_of_its_name(name: str) -> None:
    assert media.container_of(Path(name)) == name.split(".")[1].lower()


@pytest.mark.parametrize("name", ["a.avi", "a.ts", "a", "a.flv", "a.gif"])
def test_other_containers_suggest_matroska(name: str) -> None:
    with pytest.raises(UsageError, match=r"results cannot be written") as caught:
        media.container_of(Path(name))
    assert ".mkv" in caught.value.todo


def test_an_encoder_that_refuses_is_found_before_any_work(tmp_path: Path) -> None:
    path = make.video(tmp_path / "a.mp4", frames=3)
    info = media.probe(path)
    settings = media.encode_settings(info, container="mp4")
    settings.options["bf"] = "not a number"
    with pytest.raises(WaterzError, match="libx264"):
        media.check_container(path, info, settings)
