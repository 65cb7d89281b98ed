"""MP4/MOV with anything behind their content are whole; files that lack a byte of a sample are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.media import make
from tests.media.make import Audio
from tests.media.roundtrip import roundtrip
from waterz_spool import media
from waterz_spool.errors import InputError


def _box(kind: bytes, size: int, content: bytes = b"") -> bytes:
    return size.to_bytes(4, "big") + kind + content


TAILS = {
    "noise": Random(3).randbytes(10_000),
    "noise that looks like a box": b"\x2e\xf4\x11\x0fQx7z" + Random(4).randbytes(500),
    "zeros": bytes(4096),
    "seven zeros": bytes(7),
    "free text": b"Made by a camera with love, 2026-11-28 10:00\n",
    "a picture": make.jpeg(),
    "an unknown box": _box(b"SEFT", 40, bytes(32)),
    "a cut free box": _box(b"free", 70_000, bytes(300)),
    "a cut uuid box": _box(b"uuid", 1 << 30, bytes(300)),
    "a cut large box": _box(b"udta", 1, (1 << 40).to_bytes(8, "big")),
    "a header that is cut": b"\0\0\1",
    "boxes, then noise": _box(b"free", 16, bytes(8)) + _box(b"cam1", 12, bytes(4)) + Random(5).randbytes(99),
}
KINDS = {"last": ("mp4", {}), "first": ("mp4", {"movflags": "faststart"}), "mov": ("mov", {}), "parts": ("mp4", {})}
KINDS["parts"] = ("mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof"})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    return {
        name: make.video(folder / f"{name}.{extension}", frames=20, audio=[Audio()], muxer=muxer).read_bytes()
        for name, (extension, muxer) in KINDS.items()
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tail", TAILS)
def test_what_lies_behind_the_content_takes_nothing_away(
    tail: str, kind: str, whole: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / f"a.{KINDS[kind][0]}"
    path.write_bytes(whole[kind] + TAILS[tail])
    assert len(list(media.decode(path, media.probe(path), threads=1))) == 20


def test_the_result_of_a_file_with_a_trailer_is_verified(whole: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(whole["last"] + TAILS["noise"])
    assert any("20/20 frames" in line for line in roundtrip(path, tmp_path / "trip").checks)


def _open_ended(data: bytes) -> bytes:
    at = data.index(b"mdat") - 4
    return data[:at] + bytes(4) + data[at + 4 :]


CUTS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "one byte": ("first", lambda data: data[:-1]),
    "half": ("first", lambda data: data[: len(data) // 2]),
    "one byte of an open box": ("first", lambda data: _open_ended(data)[:-1]),
    "one byte of a fragment": ("parts", lambda data: data[: data.rindex(b"mfra") - 5]),
    "the samples of a fragment": ("parts", lambda data: data[: data.rindex(b"mdat") - 4]),
    "the start of a fragment": ("parts", lambda data: data[: data.rindex(b"moof") + 20]),
}


@pytest.mark.parametrize("name", CUTS)
def test_a_byte_of_content_that_is_missing_is_noticed(name: str, whole: dict[str, bytes], tmp_path: Path) -> None:
    kind, cut = CUTS[name]
    path = tmp_path / "a.mp4"
    path.write_bytes(cut(whole[kind]))
    with pytest.raises(InputError, match="cut short"):
        media.probe(path)


def test_an_open_or_overlong_last_box_that_holds_all_samples_is_whole(whole: dict[str, bytes], tmp_path: Path) -> None:
    path, data = tmp_path / "a.mp4", whole["first"]
    path.write_bytes(_open_ended(data))
    assert media.probe(path).frames_hint == 20
    at = data.index(b"mdat") - 4
    path.write_bytes(data[:at] + (1 << 30).to_bytes(4, "big") + data[at + 4 :])
    assert len(list(media.decode(path, media.probe(path), threads=1))) == 20
