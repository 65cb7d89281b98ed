"""What a result would flatten to its first frame is refused with the frame at which it changes."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.bitstream import BitStreamFilterContext

from tests.media import make
from tests.media.roundtrip import roundtrip
from waterz_spool import media
from waterz_spool.errors import InputError

COUNT = 9
X265 = "log-level=none:repeat-headers=1"
BT709 = {"color_range": 1, "color_primaries": 1, "color_trc": 1, "colorspace": 1}
PQ = {"codec": "libx265", "pix_fmt": "yuv420p10le", "context": make.BT2020_PQ}
OTHER_HDR = make.HDR10.replace("10000000", "40000000")


def _h265(params: str) -> dict[str, Any]:
    return PQ | {"options": {"x265-params": f"{X265}:{params}" if params else X265}}


def _context(**facts: Any) -> dict[str, Any]:
    return {"context": BT709 | facts}


def _aspect(num: int, den: int, codec: str = "libx264") -> dict[str, Any]:
    return {"codec": codec, "context": {"sample_aspect_ratio": Fraction(num, den)}}


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "sample aspect": (_aspect(16, 15), _aspect(64, 45), "sample aspect ratio 16:15 becomes 64:45"),
    "sample aspect to square": (_aspect(4, 3), _aspect(1, 1), "sample aspect ratio 4:3 becomes 1:1"),
    "sample aspect of MPEG-2": (_aspect(1, 1, "mpeg2video"), _aspect(32, 27, "mpeg2video"), "sample aspect ratio"),
    "sample aspect of HEVC": (_aspect(1, 1, "libx265"), _aspect(4, 3, "libx265"), "sample aspect ratio"),
    "range": (_context(), _context(color_range=2), "picture|colour range 1 becomes 2"),
    "matrix": (_context(), _context(colorspace=5), "colour matrix 1 becomes 5"),
    "primaries": (_context(), _context(color_primaries=9), "colour primaries 1 becomes 9"),
    "transfer": (_context(), _context(color_trc=18), "transfer characteristics 1 becomes 18"),
    "colours that begin": ({}, _context(), "colour"),
    "size": ({"size": (96, 64)}, {"size": (64, 64)}, "picture 96x64 yuv420p becomes 64x64 yuv420p"),
    "chroma": ({}, {"pix_fmt": "yuv422p"}, "picture 96x64 yuv420p becomes 96x64 yuv422p"),
    "depth": ({}, {"pix_fmt": "yuv420p10le"}, "becomes 96x64 yuv420p10le"),
    "mastering display": (_h265(make.HDR10), _h265(OTHER_HDR), "mastering display"),
    "light level": (_h265(make.HDR10), _h265(make.HDR10.replace("1000,400", "600,200")), "light level"),
    "HDR that begins": (_h265(""), _h265(make.HDR10), "mastering display none becomes"),
    "HDR that ends": (_h265(make.HDR10), _h265(""), "becomes none"),
    "orientation": ({}, {"rotate": 90}, "orientation none becomes"),
    "orientation that turns on": ({"rotate": 90}, {"rotate": 180}, "orientation"),
    "orientation that ends": ({"rotate": 90}, {}, "orientation .* becomes none"),
}


def piece(path: Path, *, start: int = 0, rotate: int = 0, **spec: Any) -> Path:
    """A transport stream whose pictures begin at frame ``start``, turned by a message within them."""
    spec.setdefault("options", {"x265-params": X265} if spec.get("codec") == "libx265" else {"bf": "2"})
    plain = make.video(path, frames=COUNT, start=start, **spec)
    if not rotate:
        return plain
    turned = path.with_name(f"turned.{path.name}")
    with av.open(str(plain)) as source, av.open(str(turned), "w") as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        insert = BitStreamFilterContext(f"h264_metadata=display_orientation=insert:rotate={rotate}", in_stream=stream)
        for packet in source.demux(stream):
            for each in insert.filter(packet if packet.size else None):
                each.stream = copy
                out.mux(each)
    return turned


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_in_midstream_is_refused_with_its_frame(name: str, tmp_path: Path) -> None:
    before, after, message = CHANGES[name]
    one = piece(tmp_path / "1.ts", **before)
    two = piece(tmp_path / "2.ts", start=2 * COUNT, **after)
    path = tmp_path / "a.ts"
    path.write_bytes(one.read_bytes() + two.read_bytes())
    info = media.probe(path)
    pts = [frame.pts for frame in media.decode(path, info, stop=COUNT)]
    with pytest.raises(InputError, match=message) as caught:
        list(media.decode(path, info))
    found = re.search(rf"the video changes at frame {COUNT} \((\d\.\d+) s\)", caught.value.what)
    assert found and (pts[-1] - pts[0]) / 90_000 < float(found[1]) < 1
    assert caught.value.exit_code == 4 and "split" in caught.value.todo


@pytest.mark.parametrize("spec", [_aspect(16, 15), _h265(make.HDR10), {"rotate": 90}, _context(), {}], ids=str)
def test_pieces_of_one_kind_are_one_video(spec: dict[str, Any], tmp_path: Path) -> None:
    one, two = piece(tmp_path / "1.ts", **spec), piece(tmp_path / "2.ts", start=2 * COUNT, **spec)
    path = tmp_path / "a.ts"
    path.write_bytes(one.read_bytes() + two.read_bytes())
    assert any(f"{2 * COUNT}/{2 * COUNT} frames" in line for line in roundtrip(path, tmp_path / "w", "mkv").checks)
