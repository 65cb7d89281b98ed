"""A clean picture is never touched, and black, white, faded and frozen frames neither hide nor make an overlay."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest

from tests.detect.test_jumps import PLACES, burnt, find, jumping, mark
from tests.detect.test_static import SIZE, overlap, scene


def faded(frames, first, last):
    """Brightness from one share to another, as an edit fades a whole picture."""
    steps = np.linspace(first, last, len(frames))
    return [np.rint(frame * step).astype(np.uint8) for frame, step in zip(frames, steps, strict=True)]


def black(count):
    return [np.full(SIZE[::-1], 16, np.uint8)] * count


def box(frames):
    """A white box that lets a tenth of the picture through."""
    cover = np.zeros(SIZE[::-1], np.float32)
    cover[20:56, 220:291] = 0.9
    return burnt(frames, [cover] * len(frames)), cover > 0


@cache
def edits():
    frames, _ = box(scene(100))
    other, _ = box([np.flipud(frame) for frame in scene(60)])
    mixed = [np.uint8(a // 2 + b // 2) for a, b in zip(frames[50:56], other[:6], strict=True)]
    return {
        "black first frame": black(1) + frames[1:],
        "fade-in": faded(frames[:14], 0, 1) + frames[14:],
        "black between scenes": frames[:50] + black(8) + other,
        "fade-out": frames[:86] + faded(frames[86:], 1, 0),
        "white flash": frames[:50] + [np.full(SIZE[::-1], 235, np.uint8)] * 2 + frames[52:],
        "dissolve": frames[:50] + mixed + other[6:],
        "freeze": frames[:60] + [frames[59]] * 30 + frames[60:],
    }


@pytest.mark.parametrize("edit", sorted(edits()))
def test_a_logo_is_found_whatever_an_editor_does(edit):
    frames = edits()[edit]
    _, truth = box(scene(1))
    found, masks = find(frames)
    assert [(each.start, each.stop) for each in found.patches] == [(0, len(frames))], (found.reason, found.rejected)
    assert overlap(masks[0], truth) > 0.85


@pytest.mark.parametrize("edit", ["fade-in", "black between scenes", "white flash", "freeze"])
def test_such_edits_make_no_overlay(edit):
    plain, other = scene(100), [np.flipud(frame) for frame in scene(60)]
    frames = {
        "fade-in": faded(plain[:14], 0, 1) + plain[14:],
        "black between scenes": plain[:50] + black(8) + other,
        "white flash": plain[:50] + [np.full(SIZE[::-1], 235, np.uint8)] * 2 + plain[52:],
        "freeze": plain[:60] + [plain[59]] * 30 + plain[60:],
    }[edit]
    assert find(frames)[0].patches == ()


def head(frames, every=22):
    """Something soft with features that holds a pose, moves at once, and holds another."""
    rng = np.random.default_rng(3)
    face = cv2.GaussianBlur(rng.uniform(0, 255, (90, 70)).astype(np.float32), (0, 0), 2.5)
    face = np.clip((face - face.mean()) * 4 + 150, 0, 255)
    cover = np.zeros((90, 70), np.float32)
    cv2.ellipse(cover, (35, 45), (28, 40), 0, 0, 360, 1, -1)
    cover = cv2.GaussianBlur(cover, (0, 0), 2)
    x = y = 0.0
    shots = []
    for index, frame in enumerate(frames):
        if index % every == 0:
            to = rng.integers(-28, 29), rng.integers(-12, 13)
        x, y = x + np.clip(to[0] - x, -14, 14), y + np.clip(to[1] - y, -14, 14)
        shot = frame.astype(np.float32)
        part = shot[40 + int(y) : 130 + int(y), 120 + int(x) : 190 + int(x)]
        part += cover * (face - part)
        shots.append(np.clip(shot + rng.normal(0, 1, shot.shape), 0, 255).astype(np.uint8))
    return shots


def zoom(count=100, *, rate=1.0015, centre=(150, 80)):
    """A still photograph into which the picture slowly zooms."""
    photo = scene(1)[0]
    photo = cv2.addWeighted(photo, 1, cv2.Laplacian(photo, cv2.CV_8U, ksize=3), 1, 0)
    turns = [cv2.getRotationMatrix2D(centre, 0, 1.1 * rate**index) for index in range(count)]
    return [cv2.warpAffine(photo, turn, SIZE, flags=cv2.INTER_CUBIC) for turn in turns]


def slides():
    """The same word in several slides, now here, now there, while the list grows."""
    frames = []
    for number in range(5):
        slide = np.full(SIZE[::-1], 240, np.uint8)
        cv2.putText(slide, f"Part {number}", (20, 30), cv2.FONT_HERSHEY_DUPLEX, 0.9, 20, 2, cv2.LINE_AA)
        for line in range(number % 3):
            cv2.putText(slide, f"point {line} {number}", (60, 60 + 25 * line), cv2.FONT_HERSHEY_DUPLEX, 0.6, 20, 1)
        cv2.putText(slide, "Summary", (60, 70 + 25 * (number % 3)), cv2.FONT_HERSHEY_DUPLEX, 0.7, 20, 2, cv2.LINE_AA)
        frames += [slide] * 24
    return frames


def page():
    """Text that fills the picture."""
    paper = np.full(SIZE[::-1], 240, np.uint8)
    for line in range(10):
        cv2.putText(
            paper, f"{line} lorem ipsum dolor sit amet", (8, 16 + 17 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 30, 1
        )
    return paper


def bullet():
    """An arrow that goes down a list."""
    frames = []
    for number in range(5):
        shot = page()
        cv2.arrowedLine(shot, (10, 20 + 34 * number), (70, 20 + 34 * number), 20, 3)
        cv2.circle(shot, (90, 20 + 34 * number), 8, 60, -1)
        frames += [shot] * 22
    return frames


def cursor():
    """A pointer that is here, then there, on a screen."""
    frames = []
    shape = np.array([[0, 0], [0, 34], [8, 27], [14, 40], [20, 37], [14, 25], [25, 25]], np.int32)
    for x, y in PLACES:
        shot = page()
        cv2.fillPoly(shot, [shape + np.array([x, y - 25], np.int32)], 255, cv2.LINE_AA)
        cv2.polylines(shot, [shape + np.array([x, y - 25], np.int32)], True, 0, 2, cv2.LINE_AA)
        frames += [shot] * 22
    return frames


def back_and_forth(frames):
    return frames + frames[::-1] + frames


@pytest.mark.parametrize(
    "frames",
    [
        head(scene(110, pan=0.0)),
        head(scene(110, pan=0.6)),
        back_and_forth(head(scene(70, pan=0.0))),
        zoom(),
        zoom(rate=1.004, centre=(90, 100)),
        back_and_forth(zoom(60, rate=1.003)),
        slides(),
        bullet(),
        cursor(),
    ],
    ids=[
        "head",
        "head in a pan",
        "head, longer",
        "slow zoom",
        "fast zoom",
        "zoom in and out",
        "slides",
        "bullet",
        "cursor",
    ],
)
def test_what_belongs_to_the_picture_is_not_taken(frames):
    found, _ = find(frames)
    assert found.patches == () and found.reason


def test_a_mark_that_stands_at_two_places_only_is_told_and_not_taken():
    frames = scene(80)
    frames = burnt(frames, [mark(PLACES[int(index >= 40)]) for index in range(80)])
    found, _ = find(frames)
    assert found.patches == ()
    best = max(found.rejected, key=lambda each: each.confidence)
    assert best.confidence > 0.3 and "three places" in best.reason
    x0, y0, x1, y1 = best.box
    assert x0 <= 24 and x1 >= 118 and y0 <= 18 and y1 >= 28, best


def test_a_mark_whose_surroundings_are_plain_is_not_proven():
    frames, _ = jumping([np.full(SIZE[::-1], 180, np.uint8)] * 100)
    assert find(frames)[0].patches == ()
