"""One decode order, whatever range is asked for."""

from __future__ import annotations

import ctypes
import gc
import hashlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.media import make
from waterz_spool import media
from waterz_spool.errors import InputError
from waterz_spool.media.decoding import Frame
from waterz_spool.media.source import open_source, read_packets, read_pictures
from waterz_spool.records import VideoInfo

QUIET = "log-level=none"
GOPS: dict[str, tuple[str, dict[str, Any]]] = {
    "closed mp4": ("a.mp4", {"options": {"g": "12"}}),
    "closed mkv": ("a.mkv", {"options": {"g": "12"}}),
    "open mp4": ("a.mp4", {"options": {"g": "10", "x264-params": "open-gop=1:scenecut=0:b-pyramid=strict"}}),
    "open mkv": ("a.mkv", {"options": {"g": "10", "x264-params": "open-gop=1:scenecut=0"}}),
    "open ts": ("a.ts", {"options": {"g": "10", "x264-params": "open-gop=1:scenecut=0"}}),
    "deep pyramid": ("a.mp4", {"options": {"g": "20", "bf": "8", "b_strategy": "0", "refs": "8"}}),
    "intra refresh": ("a.mp4", {"options": {"g": "12", "x264-params": "intra-refresh=1"}}),
    "hevc open": ("a.mp4", {"codec": "libx265", "options": {"g": "9", "x265-params": QUIET}}),
    "hevc open mkv": ("a.mkv", {"codec": "libx265", "options": {"g": "9", "x265-params": QUIET}}),
    "vp9": ("a.webm", {"codec": "libvpx-vp9", "options": {"g": "10", "cpu-used": "8", "lag-in-frames": "8"}}),
    "av1": ("a.mkv", {"codec": "libsvtav1", "options": {"g": "10", "preset": "12"}}),
    "mpeg2": ("a.mkv", {"codec": "mpeg2video", "options": {"g": "10", "bf": "2"}}),
    "mpeg2 program stream": ("a.mpg", {"codec": "mpeg2video", "options": {"g": "10", "bf": "2"}}),
    "mpeg4 avi": ("a.avi", {"codec": "mpeg4", "options": {"g": "10", "bf": "2"}}),
    "prores": ("a.mov", {"codec": "prores_ks", "pix_fmt": "yuv422p10le"}),
    "raw h264": ("a.h264", {"options": {"g": "10"}}),
    "vfr": ("a.mp4", {"pts": [i * 10 + i * i % 7 for i in range(40)], "time_base": Fraction(1, 600)}),
    "one keyframe": ("a.mp4", {"options": {"g": "250", "x264-params": "scenecut=0"}}),
    "non-zero start": ("a.mkv", {"start": 30, "options": {"g": "10"}}),
}
RANGES = [(0, 1), (1, 2), (7, 13), (9, 10), (10, 11), (11, 30), (19, 22), (20, 40), (29, 31), (38, 39), (39, 40)]


def prints(frames: Any) -> list[tuple[int, int, str]]:
    """Index, pts and digest of the samples of each frame."""
    return [
        (f.index, f.pts, hashlib.sha256(b"".join(p.tobytes() for p in media.planes(f))).hexdigest()) for f in frames
    ]


@pytest.mark.parametrize("name", GOPS)
def test_any_range_equals_the_same_slice_of_a_full_decode(name: str, tmp_path: Path) -> None:
    file, spec = GOPS[name]
    path = make.video(tmp_path / file, frames=40, **spec)
    info = media.probe(path)
    full = prints(media.decode(path, info, threads=1))
    pts = [p for _, p, _ in full]
    assert len(full) == 40
    for start, stop in RANGES:
        threads = 1 + start % 2
        assert prints(media.decode(path, info, start=start, stop=stop, pts=pts, threads=threads)) == full[start:stop]
        local = pts[start:stop]
        assert prints(media.decode(path, info, start=start, stop=stop, pts=local, threads=1)) == full[start:stop]


def test_a_range_is_found_without_decoding_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make.video(tmp_path / "a.mp4", frames=40, options={"g": "10"})
    info = media.probe(path)
    pts = [f.pts for f in media.decode(path, info)]
    monkeypatch.setattr("waterz_spool.media.decoding._decode_through", _never)
    assert [f.index for f in media.decode(path, info, start=30, stop=33, pts=pts)] == [30, 31, 32]


def _never(*_: Any, **__: Any) -> Any:
    raise AssertionError("decoded from the start")


def test_without_pts_a_range_is_counted_from_the_start(tmp_path: Path) -> None:
    path = make.video(tmp_path / "a.mp4", frames=20)
    info = media.probe(path)
    assert [f.index for f in media.decode(path, info, start=5, stop=8)] == [5, 6, 7]


def test_an_empty_range_yields_nothing(tmp_path: Path) -> None:
    path = make.video(tmp_path / "a.mp4", frames=5)
    info = media.probe(path)
    assert list(media.decode(path, info, start=3, stop=3)) == []
    assert list(media.decode(path, info, start=3, stop=3, pts=[0, 512, 1024, 1536, 2048])) == []


def test_a_range_beyond_the_end_is_an_error(tmp_path: Path) -> None:
    path = make.video(tmp_path / "a.mkv", frames=5)
    info = media.probe(path)
    with pytest.raises(InputError, match="5 of 9 frames"):
        list(media.decode(path, info, start=3, stop=9))


