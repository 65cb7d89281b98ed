"""Bars beside the picture are no overlay and hide none; what stands in one is told with its place, never taken."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest

from tests.detect.test_jumps import find
from tests.detect.test_static import SIZE, overlap, scene

WIDTH, HEIGHT = SIZE
BARS = {"top": (0, 24, 0, 0), "both": (24, 24, 0, 0), "sides": (0, 0, 40, 40), "window": (16, 16, 30, 30)}


@cache
def shots():
    return scene(48)


def barred(frames, sizes, *, level=16, noise=0.0):
    """Bars of so many px: top, bottom, left, right."""
    top, bottom, left, right = sizes
    rng, done = np.random.default_rng(2), []
    for frame in frames:
        shot = np.full_like(frame, level) + rng.normal(0, noise, frame.shape)
        inside = slice(top, HEIGHT - bottom), slice(left, WIDTH - right)
        shot[inside] = frame[inside]
        done.append(np.rint(np.clip(shot, 0, 255)).astype(np.uint8))
    return done


def box(frames, place, *, level=235):
    x0, y0, x1, y1 = place
    done = [frame.copy() for frame in frames]
    for frame in done:
        frame[y0:y1, x0:x1] = level
    return done


def text(frames, corner, words="TV7"):
    ink = np.zeros(SIZE[::-1], np.uint8)
    cv2.putText(ink, words, corner, cv2.FONT_HERSHEY_DUPLEX, 0.6, 255, 1, cv2.LINE_AA)
    share = ink / np.float32(255)
    return [np.rint(frame * (1 - share) + 235 * share).astype(np.uint8) for frame in frames], ink > 0


@pytest.mark.parametrize("sizes", BARS.values(), ids=BARS)
def test_bars_alone_are_nothing(sizes):
    found, _ = find(barred(shots(), sizes, noise=0.4))
    assert found.patches == () and found.reason == "nothing stays in place while the picture moves"
    assert all(each.confidence < 0.2 for each in found.rejected), found.rejected


@pytest.mark.parametrize(
    ("sizes", "corner"),
    [
        ((24, 24, 0, 0), (240, 18)),
        ((24, 24, 0, 0), (20, 173)),
        ((0, 40, 0, 0), (100, 168)),
        ((0, 0, 50, 50), (4, 90)),
        ((16, 16, 50, 50), (275, 100)),
    ],
    ids=["top", "bottom", "bottom only", "side", "side of a window"],
)
def test_a_logo_in_a_bar_is_told_with_its_place(sizes, corner):
    frames, ink = text(barred(shots(), sizes), corner)
    found, _ = find(frames)
    assert found.patches == () and "in a bar" in found.reason, found
    (told,) = (each for each in found.rejected if each.confidence >= 0.2)
    x0, y0, x1, y1 = told.box
    assert "in a bar" in told.reason and ink[y0:y1, x0:x1].sum() == ink.sum()
    assert (x1 - x0) * (y1 - y0) < 3000


@pytest.mark.parametrize(
    ("sizes", "place"),
    [((24, 24, 0, 0), (230, 12, 290, 40)), ((24, 24, 0, 0), (30, 140, 90, 170)), ((0, 0, 40, 40), (265, 60, 300, 90))],
    ids=["top", "bottom", "side"],
)
def test_a_box_half_over_a_bar_is_told_wholly(sizes, place):
    found, _ = find(box(barred(shots(), sizes), place))
    assert found.patches == ()
    (told,) = (each for each in found.rejected if each.confidence >= 0.2)
    assert "goes on" in told.reason
    assert max(abs(a - b) for a, b in zip(told.box, place, strict=True)) <= 3, told


def test_a_text_half_over_a_bar_is_told_and_not_taken_in_part():
    frames, ink = text(barred(shots(), (24, 24, 0, 0)), (230, 32))
    found, _ = find(frames)
    assert found.patches == ()
    x0, y0, x1, y1 = max(found.rejected, key=lambda each: each.confidence).box
    assert ink[y0:y1, x0:x1].sum() == ink.sum()


@pytest.mark.parametrize("sizes", [BARS["both"], BARS["window"]], ids=["both", "window"])
def test_a_logo_in_a_picture_with_bars_is_found(sizes):
    place = 200, 60, 260, 90
    frames = box(barred(shots(), sizes), place)
    found, masks = find(frames)
    cover = np.zeros(SIZE[::-1], bool)
    cover[place[1] : place[3], place[0] : place[2]] = True
    assert len(found.patches) == 1 and overlap(masks[0], cover) > 0.85


@pytest.mark.parametrize("level", [40, 235])
def test_a_plate_that_ends_at_a_bar_is_taken_wholly_or_not_at_all(level):
    found, masks = find(box(barred(shots(), (24, 24, 0, 0)), (230, 24, 290, 50), level=level))
    assert not found.patches or masks[0][24:50, 230:290].mean() > 0.9


@pytest.mark.parametrize("sizes", [(24, 24, 0, 0), (0, 0, 40, 40)], ids=["letterbox", "pillarbox"])
@pytest.mark.parametrize("level", [70, 100, 128, 200])
def test_a_grey_plate_with_text_that_ends_at_a_bar_is_taken_wholly_or_told_wholly(sizes, level):
    x0, y0, x1, y1 = place = (230, 24, 290, 50) if sizes[0] else (40, 60, 100, 90)
    frames, _ = text(box(barred(shots(), sizes), place, level=level), (x0 + 10, y0 + 18))
    found, masks = find(frames)
    if found.patches:
        assert masks[0][y0:y1, x0:x1].mean() > 0.9
    for told in found.rejected:
        if told.missing:
            assert max(abs(a - b) for a, b in zip(told.box, place, strict=True)) <= 3, told
