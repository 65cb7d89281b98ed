"""The ETA on recorded runs: once a tenth of the frames is restored it is right within a fifth.

Each timeline is a run of a 60 s video, 640x360 or 854x480, one worker: what heartbeats told, by the seconds that its
processors had worked until then, which is what an idle machine would show.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from waterz_spool.plan.costs import costs_of
from waterz_spool.records import SegmentSpec
from waterz_spool.report.eta import Eta

TIMELINES = sorted((Path(__file__).parent / "timelines").glob("*.json"))


def replayed(path, *, workers=1):
    """Share of frames done, seconds left as told, seconds left in truth, at every look of the recording."""
    recorded = json.loads(path.read_text())
    segments = msgspec.convert(recorded["segments"], list[SegmentSpec])
    costs = costs_of(segments, recorded["cuts"], picture_px=recorded["picture_px"], textured=recorded["plates"])
    eta, begun = Eta(costs), recorded["looks"][0]["t"]
    since = {}
    for look in recorded["looks"]:
        now = look["t"]
        since.setdefault(look["step"], now)
        if look["step"] == "looking":
            continue
        cut = look.get("share", 1.0)
        eta.prepared(since.get("restoring", now) - begun, look=1.0, cut=cut)
        shares = {int(index): share for index, share in look.get("segments", {}).items()}
        if shares:
            eta.see(now, shares)
        frames = sum(share * (segments[index].stop - segments[index].start) for index, share in shares.items())
        yield frames / segments[-1].stop, eta.left_s(cut=cut), recorded["end"] - now


@pytest.mark.parametrize("path", TIMELINES, ids=lambda path: path.stem)
def test_after_a_tenth_of_the_frames_the_eta_is_right_within_a_fifth(path):
    looks = list(replayed(path))
    _, told, truth = next(look for look in looks if look[0] >= 0.1)
    assert abs(told / truth - 1) < 0.2, (told, truth)
    middle = [(told, truth) for share, told, truth in looks if 0.1 <= share <= 0.7]
    assert all(abs(told / truth - 1) < 0.35 for told, truth in middle), middle


@pytest.mark.parametrize("path", TIMELINES, ids=lambda path: path.stem)
def test_there_is_an_eta_as_soon_as_there_is_a_plan(path):
    _, told, truth = next(replayed(path))
    assert 0.5 < told / truth < 2


def test_more_workers_share_what_is_left_but_not_the_end():
    segments = [SegmentSpec(index=index, start=10 * index, stop=10 * index + 10) for index in range(10)]
    costs = costs_of(segments, (), picture_px=1_000_000)
    left = {}
    for workers in (1, 5):
        eta = Eta(costs)
        for now in (0.0, 10.0):
            eta.see(now, dict.fromkeys(range(workers), 0.04 * now))
        left[workers] = eta.left_s()
    assert left[1] / 5 < left[5] < left[1] / 3  # five at work, and one alone at the end


def test_without_anything_to_go_by_there_is_none():
    eta = Eta(costs_of([SegmentSpec(index=0, start=0, stop=10)], (), picture_px=100))
    assert eta.left_s() is None
    eta.see(0.0, {0: 0.0})
    assert eta.left_s() is None
