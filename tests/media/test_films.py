"""Which of several video streams is the video: never a picture, and the result keeps all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.media import make
from tests.media.roundtrip import roundtrip
from waterz_spool import media
from waterz_spool.errors import InputError

DEFAULT, COVER = 1, 1024


@dataclass(frozen=True)
class Stream:
    """One video stream: frames at ``rate``, the first one shown at ``start_s``."""

    codec: str = "libx264"
    frames: int = 60
    flags: int = 0
    rate: int = 25
    start_s: int = 0


FILM, OTHER = Stream(flags=DEFAULT), Stream(codec="mpeg4")


def write(path: Path, streams: Sequence[Stream]) -> Path:
    """A file of these streams, their packets in the order of time."""
    packets = []
    with av.open(str(path), "w") as out:
        for spec in streams:
            stream = out.add_stream(spec.codec, rate=spec.rate)
            stream.width, stream.height = make.WIDTH, make.HEIGHT
            stream.pix_fmt = "yuvj420p" if spec.codec == "mjpeg" else "rgb24" if spec.codec == "png" else "yuv420p"
            stream.codec_context.max_b_frames = 0
            stream.disposition = spec.flags
            for index in range(spec.frames):
                frame = make.frame(index, pix_fmt=stream.pix_fmt)
                frame.pts, frame.time_base = index + spec.start_s * spec.rate, Fraction(1, spec.rate)
                packets += stream.encode(frame)
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda p: (p.dts * p.time_base, p.stream_index)):
            out.mux(packet)
    return path


PICTURE = Stream("mjpeg", 1, DEFAULT)
FILES: dict[str, tuple[str, list[Stream], int]] = {
    "picture first, both default, mp4": ("mp4", [PICTURE, FILM], 1),
    "picture first, both default, mkv": ("mkv", [PICTURE, FILM], 1),
    "picture first, both default, mov": ("mov", [PICTURE, FILM], 1),
    "picture alone default": ("mkv", [PICTURE, Stream()], 1),
    "picture last and alone default": ("mp4", [Stream(), PICTURE], 0),
    "neither default": ("mkv", [Stream("mjpeg", 1), Stream()], 1),
    "a PNG": ("mov", [Stream("png", 1, DEFAULT), FILM], 1),
    "a single frame of H.264": ("mp4", [Stream(frames=1, flags=DEFAULT), FILM], 1),
    "a cover that is default": ("mp4", [Stream("mjpeg", 1, DEFAULT | COVER), FILM], 1),
    "two pictures": ("mkv", [PICTURE, PICTURE, FILM], 2),
    "a picture beside a short film": ("mkv", [PICTURE, Stream(frames=2)], 1),
    "two films": ("mkv", [Stream(), FILM], 1),
    "two films, the first default": ("mp4", [FILM, OTHER], 0),
    "two films, neither default": ("mkv", [OTHER, Stream()], 0),
    "the default film is slow": ("mkv", [Stream(frames=400), Stream(frames=9, flags=DEFAULT, rate=1)], 1),
    "the default film begins late": ("mkv", [Stream(frames=400), Stream(flags=DEFAULT, start_s=14)], 1),
}


@pytest.mark.parametrize("name", FILES)
def test_the_film_is_the_video(name: str, tmp_path: Path) -> None:
    extension, streams, wanted = FILES[name]
    info = media.probe(write(tmp_path / f"a.{extension}", streams))
    assert info.stream_index == wanted


@pytest.mark.parametrize("name", ["two films", "two pictures", "picture first, both default, mkv"])
def test_every_other_stream_is_copied(name: str, tmp_path: Path) -> None:
    extension, streams, wanted = FILES[name]
    trip = roundtrip(write(tmp_path / f"a.{extension}", streams), tmp_path / "work")
    got = media.probe(trip.out)
    assert got.stream_index == wanted and len(got.streams) == len(streams)
    assert [s.film for s in got.streams] == [s.film for s in trip.info.streams]


def test_a_file_of_covers_is_no_video(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [Stream("mjpeg", 1, COVER)])
    with pytest.raises(InputError, match="no video stream"):
        media.probe(path)


def test_a_picture_alone_is_a_video_of_one_frame(tmp_path: Path) -> None:
    assert media.probe(write(tmp_path / "a.mkv", [PICTURE])).stream_index == 0
