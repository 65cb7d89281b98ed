"""What may be a part of the scene is told, not taken: on a face, or within one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.detect.test_jumps import burnt, find, mark
from tests.detect.test_static import SIZE, overlap, scene

PLATE = (240, 30, 280, 48)


def told(found, words):
    return [each for each in found.rejected if words in each.reason and each.confidence >= 0.2]


def on_a_thing(*, axes, noise, frames=60):
    """A small plate before what moves within an oval that sways, on a wall that stands still."""
    rng, (x0, y0, x1, y1) = np.random.default_rng(4), PLATE
    shots = []
    for index, shot in enumerate(scene(frames)):
        inside = np.zeros(SIZE[::-1], np.uint8)
        cv2.ellipse(inside, (round(260 + 6 * np.sin(index / 4)), 40), axes, 0, 0, 360, 1, -1)
        shown = np.where(inside > 0, np.roll(shot, 2 * index, 0), np.uint8(90))
        shown[y0:y1, x0:x1] = 20
        cv2.putText(shown, "TV7", (x0 + 4, y1 - 4), cv2.FONT_HERSHEY_DUPLEX, 0.5, 240, 1, cv2.LINE_AA)
        shots.append(np.clip(shown + rng.normal(0, noise, shot.shape), 0, 255).astype(np.uint8))
    cover = np.zeros(SIZE[::-1], bool)
    cover[y0:y1, x0:x1] = True
    return shots, cover


@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_what_lies_on_a_thing_as_large_as_a_face_is_told_and_not_taken(noise):
    frames, truth = on_a_thing(axes=(45, 50), noise=noise)
    found, _ = find(frames)
    assert found.patches == ()
    (one,) = told(found, "moves by itself")
    cover = np.zeros_like(truth)
    cover[one.box[1] : one.box[3], one.box[0] : one.box[2]] = True
    assert overlap(cover, truth) > 0.85


def test_what_lies_before_half_of_the_picture_that_moves_is_taken():
    frames, truth = on_a_thing(axes=(170, 170), noise=0.7)
    _, masks = find(frames)
    assert overlap(masks[0], truth) > 0.85


def test_what_jumps_within_a_face_is_told_and_not_taken():
    places = [(60, 60), (60, 90), (60, 115)]
    shots = scene(100)
    frames = burnt(shots, [mark(places[t // 20 % 3]) for t in range(100)])
    found, _ = find(frames)
    assert found.patches == () and told(found, "as large as a face")
