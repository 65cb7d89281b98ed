"""Files made to harm: a clear error with exit code 4, no other file opened, no hang, memory bounded."""

from __future__ import annotations

import os
import resource
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random

import cv2
import numpy as np
import pytest

from tests.media import make
from waterz_spool import media
from waterz_spool.errors import InputError, VerificationError
from waterz_spool.media import decoding
from waterz_spool.media.fresh import FreshFile
from waterz_spool.media.packets import open_segment
from waterz_spool.stages.prepare.overlays import PICTURES, read_picture

pytestmark = pytest.mark.timeout(60)

LOOK = """
import sys
import zlib
from pathlib import Path
from waterz_spool import media
from waterz_spool.errors import InputError
path = Path(sys.argv[1])
try:
    info = media.probe(path)
    print(sum(1 for _ in media.decode(path, info, threads=1)), "frames")
except InputError as error:
    print(error)
    sys.exit(4)
"""
GIB = 1 << 30


def looked_at(path: Path) -> tuple[int, str]:
    """Probe and decode in a process with 3 GiB of address space and 20 s of processor time."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (3 * GIB, 3 * GIB))
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))

    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(path)], capture_output=True, text=True, preexec_fn=limit, check=False
    )
    assert done.returncode in (0, 4), done.stderr
    return done.returncode, done.stdout


def gif(width: int, height: int, frames: int = 2) -> bytes:
    """A tiny file with pictures of any size."""
    out = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes([0, 0, 0, 255, 255, 255])
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return out + (b"\x21\xf9\x04\x00\x0a\x00\x00\x00" + picture) * frames + b"\x3b"


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("sound")
    names = {
        "mp4": "libx264",
        "mkv": "libx264",
        "avi": "mpeg4",
        "mov": "mjpeg",
        "webm": "libvpx-vp9",
        "ts": "mpeg2video",
    }
    forms = {"mov": "yuvj420p"}
    return {
        name: make.video(folder / f"a.{name}", codec=codec, frames=8, pix_fmt=forms.get(name, "yuv420p")).read_bytes()
        for name, codec in names.items()
    }


def bombs(videos: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Headers that promise 10^9 frames, pictures of 10^9 pixels, sizes of 2^62 bytes."""
    mp4 = bytearray(videos["mp4"])
    for name, at in (("stsz", 12), ("stsz", 8), ("stts", 12), ("stsc", 16), ("stco", 8)):
        damaged = bytearray(mp4)
        place = damaged.find(name.encode()) + at
        damaged[place : place + 4] = struct.pack(">I", 10**9)
        yield f"{name}+{at}.mp4", bytes(damaged)
    counted = bytearray(mp4)
    for name, at, value in (("stsz", 8, 1), ("stsz", 12, 10**9), ("stts", 12, 10**9), ("stsc", 16, 10**9)):
        place = counted.find(name.encode()) + at
        counted[place : place + 4] = struct.pack(">I", value)
    yield "samples.mp4", bytes(counted)
    avi = bytearray(videos["avi"])
    for at in (16, 32, 36):  # dwTotalFrames, dwWidth, dwHeight of avih
        damaged = bytearray(avi)
        place = damaged.find(b"avih") + 8 + at
        damaged[place : place + 4] = struct.pack("<I", 10**9)
        yield f"avih+{at}.avi", bytes(damaged)
    yield "boxes.mp4", struct.pack(">I4s", 8, b"ftyp") + struct.pack(">I4s", 8, b"free") * 3_000_000
    yield "wide.gif", gif(16_000, 16_000)
    yield "wider.gif", gif(65_535, 65_535)
    yield "huge.mp4", struct.pack(">I4sQ", 1, b"ftyp", 1 << 62) + b"isom"
    yield "huge.mkv", b"\x1a\x45\xdf\xa3\x08\xff\xff\xff\xff\xff\xff\xfe" + bytes(64)


def test_bombs_are_errors_or_small(videos: dict[str, bytes], tmp_path: Path) -> None:
    told = {}
    for name, data in bombs(videos):
        path = tmp_path / name
        path.write_bytes(data)
        told[name] = looked_at(path)
    for name in ("samples.mp4", "wide.gif", "wider.gif", "huge.mp4", "huge.mkv", "boxes.mp4"):
        assert told[name][0] == 4, (name, told[name])
    assert "megapixels" in told["wide.gif"][1]


