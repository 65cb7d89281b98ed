"""The same work asked for again, at the same time, after a crash, a cancel, a lost result; and what cannot be done."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest

from tests.integration.conftest import as_json, box_option, read_yuv
from tests.integration.test_video_is_the_users import BOX, run
from tests.media import make
from waterz_spool import config, restore
from waterz_spool.backends import RESTORERS
from waterz_spool.errors import JobFailedError, UsageError
from waterz_spool.intake.inbox import Watcher, _notified
from waterz_spool.intake.spools import open_or_create
from waterz_spool.intake.submit import Order, submit
from waterz_spool.launch.follow import follow
from waterz_spool.spool import Session, Spool
from waterz_spool.stages.contract.payloads import segment_job_of
from waterz_spool.stages.loop.worker import StopFlag
from waterz_spool.stages.prepare.prepare import prepare


@pytest.fixture
def tiny(tmp_path):
    return make.video(tmp_path / "tiny.mp4", frames=12)


def test_a_result_that_was_decided_but_not_published_is_published_by_whoever_waits(tiny, tmp_path):
    resolved = config.load(overrides={"restore": {"engine": "membrane"}})
    spool = open_or_create(tmp_path / "spool", resolved)
    job = submit(spool, tiny, Order(boxes=(BOX,)), resolved)
    command = [sys.executable, "-m", "waterz_spool", "--spool", str(spool.root), "worker", "--drain", "--quiet"]
    died = subprocess.run(command, env={**os.environ, "WATERZ_FAILPOINT": "after_commit:kill"}, check=False, timeout=60)
    assert died.returncode == -9
    assert (job.state().state, job.state().published) == ("done", False)
    follow(job, timeout_s=30)
    assert (tmp_path / "tiny.clean.mp4").exists()


def test_a_second_attempt_at_prepare_cannot_choose_another_engine(tmp_path, monkeypatch):
    """Under auto the machine decides; one that prepares the rest of a job may have what the first had not."""
    resolved = config.load(
        overrides={
            "plan": {"segment_s": 0.4, "min_segment_frames": 8, "context_frames": 2},
            "restore": {"engine": "auto"},
        }
    )
    spool = open_or_create(tmp_path / "spool", resolved)
    job = submit(spool, make.video(tmp_path / "v.mp4", frames=24), Order(exact_boxes=(BOX,)), resolved)

    def attempt(name, check):
        monkeypatch.setattr(restore, "chosen", lambda options: RESTORERS.load(name))
        with Session(spool, tasks={"prep"}, threads=False) as session:
            claim = session.next()
            claim.done([], prepare(claim, check))

    def stop_between():
        if job.log.scan().ready:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt("membrane", stop_between)
    assert len(job.log.scan().ready) < job.state().segments
    attempt("propagate", lambda: None)
    jobs = [segment_job_of(job.segment(index), job.id) for index in range(job.state().segments)]
    assert {each.engine for each in jobs} == {"membrane"}


def test_cancelled_work_can_be_asked_for_again(tiny, tmp_path):
    resolved = config.load(overrides={"restore": {"engine": "membrane"}})
    spool = open_or_create(tmp_path / "spool", resolved)
    first = submit(spool, tiny, Order(boxes=(BOX,)), resolved)
    assert first.cancel()
    with pytest.raises(JobFailedError, match="cancelled"):
        follow(first, timeout_s=5)
    second = submit(spool, tiny, Order(boxes=(BOX,)), resolved)
    assert second.id == f"{first.id}-2"
    assert submit(spool, tiny, Order(boxes=(BOX,)), resolved).id == second.id


def test_a_lost_result_is_published_again_and_a_foreign_file_is_left_alone(tiny, tmp_path):
    run(tmp_path, tiny, Order(boxes=(BOX,)))
    out = tmp_path / "tiny.clean.mp4"
    made = out.read_bytes()
    out.unlink()
    run(tmp_path, tiny, Order(boxes=(BOX,)))
    assert out.read_bytes() == made
    out.unlink()
    out.write_bytes(b"somebody else's")
    with pytest.raises(UsageError, match="exists already"):
        run(tmp_path, tiny, Order(boxes=(BOX,)))
    assert out.read_bytes() == b"somebody else's"


def test_pictures_of_a_mask_folder_count_as_people_do(tiny, tmp_path):
    (tmp_path / "masks").mkdir()
    for index in range(12):
        mask = np.zeros((make.HEIGHT, make.WIDTH), np.uint8)
        mask[8:24, 4 + 4 * index : 16 + 4 * index] = 255
        cv2.imwrite(str(tmp_path / "masks" / f"{index}.png"), mask)
    run(tmp_path, tiny, Order(mask=tmp_path / "masks", output="out.mkv"), encode={"lossless": True})
    luma = slice(0, make.HEIGHT)
    source, result = read_yuv(tiny)[:, luma], read_yuv(tmp_path / "out.mkv")[:, luma]
    for index, changed in enumerate((source != result).any(axis=1)):
        columns = np.flatnonzero(changed)
        assert columns.min() >= 4 + 4 * index
        assert columns.max() < 16 + 4 * index


def test_a_range_holds_for_mask_videos_too(tiny, tmp_path):
    (tmp_path / "masks").mkdir()
    mask = np.zeros((make.HEIGHT, make.WIDTH), np.uint8)
    mask[8:24, 10:40] = 1  # 0 and 1 is a mask, too
    for index in range(12):
        cv2.imwrite(str(tmp_path / "masks" / f"{index:03d}.png"), mask)
    order = Order(mask=tmp_path / "masks", output="out.mkv", from_s=0.16, to_s=0.28)
    run(tmp_path, tiny, order, encode={"lossless": True})
    changed = (read_yuv(tiny) != read_yuv(tmp_path / "out.mkv")).any(axis=(1, 2))
    assert np.flatnonzero(changed).tolist() == [4, 5, 6]


def test_one_odd_name_does_not_end_the_watcher(tiny, tmp_path):
    resolved = config.load(overrides={"inbox": {"settle_s": 0.0}})
    spool = open_or_create(tmp_path / "spool", resolved)
    os.link(tiny, os.fsencode(spool.inbox) + b"/bad\xff.mp4")
    os.link(tiny, spool.inbox / "good.mp4")
    watcher = Watcher(spool, resolved, StopFlag())
    taken = [job for _ in range(4) for job in watcher.look()]
    assert [Spool.open(spool.root).job(job).name for job in taken] == ["good.mp4"]


def test_a_new_file_wakes_the_watcher_on_a_local_disk(tmp_path):
    changed = threading.Event()
    with _notified(tmp_path, changed):
        (tmp_path / "new.mp4").write_bytes(b"x")
        assert changed.wait(10)


@pytest.mark.parametrize("command", [["run", "tiny.mp4"], ["worker", "--drain"]], ids=lambda value: value[0])
def test_a_machine_without_libgl_names_both_cures(tiny, cli, tmp_path, command):
    Spool.create(tmp_path / "spool")
    (tmp_path / "broken").mkdir()
    fake = "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')"
    (tmp_path / "broken" / "cv2.py").write_text(fake)
    extra = {"PYTHONPATH": f"{tmp_path / 'broken'}:{os.environ.get('PYTHONPATH', '')}"}
    done = cli("--spool", "spool", *command, check=False, extra=extra)
    assert done.returncode == 6
    assert "apt-get install libgl1" in done.stderr
    assert "opencv-python-headless" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "tiny.mp4", "-o", "/proc/x/out.mp4"], 2, "folder cannot be written"),
        (["run", "tiny.mp4", "-o", "tiny.mp4/out.mp4"], 2, "folder cannot be written"),
        (["run", "tiny.mp4", "-o", "x" * 300 + ".mp4"], 2, "too long"),
        (["run", "tiny.mp4", "--mask", "/dev/null"], 4, "mask"),
        (["run", "tiny.mp4", "--codec", "foo"], None, "foo"),
        (["run", "tiny.mp4", "--preset", "foo"], None, "preset"),
        (["--spool", "tiny.mp4", "status"], 6, "tiny.mp4"),
        (["--spool", "tiny.mp4/x", "run", "tiny.mp4"], 6, "tiny.mp4"),
        (["explain", "last/\N{SUPERSCRIPT TWO}"], 2, "segment number"),
        (["run", "tiny.mp4", "--from", "9:9:9:9"], 2, "time"),
    ],
    ids=lambda value: "-".join(value)[:40] if isinstance(value, list) else None,
)
def test_what_cannot_be_done_is_said_at_once_in_three_lines(tiny, cli, arguments, code, words):
    box = box_option() if "run" in arguments and "--mask" not in arguments else ()
    done = cli(*arguments, *(("--box", "18,8,24,16") if box else ()), check=False)
    assert done.returncode in ((code,) if code else (2, 4, 6)), done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 8


def test_a_paused_spool_says_so(tiny, cli, tmp_path):
    cli("--spool", "spool", "submit", tiny, "--box", "18,8,24,16")
    cli("--spool", "spool", "pause")
    assert "whole spool is paused" in cli("--spool", "spool", "explain").stdout
    done = cli("--spool", "spool", "run", tiny, "--box", "18,8,24,16", check=False)
    assert (done.returncode, "paused" in done.stderr) == (2, True)


def test_a_result_that_has_no_place_waits_and_says_how_to_learn_why(tiny, cli, tmp_path):
    desk = ("--spool", "spool")
    (tmp_path / "out").mkdir()
    cli("submit", *desk, tiny, "--box", "18,8,24,16", "-o", "out/x.mp4")
    (tmp_path / "out").rmdir()
    (tmp_path / "out").write_text("in the way")
    cli("worker", *desk, "--drain")
    assert "waterz-spool finalize" in cli(*desk, "explain", "last").stdout
    refused = cli(*desk, "finalize", "last", check=False)
    assert refused.returncode == 6 and str(tmp_path / "out") in refused.stderr
    (tmp_path / "out").unlink()
    cli(*desk, "finalize", "last")
    assert (tmp_path / "out" / "x.mp4").exists()
    assert "is published" in cli(*desk, "explain", "last").stdout


def test_json_is_one_document(tiny, cli, tmp_path):
    (tmp_path / "other.mp4").write_bytes(tiny.read_bytes())
    jobs = as_json(cli("--json", "--spool", "spool", "submit", tiny, "other.mp4", "--box", "18,8,24,16"))
    assert len(jobs["jobs"]) == 2
    assert len(as_json(cli("--json", "--spool", "spool", "verify", "all"))["jobs"]) == 2
    assert len(as_json(cli("--json", "--spool", "spool", "cancel", "all"))["jobs"]) == 2
    assert cli("--spool", "spool", "retry", "all", check=False).returncode == 2


def test_the_same_command_at_the_same_time_leaves_one_result(tiny, cli, tmp_path):
    order = ("run", tiny, "--box", "18,8,24,16", "--engine", "membrane")
    both = [cli(*order, background=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert len(list(tmp_path.glob("*.clean*.mp4"))) == 1
