"""What is called interlaced is looked at: whole pictures under a wrong flag are cleaned, woven ones refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.media import make
from tests.media.roundtrip import roundtrip
from waterz_spool import media
from waterz_spool.errors import InputError
from waterz_spool.media.combing import is_combed

KINDS = {
    "H.264 in Matroska": ("mkv", "libx264", "yuv420p"),
    "ProRes in MOV": ("mov", "prores_ks", "yuv422p10le"),
    "FFV1": ("mkv", "ffv1", "yuv420p"),
    "HEVC": ("mkv", "libx265", "yuv420p10le"),
}


def write(path: Path, codec: str, pix_fmt: str, *, woven_from: int | None = None) -> Path:
    """Twelve frames in a container that calls them interlaced; from one on, woven of two moments each."""
    options = {"field_order": "tt"} | ({"x265-params": "log-level=none"} if codec == "libx265" else {})
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = make.WIDTH, make.HEIGHT, pix_fmt
        for index in range(12):
            frame = make.frame(index, pix_fmt=pix_fmt)
            if woven_from is not None and index >= woven_from:
                weave(frame, make.frame(index + 4, pix_fmt=pix_fmt))
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def weave(frame: av.VideoFrame, other: av.VideoFrame) -> None:
    """Every second line of another moment."""
    for plane, of in zip(frame.planes, other.planes, strict=True):
        rows, more = (np.frombuffer(p, np.uint8).reshape(p.height, -1) for p in (plane, of))
        rows[1::2] = more[1::2]


@pytest.mark.parametrize("name", KINDS)
def test_whole_pictures_under_a_wrong_flag_are_a_video(name: str, tmp_path: Path) -> None:
    extension, codec, pix_fmt = KINDS[name]
    source = write(tmp_path / f"a.{extension}", codec, pix_fmt)
    with av.open(str(source)) as container:
        assert container.streams.video[0].codec_context.field_order == 2
    trip = roundtrip(source, tmp_path / "work")
    assert trip.info.called_interlaced and not media.probe(trip.out).called_interlaced


@pytest.mark.parametrize("start", [0, 7])
@pytest.mark.parametrize("name", KINDS)
def test_woven_pictures_are_refused_at_their_frame(name: str, start: int, tmp_path: Path) -> None:
    extension, codec, pix_fmt = KINDS[name]
    source = write(tmp_path / f"a.{extension}", codec, pix_fmt, woven_from=start)
    with pytest.raises(InputError, match=f"frame {start} is woven") as caught:
        list(media.decode(source, media.probe(source), threads=1))
    assert "bwdif" in caught.value.todo and "setfield=prog" in caught.value.todo


@pytest.mark.parametrize("bits", [8, 10])
def test_lines_and_texture_are_no_combs(bits: int) -> None:
    picture = make.picture(3, size=(192, 128), bits=bits)
    assert not is_combed(picture, bits)
    picture[::8] = 2**bits - 1  # thin lines, as tables and blinds have
    noise = np.random.default_rng(1).integers(0, 2**bits, (128, 192)).astype(picture.dtype)
    assert not is_combed(picture, bits) and not is_combed(noise, bits)
    woven = picture.copy()
    woven[41:73:2, 60:64] = 0
    woven[40:73:2, 60:64] = 2**bits - 1
    assert is_combed(woven, bits)
