"""The preview page: a slider over two clips that play in step, in a real browser."""

from __future__ import annotations

import shlex

import numpy as np
import pytest

from tests.integration.conftest import as_json, box_option, cli, clip, video  # noqa: F401
from waterz_spool.report.clips import clip_uri
from waterz_spool.report.jobpage import Pair
from waterz_spool.report.picking import jpeg_uri
from waterz_spool.report.previewpage import PreviewPage, preview_html

WIDTH, HEIGHT, RATE, FRAMES = 160, 90, 20.0, 30
IN_STEP = """() => {
  const [before, after] = document.querySelectorAll(".clips video");
  return !before.paused && !after.paused && before.currentTime > 0.3
    && Math.abs(before.currentTime - after.currentTime) < 1.5 / 20;
}"""


def clip_of(level, most_bytes=3_000_000):
    pictures = [np.full((HEIGHT, WIDTH, 3), level + 2 * number, np.uint8) for number in range(FRAMES)]
    return clip_uri(pictures, size=(WIDTH, HEIGHT), rate=RATE, most_bytes=most_bytes)


def written(tmp_path, **changes):
    still = Pair(*(jpeg_uri(np.full((HEIGHT, WIDTH, 3), level, np.uint8), quality=80) for level in (40, 200)), "one")
    values = {
        "name": "<b>holiday</b>.mp4", "facts": ["160x90", "30 frames"], "clips": Pair(clip_of(20), clip_of(150), "it"),
        "rate": RATE, "frames": FRAMES, "said": ["31 % was seen"], "warnings": ["most is a guess"],
        "whole": ["about 4 min"], "pairs": [still], "command": "waterz-spool run 'a \"b\".mp4'",
    }  # fmt: skip
    path = tmp_path / "preview.html"
    path.write_text(preview_html(PreviewPage(**{**values, **changes})), encoding="utf-8")
    return path


def opened(open_page, path, **more):
    page = open_page(path, **more)
    page.wait_for_function("[...document.querySelectorAll('.clips video')].every((one) => one.readyState >= 3)")
    return page


def times(page):
    return page.evaluate("[...document.querySelectorAll('.clips video')].map((one) => one.currentTime)")


def test_both_clips_play_in_step_and_stop_at_the_same_frame(tmp_path, open_page):
    page = opened(open_page, written(tmp_path))
    page.click("#play")
    page.wait_for_function(IN_STEP)
    page.keyboard.press("Escape")
    page.click("#play")
    before, after = times(page)
    assert before == after and page.inner_text("#play") == "Play"


def test_keys_and_the_bar_go_to_frames(tmp_path, open_page):
    page = opened(open_page, written(tmp_path))
    assert page.inner_text("#frame") == "1/30"
    page.keyboard.press(".")
    page.keyboard.press(".")
    assert page.inner_text("#frame") == "3/30" and times(page) == pytest.approx([2.5 / RATE] * 2)
    page.keyboard.press(",")
    assert page.inner_text("#frame") == "2/30"
    page.fill("#at", "29")
    assert page.inner_text("#frame") == "30/30"


def test_the_slider_divides_before_from_after(tmp_path, open_page):
    page = opened(open_page, written(tmp_path))
    area = page.locator(".clips .compare").bounding_box()
    page.mouse.click(area["x"] + 0.8 * area["width"], area["y"] + area["height"] / 2)
    at = "getComputedStyle(document.querySelector('.clips .compare')).getPropertyValue('--at')"
    clicked = float(page.evaluate(at).rstrip("%"))
    assert abs(clicked - 80) < 5
    page.keyboard.press("ArrowLeft")
    assert float(page.evaluate(at).rstrip("%")) < clicked


def test_everything_that_was_given_is_shown_and_escaped(tmp_path, open_page):
    text = opened(open_page, written(tmp_path)).inner_text("body")
    for words in ("<b>holiday</b>.mp4", "31 %", "most is a guess", "about 4 min", "waterz-spool run 'a \"b\".mp4'"):
        assert words in text


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_its_window(tmp_path, open_page, width, scheme):
    page = opened(open_page, written(tmp_path), width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_clip_is_made_as_small_as_it_must_be():
    noise = np.random.default_rng(1).integers(0, 255, (8, HEIGHT, WIDTH, 3), np.uint8)
    whole = clip_uri(noise, size=(WIDTH, HEIGHT), rate=RATE, most_bytes=10_000_000)
    assert len(clip_uri(noise, size=(WIDTH, HEIGHT), rate=RATE, most_bytes=len(whole) // 2)) <= len(whole) // 2


def test_a_preview_of_a_video_becomes_a_page_and_leaves_nothing_else(video, cli, tmp_path, open_page):  # noqa: F811
    call = ("preview", video.name, *box_option(), "--at", "1", "--seconds", "0.5", "--preset", "ultrafast")
    told = as_json(cli(*call, "--json"))
    assert (told["page"], told["start"], told["stop"]) == ("clip.preview.html", 24, 36)
    assert 0 < told["confidence"]["seen"] <= 1 and told["plan"]["bytes"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "clip.preview.html", "state"]
    assert list((tmp_path / "state").iterdir()) == []
    page = opened(open_page, tmp_path / told["page"])
    assert shlex.split(page.inner_text("#command"))[:3] == ["waterz-spool", "run", "clip.mp4"]
    assert "--at" not in page.inner_text("#command") and "whole video: about" in page.inner_text("body")


def test_a_time_without_overlay_is_refused_with_one_that_has_it(video, cli):  # noqa: F811
    done = cli("preview", video.name, "--box-exact", "170,12,64,28", "--to", "1", "--at", "2", check=False)
    assert done.returncode == 2 and "look within 00:00:00-00:00:01" in done.stderr
