"""The page on which a person draws the place of an overlay, used with mouse and keyboard."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from waterz_spool.report.picking import Marked, PickPage, Still, pick_html

WIDTH, HEIGHT, RATE = 320, 180, 24.0


def written(tmp_path, **changes):
    rng = np.random.default_rng(1)
    stills = [
        Still(index, index / RATE, rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8), None) for index in (0, 24, 49)
    ]
    values = {
        "name": 'a "b" & <i>.mp4', "command_name": "'a \"b\" & <i>.mp4'", "facts": ["320x180", "60 frames"],
        "size": (WIDTH, HEIGHT), "frame_count": 60, "rate": RATE, "stills": stills,
    }  # fmt: skip
    path = tmp_path / "pick.html"
    path.write_text(pick_html(PickPage(**{**values, **changes})), encoding="utf-8")
    return path


def drag(page, start, stop):
    area = page.locator("#draw").bounding_box()
    place = [(area["x"] + x * area["width"] / WIDTH, area["y"] + y * area["height"] / HEIGHT) for x, y in (start, stop)]
    page.mouse.move(*place[0])
    page.mouse.down()
    page.mouse.move(*place[1], steps=4)
    page.mouse.up()


def command(page):
    return page.inner_text("#command")


def saved(page, button, tmp_path):
    with page.expect_download() as download:
        page.click(button)
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    return path


def numbers(page):
    (option,) = [word for word in command(page).split() if word[0].isdigit() and word.count(",") == 3]
    return list(map(int, option.split(",")))


def test_a_dragged_box_becomes_a_command(tmp_path, open_page):
    page = open_page(written(tmp_path))
    assert command(page).endswith("# draw a box first")
    drag(page, (100, 50), (180, 90))
    assert command(page).startswith("waterz-spool run 'a \"b\" & <i>.mp4' --box ")
    assert np.allclose(numbers(page), (100, 50, 80, 40), atol=2)


def test_a_box_is_moved_with_mouse_and_keyboard_and_stays_in_the_picture(tmp_path, open_page):
    page = open_page(written(tmp_path, boxes=[Marked((100, 50, 80, 40))]))
    drag(page, (140, 70), (150, 75))
    assert np.allclose(numbers(page), (110, 55, 80, 40), atol=2)
    x, y, w, h = numbers(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Alt+ArrowRight")
    assert numbers(page) == [x + 1, y + 10, w + 1, h]
    drag(page, (x + w / 2, y + 10 + h / 2), (WIDTH, HEIGHT))
    x, y, w, h = numbers(page)
    assert (x + w, y + h) == (WIDTH, HEIGHT)
    page.keyboard.press("Delete")
    assert command(page).endswith("# draw a box first")


def test_a_corner_resizes(tmp_path, open_page):
    page = open_page(written(tmp_path, boxes=[Marked((100, 50, 80, 40))]))
    drag(page, (180, 90), (200, 120))
    assert np.allclose(numbers(page), (100, 50, 100, 70), atol=2)


def test_times_of_frames_become_limits_that_hold_that_frame(tmp_path, open_page):
    page = open_page(written(tmp_path, boxes=[Marked((100, 50, 80, 40))]))
    page.click("#strip button:nth-child(3)")  # frame 49, 2.041666 s
    page.click("[aria-label='box 1 from the frame shown']")
    assert command(page).endswith("--from 0:02.041")  # rounded down, or frame 49 would be left out
    page.click("[aria-label='box 1 up to and with the frame shown']")
    assert command(page).endswith("--to 0:02.083")


def test_boxes_with_times_of_their_own_go_into_a_tracks_file(tmp_path, open_page):
    boxes = [Marked((100, 50, 80, 40)), Marked((10, 10, 20, 20), 1.0, 2.0)]
    page = open_page(written(tmp_path, boxes=boxes))
    assert command(page).endswith("--tracks tracks.json")
    tracks = json.loads(saved(page, "#save-tracks", tmp_path).read_text())
    assert [(t["start"], t["stop"], t["box"]) for t in tracks["tracks"]] == [
        (0, 60, [100, 50, 80, 40]), (24, 48, [10, 10, 20, 20]),
    ]  # fmt: skip
    assert (tracks["frames"], tracks["size"]) == (60, [WIDTH, HEIGHT])


def test_a_painted_mask_is_saved_white_on_black(tmp_path, open_page):
    page = open_page(written(tmp_path, boxes=[Marked((100, 50, 80, 40))]))
    page.click("#tool-brush")
    drag(page, (20, 20), (60, 20))
    assert command(page).endswith("--mask mask.png")
    mask = cv2.imread(str(saved(page, "#save-mask", tmp_path)), cv2.IMREAD_UNCHANGED)
    assert mask.shape[:2] == (HEIGHT, WIDTH) and mask[20, 40, :3].min() == 255 and mask[60, 140, :3].min() == 255
    assert mask[150, 300, :3].max() == 0
    page.click("#tool-erase")
    page.fill("#size", "80")
    drag(page, (10, 20), (70, 20))
    assert "--mask" not in command(page)


def test_a_doubtful_place_is_taken_by_a_click(tmp_path, open_page):
    page = open_page(
        written(tmp_path, doubts=[Marked((5, 6, 70, 20), note="confidence 0.41")], reason="it stands still")
    )
    assert "it stands still" in page.inner_text("body")
    page.click("[aria-label='take 5,6,70,20']")
    assert numbers(page) == [5, 6, 70, 20]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_its_window(tmp_path, open_page, width, scheme):
    page = open_page(written(tmp_path, boxes=[Marked((100, 50, 80, 40))]), width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_large_pictures_stay_under_three_megabytes(tmp_path):
    noise = np.random.default_rng(2).integers(0, 255, (1080, 1920, 3), np.uint8)
    stills = [Still(index, float(index), noise) for index in range(12)]
    assert written(tmp_path, stills=stills, size=(1920, 1080)).stat().st_size < 3_000_000
