"""Detections to tracks: nothing is lost, flicker changes nothing, jumps are exact."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterz_spool.detect.base import Detection
from waterz_spool.detect.masks import area, overlap_px
from waterz_spool.detect.model.tracks import LinkRules, link

SIZE = (640, 360)
RULES = LinkRules()
EXACT = LinkRules(fade_frames=0)


def one(x=100, y=50, w=80, h=30, score=0.9):
    return (Detection((x, y, x + w, y + h), score, "logo"),)


def tracks(frames, rules=EXACT):
    return link(frames, size=SIZE, rules=rules).tracks


def spans(frames, rules=EXACT):
    return [(t.start, t.stop) for t in tracks(frames, rules)]


def test_a_standing_overlay_is_one_track_with_one_box_whatever_trembles():
    (track,) = tracks([one(x=100 + i % 3, w=80 - i % 2) for i in range(40)])
    assert (track.start, track.stop, set(track.boxes)) == (0, 40, {(100, 50, 182, 80)})


@pytest.mark.parametrize(
    ("then", "linked"),
    [
        (one(x=105), True),
        (one(x=106), False),
        (one(y=55), True),
        (one(y=56), False),
        (one(x=97, w=85), True),
        (one(x=95, w=90), False),
    ],
    ids=["5 px", "6 px", "5 px down", "6 px down", "5 px wider", "10 px wider"],
)
def test_overlays_are_linked_by_place_and_size(then, linked):
    assert spans([one()] * 20 + [then] * 20) == ([(0, 40)] if linked else [(0, 20), (20, 40)])


@pytest.mark.parametrize(("wider", "linked"), [(20, True), (30, False)])
def test_a_large_overlay_may_change_by_a_tenth(wider, linked):
    frames = [one(w=200)] * 20 + [one(x=100 - wider // 2, w=200 + wider)] * 20
    assert spans(frames) == ([(0, 40)] if linked else [(0, 20), (20, 40)])


@pytest.mark.parametrize("missed", [1, 5, 30])
def test_gaps_are_filled(missed):
    assert spans([one()] * 20 + [()] * missed + [one()] * 20) == [(0, 40 + missed)]


def test_a_longer_gap_ends_the_track():
    assert spans([one()] * 20 + [()] * 31 + [one()] * 20) == [(0, 20), (51, 71)]


@pytest.mark.parametrize("at", [0, 1, 15, 28, 29])
def test_one_missed_frame_changes_nothing(at):
    frames = [()] * 3 + [one()] * 30 + [()] * 3
    missed = [() if i == 3 + at else seen for i, seen in enumerate(frames)]
    assert spans(missed, RULES)[0][0] in (0, 1) and spans(missed, RULES)[0][1] in (35, 36)
    assert len(spans(missed, RULES)) == 1


@pytest.mark.parametrize("at", [0, 3, 17, 35])
@pytest.mark.parametrize("false", [one(x=400), one(x=130), one(x=100, w=200)], ids=["far", "near", "other size"])
def test_one_false_frame_changes_nothing(at, false):
    frames = [()] * 3 + [one()] * 30 + [()] * 3
    disturbed = [seen + false if i == at else seen for i, seen in enumerate(frames)]
    assert tracks(disturbed, RULES) == tracks(frames, RULES)


def test_one_frame_seen_at_the_wrong_place_changes_nothing():
    frames = [one(x=130) if i == 9 else one() for i in range(30)]
    (track,) = tracks(frames)
    assert set(track.boxes) == {(100, 50, 180, 80)}


@pytest.mark.parametrize("dx", [12, 60, 300])
def test_a_jump_splits_exactly_and_has_no_fade(dx):
    assert spans([one()] * 20 + [one(x=100 + dx)] * 20, RULES) == [(0, 20), (20, 40)]


def test_a_jump_away_and_back_is_not_a_gap():
    frames = [one()] * 20 + [one(x=300, y=200)] * 15 + [one()] * 20
    assert spans(frames, RULES) == [(0, 20), (20, 35), (35, 55)]


def test_frames_missed_around_a_jump_are_covered_at_both_places():
    frames = [one()] * 20 + [()] * 2 + [one(x=300, y=200)] * 15
    assert spans(frames, RULES) == [(0, 22), (20, 37)]


def test_a_slow_drift_is_followed_frame_by_frame():
    (track,) = tracks([one(x=100 + 3 * i) for i in range(60)])
    assert [box[0] for box in track.boxes] == [100 + 3 * i for i in range(60)]


def test_a_gap_in_a_drift_is_filled_on_its_line():
    frames = [() if 20 <= i < 40 else one(x=100 + 3 * i) for i in range(60)]
    (track,) = tracks(frames)
    assert all(abs(box[0] - 100 - 3 * i) <= 1 for i, box in enumerate(track.boxes))


@pytest.mark.parametrize("turned", [False, True], ids=["stands, then drifts", "drifts, then stands"])
def test_a_gap_is_bridged_from_whichever_end_explains_it(turned):
    """Only the drifting end, followed over the gap, meets the standing one."""
    xs = [100] * 20 + [None] * 15 + [100 + 3 * (i + 1) for i in range(15, 35)]
    frames = [() if x is None else one(x=x) for x in (xs[::-1] if turned else xs)]
    (track,) = tracks(frames)
    assert (track.start, track.stop) == (0, 55)
    assert all(seen[0].box == box for seen, box in zip(frames, track.boxes, strict=True) if seen)


def test_an_overlay_that_changes_its_size_smoothly_is_one_track_with_a_box_per_frame():
    widths = [60 + 2 * min(i % 40, 40 - i % 40) for i in range(80)]
    frames = [one(x=200 - w // 2, w=w) for w in widths]
    (track,) = tracks(frames)
    assert [box[2] - box[0] for box in track.boxes] == widths


def test_an_overlay_missed_in_every_fifth_frame_is_one_track():
    assert spans([() if i % 5 == 3 else one() for i in range(50)]) == [(0, 50)]


def test_two_overlays_are_two_tracks():
    frames = [one() + one(x=400, y=300, w=60)] * 30
    assert [t.boxes[0] for t in tracks(frames)] == [(100, 50, 180, 80), (400, 300, 460, 330)]


def test_fades_are_covered_within_the_video():
    assert spans([()] * 2 + [one()] * 20 + [()] * 20, RULES) == [(0, 26)]


@pytest.mark.parametrize(("fade", "span"), [(0, (10, 30)), (4, (6, 34)), (12, (0, 40))])
def test_a_track_begins_before_it_is_seen_and_ends_after(fade, span):
    (track,) = tracks([()] * 10 + [one()] * 20 + [()] * 10, LinkRules(fade_frames=fade))
    assert ((track.start, track.stop), track.seen) == (span, (10, 30))


def test_the_largest_share_of_the_picture_is_a_rule():
    quarter, more = one(x=0, y=0, w=320, h=180), one(x=0, y=0, w=322, h=180)
    assert spans([quarter] * 20) == [(0, 20)] and spans([more] * 20) == []
    assert spans([more] * 20, LinkRules(fade_frames=0, max_area=0.3)) == [(0, 20)]


def test_weak_detections_continue_a_track_but_make_none():
    assert spans([one(score=0.15)] * 20) == []
    assert spans([one()] * 10 + [one(score=0.12)] * 20) == [(0, 30)]


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([one(x=0, y=0, w=500, h=300)] * 20, "too large for an overlay"),
        ([one() if i % 15 == 0 else () for i in range(90)], "seen only now and then"),
        ([one() if i in (4, 5) else () for i in range(30)], "seen in too few frames"),
    ],
    ids=["large", "rare", "few"],
)
def test_implausible_tracks_are_reported_not_used(frames, reason):
    linked = link(frames, size=SIZE, rules=RULES)
    assert (linked.tracks, [item.reason for item in linked.rejected]) == ((), [reason])


detections = st.builds(
    lambda x, y, w, h, score: Detection((x, y, x + w, y + h), score),
    st.integers(0, 400), st.integers(0, 200), st.integers(10, 60), st.integers(10, 60),
    st.sampled_from([0.1, 0.3, 0.9]),
)  # fmt: skip


@st.composite
def videos(draw):
    """A few overlays that stand, drift or jump, each seen in most frames, and strays."""
    count = draw(st.integers(1, 60))
    frames = [[] for _ in range(count)]
    for _ in range(draw(st.integers(0, 3))):
        x, y, w, h = (draw(st.integers(a, b)) for a, b in ((0, 400), (0, 200), (10, 90), (10, 60)))
        speed, jump = draw(st.integers(-3, 3)), draw(st.integers(1, 80))
        for index in range(draw(st.integers(0, count)), count):
            if draw(st.integers(0, 9)):
                at = max(0, x + speed * index + 90 * (index // jump % 2))
                frames[index].append(Detection((at, y, at + w, y + h), 0.9))
    for _ in range(draw(st.integers(0, 4))):
        frames[draw(st.integers(0, count - 1))].append(draw(detections))
    return frames


@settings(max_examples=80, deadline=None)
@given(videos(), st.randoms(use_true_random=False))
def test_the_order_of_detections_does_not_matter(frames, random):
    mixed = [random.sample(seen, len(seen)) for seen in frames]
    assert link(frames, size=SIZE, rules=RULES) == link(mixed, size=SIZE, rules=RULES)


@settings(max_examples=80, deadline=None)
@given(videos())
def test_every_track_covers_each_frame_of_its_range_inside_the_video_and_its_hull(frames):
    linked = link(frames, size=SIZE, rules=RULES)
    for track in linked.tracks:
        assert 0 <= track.start <= track.seen[0] < track.seen[1] <= track.stop <= len(frames)
        x0, y0, x1, y1 = track.hull
        assert all(x0 <= a < c <= x1 and y0 <= b < d <= y1 for a, b, c, d in track.boxes)


def twice(a, b):
    """Whether one overlay was seen twice, b being no worse."""
    shared = overlap_px(a.box, b.box)
    return b.score >= a.score and shared >= 0.6 * min(area(a.box), area(b.box))


@settings(max_examples=80, deadline=None)
@given(videos())
def test_no_confident_frame_is_lost(frames):
    """What was seen lies in a track of its frame, or in a place that is reported."""
    linked = link(frames, size=SIZE, rules=RULES)
    for index, seen in enumerate(frames):
        for each in seen:
            x, y = (each.box[0] + each.box[2]) / 2, (each.box[1] + each.box[3]) / 2
            places = [t.boxes[index - t.start] for t in linked.tracks if t.start <= index < t.stop]
            places += [item.box for item in linked.rejected]
            places += [each.box for other in seen if other is not each and twice(each, other)]
            assert any(a <= x <= c and b <= y <= d for a, b, c, d in places)
