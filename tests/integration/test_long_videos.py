"""What grows with the length of a video and with pauses in it, and what must not."""

from __future__ import annotations

import ctypes
import gc
from fractions import Fraction
from pathlib import Path

import pytest

from tests.media import make
from waterz_spool import config, media
from waterz_spool.intake.spools import open_or_create
from waterz_spool.intake.submit import Order, submit
from waterz_spool.restore.membrane import MembraneRestorer
from waterz_spool.spool import Session
from waterz_spool.stages.contract.payloads import plan_of
from waterz_spool.stages.loop.worker import Limits, StopFlag, Worker
from waterz_spool.stages.prepare.prepare import prepare, rules_of
from waterz_spool.stages.prepare.survey import Survey

BOX = (20, 10, 20, 10)
MALLINFO = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")


def memory_kib() -> int:
    """What this process has in memory now."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def in_use_bytes():
    """What malloc has given out in this process and not got back: pictures of NumPy and of libav, not Python's own."""

    class Mallinfo(ctypes.Structure):
        _fields_ = tuple((name, ctypes.c_size_t) for name in MALLINFO)

    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = Mallinfo
    told = libc.mallinfo2()
    return told.uordblks + told.hblkhd


def prepared(folder, video, options, watch=lambda: None):
    """The plan of a video, prepared in this process; ``watch`` is called at every frame."""
    resolved = config.load(overrides={"restore": {"engine": "membrane"}, **options})
    spool = open_or_create(folder / "spool", resolved)
    job = submit(spool, video, Order(exact_boxes=(BOX,), output=str(folder / "out.mp4")), resolved)
    with Session(spool, tasks={"prep"}, threads=False) as session:
        claim = session.next()
        claim.done([], prepare(claim, watch))
    return plan_of(job.plan(), job.id)


def test_memory_of_prepare_does_not_grow_with_the_number_of_segments(tmp_path):
    frames = 1600
    video = make.video(tmp_path / "long.mp4", frames=frames, options={"preset": "ultrafast", "g": "50"})
    held = []
    options = {"plan": {"segment_s": 0.4, "min_segment_frames": 8, "context_frames": 2}}
    plan = prepared(tmp_path, video, options, lambda: held.append(memory_kib()))
    assert len(plan.segments) == frames // 10
    cutting = held[-frames:]  # the second pass over all frames writes the segments
    early, late = max(cutting[: frames // 6]), max(cutting[-frames // 6 :])
    assert late - early < 40 << 10, f"{early} KiB after a sixth of the segments, {late} KiB at the end"


def test_a_segment_leaves_nothing_in_memory_that_waits_for_the_collector(tmp_path):
    options = {"plan": {"segment_s": 0.4, "min_segment_frames": 8, "context_frames": 4}}
    resolved = config.load(overrides={"restore": {"engine": "membrane"}, "encode": {"preset": "ultrafast"}, **options})
    video = make.video(tmp_path / "long.mp4", frames=220, options={"preset": "ultrafast", "g": "25"})
    spool = open_or_create(tmp_path / "spool", resolved)
    submit(spool, video, Order(exact_boxes=(BOX,), output=str(tmp_path / "out.mp4")), resolved)
    held = []
    with Session(spool, threads=False) as session:
        worker = Worker(session, StopFlag(), Limits(max_segments=1))
        gc.disable()
        try:
            while worker.work_off():
                held.append(in_use_bytes())
                worker.limits = Limits(max_segments=len(held) + 1)
        finally:
            gc.enable()
    assert len(held) >= 20
    growth = held[-3] - held[5]
    assert growth < 512 << 10, f"{growth / (len(held) - 8) / 1024:.1f} KiB more after each segment"


def survey_of(pts, *, last=40):
    return Survey(tuple(pts), last, ())


def segment_frames(folder, pts, *, last=40):
    """Target length of the segments of a video with these times in ms."""
    info = media.probe(make.video(folder / "v.mkv", frames=2))
    assert info.time_base == (1, 1000)
    return rules_of(config.load(), info, survey_of(pts, last=last), MembraneRestorer).segment_frames


TIMES = {
    "even": [40 * i for i in range(300)],
    "bursts of 50 and pauses of a minute": [40 * i + i // 50 * 60_000 for i in range(300)],
    "bursts of 3 and pauses of 5 s": [40 * i + i // 3 * 5_000 for i in range(300)],
    "one pause of a day": [40 * i + (i > 100) * 86_400_000 for i in range(300)],
    "half of it stands still": [40 * i if i < 150 else 6000 + 2000 * (i - 150) for i in range(300)],
    "times that alternate": [80 * (i // 2) + i % 2 for i in range(300)],
}


@pytest.mark.parametrize("name", TIMES)
def test_pauses_do_not_shorten_segments(name, tmp_path):
    assert segment_frames(tmp_path, TIMES[name]) == pytest.approx(250, abs=1)


@pytest.mark.parametrize(
    ("every_ms", "frames"), [(1, 10_000), (20, 500), (125, 80), (200, 60), (5000, 60), (10**7, 60)]
)
def test_slow_videos_have_segments_as_long_as_their_context(every_ms, frames, tmp_path):
    pts = [every_ms * i for i in range(100)]
    assert segment_frames(tmp_path, pts, last=every_ms) == frames
    assert segment_frames(tmp_path, [0], last=every_ms) == frames


def test_a_video_with_pauses_is_cut_into_as_many_segments_as_one_without(tmp_path):
    counts = []
    for name in ("even", "bursts of 50 and pauses of a minute", "bursts of 3 and pauses of 5 s"):
        folder = tmp_path / name
        folder.mkdir()
        base, options = Fraction(1, 1000), {"preset": "ultrafast"}
        video = make.video(folder / "v.mkv", frames=300, pts=TIMES[name], time_base=base, options=options)
        plan = prepared(folder, video, {})
        assert list(plan.pts) == TIMES[name] and plan.video.time_base == (1, 1000)
        counts.append(len(plan.segments))
    assert counts == [2, 2, 2]
