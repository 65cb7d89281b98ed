"""Half-found is not found: beside what is certain nothing may stay that is not in the masks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.detect.test_jumps import find, jumping
from tests.detect.test_static import SIZE, logo, overlap, scene
from waterz_spool.detect import patches
from waterz_spool.detect.base import Findings, Rejected
from waterz_spool.detect.entire import MOST_TOLD, NOT_ALONE, entire

WIDTH, HEIGHT = SIZE
HIDDEN = Rejected((10, 10, 60, 30), "nearly", 0.6, missing=True)


def mask(*boxes):
    made = np.zeros(SIZE[::-1], np.uint8)
    for x0, y0, x1, y1 in boxes:
        made[y0:y1, x0:x1] = 255
    return made


def plate_with_text(frames, level, *, place=(120, 70, 220, 110), words="TV7"):
    x0, y0, x1, y1 = place
    for frame in frames:
        frame[y0:y1, x0:x1] = level
        cv2.putText(frame, words, (x0 + 30, y0 + 25), cv2.FONT_HERSHEY_DUPLEX, 0.6, 245, 1, cv2.LINE_AA)
    return frames, place


@pytest.mark.parametrize("level", [60, 90, 120, 150, 190])
def test_a_plate_as_bright_as_the_scene_is_not_left_behind_when_its_text_is_found(level):
    frames, (x0, y0, x1, y1) = plate_with_text(scene(), level)
    found, masks = find(frames)
    assert not found.patches or masks[0][y0:y1, x0:x1].mean() > 0.9


def test_beside_a_logo_that_is_certain_another_one_that_is_nearly_so_is_not_left():
    frames, truth = logo(scene())
    assert find(frames)[0].patches, "alone it is taken"
    for frame in frames:  # a text whose plate fades out: told, not taken
        share = np.linspace(0, 0.6, 45, dtype=np.float32)[:, None] * np.hanning(200)[None] ** 0.2
        frame[120:165, 30:230] = np.rint(frame[120:165, 30:230] * (1 - share) + 30 * share)
        cv2.putText(frame, "Jane Sample", (40, 148), cv2.FONT_HERSHEY_DUPLEX, 0.7, 245, 1, cv2.LINE_AA)
    found, _ = find(frames)
    assert found.patches == () and "not all" in found.reason
    places = {each.reason: each for each in found.rejected if each.confidence >= 0.5}
    x0, y0, x1, y1 = places[NOT_ALONE].box
    cover = np.zeros_like(truth)
    cover[y0:y1, x0:x1] = True
    assert overlap(cover, truth) > 0.85 and any("more of it" in why for why in places)


def test_what_is_all_there_is_stays_found():
    whole = Findings((patches.whole(mask((10, 10, 60, 30)), 0, 9),), "", (Rejected((0, 0, 90, 90), "dim", 0.4),))
    assert entire(whole) == whole
    held = Findings((patches.whole(mask((5, 5, 70, 40)), 0, 9),), "", (HIDDEN,))
    assert entire(held) == held, "what is in the mask is not missing"
    assert entire(Findings((), "none", (HIDDEN,))).reason == "none"


def test_two_masks_around_a_missing_place_do_not_hold_it():
    found = entire(Findings((patches.whole(mask((0, 0, 5, 50), (80, 0, 99, 50)), 0, 9),), "", (HIDDEN,)))
    assert found.patches == () and found.boxes == ()
    assert [each.box for each in found.rejected] == [HIDDEN.box, (0, 0, 5, 50), (80, 0, 99, 50)]


def test_letters_are_told_as_one_text_and_of_many_places_the_longest():
    word = patches.whole(mask((100, 100, 110, 120), (118, 100, 128, 120), (136, 100, 146, 120)), 0, 9)
    stands = [patches.whole(mask((0, 120 + i, 30, 140 + i)), i, 2 * i + 1) for i in range(1, 9)]
    found = entire(Findings((word, *stands), "", (HIDDEN,)))
    assert found.rejected[1].box == (100, 100, 146, 120)
    assert len(found.rejected) == 1 + MOST_TOLD and found.rejected[0] == HIDDEN


def test_jumping_marks_alone_are_all_there_is():
    frames, _ = jumping(scene(80))
    assert find(frames)[0].patches and not any(each.missing for each in find(frames)[0].rejected)
