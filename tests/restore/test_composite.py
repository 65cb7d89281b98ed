"""Planes to crops and back."""

from __future__ import annotations

import numpy as np
import pytest

from waterz_spool.restore.composite import composite, crop_planes, to_full_chroma

LAYOUTS = [(2, 2), (2, 1), (1, 1), (4, 1), (4, 4)]
SIZES = [(48, 64), (47, 63), (5, 7), (1, 1)]


def random_planes(height, width, sx, sy, *, bits=8, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    dtype = np.uint8 if bits == 8 else np.uint16
    chroma = -(-height // sy), -(-width // sx)
    shapes = [(height, width)] + [chroma] * (channels - 1)
    return [rng.integers(0, 1 << bits, shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize(("sx", "sy"), LAYOUTS)
@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("bits", [8, 10, 16])
def test_the_way_back_is_exact(sx, sy, height, width, bits):
    planes = random_planes(height, width, sx, sy, bits=bits)
    full = to_full_chroma(planes, sx, sy)
    assert full.shape == (height, width, 3)
    assert int(full.max()) < 1 << bits
    back = [np.zeros_like(plane) for plane in planes]
    composite(back, full, np.full((height, width), 255, np.uint8), (0, 0, width, height), sx=sx, sy=sy)
    for plane, same in zip(planes, back, strict=True):
        assert np.array_equal(plane, same)


@pytest.mark.parametrize(("sx", "sy"), LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("right", [52, 63], ids=["inside", "to an odd edge"])
def test_nothing_outside_the_mask_changes(sx, sy, channels, bits, right):
    height, width = 47, 63
    planes = random_planes(height, width, sx, sy, bits=bits, channels=channels)
    before = [plane.copy() for plane in planes]
    box = (8, 12, right, 47 if right == 63 else 40)
    rng = np.random.default_rng(1)
    mask = (rng.random((box[3] - box[1], box[2] - box[0])) < 0.1).astype(np.uint8) * 255
    restored = rng.integers(0, 1 << bits, (*mask.shape, channels)).astype(planes[0].dtype)
    composite(planes, restored, mask, box, sx=sx, sy=sy)
    whole = np.zeros((height, width), bool)
    whole[box[1] : box[3], box[0] : box[2]] = mask != 0
    touched = np.zeros(before[-1].shape, bool)
    for y, x in zip(*np.nonzero(whole), strict=True):
        touched[y // sy, x // sx] = True
    assert np.array_equal(planes[0][~whole], before[0][~whole])
    for plane, old in zip(planes[1:], before[1:], strict=True):
        assert np.array_equal(plane[~touched], old[~touched])
    assert np.array_equal(planes[0][whole], restored[mask != 0, 0])


def test_a_chroma_sample_is_the_mean_of_its_cell():
    planes = random_planes(4, 4, 2, 2)
    restored = np.zeros((4, 4, 3), np.uint8)
    restored[:2, :2, 1] = [[10, 11], [12, 14]]
    mask = np.zeros((4, 4), np.uint8)
    mask[1, 1] = 255
    old = [plane.copy() for plane in planes]
    composite(planes, restored, mask, (0, 0, 4, 4), sx=2, sy=2)
    assert planes[1][0, 0] == 12
    assert np.array_equal(planes[1].ravel()[1:], old[1].ravel()[1:])


@pytest.mark.parametrize("bits", [8, 16])
def test_a_soft_mask_blends_by_its_weight(bits):
    planes = random_planes(4, 6, 2, 2, bits=bits)
    old = [plane.astype(np.int64) for plane in planes]
    restored = np.random.default_rng(2).integers(0, 1 << bits, (4, 6, 3)).astype(planes[0].dtype)
    mask = np.zeros((4, 6), np.uint8)
    mask[0, :4], mask[3, 5] = [0, 51, 204, 255], 128
    composite(planes, restored, mask, (0, 0, 6, 4), sx=2, sy=2)
    wanted = np.rint(old[0] + (restored[..., 0] - old[0]) * (mask / 255))
    assert np.array_equal(planes[0], wanted), "weight 0 keeps, 255 replaces, to the level"
    cells = restored[..., 1].reshape(2, 2, 3, 2).mean(axis=(1, 3))
    weight = np.array([[51, 255, 0], [0, 0, 128]]) / 255
    assert np.abs(planes[1] - (old[1] + (cells - old[1]) * weight)).max() <= 1
    assert np.array_equal(planes[1][weight == 0], old[1][weight == 0])


def test_full_chroma_follows_a_slope_without_overshoot():
    ramp = np.tile(np.arange(16, dtype=np.uint8) * 8, (4, 1))
    full = to_full_chroma([np.zeros((4, 32), np.uint8), ramp, ramp], 2, 1)[0, :, 1].astype(int)
    assert np.array_equal(np.diff(full)[2:-2], np.full(27, 4))
    step = np.repeat(np.uint8([[0, 255]]), 4, axis=1)
    jump = to_full_chroma([np.zeros((1, 16), np.uint8), step, step], 2, 1)[0, :, 1]
    assert set(jump.tolist()) == {0, 255}


@pytest.mark.parametrize("box", [(1, 0, 8, 8), (0, 3, 8, 8), (0, 0, 7, 8), (0, 0, 8, 5)], ids=str)
def test_a_box_that_cuts_a_chroma_sample_is_refused(box):
    planes = random_planes(16, 16, 2, 2)
    with pytest.raises(ValueError, match="cuts a chroma sample"):
        crop_planes(planes, box, 2, 2)


def test_a_mask_of_another_size_is_refused():
    planes = random_planes(16, 16, 2, 2)
    with pytest.raises(ValueError, match="do not fit"):
        composite(planes, np.zeros((8, 8, 3), np.uint8), np.zeros((8, 7), np.uint8), (0, 0, 8, 8), sx=2, sy=2)
