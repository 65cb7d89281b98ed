"""Seconds per segment: the newest outcomes by time count, with the time between them, whatever their order."""

from __future__ import annotations

import os
import random
from pathlib import Path

import msgspec
import pytest

from waterz_spool.launch.scale import backlog_of
from waterz_spool.launch.walltime import Paces
from waterz_spool.records import SegmentResult
from waterz_spool.report import pace as report_pace
from waterz_spool.report.living import Living
from waterz_spool.report.pace import pace
from waterz_spool.report.status import speed
from waterz_spool.spool import EndRecord, Job, Session, Spool
from waterz_spool.spool.log.formats import Token, encode

WIDS = ("a" * 24, "b" * 24)


def token(wid: str) -> bytes:
    return encode(Token(v=1, w=wid, n="n", host="h", pid=1, boot="b"))


def end_segment(job: Job, index: int, wid: str, *, at: float, seconds: float, frames: int = 10) -> None:
    """A finished segment, whose outcome was written at a time of the server."""
    info = SegmentResult(frames=frames, engine="membrane", seconds=seconds / 2, peak_mib=1.0)
    (job.layout.log / f"{index:05d}.1").write_bytes(token(wid))
    record = EndRecord(
        kind="done",
        w=wid,
        n="n",
        task=f"{index:05d}",
        k=1,
        seconds=seconds,
        info=msgspec.Raw(msgspec.json.encode(info)),
    )
    (job.layout.log / f"{index:05d}.1.end").write_bytes(encode(record))
    os.utime(job.layout.log / f"{index:05d}.1.end", (at, at))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    video = tmp_path / "v.mp4"
    video.write_bytes(b"video")
    job = Spool.create(tmp_path / "spool").submit(b"{}", source=video, job_id="job")
    job.put_plan(b"{}", 140)
    for index in range(140):
        (job.layout.log / f"{index:05d}.0").write_bytes(b"{}")
    return job


def worked(job: Job, count: int = 120) -> None:
    """Two workers end segments in random order: quick ones first, of late 2 s of work and 1 s between them."""
    order = random.Random(4).sample(range(140), count)
    at = dict.fromkeys(WIDS, 1e6)
    for number, index in enumerate(order):
        wid = WIDS[number % 2]
        late = number >= count // 2
        at[wid] += 3.0 if late else 0.6
        end_segment(job, index, wid, at=at[wid], seconds=2.0 if late else 0.5)


def test_the_newest_by_time_count_and_the_time_between_them(job: Job) -> None:
    worked(job)
    found = pace(job, job.state())
    assert found is not None
    assert (found.segment_s, found.work_s, found.frames) == (pytest.approx(3.0), 2.0, 10)


def test_status_scaling_and_walltime_use_the_same(job: Job) -> None:
    worked(job)
    spool = Spool.open(job.path.parent.parent)
    assert Paces().seconds(job) == pytest.approx(3.0)
    assert backlog_of(spool, 99.0).work_s == pytest.approx(20 * 3.0)
    with Session(spool, threads=False, tasks={"segment"}) as session:
        assert session.next() is not None
        session.heart.note(fraction=0.5)
        session.heart.beat()
        shown = speed(job, job.state(), Living(spool))
    assert shown.fps == pytest.approx(10 / 3.0) and shown.eta_s == pytest.approx(19.5 * 3.0)


def test_a_pause_is_no_work_and_what_overlaps_needs_its_whole_time(job: Job) -> None:
    for index in range(6):
        end_segment(job, index, WIDS[0], at=1e6 + 4 * index + (7200 if index >= 3 else 0), seconds=7.0)
    found = pace(job, job.state())
    assert found is not None
    assert (found.segment_s, found.work_s) == (pytest.approx(4.0), 7.0)
    assert Paces().seconds(job) == 7.0


def test_of_very_many_outcomes_an_even_share_is_looked_at(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(140):
        end_segment(job, index, WIDS[0], at=1e6 + 3.0 * index, seconds=2.0)
    monkeypatch.setattr(report_pace, "MOST_LOOKED", 70)
    found = pace(job, job.state())
    assert found is not None and found.segment_s == pytest.approx(3.0)


def test_before_the_first_outcome_nothing_is_known(job: Job) -> None:
    assert pace(job, job.state()) is None
    end_segment(job, 7, WIDS[0], at=1e6, seconds=2.5)
    found = pace(job, job.state())
    assert found is not None and found.segment_s == 2.5
