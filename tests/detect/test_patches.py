"""Patches to masks: place, frames, growth."""

from __future__ import annotations

import numpy as np

from waterz_spool.detect import patches


def full(x0, y0, x1, y1, size=(64, 36)):
    mask = np.zeros(size[::-1], np.uint8)
    mask[y0:y1, x0:x1] = 255
    return mask


def test_a_whole_mask_comes_back_in_its_frames_only():
    mask = full(10, 5, 20, 12)
    back = list(patches.masks([patches.whole(mask, 2, 5)], 7, size=(64, 36)))
    assert [bool(m.any()) for m in back] == [False, False, True, True, True, False, False]
    assert (back[3] == mask).all()
    assert back[2] is back[3] is back[4]


def test_a_patch_follows_its_path_and_is_cut_at_the_edge():
    patch = patches.patch(np.full((4, 6), 255, np.uint8), 0, 3, ((0, 5, 5), (1, 60, 5), (2, -2, 5)))
    a, b, c = patches.masks([patch], 3, size=(64, 36))
    assert (a == full(5, 5, 11, 9)).all() and (b == full(60, 5, 64, 9)).all() and (c == full(0, 5, 4, 9)).all()


def test_growth_goes_beyond_the_stored_part():
    (patch,) = patches.grown([patches.whole(full(10, 10, 11, 11), 0, 1)], 3)
    (mask,) = patches.masks([patch], 1, size=(64, 36))
    assert mask[10, 13] and mask[7, 10] and not mask[10, 14] and not mask[7, 7]
