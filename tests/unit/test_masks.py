"""Masks to tracks: nothing is lost, letters join, jumps split."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from waterz_spool.detect.masks import Linker, components, overlap_px


def mask_of(*boxes, size=(120, 200)):
    mask = np.zeros(size, np.uint8)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = 255
    return mask


def tracks_of(masks):
    linker = Linker()
    for mask in masks:
        linker.add(mask)
    return linker.finish()


boxes = st.tuples(st.integers(0, 190), st.integers(0, 110), st.integers(1, 60), st.integers(1, 40)).map(
    lambda b: (b[0], b[1], min(200, b[0] + b[2]), min(120, b[1] + b[3]))
)


@given(st.lists(boxes, max_size=5))
def test_components_contain_every_pixel_and_are_disjoint(rectangles):
    mask = mask_of(*rectangles)
    found = components(mask)
    assert not (mask_of(*found) < mask).any()
    assert not any(overlap_px(a, b) for i, a in enumerate(found) for b in found[:i])


@settings(max_examples=60)
@given(st.lists(st.lists(boxes, max_size=3), min_size=1, max_size=12))
def test_no_hidden_pixel_lies_outside_the_tracks_of_its_frame(frames):
    masks = [mask_of(*rectangles) for rectangles in frames]
    tracks = tracks_of(masks)
    for index, mask in enumerate(masks):
        cover = mask_of(*(t.box for t in tracks if t.start <= index < t.stop))
        assert not (cover < mask).any()


def test_letters_of_a_caption_are_one_overlay():
    assert components(mask_of((10, 50, 20, 60), (30, 50, 40, 60), (55, 48, 60, 62))) == [(10, 48, 60, 62)]


def test_far_overlays_are_separate():
    assert components(mask_of((2, 2, 20, 10), (150, 90, 180, 110))) == [(2, 2, 20, 10), (150, 90, 180, 110)]


def test_a_changing_timestamp_is_one_track():
    masks = [mask_of((10, 100, 60 + i % 3, 110)) for i in range(9)]
    assert [(t.start, t.stop, t.box) for t in tracks_of(masks)] == [(0, 9, (10, 100, 62, 110))]


def test_a_jumping_logo_is_one_track_per_place():
    masks = [mask_of((10, 10, 40, 30))] * 5 + [mask_of((120, 70, 150, 90))] * 4 + [mask_of()] * 2
    assert [(t.start, t.stop) for t in tracks_of(masks)] == [(0, 5), (5, 9)]


def test_a_drifting_logo_is_split_before_its_box_grows_too_large():
    tracks = tracks_of([mask_of((i, 10, i + 12, 20)) for i in range(150)])
    assert len(tracks) > 2
    assert all(t.box[2] - t.box[0] <= 48 for t in tracks)
    assert tracks[0].start == 0 and tracks[-1].stop == 150
