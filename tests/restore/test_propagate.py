"""What engine A can and cannot bring back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.restore import scenes
from waterz_spool import restore
from waterz_spool.restore.masks import MaskGroups
from waterz_spool.restore.motion import Motions

HEIGHT, WIDTH = 96, 144
BOX = (52, 36, 92, 56)


def hidden_clip(truth, *, bits=8, masks=None, **options):
    masks = scenes.box_mask(len(truth), HEIGHT, WIDTH, BOX) if masks is None else masks
    return scenes.clip(scenes.covered(truth, masks, bits), masks, bits=bits, **options)


def gain_db(clip, truth, bits=8):
    """PSNR of both engines inside the masks of the targets."""
    masks, wanted = clip.masks[clip.start : clip.stop], truth[clip.start : clip.stop]
    results = [restore.create(name).restore(clip) for name in ("propagate", "membrane")]
    return [scenes.psnr(result.frames, wanted, masks, bits) for result in results], results[0].confidence


@pytest.mark.parametrize("step", [0.7, 3.0, 14.0], ids=["slow", "medium", "fast"])
@pytest.mark.parametrize("bits", [8, 10])
def test_a_pan_brings_the_picture_back(step, bits):
    truth = scenes.samples(scenes.pan(60, HEIGHT, WIDTH, step=step), bits)
    clip = hidden_clip(truth, bits=bits, span=(25, 35) if step < 14 else (3, 9))
    (propagate, membrane), confidence = gain_db(clip, truth, bits)
    assert propagate > membrane + 12
    assert propagate > (30 if step < 1 else 34)
    assert confidence.seen > (0.6 if step < 1 else 0.95)
    assert confidence.weight > 0.55


@pytest.mark.parametrize("family", ["rgb", "gray"])
def test_other_colour_models_too(family):
    channels = 1 if family == "gray" else 3
    truth = scenes.samples(scenes.pan(40, HEIGHT, WIDTH, step=3.0, channels=channels))
    (propagate, membrane), _ = gain_db(hidden_clip(truth, family=family, span=(18, 22)), truth)
    assert propagate > membrane + 10


def test_a_tripod_shot_is_the_membrane():
    still = scenes.samples(scenes.pan(1, HEIGHT, WIDTH)).repeat(8, 0)
    clip = hidden_clip(still)
    result = restore.create("propagate").restore(clip)
    assert result.confidence.seen == 0
    assert result.confidence.weight == 0
    assert np.array_equal(result.frames, restore.create("membrane").restore(clip).frames)


def test_context_without_the_overlay_is_copied_on_a_tripod():
    still = scenes.samples(scenes.pan(1, HEIGHT, WIDTH)).repeat(12, 0)
    masks = scenes.box_mask(12, HEIGHT, WIDTH, BOX)
    masks[:4] = masks[8:] = 0
    clip = hidden_clip(still, masks=masks, span=(4, 8))
    result = restore.create("propagate").restore(clip)
    assert result.confidence.seen == 1
    assert scenes.psnr(result.frames, still[4:8], masks[4:8]) > 45


def test_nothing_is_brought_across_a_cut():
    before = scenes.samples(scenes.pan(20, HEIGHT, WIDTH, step=3.0, seed=1))
    after = scenes.samples(scenes.pan(20, HEIGHT, WIDTH, step=3.0, seed=2))
    whole = hidden_clip(np.concatenate([before, after]), span=(10, 20))
    alone = hidden_clip(before, span=(10, 20))
    restorer = restore.create("propagate")
    across, within = restorer.restore(whole), restorer.restore(alone)
    difference = np.abs(across.frames.astype(int) - within.frames).max()
    assert difference == 0


def test_what_does_not_fit_the_surroundings_is_not_taken():
    truth = scenes.samples(scenes.pan(30, HEIGHT, WIDTH, step=3.0))
    masks = scenes.box_mask(30, HEIGHT, WIDTH, BOX)
    noise = np.random.default_rng(3).integers(0, 256, truth.shape).astype(np.uint8)
    x0, y0, x1, y1 = BOX
    region = slice(None), slice(y0 - 12, y1 + 12), slice(x0 - 12, x1 + 12)
    broken = truth.copy()
    broken[region] = cv2.blur(noise[region].reshape(-1, x1 - x0 + 24, 3), (9, 9)).reshape(noise[region].shape)
    clip = scenes.clip(scenes.covered(broken, masks), masks, span=(14, 16))
    assert restore.create("propagate").restore(clip).confidence.weight < 0.3


def test_exposure_drift_is_taken_out():
    scene = scenes.pan(40, HEIGHT, WIDTH, step=3.0) * np.linspace(0.7, 1.0, 40)[:, None, None, None]
    truth = scenes.samples(scene)
    (propagate, membrane), _ = gain_db(hidden_clip(truth, span=(18, 22)), truth)
    assert propagate > membrane + 8


def test_a_result_does_not_depend_on_where_a_segment_begins():
    truth = scenes.samples(scenes.pan(40, HEIGHT, WIDTH, step=6.0))
    whole = restore.create("propagate").restore(hidden_clip(truth, span=(16, 24))).frames
    halves = [restore.create("propagate").restore(hidden_clip(truth, span=s)).frames for s in ((16, 20), (20, 24))]
    assert np.array_equal(whole, np.concatenate(halves))


@pytest.mark.parametrize("shift", [(0.0, 0.0), (1.5, -0.5), (-20.25, 3.0), (33.0, -11.5)], ids=str)
def test_motion_is_found_to_a_twentieth_of_a_pixel(shift):
    wide = scenes.texture(HEIGHT + 80, WIDTH + 120, 1, seed=4)
    frames = []
    for dx, dy in ((0.0, 0.0), shift):
        move = np.float32([[1, 0, 60 - dx], [0, 1, 40 - dy]])
        frames.append(cv2.warpAffine(wide, move, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP))
    clip = hidden_clip(scenes.samples(np.clip(np.stack(frames)[..., None], 0, 1)))
    motion = Motions(clip, MaskGroups(clip.masks)).between(0)
    corners = np.array([[0, WIDTH, 0, WIDTH], [0, 0, HEIGHT, HEIGHT], [1, 1, 1, 1]])
    moved = (motion.matrix @ corners - corners)[:2]
    assert not motion.cut
    assert np.abs(moved - np.array(shift)[:, None]).max() < 0.2
    assert np.abs(moved.mean(1) - shift).max() < 0.05


def test_zoom_and_rotation_are_found():
    scene = scenes.texture(HEIGHT, WIDTH, 1, seed=5)[..., 0]
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 1.5, 1.02)
    frames = np.stack([scene, cv2.warpAffine(scene, turn, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC)])
    clip = hidden_clip(scenes.samples(np.clip(frames[..., None], 0, 1)))
    motion = Motions(clip, MaskGroups(clip.masks)).between(0)
    assert np.abs(motion.matrix[:2, :2] - turn[:, :2]).max() < 0.003