@pytest.mark.parametrize("name", ["mp4", "mkv", "avi", "mov", "webm", "ts"])
def test_damaged_headers_are_errors_or_videos(name: str, videos: dict[str, bytes], tmp_path: Path) -> None:
    """Bytes changed by a fixed dice, and files cut anywhere: InputError or a video, in one process, quickly."""
    random, sound = Random(5), videos[name]
    path = tmp_path / f"a.{name}"
    for number in range(150):
        data = bytearray(sound)
        if number % 4 == 0:
            del data[random.randrange(len(data)) :]
        for _ in range(random.randrange(1, 12)):
            place = random.randrange(len(data) if number % 2 else min(600, len(data)))
            data[place] = random.randrange(256)
        path.write_bytes(data)
        try:
            info = media.probe(path)
            assert sum(1 for _ in media.decode(path, info, threads=1)) < 100
        except InputError as error:
            assert error.exit_code == 4


PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile {secret}\n",
    "sdp": "v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "mpd": '<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>{secret}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>",
    "txt": "http://127.0.0.1:1/x.mp4",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("extension", ["own", "mp4", "mkv"])
def test_a_list_of_other_files_is_no_video(kind: str, extension: str, videos: dict[str, bytes], tmp_path: Path) -> None:
    """Neither as a source nor as a segment that a forged record names."""
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(videos["mp4"])
    path = tmp_path / f"list.{kind if extension == 'own' else extension}"
    path.write_text(PLAYLISTS[kind].format(secret=secret))
    with pytest.raises(InputError, match="not a video"):
        media.probe(path)
    with pytest.raises(VerificationError, match="cannot be read"):
        open_segment(path)


@pytest.mark.parametrize(
    "name", ["concat:a.mp4|a.mp4", "http:--x", "subfile,,start,0,end,9,,:a.mp4", "a%03d.mp4", "-i"]
)
def test_a_name_is_a_file_and_no_protocol(name: str, videos: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(videos["mp4"])
    assert media.probe(tmp_path / name).frames_hint == 8


@pytest.mark.parametrize("what", ["fifo", "folder", "device", "socket"])
def test_what_is_no_file_is_an_error_and_no_hang(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mp4"
    if what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "device":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as server:
            monkeypatch.chdir(tmp_path)  # addresses are short
            server.bind("a.mp4")
    with pytest.raises(InputError):
        media.probe(path)
    with pytest.raises(InputError):
        media.CropReader(path)


def test_a_video_of_too_many_frames_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make.video(tmp_path / "a.mp4", frames=8)
    monkeypatch.setattr(decoding, "MAX_FRAMES", 5)
    info = media.probe(path)
    with pytest.raises(InputError, match="more than 5 frames"):
        list(media.decode(path, info))


@pytest.mark.parametrize("link", ["symlink", "hard link"])
def test_nothing_is_written_through_a_name_that_exists(link: str, tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "masks.mkv"
    victim.write_bytes(b"precious")
    if link == "symlink":
        path.symlink_to(victim)
    else:
        path.hardlink_to(victim)
    with media.MaskWriter(path, crops=[(16, 16)]) as writer:
        writer.write_mask(0, np.zeros((16, 16), np.uint8))
    assert victim.read_bytes() == b"precious"
    assert path.is_file() and not path.is_symlink()
    assert len(list(media.MaskReader(path).read_masks(0))) == 1


def test_a_full_disk_is_noticed_at_the_last_byte(tmp_path: Path) -> None:
    """What is still in a buffer when the file is closed is not lost quietly."""
    file = FreshFile(tmp_path / "a.mkv")
    os.dup2(os.open("/dev/full", os.O_WRONLY), file._file.fileno())
    file._file.write(b"x")
    with pytest.raises(OSError, match="No space"):
        file.close()


def png(width: int, height: int, packed: bytes) -> bytes:
    """A gray picture of one bit per pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_a_mask_of_a_thousand_megapixels_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    packer = zlib.compressobj(9)
    row = b"\0" + b"\xff" * 3750
    path.write_bytes(png(30_000, 30_000, b"".join(packer.compress(row) for _ in range(30_000)) + packer.flush()))
    assert path.stat().st_size < 1 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="100 megapixels"):
        read_picture(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


@pytest.mark.parametrize("suffix", sorted(PICTURES))
def test_usual_mask_pictures_are_read(suffix: str, tmp_path: Path) -> None:
    picture = np.zeros((48, 64), np.uint8)
    picture[8:16, 8:24] = 255
    path = tmp_path / f"mask{suffix}"
    assert cv2.imwrite(str(path), picture)
    assert read_picture(path)[10, 10] == 255
