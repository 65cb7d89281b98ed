"""Coded and displayed pixels: all eight orientations, square and other pixels, against the display matrix itself."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.media import make
from waterz_spool import media
from waterz_spool.errors import InputError, UsageError
from waterz_spool.geometry import Geometry
from waterz_spool.stages.prepare.overlays import boxes_mask, coded_mask

ONE = 65536
ORIENTATIONS = {
    "plain": (ONE, 0, 0, ONE),
    "hflip": (-ONE, 0, 0, ONE),
    "vflip": (ONE, 0, 0, -ONE),
    "half turn": (-ONE, 0, 0, -ONE),
    "transpose": (0, ONE, ONE, 0),
    "clockwise": (0, ONE, -ONE, 0),
    "counter-clockwise": (0, -ONE, ONE, 0),
    "transverse": (0, -ONE, -ONE, 0),
}
ASPECTS = [None, (4, 3), (16, 15), (8, 9), (1, 2)]
WIDTH, HEIGHT = 48, 32


def matrix_of(a, b, c, d):
    return (a, b, 0, c, d, 0, 0, 0, 1 << 30)


@pytest.fixture(scope="module")
def infos(tmp_path_factory):
    """What probing says about a real file of every orientation."""
    folder = tmp_path_factory.mktemp("turned")
    return {
        name: media.probe(make.video(folder / f"{number}.mp4", frames=1, size=(WIDTH, HEIGHT), matrix=matrix_of(*four)))
        for number, (name, four) in enumerate(ORIENTATIONS.items())
    }


@pytest.fixture(params=[(name, aspect) for name in ORIENTATIONS for aspect in ASPECTS], ids=str)
def info(request, infos):
    name, aspect = request.param
    return msgspec.structs.replace(infos[name], sample_aspect=aspect)


def seen(info):
    """Which coded pixel a viewer sees at every displayed one, by matrix and aspect alone: [h, w, 2] (x, y)."""
    four = info.display_matrix[:2] + info.display_matrix[3:5] if info.display_matrix else (ONE, 0, 0, ONE)
    turn = np.array(four).reshape(2, 2) / ONE
    aspect = Fraction(*(info.sample_aspect or (1, 1)))
    stretch = np.array([max(1, aspect), max(1, 1 / aspect)], float)
    corners = np.array([(0, 0), (info.width, info.height)]) * stretch @ turn
    low, size = corners.min(axis=0), np.abs(corners[1] - corners[0])
    width, height = (int(side + 0.5) for side in size)
    grid = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    pixel = np.abs(stretch @ turn)  # of the file, as displayed; a centre on its edge belongs to the one after it
    upright = (np.floor(grid * size / (width, height) / pixel + 1e-9) + 0.5) * pixel
    return np.floor((upright + low) @ np.linalg.inv(turn) / stretch).astype(int)


def logo_of(info):
    """A corner of the picture as seen: the box, and its mask in coded pixels."""
    places = seen(info)
    height, width = places.shape[:2]
    box = (width // 8, height // 6, width // 3, height // 4)
    x, y, w, h = box
    shown = np.zeros((height, width), np.uint8)
    shown[y : y + h, x : x + w] = 255
    coded = np.zeros((info.height, info.width), np.uint8)
    coded[places[shown > 0][:, 1], places[shown > 0][:, 0]] = 255
    return box, shown, coded


def test_a_box_hides_what_the_viewer_saw_in_it(info):
    box, _, coded = logo_of(info)
    assert (boxes_mask([box], info) == coded).all()


def test_a_mask_of_the_displayed_picture_hides_what_the_viewer_saw_under_it(info):
    _, shown, coded = logo_of(info)
    assert (coded_mask(shown, info, "mask.png") == coded).all()


def test_a_mask_of_the_coded_picture_is_taken_where_its_size_tells(info):
    _, _, coded = logo_of(info)
    geometry = Geometry.of(info)
    turned = geometry.coded_mask(coded)
    assert (turned == coded).all() if geometry.coded != geometry.upright else (geometry.turn(turned) == coded).all()


def test_a_coded_picture_is_drawn_as_the_viewer_sees_it(info):
    _, _, coded = logo_of(info)
    places = seen(info)
    assert (Geometry.of(info).shown_mask(coded) == coded[places[..., 1], places[..., 0]]).all()


@given(
    st.sampled_from(list(ORIENTATIONS)),
    st.sampled_from(ASPECTS),
    st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.integers(1, WIDTH), st.integers(1, HEIGHT)),
)
def test_boxes_and_masks_come_back_from_the_display_as_they_were(infos, name, aspect, numbers):
    info = msgspec.structs.replace(infos[name], sample_aspect=aspect)
    geometry = Geometry.of(info)
    box = (*numbers[:2], min(WIDTH, numbers[0] + numbers[2]), min(HEIGHT, numbers[1] + numbers[3]))
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 255
    assert geometry.coded_box(geometry.shown_box(box)) == box
    assert (geometry.coded_mask(geometry.shown_mask(mask)) == mask).all()
    assert (boxes_mask([geometry.shown_box(box)], info) == mask).all()


@pytest.mark.parametrize("size", [(64, 32), (63, 32), (62, 32), (65, 32), (48, 32)])
def test_a_screenshot_may_be_rounded(infos, size):
    info = msgspec.structs.replace(infos["hflip"], sample_aspect=(4, 3))
    mask = np.zeros(size[::-1], np.uint8)
    mask[:, : size[0] // 4] = 255
    assert np.flatnonzero(coded_mask(mask, info, "mask.png").any(axis=0)).tolist() == list(range(36, 48))


def test_the_error_says_which_sizes_fit(infos):
    info = msgspec.structs.replace(infos["transpose"], sample_aspect=(4, 3))
    with pytest.raises(InputError) as caught:
        coded_mask(np.zeros((40, 40), np.uint8), info, "mask.png")
    assert "the mask is 40x40, the picture is 32x64 (stored as 48x32)" in str(caught.value)
    assert "32x64 or 32x48 or 48x32" in caught.value.todo
    with pytest.raises(UsageError) as caught:
        boxes_mask([(10, 30, 30, 40)], info, option="--limit")
    assert "ends at 40,70 but the picture is 32x64 (stored as 48x32)" in str(caught.value)


def test_corners_given_instead_of_a_size_are_turned_into_a_box(infos):
    with pytest.raises(UsageError) as caught:
        boxes_mask([(20, 10, 44, 30)], infos["plain"])
    assert "--box 20,10,24,20" in caught.value.todo


@pytest.mark.parametrize("aspect", [(1, 60_000), (60_000, 1), (0, 1), (1, 0)])
def test_a_damaged_aspect_is_not_believed(infos, aspect):
    info = msgspec.structs.replace(infos["plain"], sample_aspect=aspect)
    assert Geometry.of(info).shown == (WIDTH, HEIGHT)


@pytest.mark.parametrize(("degrees", "name"), [(3, "plain"), (45, "plain"), (80, "clockwise"), (178, "half turn")])
def test_a_turn_by_another_angle_counts_as_the_nearest_right_one(infos, degrees, name):
    sin, cos = (round(ONE * float(f(np.deg2rad(degrees)))) for f in (np.sin, np.cos))
    turned = msgspec.structs.replace(infos["plain"], display_matrix=matrix_of(cos, sin, -sin, cos))
    assert Geometry.of(turned) == Geometry.of(infos[name])