def test_another_file_than_the_planned_one_is_noticed(tmp_path: Path) -> None:
    path = make.video(tmp_path / "a.mp4", frames=20, options={"g": "5"})
    info = media.probe(path)
    pts = [f.pts + (100 if f.index > 11 else 0) for f in media.decode(path, info)]
    with pytest.raises(InputError, match="the plan says"):
        list(media.decode(path, info, start=10, stop=15, pts=pts))


def test_a_change_of_size_midway_is_an_error(tmp_path: Path) -> None:
    small = make.video(tmp_path / "1.ts", frames=6, size=(96, 64))
    large = make.video(tmp_path / "2.ts", frames=6, size=(128, 64), start=20)
    path = tmp_path / "a.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    with pytest.raises(InputError, match="changes at frame 6") as caught:
        list(media.decode(path, media.probe(path)))
    assert caught.value.exit_code == 4


def test_a_change_to_interlaced_midway_is_an_error(tmp_path: Path) -> None:
    first = make.video(tmp_path / "1.ts", frames=6)
    options = {"flags": "+ildct+ilme", "x264-params": "tff=1"}
    second = make.video(tmp_path / "2.ts", frames=6, options=options, start=20)
    path = tmp_path / "a.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(InputError, match="frame 6 is interlaced"):
        list(media.decode(path, media.probe(path)))


def test_time_stamps_that_go_back_are_an_error(tmp_path: Path) -> None:
    one = make.video(tmp_path / "1.ts", frames=6, codec="mpeg2video")
    path = tmp_path / "a.ts"
    path.write_bytes(one.read_bytes() * 2)
    with pytest.raises(InputError, match=r"no usable time stamp \(\d\.\d+ s is followed by \d\.\d+ s\)") as caught:
        list(media.decode(path, media.probe(path)))
    assert "ffmpeg -i a.ts -map 0 -c copy fixed.mkv" in caught.value.todo


def test_dropped_frames_of_an_avi_keep_their_time(tmp_path: Path) -> None:
    """The muxer writes an empty chunk where the sound's lead-in moves the second frame."""
    path = make.video(tmp_path / "a.avi", frames=12, codec="mpeg4", audio=[make.Audio("libmp3lame")])
    info = media.probe(path)
    pts = [f.pts for f in media.decode(path, info)]
    assert pts == [0, *range(2, 13)] and info.counted_pts and info.time_base == (1, 25)
    assert [f.pts for f in media.decode(path, info, start=3, stop=5, pts=pts)] == [4, 5]


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_frames_missing_inside_are_an_error(name: str, tmp_path: Path) -> None:
    path = make.video(tmp_path / name, frames=60, codec="mpeg4")
    info = media.probe(path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 4] = bytes(len(data) // 4)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"damaged|cut short|time stamp"):
        list(media.decode(path, info))


def info_with(**changes: Any) -> VideoInfo:
    """Facts of a plain 25 fps video."""
    base: dict[str, Any] = {
        "container": "mp4",
        "stream_index": 0,
        "codec": "h264",
        "pix_fmt": "yuv420p",
        "width": 96,
        "height": 64,
        "bits": 8,
        "time_base": (1, 1000),
        "average_rate": (25, 1),
        "duration_s": None,
        "frames_hint": None,
        "rotation": 0,
        "sample_aspect": None,
        "color_range": 0,
        "colorspace": 2,
        "color_primaries": 2,
        "color_trc": 2,
        "streams": (),
        "chapters": 0,
    }
    return VideoInfo(**{**base, **changes})


class Picture:
    """A picture that only has a duration."""

    def __init__(self, duration: int) -> None:
        self.duration = duration


@pytest.mark.parametrize(
    ("changes", "pts", "own", "expected"),
    [
        ({}, [0, 40, 80], 33, 33),
        ({}, [0, 40, 85], 0, 45),
        ({}, [0], 0, 40),
        ({"average_rate": None}, [0], 0, 1),
        ({"counted_pts": True, "time_base": (1, 25)}, [0, 1, 2], 9, 1),
    ],
    ids=["its own", "the one before", "one period", "unknown", "counted"],
)
def test_duration_of_the_last_frame(changes: Any, pts: list[int], own: int, expected: int) -> None:
    last: Any = Frame(len(pts) - 1, pts[-1], Picture(own))  # type: ignore[arg-type]
    assert media.last_duration(info_with(**changes), pts, last) == expected


class Heap(ctypes.Structure):
    """``struct mallinfo2`` of glibc."""

    _fields_ = (
        ("before", ctypes.c_size_t * 7),
        ("uordblks", ctypes.c_size_t),
        ("after", ctypes.c_size_t * 2),
    )


def heap_bytes() -> int:
    """Bytes that are allocated and not freed."""
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = Heap
    gc.collect()
    return int(libc.mallinfo2().uordblks)


@pytest.mark.parametrize("read", [read_packets, read_pictures, media.decode])
def test_reading_that_is_broken_off_leaves_nothing_on_the_heap(read: Callable[..., Any], tmp_path: Path) -> None:
    path = make.video(tmp_path / "a.mp4", frames=12)
    info = media.probe(path)

    def begin() -> None:
        if read is media.decode:
            next(media.decode(path, info, threads=1))
            return
        with open_source(path) as container:
            next(read(container, container.streams.video[0]))

    for _ in range(20):  # caches fill
        begin()
    before = heap_bytes()
    for _ in range(200):
        begin()
    assert (heap_bytes() - before) / 200 < 60  # a lost packet is more than 100
