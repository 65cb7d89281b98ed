"""Where chroma samples lie is kept, in the bitstream or by the container; what cannot keep it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.media import make
from tests.media.roundtrip import roundtrip
from waterz_spool import media
from waterz_spool.errors import InputError

AT = "chroma_sample_location"
KEPT: dict[str, tuple[str, str, dict[str, Any], str, str]] = {
    "UHD HDR10": ("mp4", "mp4", {"codec": "libx265", "pix_fmt": "yuv420p10le"}, "topleft", "topleft"),
    "HEVC to Matroska": ("mp4", "mkv", {"codec": "libx265"}, "topleft", "topleft"),
    "H.264": ("mp4", "mp4", {}, "topleft", "topleft"),
    "H.264 like JPEG": ("mkv", "mov", {}, "center", "center"),
    "H.264 by default": ("mp4", "mp4", {}, "unspecified", "left"),
    "transport stream": ("ts", "mp4", {}, "bottomleft", "bottomleft"),
    "raw video": ("y4m", "mkv", {"codec": "wrapped_avframe", "format": "yuv4mpegpipe"}, "center", "center"),
    "VP9": ("webm", "webm", {"codec": "libvpx-vp9"}, "topleft", "topleft"),
    "AV1": ("mkv", "mp4", {"codec": "libsvtav1"}, "topleft", "topleft"),
    "FFV1": ("mkv", "mkv", {"codec": "ffv1"}, "topleft", "topleft"),
    "MPEG-2": ("mkv", "mkv", {"codec": "mpeg2video"}, "left", "left"),
    "MPEG-1": ("mkv", "mp4", {"codec": "mpeg1video"}, "center", "center"),
    "MPEG-4": ("avi", "mkv", {"codec": "mpeg4"}, "left", "left"),
    "MJPEG": ("avi", "mkv", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}, "center", "center"),
    "HEVC of 12 bit": ("mkv", "mkv", {"codec": "libx265", "pix_fmt": "yuv420p12le"}, "topleft", "topleft"),
    "an odd size": ("webm", "webm", {"codec": "libvpx-vp9", "size": (65, 63)}, "topleft", "topleft"),
    "an odd size of MPEG-4": ("avi", "mkv", {"codec": "mpeg4", "size": (65, 63)}, "left", "left"),
    "4:4:4": ("mp4", "mp4", {"pix_fmt": "yuv444p"}, "topleft", ""),
    "gray": ("mkv", "mkv", {"codec": "ffv1", "pix_fmt": "gray"}, "topleft", ""),
    "gray of 12 bit": ("mp4", "mp4", {"codec": "libx265", "pix_fmt": "gray12le"}, "topleft", ""),
    "RGB": ("mkv", "mkv", {"codec": "ffv1", "pix_fmt": "bgr0"}, "topleft", ""),
    "4:2:2 of 12 bit": ("mkv", "mkv", {"codec": "libx265", "pix_fmt": "yuv422p12le"}, "topleft", ""),
    "4:2:2": ("mp4", "mp4", {"pix_fmt": "yuv422p"}, "left", ""),
}


@pytest.mark.parametrize("name", KEPT)
def test_the_place_of_chroma_is_kept(name: str, tmp_path: Path) -> None:
    extension, container, spec, given, expected = KEPT[name]
    spec = {"frames": 8, "size": (64, 64), "options": {AT: given}} | spec
    source = make.video(tmp_path / f"a.{extension}", **spec)
    assert media.probe(source).chroma_location == expected
    assert media.probe(roundtrip(source, tmp_path / "work", container).out).chroma_location == expected


def test_a_container_that_forgets_it_is_refused(tmp_path: Path) -> None:
    source = make.video(tmp_path / "a.webm", frames=2, codec="libvpx-vp9", options={AT: "center"})
    info = media.probe(source)
    assert info.chroma_location == "center"
    with pytest.raises(InputError, match="chroma location of the video"):
        media.check_container(source, info, media.encode_settings(info, container="mp4"))
