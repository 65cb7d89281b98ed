"""A see-through plate behind a text is found wholly; where a part of one is seen, nothing is taken."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.detect.test_jumps import find
from tests.detect.test_static import SIZE, overlap, scene

PLATE = (30, 120, 230, 165)


def lower_third(frames, *, alpha=0.6, colour=30, plate=PLATE):
    """A text on a see-through plate."""
    x0, y0, x1, y1 = plate
    letters = np.zeros(SIZE[::-1], np.uint8)
    cv2.putText(letters, "Jane Sample", (x0 + 10, y0 + 28), cv2.FONT_HERSHEY_DUPLEX, 0.7, 255, 1, cv2.LINE_AA)
    ink = letters / np.float32(255)
    done = []
    for frame in frames:
        shot = frame.astype(np.float32)
        part = shot[y0:y1, x0:x1]
        part += alpha * (colour - part)
        done.append(np.rint(shot * (1 - ink) + 245 * ink).astype(np.uint8))
    cover = np.zeros(SIZE[::-1], bool)
    cover[y0:y1, x0:x1] = True
    return done, cover


@pytest.mark.parametrize(("alpha", "colour"), [(0.6, 30), (0.8, 20)])
def test_the_plate_behind_a_text_is_masked_with_it(alpha, colour):
    frames, truth = lower_third(scene(90), alpha=alpha, colour=colour)
    _, masks = find(frames)
    assert overlap(masks[0], truth) > 0.9


def test_a_text_on_a_plate_that_fades_out_above_is_told_and_not_taken():
    x0, y0, x1, y1 = PLATE
    frames = scene(90)
    share = np.linspace(0, 0.6, y1 - y0, dtype=np.float32)[:, None] * np.hanning(x1 - x0)[None] ** 0.2
    for frame in frames:
        part = frame[y0:y1, x0:x1]
        part[:] = np.rint(part + share * (30.0 - part))
    frames, _ = lower_third(frames, alpha=0.0, plate=(x0, y0 - 10, x1, y1))
    found, _ = find(frames)
    assert found.patches == ()
    assert any("more of it than was found" in each.reason and each.confidence > 0.3 for each in found.rejected), (
        found.rejected
    )


@pytest.mark.parametrize(("ring", "colour"), [(False, 40), (False, 120), (True, 235), (True, 20)])
def test_a_mark_that_turns_in_a_rim_is_masked_wholly_or_not_at_all(ring, colour):
    frames = scene(70)
    cover = np.zeros(SIZE[::-1], np.uint8)
    cv2.circle(cover, (270, 40), 22, 1, -1)
    for index, frame in enumerate(frames):
        angle = 2 * np.pi * index / 37
        star = [
            (270 + r * np.cos(angle + i * np.pi / 5), 40 + r * np.sin(angle + i * np.pi / 5))
            for i, r in enumerate([18, 8] * 5)
        ]
        cv2.circle(frame, (270, 40), 22, colour, 3 if ring else -1, cv2.LINE_AA)
        cv2.fillPoly(frame, [np.array(star, np.int32)], 210, cv2.LINE_AA)
    found, masks = find(frames)
    assert found.patches or not ring
    assert not found.patches or masks[0][cover > 0].mean() > 0.95
