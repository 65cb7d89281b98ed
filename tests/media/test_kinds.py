"""A file that is fine and no video is called what it is."""

from __future__ import annotations

import gzip
import io
import tarfile
import wave
import zipfile
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.media import make
from waterz_spool import media
from waterz_spool.errors import InputError

PIXELS = np.zeros((16, 16, 3), np.uint8)


def _picture(kind: str) -> bytes:
    return bytes(cv2.imencode(f".{kind}", PIXELS)[1])


def _sound(tmp: Path, extension: str, codec: str) -> bytes:
    path = tmp / f"sound.{extension}"
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=48_000)
        frame = av.AudioFrame(stream.codec_context.format.name, "stereo", 1152)
        frame.sample_rate = 48_000
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path.read_bytes()


def _wav() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(800))
    return buffer.getvalue()


def _archive(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as packed:
            packed.writestr("a.mp4", b"x")
    else:
        with tarfile.open(fileobj=buffer, mode="w") as packed:
            packed.addfile(tarfile.TarInfo("a.mp4"))
    return buffer.getvalue()


KINDS = {
    **{f"a .{kind}": (lambda tmp, kind=kind: _picture(kind), "a picture") for kind in ("jpg", "png", "bmp", "tiff")},
    "a .webp": (lambda tmp: _picture("webp"), "a picture"),
    "a .ppm": (lambda tmp: _picture("ppm"), "a picture"),
    "a .heic": (lambda tmp: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "a picture"),
    "an .ico": (lambda tmp: b"\0\0\x01\0\x01\0" + bytes(99), "a picture"),
    "an .mp3": (lambda tmp: _sound(tmp, "mp3", "libmp3lame"), "sound"),
    "an .mp3 without a header": (lambda tmp: b"\xff\xfb\x90\x64" + bytes(414), "sound"),
    "a .flac": (lambda tmp: _sound(tmp, "flac", "flac"), "sound"),
    "a .wav": (lambda tmp: _wav(), "sound"),
    "a .zip": (lambda tmp: _archive("zip"), "an archive"),
    "a .tar": (lambda tmp: _archive("tar"), "an archive"),
    "a .gz": (lambda tmp: gzip.compress(b"x" * 99), "an archive"),
    "a .pdf": (lambda tmp: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(99), "a document"),
    "subtitles": (lambda tmp: "1\n00:00:01,000 --> 00:00:02,000\nÜber\n".encode() * 300, "text"),
    "an empty file": (lambda tmp: b"", "an empty file"),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("extension", ["mp4", "png"])
def test_a_file_of_another_kind_is_called_by_it(name: str, extension: str, tmp_path: Path) -> None:
    content, kind = KINDS[name]
    path = tmp_path / f"a.{extension}"
    path.write_bytes(content(tmp_path))
    with pytest.raises(InputError) as caught:
        media.probe(path)
    assert caught.value.what == f"this is {kind}, not a video" and caught.value.todo
    assert "convert" not in caught.value.todo


def test_a_picture_is_led_to_the_mask(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(_picture("png"))
    with pytest.raises(InputError) as caught:
        media.probe(tmp_path / "a.png")
    assert "--mask" in caught.value.todo


@pytest.mark.parametrize("extension", ["mov", "MP4"])
def test_a_folder_is_led_to_its_videos(extension: str, tmp_path: Path) -> None:
    make.video(tmp_path / "a.mp4", frames=1).rename(tmp_path / f"a.{extension}")
    with pytest.raises(InputError, match="this is a folder, not a video") as caught:
        media.probe(tmp_path)
    assert f"{tmp_path}/*.{extension}" in caught.value.todo


def test_noise_may_be_a_damaged_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(bytes(i * i * 7 % 251 for i in range(9_000)))
    with pytest.raises(InputError, match="damaged"):
        media.probe(tmp_path / "a.mp4")
