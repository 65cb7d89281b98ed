"""Overlays that jump are found with their exact frames; what moves, appears or is cut to is not one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.detect.test_static import SIZE, overlap, scene
from waterz_spool.detect import patches
from waterz_spool.detect.static.confirm import Confirm
from waterz_spool.detect.static.detector import StaticDetector
from waterz_spool.detect.static.follow import Stand
from waterz_spool.detect.static.templates import Template, slopes_at, template_of

PLACES = [(20, 30), (190, 120), (180, 40), (40, 140), (110, 90)]  # lower left corners
EVERY = 20


def mark(place, *, text="MyBrand"):
    """Alpha of a half-transparent white mark."""
    picture = np.zeros(SIZE[::-1], np.uint8)
    x, y = place
    cv2.circle(picture, (x + 8, y - 7), 8, 255, -1)
    cv2.circle(picture, (x + 8, y - 7), 3, 0, -1)
    cv2.putText(picture, text, (x + 20, y), cv2.FONT_HERSHEY_DUPLEX, 0.7, 255, 2, cv2.LINE_AA)
    return picture.astype(np.float32) / 255 * 0.5


def burnt(frames, alphas):
    return [np.rint(f * (1 - a) + 255 * a).astype(np.uint8) for f, a in zip(frames, alphas, strict=True)]


def jumping(frames, *, every=EVERY):
    alphas = [mark(PLACES[t // every % len(PLACES)]) for t in range(len(frames))]
    return burnt(frames, alphas), [a > 0.02 for a in alphas]


def find(frames, *, rate=25.0):
    detector = StaticDetector(8, rate=rate)
    for index, frame in enumerate(frames):
        detector.add(index, None, frame)
    found = detector.finish(lambda: iter(enumerate(frames)))
    return found, [mask > 0 for mask in patches.masks(found.patches, len(frames), size=SIZE)]


@pytest.mark.parametrize(("pan", "count"), [(2.5, 80), (2.5, 67), (0.0, 80)], ids=["pan", "last is short", "tripod"])
def test_a_mark_that_jumps_is_masked_where_it_stands(pan, count):
    frames, truth = jumping(scene(count, pan=pan, noise=1.0))
    found, masks = find(frames)
    assert not found.reason
    assert {(each.start, each.stop) for each in found.patches} == {(t, min(t + EVERY, count)) for t in range(0, 80, 20)}
    scores = [overlap(mask, true) for mask, true in zip(masks, truth, strict=True)]
    assert np.mean(np.array(scores) >= 0.6) >= 0.9, np.round(scores, 2)
    assert all(0.6 <= one.score <= 1 for _, one in found.scores)


def fading(frames, fade):
    """From place to place within so many frames in which both are there, the one weaker, the other stronger."""
    alphas = []
    for index in range(len(frames)):
        number, since = divmod(index, EVERY)
        here = (since + 1) / (fade + 1) if number and since < fade else 1.0
        before = PLACES[(number - 1) % len(PLACES)]
        alphas.append(here * mark(PLACES[number % len(PLACES)]) + (1 - here) * mark(before))
    return burnt(frames, alphas), [alpha > 0.1 for alpha in alphas]


@pytest.mark.parametrize("fade", [1, 3, 6])
def test_a_mark_that_fades_over_from_place_to_place_is_masked_at_both(fade):
    frames, truth = fading(scene(100), fade)
    found, masks = find(frames)
    assert len(found.patches) == 5, "each place once"
    for mask, true in zip(masks, truth, strict=True):
        assert (mask & true).sum() > 0.95 * true.sum()


def test_fast_video_is_looked_at_less_often_and_its_frames_are_exact_all_the_same():
    frames, _ = jumping(scene(160, pan=1.2), every=40)
    found, _ = find(frames, rate=50.0)
    assert {(each.start, each.stop) for each in found.patches} == {(t, t + 40) for t in range(0, 160, 40)}


def test_a_mark_and_a_logo_that_stays_are_both_found():
    frames, truth = jumping(scene(80))
    for frame in frames:
        frame[150:172, 240:302] = 30
        cv2.putText(frame, "TV7", (248, 167), cv2.FONT_HERSHEY_DUPLEX, 0.6, 250, 2, cv2.LINE_AA)
    _, masks = find(frames)
    for mask, true in zip(masks, truth, strict=True):
        assert mask[152:170, 244:298].mean() > 0.9
        assert (mask & true).sum() / true.sum() > 0.7


def moving(frames, speed):
    """A sign of the scene that stands, moves at so many px per frame, and stands again."""
    places = np.clip((np.arange(len(frames)) - 30) * speed, 0, 120)
    return burnt(frames, [mark((20 + int(x), 60)) for x in places])


def budging(frames):
    """A thing of the scene that stands, moves a little within three frames, and stands again."""

    def thing(x):
        picture = np.zeros(SIZE[::-1], np.float32)
        cv2.ellipse(picture, (x, 80), (14, 28), 0, 0, 360, 1, -1)
        cv2.circle(picture, (x + 4, 72), 5, 0, -1)
        return cv2.GaussianBlur(picture, (0, 0), 1.5) * 0.8

    return burnt(frames, [thing(120 + min(9, 3 * max(0, t - 39))) for t in range(len(frames))])


def cut():
    """Two shots with a sign, each from a camera that stands still."""
    alphas = [mark((20, 60))] * 40 + [mark((150, 120))] * 40
    shots = scene(40, pan=0, noise=1.0) + [255 - frame for frame in scene(40, pan=0, noise=1.0)]
    return burnt(shots, alphas)


@pytest.mark.parametrize(
    "frames",
    [
        scene(80),
        scene(80, pan=0.0, noise=1.5),
        scene(80, pan=0.3),
        moving(scene(80), 3),
        moving(scene(80, pan=0.0, noise=1.0), 6),
        budging(scene(80, pan=0.0, noise=1.0)),
        budging(scene(80, pan=1.0, noise=1.0)),
        cut(),
    ],
    ids=[
        "pan",
        "tripod",
        "slow pan",
        "moving sign",
        "sign that moves on a tripod shot",
        "thing that budges",
        "thing that budges in a pan",
        "cut",
    ],
)
def test_what_is_no_jump_is_not_found(frames):
    found, _ = find(frames)
    assert found.patches == ()
    assert found.reason


@pytest.mark.parametrize("place", [(0, 0), (5, 7), (40, 20), (40, 25)], ids=str)
def test_strength_of_pixels_is_that_of_slopes(place):
    rng = np.random.default_rng(1)
    picture = (rng.random((40, 60)) * 255).astype(np.uint8)
    template = template_of(rng.random((15, 20, 2), np.float32), rng.random((15, 20)) > 0.5)
    plain = (slopes_at(picture, place, template.size) * template.slopes).sum() / template.power
    assert template.strengths([picture], place)[0] == pytest.approx(plain, abs=1e-3)


def test_a_shape_that_fits_twice_is_nowhere():
    frames = burnt(scene(1), [mark(PLACES[0]) + mark(PLACES[1])])
    alone = slopes_at(np.uint8(255 * mark(PLACES[2])), (180, 20), (110, 26))
    template = template_of(alone, np.hypot(alone[..., 0], alone[..., 1]) > 5)
    assert isinstance(template, Template) and template.find(frames[0]) is None
    single = template.find(burnt(scene(1), [mark(PLACES[1])])[0])
    assert single is not None and single[0] == (190, 100)


def test_a_shape_learned_with_too_much_around_it_is_cut_to_its_own():
    frames, _ = jumping(scene(80, pan=2.5, noise=1.0))
    corners = [(x - 40, y - 24) for x, y in PLACES[:4]]
    alpha = mark((40, 24))[:32, :220]
    across, down = cv2.Sobel(alpha, cv2.CV_32F, 1, 0), cv2.Sobel(alpha, cv2.CV_32F, 0, 1)
    wide = template_of(np.dstack([across, down]) * 30, np.hypot(across, down) > 0.05)
    look = Confirm(wide, [Stand(t * EVERY, (t + 1) * EVERY, corner, 1.0) for t, corner in enumerate(corners)])
    for index, frame in enumerate(frames):
        look.add(index, frame)
    better, _, _ = look.finish()
    columns = np.flatnonzero(mark((40, 24)).any(axis=0))
    assert abs(better.size[0] - (columns[-1] + 1 - columns[0])) <= 6
