"""A transport stream's clock begins anew after 26.5 hours: exact, or refused before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.media import make
from tests.media.make import Audio
from tests.media.roundtrip import roundtrip
from waterz_spool import media
from waterz_spool.errors import InputError

WRAP = 2**33 // 3600  # in frames of 25 per second
BEFORE: dict[str, tuple[str, dict[str, Any]]] = {
    "H.264": ("ts", {"start": WRAP - 6}),
    "H.264 that ends before it": ("ts", {"start": WRAP - 200}),
    "MPEG-2": ("ts", {"codec": "mpeg2video", "start": WRAP - 6}),
    "HEVC": ("ts", {"codec": "libx265", "start": WRAP - 6, "options": {"x265-params": "log-level=none"}}),
    "MPEG-2 programme stream": ("mpg", {"codec": "mpeg2video", "start": WRAP - 6}),
}


@pytest.mark.parametrize("name", BEFORE)
def test_a_video_that_begins_before_zero_is_refused_with_the_way_to_shift_it(name: str, tmp_path: Path) -> None:
    extension, spec = BEFORE[name]
    path = make.video(tmp_path / f"a.{extension}", frames=20, **spec)
    with pytest.raises(InputError, match=r"begins at -\d+\.\d+ s") as caught:
        media.probe(path)
    assert "-avoid_negative_ts make_zero" in caught.value.todo


def test_frames_without_a_time_stamp_are_refused_with_the_way_to_get_one(tmp_path: Path) -> None:
    """As a cut leaves them that was made without care for negative times."""
    spec: dict[str, Any] = {"start": -6, "muxer": {"avoid_negative_ts": "disabled"}, "options": {"bf": "0"}}
    path = make.video(tmp_path / "a.mkv", frames=20, **spec)
    with pytest.raises(InputError, match=r"no time stamp") as caught:
        media.probe(path)
    assert "-c:v ffv1" in caught.value.todo


@pytest.mark.parametrize("container", ["mkv", "mp4"])
@pytest.mark.parametrize("start", [WRAP + 3, WRAP - 80 * 25])
def test_times_far_from_the_wrap_are_exact(start: int, container: str, tmp_path: Path) -> None:
    path = make.video(tmp_path / "a.ts", frames=20, start=start, audio=[Audio(start=start * 1920)])
    assert any("20/20 frames" in line for line in roundtrip(path, tmp_path / "work", container).checks)
