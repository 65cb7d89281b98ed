"""The whole program over the kinds of video that exist: prepare, restore, encode, join, verify, publish."""

from __future__ import annotations

import numpy as np
import pytest

from tests.media import make
from tests.media.test_roundtrip import CASES
from waterz_spool import config, media
from waterz_spool.geometry import Geometry
from waterz_spool.intake.spools import open_or_create
from waterz_spool.intake.submit import Order, submit
from waterz_spool.spool import Session
from waterz_spool.stages.loop.worker import Limits, StopFlag, Worker

NAMES = [
    "vfr with a gap", "23.976", "rotation 90", "rotation 180 mkv", "10-bit 4:2:2", "hdr10 mp4", "webm",
    "odd size 4:2:0", "gray", "ffv1 rgb", "alpha", "everything mkv", "everything mp4", "one frame", "prores hq",
    "full range", "non-zero start", "avi to mkv", "anamorphic",
]  # fmt: skip
BOX = (18, 8, 24, 16)


def run(tmp_path, video, order, **options):
    options = {"restore": {"engine": "membrane"}, "plan": {"segment_s": 0.4, "min_segment_frames": 4}, **options}
    resolved = config.load(overrides=options)
    spool = open_or_create(tmp_path / "spool", resolved)
    job = submit(spool, video, order, resolved)
    with Session(spool) as session:
        Worker(session, StopFlag(), Limits(drain=True)).run()
    return job


def planes_of(path):
    info = media.probe(path)
    return info, [(frame.pts, media.planes(frame)) for frame in media.decode(path, info)]


@pytest.mark.parametrize("name", NAMES)
def test_it_goes_through_the_whole_program(name, tmp_path):
    file, spec = CASES[name]
    video = make.video(tmp_path / file, **spec)
    container = name.split(" to ")[1] if " to " in name else file.split(".")[1]
    job = run(tmp_path, video, Order(exact_boxes=(BOX,), output=f"out.{container}"))
    state = job.state()
    assert state.state == "done", state.reasons
    assert state.published
    assert job.verify() == []
    (info, frames), (_, results) = planes_of(video), planes_of(tmp_path / f"out.{container}")
    assert len(frames) == len(results)
    assert changed_box(info, frames, results) == coded(BOX, info)


def changed_box(info, frames, results):
    """The box around samples that differ by more than the encode can explain."""
    top = (1 << info.bits) - 1
    source, result = (np.stack([planes[0] for _, planes in part]).astype(float) / top for part in (frames, results))
    rows, cols = np.nonzero(np.abs(source - result).mean(axis=0) > 0.08)
    box = coded(BOX, info)
    inside = (rows >= box[1]) & (rows < box[3]) & (cols >= box[0]) & (cols < box[2])
    assert inside.sum() > 20, "the overlay's place was not restored"
    assert (~inside).sum() == 0, "pixels outside the mask changed"
    return box


def coded(box, info):
    """Where the displayed box lies in the coded picture."""
    return Geometry.of(info).coded_box(box)


def test_a_job_that_cannot_work_fails_once_with_its_reason(tmp_path):
    video = make.video(tmp_path / "a.mp4", frames=30)
    job = run(tmp_path, video, Order())
    state = job.state()
    assert state.state == "failed"
    assert [(reason.task, reason.rc) for reason in state.reasons] == [("prep", 3)]
    assert not (tmp_path / "a.clean.mp4").exists()


def test_a_container_that_cannot_hold_a_stream_is_refused_before_any_work(tmp_path):
    file, spec = CASES["everything mkv"]
    video = make.video(tmp_path / file, **spec)
    with pytest.raises(Exception, match="mkv") as caught:
        run(tmp_path, video, Order(exact_boxes=(BOX,), output="out.mp4"))
    assert caught.value.exit_code == 4


def test_a_stream_that_nothing_can_hold_can_be_left_out(tmp_path):
    file, spec = CASES["everything mkv"]
    video = make.video(tmp_path / file, **spec)
    streams = media.probe(video).streams
    kept = {s.index for s in streams if s.kind == "audio"} | {media.probe(video).stream_index}
    drop = tuple(stream.index for stream in streams if stream.index not in kept)
    job = run(tmp_path, video, Order(exact_boxes=(BOX,), output="out.mp4", drop=drop))
    assert job.state().published, job.state().reasons
    assert {s.kind for s in media.probe(tmp_path / "out.mp4").streams} == {"audio", "video"}


def test_confidence_is_recorded_and_a_damaged_output_is_made_again(tmp_path):
    video = make.video(tmp_path / "a.mp4", frames=40)
    options = {"restore": {"engine": "propagate"}}
    resolved = config.load(overrides={**options, "plan": {"segment_s": 0.8}})
    spool = open_or_create(tmp_path / "spool", resolved)
    job = submit(spool, video, Order(boxes=(BOX,)), resolved)
    with Session(spool, tasks={"prep", "segment"}) as session:
        Worker(session, StopFlag(), Limits()).work_off()
    (out,) = job.layout.segment(1).glob("out.*.mkv")
    out.write_bytes(out.read_bytes()[:-100])
    with Session(spool) as session:
        Worker(session, StopFlag(), Limits(drain=True)).run()
    state = job.state()
    assert (state.state, [task.attempt for task in state.tasks]) == ("done", [1, 1, 2, 2])
    assert job.verify() == []
