"""The report page: figures, sliders and charts, in a real browser."""

from __future__ import annotations

import numpy as np
import pytest

from waterz_spool.records import Confidence
from waterz_spool.report.jobpage import AttemptBar, JobPage, Pair, SegmentLine, report_html
from waterz_spool.report.picking import jpeg_uri


def picture(level):
    return jpeg_uri(np.full((90, 160, 3), level, np.uint8), quality=80)


def written(tmp_path, segments=3, **changes):
    lines = [
        SegmentLine(
            index=number, start_s=10.0 * number, stop_s=10.0 * number + 10, frames=240, engine="propagate",
            seconds=12.3, host=f"node{number % 2}", attempts=1 + number % 2,
            confidence=Confidence(seen=0.2 + 0.3 * (number % 3), weight=(0.1, 0.45, 0.9)[number % 3], hidden_px=9),
        )
        for number in range(segments)
    ]  # fmt: skip
    values = {
        "name": "<b>holiday</b>.mp4", "state": "done", "output": "/videos/holiday.clean.mp4",
        "warnings": ["Nothing behind the overlay was ever visible."], "said": ["31 % of the hidden picture was seen"],
        "pairs": [Pair(picture(40), picture(200), "frame 12, overlay at 1,2,3,4")], "segments": lines,
        "attempts": [AttemptBar("node0", "0", "failed", 5.0, 9.0, "out of memory"),
                     AttemptBar("node1", "0", "done", 9.0, 20.0)],
        "checks": ["240 frames, all times equal"], "details": [("encoder", "libx264 crf=11")],
    }  # fmt: skip
    path = tmp_path / "report.html"
    path.write_text(report_html(JobPage(**{**values, **changes})), encoding="utf-8")
    return path


def share_of_before(page):
    """How much of the picture's width shows the dark picture from before."""
    page.evaluate("document.querySelector('.compare').scrollIntoView()")
    area = page.locator(".compare").bounding_box()
    at = page.evaluate("getComputedStyle(document.querySelector('.compare')).getPropertyValue('--at')")
    return float(at.rstrip("%")) / 100, area


def test_the_slider_follows_mouse_and_keyboard(tmp_path, open_page):
    page = open_page(written(tmp_path))
    share, area = share_of_before(page)
    assert share == 0.5
    page.mouse.click(area["x"] + 0.8 * area["width"], area["y"] + area["height"] / 2)
    clicked = share_of_before(page)[0]
    assert abs(clicked - 0.8) < 0.05
    page.keyboard.press("ArrowLeft")
    assert share_of_before(page)[0] < clicked


def test_everything_that_was_given_is_shown_and_escaped(tmp_path, open_page):
    page = open_page(written(tmp_path))
    text = page.inner_text("body")
    for words in ("<b>holiday</b>.mp4", "31 %", "Nothing behind", "240 frames, all times equal", "libx264 crf=11"):
        assert words in text
    assert "low" in text and "middle" in text and "high" in text
    assert "out of memory" in page.content()


def test_a_job_that_has_only_begun_has_a_page_too(tmp_path, open_page):
    page = open_page(written(tmp_path, segments=0, pairs=(), attempts=(), warnings=(), checks=(), output=""))
    assert "holiday" in page.inner_text("h1")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_its_window(tmp_path, open_page, width, scheme):
    page = open_page(written(tmp_path), width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_thousand_segments_make_a_small_page(tmp_path):
    assert written(tmp_path, segments=1000).stat().st_size < 1_000_000
