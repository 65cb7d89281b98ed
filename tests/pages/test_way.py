"""A person's way: the page, a box drawn in the browser, the copied command, the result."""

from __future__ import annotations

import shlex

import numpy as np

from tests.integration.conftest import BOX, HEIGHT, WIDTH, cli, clip, read_bgr, video  # noqa: F401
from tests.integration.test_run import FAST, psnr


def test_a_box_drawn_in_the_page_becomes_a_clean_video(clip, video, cli, tmp_path, open_page):  # noqa: F811
    done = cli("pick", video.name, "--detector", "none")
    page = open_page(tmp_path / done.stdout.strip())
    area = page.locator("#draw").bounding_box()
    x, y, w, h = BOX
    corners = [(x - 3, y - 3), (x + w + 3, y + h + 3)]
    (ax, ay), (bx, by) = [
        (area["x"] + u * area["width"] / WIDTH, area["y"] + v * area["height"] / HEIGHT) for u, v in corners
    ]
    page.mouse.move(ax, ay)
    page.mouse.down()
    page.mouse.move(bx, by, steps=4)
    page.mouse.up()
    program, *arguments = shlex.split(page.inner_text("#command"))
    assert program == "waterz-spool"
    cli(*arguments, *FAST, "--report")
    report = open_page(video.with_name("clip.clean.html"))
    report.locator(".compare input").focus()
    report.keyboard.press("ArrowRight")
    assert report.evaluate("getComputedStyle(document.querySelector('.compare')).getPropertyValue('--at')") != "50%"
    result = read_bgr(video.with_name("clip.clean.mp4"))
    assert psnr(result, clip.truth, clip.mask) > 28


def test_what_was_found_is_drawn_for_a_start(video, cli, tmp_path, open_page):  # noqa: F811
    page = open_page(tmp_path / cli("pick", video.name).stdout.strip())
    words = shlex.split(page.inner_text("#command"))
    found = list(map(int, words[words.index("--box") + 1].split(",")))
    assert np.allclose(found, BOX, atol=8)
    assert page.locator("#found").is_visible()
