"""The plan's rules: partition, containment, context, memory bound."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterz_spool.plan import PlanRules, crop_box, margin_px, plan_copies, plan_segments
from waterz_spool.plan.pieces import kind_of
from waterz_spool.records import OverlayTrack

SIZE = (320, 240)


def rules(**changes):
    values = dict(
        segment_frames=100,
        min_segment_frames=10,
        merge_gap_frames=30,
        context_frames=20,
        margin_px=(8, 16),
        align_px=(2, 2),
        clip_bytes=1 << 30,
        sample_bytes=4,
    )
    return PlanRules(**{**values, **changes})


@st.composite
def videos(draw):
    count = draw(st.integers(1, 600))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, count - 1)), max_size=6)))
    tracks = []
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, count - 1))
        stop = draw(st.integers(start + 1, count))
        x0, y0 = draw(st.integers(0, 300)), draw(st.integers(0, 220))
        box = (x0, y0, draw(st.integers(x0 + 1, 320)), draw(st.integers(y0 + 1, 240)))
        tracks.append(OverlayTrack(start=start, stop=stop, box=box))
    return count, [cut for cut in cuts if cut < count], tracks


@given(videos())
def test_segments_partition_the_video_exactly(video):
    count, cuts, tracks = video
    segments = plan_segments(count, tracks, cuts, size=SIZE, rules=rules())
    assert [s.index for s in segments] == list(range(len(segments)))
    assert segments[0].start == 0 and segments[-1].stop == count
    assert all(a.stop == b.start for a, b in pairwise(segments))
    assert all(s.start < s.stop for s in segments)


@given(videos())
def test_every_overlay_frame_lies_in_exactly_one_crop(video):
    count, cuts, tracks = video
    segments = plan_segments(count, tracks, cuts, size=SIZE, rules=rules())
    for track in tracks:
        pieces = sorted((c.start, c.stop) for s in segments for c in s.crops if c.hole == track.box)
        same = [t for t in tracks if t.box == track.box]
        assert sum(stop - start for start, stop in pieces) == sum(t.stop - t.start for t in same)
    for segment in segments:
        for crop in segment.crops:
            assert segment.start <= crop.start < crop.stop <= segment.stop


@given(videos())
def test_context_is_bounded_and_never_crosses_a_cut(video):
    count, cuts, tracks = video
    for segment in plan_segments(count, tracks, cuts, size=SIZE, rules=rules()):
        for crop in segment.crops:
            assert 0 <= crop.context_start <= crop.start and crop.stop <= crop.context_stop <= count
            assert crop.start - crop.context_start <= 20 and crop.context_stop - crop.stop <= 20
            assert not any(crop.context_start < cut < crop.context_stop for cut in cuts)


@given(videos(), st.sampled_from([(1, 1), (2, 1), (2, 2), (4, 1)]))
def test_crops_contain_their_overlay_and_lie_on_the_chroma_grid(video, align):
    count, cuts, tracks = video
    for segment in plan_segments(count, tracks, cuts, size=(319, 239), rules=rules(align_px=align)):
        for crop in segment.crops:
            x0, y0, x1, y1 = crop.box
            hole = (crop.hole[0], crop.hole[1], min(crop.hole[2], 319), min(crop.hole[3], 239))
            assert x0 <= hole[0] and y0 <= hole[1] and x1 >= hole[2] and y1 >= hole[3]
            assert x0 % align[0] == 0 and y0 % align[1] == 0
            assert x1 % align[0] == 0 or x1 == 319
            assert y1 % align[1] == 0 or y1 == 239


def test_a_static_logo_feeds_many_workers():
    track = OverlayTrack(start=0, stop=1000, box=(10, 10, 60, 30))
    segments = plan_segments(1000, [track], [], size=SIZE, rules=rules())
    assert len(segments) == 10
    assert all(s.stop - s.start == 100 for s in segments)


def test_spans_without_overlay_pass_through_and_short_gaps_do_not():
    tracks = [OverlayTrack(start=100, stop=150, box=(0, 0, 9, 9)), OverlayTrack(start=170, stop=200, box=(0, 0, 9, 9))]
    segments = plan_segments(400, tracks, [], size=SIZE, rules=rules())
    assert [(s.start, s.stop, len(s.crops)) for s in segments] == [
        (0, 100, 0), (100, 200, 2), (200, 300, 0), (300, 400, 0),
    ]  # fmt: skip


def test_cuts_are_boundaries():
    track = OverlayTrack(start=0, stop=300, box=(0, 0, 9, 9))
    segments = plan_segments(300, [track], [47], size=SIZE, rules=rules())
    assert 47 in {s.start for s in segments}


def test_large_crops_shorten_segments_to_fit_memory():
    track = OverlayTrack(start=0, stop=1000, box=(0, 0, 320, 240))
    frame_bytes = 320 * 240 * 4
    segments = plan_segments(1000, [track], [], size=SIZE, rules=rules(clip_bytes=frame_bytes * 90))
    longest = max(c.context_stop - c.context_start for s in segments for c in s.crops)
    assert longest <= 90


@pytest.mark.parametrize(("short", "expected"), [(10, 32), (100, 50), (400, 64)], ids=["thin", "middle", "large"])
def test_margin_follows_the_short_side(short, expected):
    assert margin_px((0, 0, 500, short), least=32, most=64) == expected


def test_alignment_only_grows():
    assert crop_box((31, 33, 47, 49), size=(854, 480), margin=0, align=(2, 2)) == (30, 32, 48, 50)


@given(st.integers(0, 300), st.integers(0, 220), st.sampled_from([(1, 1), (2, 2)]))
def test_a_crop_has_its_least_size_where_the_frame_allows(x, y, align):
    box = (x, y, x + 20, y + 20)
    for size, least in ((SIZE, (100, 60)), (SIZE, (432, 240)), ((854, 480), (432, 240))):
        crop = crop_box(box, size=size, margin=8, align=align, least=least)
        assert 0 <= crop[0] <= x - min(x, 8) and 0 <= crop[1] <= y - min(y, 8)
        assert crop[2] - crop[0] >= min(least[0], size[0]) and crop[3] - crop[1] >= min(least[1], size[1])
        assert crop[2] <= size[0] and crop[3] <= size[1]
        assert all(edge % step == 0 or edge in size for edge, step in zip(crop, align * 2, strict=True))


def test_propainter_sees_more_around_an_overlay_than_the_others():
    from waterz_spool.restore.membrane import MembraneRestorer
    from waterz_spool.restore.propagate import PropagateRestorer
    from waterz_spool.restore.propainter import PropainterRestorer

    assert PropainterRestorer.margin_px >= 128 and PropainterRestorer.size_px == (432, 240)
    for kind in (MembraneRestorer, PropagateRestorer):
        assert (kind.margin_px, kind.size_px, kind.context_frames) == (0, (0, 0), 0)


@given(videos(), st.sets(st.integers(0, 599)), st.sets(st.integers(0, 599)), st.integers(1, 40))
def test_copies_lie_between_entries_and_hold_no_overlay(video, begins, stops, least):
    count, cuts, tracks = video
    starts, ends = (sorted(frame for frame in frames if frame < count) for frames in (begins, stops))
    copies = plan_copies(starts, [*ends, count], tracks, cuts, least=least)
    assert all(b - a >= least for a, b in copies)
    assert {a for a, _ in copies} <= {*starts} and {b for _, b in copies} <= {*ends, count}
    assert all(a[1] <= b[0] for a, b in pairwise(copies))
    assert not any(a < cut < b for a, b in copies for cut in cuts)
    assert not any(t.start < b and a < t.stop for a, b in copies for t in tracks)
    segments = plan_segments(count, tracks, cuts, size=SIZE, rules=rules(), copies=copies)
    assert segments[0].start == 0 and segments[-1].stop == count
    assert all(a.stop == b.start for a, b in pairwise(segments)) and all(s.start < s.stop for s in segments)
    assert tuple((s.start, s.stop) for s in segments if s.copy) == copies
    assert [s.index for s in segments] == list(range(len(segments)))


def test_a_caption_leaves_the_groups_before_and_after_it():
    tracks = [OverlayTrack(start=100, stop=150, box=(0, 0, 9, 9))]
    entries = (0, 40, 90, 160, 220, 300)
    copies = plan_copies(entries, (*entries[:3], 97, *entries[3:]), tracks, (), least=30)
    assert copies == ((0, 97), (160, 300))
    segments = plan_segments(300, tracks, [120], size=SIZE, rules=rules(), copies=copies)
    assert [(s.start, s.stop, kind_of(s)) for s in segments] == [
        (0, 97, "copied"), (97, 120, "restored"), (120, 150, "restored"), (150, 160, "encoded"),
        (160, 300, "copied"),
    ]  # fmt: skip
