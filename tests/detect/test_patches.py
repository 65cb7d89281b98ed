"""Patches to masks: place, frames, growth."""

from __future__ import annotations

import numpy as np
import pytest

from waterz_spool.detect import patches


def full(x0, y0, x1, y1, size=(64, 36)):
    mask = np.zeros(size[::-1], np.uint8)
    mask[y0:y1, x0:x1] = 255
    return mask


def shown(found):
    (mask,) = patches.masks(found, 1, size=(64, 36))
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


@pytest.mark.parametrize("feather", [0, 1, 3, 9])
def test_a_feather_softens_the_growth_and_never_what_was_found(feather):
    found = full(20, 12, 30, 20)
    found[15, 24:27] = 0
    plain = shown(patches.grown([patches.whole(found, 0, 1)], 3))
    soft = shown(patches.grown([patches.whole(found, 0, 1)], 3, feather=feather))
    assert ((soft > 0) == (plain > 0)).all() and (soft[found > 0] == 255).all()
    rim = soft[16, 17:20].tolist()
    assert rim == {0: [255] * 3, 1: [128, 255, 255]}.get(feather, [64, 128, 191])


@pytest.mark.parametrize("radius", [1, 3, 6])
def test_without_a_feather_masks_are_hard(radius):
    hard = shown(patches.grown([patches.whole(full(20, 12, 30, 20), 0, 1)], radius))
    assert set(np.unique(hard)) == {0, 255}


def test_a_feather_does_not_soften_the_edge_of_the_picture():
    soft = shown(patches.grown([patches.whole(full(0, 0, 8, 36), 0, 1)], 2, feather=2))
    assert (soft[:, :8] == 255).all() and soft[0, 8] == soft[35, 8] < 255


def test_where_masks_meet_the_higher_weight_counts():
    low, high = (np.full((4, 4), value, np.uint8) for value in (80, 170))
    both = [patches.patch(low, 0, 1, ((0, 5, 5),)), patches.patch(high, 0, 1, ((0, 7, 5),))]
    assert shown(both)[6, 4:12].tolist() == [0, 80, 80, 170, 170, 170, 170, 0]
