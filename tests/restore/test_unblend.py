"""Translucent overlays: undone where the frames prove what they are, left to the fill where they do not."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.restore import scenes
from waterz_spool import restore
from waterz_spool.restore.unblend.gamut import Gamut
from waterz_spool.restore.unblend.layers import find_layers
from waterz_spool.restore.unblend.moments import sums_of

HEIGHT, WIDTH, FRAMES = 96, 160, 16
WHITE = Gamut("yuv").white


def picture(seed=0):
    """A still scene with structure of many sizes, [H, W, 3] in video range."""
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.normal(0, 1, (HEIGHT, WIDTH, 3)), (0, 0), size) for size in (3, 6, 16)]
    mixed = sum(layer / layer.std() for layer in layers)
    return np.clip([100, 128, 128] + mixed * [16, 5, 5], [16, 16, 16], [235, 240, 240])


def still(seed=0):
    rng = np.random.default_rng(seed + 1)
    return picture(seed) + rng.normal(0, 1, (FRAMES, HEIGHT, WIDTH, 3))


def strokes():
    """The coverage of a mark of strokes, 0 to 1, with soft edges."""
    large = np.zeros((4 * HEIGHT, 4 * WIDTH), np.uint8)
    cv2.putText(large, "PREVIEW", (48, 250), cv2.FONT_HERSHEY_DUPLEX, 4.2, 255, 28, cv2.LINE_AA)
    return cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) / 255


def marked(clean, opacity, colour, *, shape=None):
    """Frames with a mark, and their masks: its support grown by 2 px."""
    share = opacity * (strokes() if shape is None else shape)[..., None]
    shown = np.rint(np.clip(clean * (1 - share) + share * np.asarray(colour, float), 0, 255)).astype(np.uint8)
    mask = cv2.dilate((share[..., 0] > 0.01).astype(np.uint8), np.ones((5, 5), np.uint8)) * 255
    return shown, np.repeat(mask[None], len(clean), axis=0)


def scores(clean, opacity, colour, **more):
    frames, masks = marked(clean, opacity, colour, **more)
    clip = scenes.clip(frames, masks)
    truth = np.rint(np.clip(clean, 0, 255))
    made = [restore.create(name).restore(clip) for name in ("propagate", "unblend")]
    return [scenes.psnr(each.frames, truth, masks) for each in made], made


@pytest.mark.parametrize("opacity", [0.4, 0.5, 0.7])
def test_a_translucent_mark_on_a_still_shot_gives_the_picture_back(opacity):
    (filled, undone), made = scores(still(), opacity, WHITE)
    assert undone > filled + 0.8
    assert made[1].confidence.weight > made[0].confidence.weight + 0.2


@pytest.mark.parametrize("colour", [(16, 128, 128), (60, 170, 110)])
def test_marks_of_other_colours(colour):
    filled, undone = scores(still(2), 0.5, colour)[0]
    assert undone > filled + 0.8


def test_a_mark_over_a_pan_too_slow_to_see_behind():
    clean = np.stack([cv2.GaussianBlur(each, (0, 0), 4) for each in scenes.pan(FRAMES, HEIGHT, WIDTH, step=0.3)])
    clean = 20 + 190 * np.clip(0.5 + 1.5 * (clean - 0.5), 0, 1) * [1, 0.1, 0.1] + [0, 100, 100]
    filled, undone = scores(clean, 0.5, (60, 150, 110))[0]
    assert undone > filled + 0.8


def test_what_is_opaque_is_filled_as_ever():
    for colour in (WHITE, (60, 150, 110)):
        frames, masks = marked(still(), 1.0, colour)
        clip = scenes.clip(frames, masks)
        one, other = (restore.create(name).restore(clip).frames for name in ("propagate", "unblend"))
        assert np.array_equal(one, other)


def test_what_the_frames_say_about_a_mark():
    frames, masks = marked(still(), 0.4, WHITE)
    hidden = masks[0] != 0
    clip = scenes.clip(frames, masks)
    under = restore.create("membrane").restore(clip).frames
    trust = np.zeros(hidden.shape, np.uint8)
    found = find_layers(sums_of(((f, x, trust) for f, x in zip(frames, under, strict=True)), hidden), hidden,
                        colours=Gamut("yuv"), error=150.0)  # fmt: skip
    assert len(found.layers) == 1
    assert found.layers[0].slope == pytest.approx(0.6, abs=0.05)
    assert found.layers[0].colour == pytest.approx(WHITE, abs=8)


def test_ten_bit_clips_are_undone_alike():
    clean = still()
    frames, masks = marked(clean, 0.5, WHITE)
    clip = replace(scenes.clip(frames.astype(np.uint16) * 4, masks, bits=10))
    eight = restore.create("unblend").restore(scenes.clip(frames, masks)).frames
    ten = restore.create("unblend").restore(clip).frames
    assert np.abs(ten / 4 - eight)[masks != 0].mean() < 0.6


def test_an_overlay_that_pauses_is_left_to_what_the_pauses_show():
    frames, masks = marked(still(), 0.5, WHITE)
    frames[6:10], masks[6:10] = np.rint(still()[6:10]), 0
    clip = scenes.clip(frames, masks)
    one, other = (restore.create(name).restore(clip).frames for name in ("propagate", "unblend"))
    assert np.array_equal(one, other)


def test_colours_are_clipped_as_red_green_and_blue():
    gamut = Gamut("yuv", 1)
    assert gamut.clip(np.array([300.0, 128, 128])) == pytest.approx([235, 128, 128])
    assert gamut.clip(np.array([120.0, 110, 140])) == pytest.approx([120, 110, 140], abs=1e-6)
    assert Gamut("rgb").clip(np.array([-3.0, 20, 260])) == pytest.approx([0, 20, 255])
    assert Gamut("gray").clip(np.array([9.0])) == pytest.approx([16])
