"""What pieces of a plan tell of the whole: linear in what was measured, whatever the pieces."""

from __future__ import annotations

import pytest

from waterz_spool.plan import PlanRules, plan_segments
from waterz_spool.plan.forecast import Forecast, Measured, Once, Source, Took, fixed_part
from waterz_spool.plan.pieces import before, context_of, effort, needed, pieces
from waterz_spool.records import OverlayTrack

RULES = PlanRules(
    segment_frames=100, min_segment_frames=10, merge_gap_frames=30, context_frames=20, margin_px=(8, 16),
    align_px=(2, 2), clip_bytes=1 << 30, sample_bytes=4,
)  # fmt: skip
COUNT, CUTS = 600, (210,)
SEGMENTS = plan_segments(
    COUNT, [OverlayTrack(start=0, stop=450, box=(10, 10, 60, 40))], CUTS, size=(320, 240), rules=RULES
)
KEYS = tuple(range(0, COUNT, 50))
SOURCE = Source(frames=[9000 if i in KEYS else 1000 + i for i in range(COUNT)], keys=KEYS, others=5000)
DECODE, CUT, FIXED, EFFORT, ENCODE, VERIFY = 0.002, 0.3, 3.0, 2e-7, 0.03, 0.004


def took(seconds):
    return Took(2 * seconds, seconds)


def measured(piece):
    """What a machine of known speed takes for a piece, and an encoder of known thrift makes of it."""
    restored = FIXED * len(piece.crops) + EFFORT * sum(map(effort, piece.crops))
    start, stop = needed(piece)
    cutting = DECODE * (stop - before(KEYS, start)) + CUT * len(piece.crops) if piece.crops else 0.0
    frames = piece.stop - piece.start
    others = [SOURCE.frames[i] for i in range(piece.start, piece.stop) if i not in KEYS]
    return Measured(
        piece=piece,
        cut=took(cutting),
        restore=took(restored),
        fixed=took(FIXED * len(piece.crops)),
        encode=took(ENCODE * frames + DECODE * (piece.stop - before(KEYS, piece.start))),
        verify=took(VERIFY * frames),
        key_bytes=(20_000,),
        other_bytes=round((700 + 2.5 * sum(others) / len(others)) * (frames - 1)),
    )


def forecast(**changes):
    some = [measured(piece) for at in (30, 300, 500) for piece in pieces(SEGMENTS, at, at + 24)]
    values = {
        "segments": SEGMENTS,
        "cuts": CUTS,
        "source": SOURCE,
        "measured": some,
        "decode": took(DECODE),
        "once": Once(),
    }
    return Forecast(**{**values, **changes})


def test_the_whole_takes_what_its_segments_take():
    whole = sum(measured(each).restore.cpu_s + measured(each).encode.cpu_s for each in SEGMENTS)
    whole -= FIXED * (sum(len(each.crops) for each in SEGMENTS) - 2)  # once for each of the two shots
    cropped = [each for each in SEGMENTS if each.crops]
    cutting = DECODE * 450 + CUT * sum(len(each.crops) for each in cropped)
    assert forecast().cpu_s() == pytest.approx(whole + cutting + VERIFY * COUNT, rel=0.01)
    assert forecast().seconds(1) == pytest.approx(2 * forecast().cpu_s(), rel=0.01)


def test_workers_share_the_segments_and_nothing_else():
    found = forecast(once=Once(look=took(100)))
    one, four, many = (found.seconds(workers) for workers in (1, 4, 1000))
    assert one > four > many > 200
    assert four < 200 + (one - 200) / 2


def test_the_result_weighs_what_frames_like_the_sources_weigh():
    truth = 5000 + sum(
        20_000 + measured(each).other_bytes
        for each in SEGMENTS  # no segment is long enough for a second key frame
    )
    assert forecast().bytes() == pytest.approx(truth, rel=0.02)


def test_pieces_see_what_their_segments_see():
    assert context_of(SEGMENTS) == 20
    first, second = pieces(SEGMENTS, 200, 220)  # across the cut
    assert (first.start, first.stop, second.start, second.stop) == (200, 210, 210, 220)
    assert [(c.context_start, c.start, c.stop, c.context_stop) for c in (*first.crops, *second.crops)] == [
        (180, 200, 210, 210), (210, 210, 220, 240),
    ]  # fmt: skip
    (middle,) = pieces(SEGMENTS, 440, 460)[-1:]
    assert middle.crops == ()


def test_what_is_done_once_is_told_from_what_grows():
    def told(*seconds):
        sums = [sum(seconds[: number + 1]) for number in range(len(seconds))]
        return [(0.0, Took()), *((share / len(seconds), took(at)) for share, at in enumerate(sums, start=1))]

    assert fixed_part(told(1, 1, 9, 1, 1)).cpu_s == pytest.approx(8)
    assert fixed_part(told(1, 1, 2, 1, 1)).cpu_s == 0
    assert fixed_part(told(1)) == Took()
