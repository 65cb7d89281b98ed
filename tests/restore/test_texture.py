"""Texture for what no frame shows: where it comes from, when there is none, and that it never flickers."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.restore import scenes
from waterz_spool import restore
from waterz_spool.restore.texture.detail import detail_of, share_of
from waterz_spool.restore.texture.exemplar import exemplar_fill
from waterz_spool.restore.texture.plate import PlaceOfPlate, plate_of

HEIGHT, WIDTH, BOX = 96, 128, (50, 34, 82, 58)


def hidden():
    return scenes.box_mask(1, HEIGHT, WIDTH, BOX)[0] != 0


def rough(seed=0):
    """Fine texture in one colour range, uint8 [H, W, 3]."""
    noise = np.random.default_rng(seed).normal(0, 1, (HEIGHT, WIDTH))
    soft = cv2.GaussianBlur(noise, (0, 0), 1.2)
    return np.repeat(np.clip(120 + 35 * soft / soft.std(), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def flat():
    return np.full((HEIGHT, WIDTH, 3), 120, np.uint8)


def shot(picture, frames=12, noise=1.0):
    rng = np.random.default_rng(9)
    masks = np.repeat(hidden()[None].astype(np.uint8) * 255, frames, axis=0)
    clean = np.clip(picture + rng.normal(0, noise, (frames, *picture.shape)), 0, 255).astype(np.uint8)
    return scenes.covered(clean, masks), masks


def clip_of(frames, masks, family="rgb"):
    plate = plate_of(list(frames), list(masks), bits=8)
    place = PlaceOfPlate(plate, 0, 0) if share_of(plate, family=family) > 0 else None
    return replace(scenes.clip(frames, masks, family=family), plate=place)


def sharpness(frames, inside):
    luma = frames.astype(np.float32).mean(axis=-1)
    return np.mean(
        [np.hypot(cv2.Sobel(f, cv2.CV_32F, 1, 0), cv2.Sobel(f, cv2.CV_32F, 0, 1))[inside].mean() for f in luma]
    )


def test_a_still_shot_gets_the_texture_of_its_surroundings():
    frames, masks = shot(rough())
    clip = clip_of(frames, masks)
    plain = restore.create("propagate").restore(replace(clip, plate=None))
    made = restore.create("propagate").restore(clip)
    inside = cv2.erode(hidden().astype(np.uint8), np.ones((5, 5))) != 0
    truth = sharpness(np.repeat(rough()[None], 2, axis=0), inside)
    assert sharpness(plain.frames, inside) < 0.3 * truth
    assert sharpness(made.frames, inside) > 0.6 * truth
    assert plain.confidence.invented == 0 and made.confidence.invented > 0.8


def test_it_is_the_same_in_every_frame():
    frames, masks = shot(rough(), noise=2.0)
    clip = clip_of(frames, masks)
    moved = [
        np.abs(np.diff(restore.create("propagate").restore(each).frames.astype(int), axis=0))[:, hidden()].mean()
        for each in (replace(clip, plate=None), clip)
    ]
    assert moved[1] <= moved[0] + 0.1


def test_stripes_go_on_through_the_hole():
    across = np.tile((np.arange(WIDTH) // 6 % 2 * 120 + 60).astype(np.float64), (HEIGHT, 1))
    picture = np.repeat(cv2.GaussianBlur(across, (0, 0), 0.7)[..., None], 3, axis=2)
    filled = exemplar_fill(np.where(hidden()[..., None], 0, picture), hidden(), ~hidden(), luma=picture[..., 0])
    assert np.abs(filled - picture)[hidden()].mean() < 8


@pytest.mark.parametrize("what", ["flat", "moving", "hidden nowhere"])
def test_it_stays_away(what):
    frames, masks = shot(flat() if what == "flat" else rough())
    if what == "moving":
        frames = scenes.covered(scenes.samples(scenes.pan(12, HEIGHT, WIDTH)), masks)
    if what == "hidden nowhere":
        masks = np.zeros_like(masks)
    plate = plate_of(list(frames), list(masks), bits=8)
    assert detail_of(plate, family="rgb") is None


def test_too_little_to_copy_from_gives_nothing():
    picture, usable = rough().astype(np.float64), np.zeros((HEIGHT, WIDTH), bool)
    usable[:16, :16] = True
    assert exemplar_fill(picture, hidden(), usable, luma=picture[..., 0]) is None


def test_what_passes_in_front_or_fades_away_takes_its_texture_along():
    frames, masks = shot(rough())
    plate = plate_of(list(frames), list(masks), bits=8)
    detail = detail_of(plate, family="rgb")
    x0, y0, x1, y1 = detail.box
    weights = [
        detail.weight(picture[y0:y1, x0:x1].astype(np.float32), family="rgb")[detail.hidden].mean()
        for picture in (rough(), flat(), rough(seed=5))
    ]
    assert weights[0] > 0.9 and weights[1] < 0.01 and weights[2] < 0.2


def test_the_plate_is_the_median_of_what_is_shown():
    frames = np.zeros((5, 8, 8, 1), np.uint8) + np.array([10, 20, 30, 40, 250], np.uint8)[:, None, None, None]
    masks = np.zeros((5, 8, 8), np.uint8)
    masks[4] = 255
    masks[:, 0, 0] = 255
    plate = plate_of(list(frames), list(masks), bits=8)
    assert plate.picture[3, 3, 0] == 25 and plate.hidden[0, 0] and plate.hidden.sum() == 1


def test_the_fill_does_not_depend_on_the_number_of_threads():
    picture = rough().astype(np.float64)
    before = cv2.getNumThreads()
    digests = set()
    for threads in (1, 2):
        cv2.setNumThreads(threads)
        filled = exemplar_fill(np.where(hidden()[..., None], 0, picture), hidden(), ~hidden(), luma=picture[..., 0])
        digests.add(hashlib.sha256(filled.tobytes()).hexdigest())
    cv2.setNumThreads(before)
    assert len(digests) == 1
    assert (filled == np.rint(filled)).all()


def test_a_plate_of_another_shot_is_not_used():
    frames, masks = shot(rough())
    clip = clip_of(frames, masks)
    far = replace(clip, plate=PlaceOfPlate(clip.plate.plate, 100, 60))
    plain = restore.create("propagate").restore(replace(clip, plate=None))
    assert np.array_equal(restore.create("propagate").restore(far).frames, plain.frames)
