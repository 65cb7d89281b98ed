"""Boxes are given in the size in which a browser shows the video: one side is stretched, none is shrunk."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.media import make
from waterz_spool import media
from waterz_spool.geometry import Geometry

SHOWN = """async (url) => {
    const video = document.querySelector("video");
    const known = new Promise((done, failed) => { video.onloadedmetadata = done; video.onerror = failed; });
    video.src = url;
    await known;
    return [video.videoWidth, video.videoHeight];
}"""


@pytest.mark.parametrize(("wide", "high"), [(1, 1), (2, 1), (4, 3), (1, 2), (8, 9)])
def test_a_stretched_video_has_the_size_that_a_browser_gives_it(open_page, tmp_path, wide, high):
    aspect = {"sample_aspect_ratio": Fraction(wide, high)}
    clip = make.video(tmp_path / "v.mp4", frames=3, codec="libvpx-vp9", context=aspect)
    page = tmp_path / "v.html"
    page.write_text("<!doctype html><title>v</title><link rel=icon href='data:,'><video muted></video>")
    info = media.probe(clip)
    assert info.sample_aspect in ((wide, high), None)
    assert open_page(page).evaluate(SHOWN, clip.as_uri()) == list(Geometry.of(info).shown)
