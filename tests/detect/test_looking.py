"""Every N-th frame and bisection give what looking at every frame gives, in bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterz_spool.detect.base import Detection
from waterz_spool.detect.model.looking import Looker
from waterz_spool.detect.model.tracks import LinkRules, same_places

RULES = LinkRules()


def place(x):
    return () if x is None else (Detection((x, 10, x + 40, 30), 0.9),)


def look(video, *, every, batch=4):
    sizes = []

    def model(pictures):
        sizes.append(len(pictures))
        return [place(x) for x in pictures]

    looker = Looker(model, lambda a, b: same_places(a, b, RULES), every=every, batch=batch)
    for x in video:
        looker.add(x)
        assert len(looker._pictures) <= every * batch
    found = looker.finish()
    assert max(sizes, default=0) <= batch
    return found, looker.looks


@given(
    st.lists(st.tuples(st.sampled_from([None, 10, 100, 300]), st.integers(10, 60)), min_size=1, max_size=6),
    st.integers(1, 10),
    st.integers(1, 5),
)
@settings(max_examples=100, deadline=None)
def test_stretches_longer_than_the_step_are_found_to_the_frame(stretches, every, batch):
    video = [x for x, count in stretches for _ in range(count)]
    found, _ = look(video, every=every, batch=batch)
    assert found == [place(x) for x in video]


def test_a_steady_video_costs_one_look_per_step():
    _, looks = look([10] * 1000, every=10, batch=8)
    assert looks <= 101


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9])
def test_short_videos(count):
    found, _ = look([10] * count, every=4, batch=2)
    assert len(found) == count
