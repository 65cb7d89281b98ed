"""One video in, one clean video out, as a user meets it."""

from __future__ import annotations

import hashlib
import os
import signal
import time

import av
import cv2
import numpy as np
import pytest

from tests.integration.conftest import BOX, HEIGHT, as_json, box_option, read_bgr, read_yuv, scene_frames, write_video
from tests.media.test_dynamic_hdr import video as hdr10_plus
from tests.media.test_films import DEFAULT, Stream
from tests.media.test_films import write as write_streams
from waterz_spool import Spool as PythonSpool
from waterz_spool.spool import Spool

FAST = ("--segment-s", "1", "--preset", "ultrafast")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def psnr(a, b, mask):
    error = a[:, mask > 0].astype(float) - b[:, mask > 0]
    return 10 * np.log10(255**2 / np.mean(error * error))


def test_run_removes_the_logo_and_keeps_everything_else(clip, video, cli):
    done = cli("run", video, *box_option(), *FAST)
    out = video.with_name("clip.clean.mp4")
    assert done.stdout.strip() == str(out)
    result, source = read_bgr(out), read_bgr(video)
    assert len(result) == len(source) == len(clip.truth)
    assert psnr(result, clip.truth, clip.mask) > 30
    assert psnr(result, source, 255 - clip.mask) > 40
    with av.open(str(video)) as a, av.open(str(out)) as b:
        assert [s.type for s in a.streams] == [s.type for s in b.streams]
        packets = [[bytes(p) for p in c.demux(c.streams.audio[0])] for c in (a, b)]
        assert packets[0] == packets[1]


def test_outside_the_mask_every_sample_is_identical_before_encoding(clip, video, cli):
    cli("run", video, *box_option(), "--lossless", "--segment-s", "1", "-o", "out.mkv")
    source, result = read_yuv(video), read_yuv(video.with_name("out.mkv"))
    x, y, w, h = BOX
    inside = np.zeros(source.shape[1:], bool)
    inside[y : y + h, x : x + w] = True
    luma = slice(0, HEIGHT)
    outside = ~inside[luma]
    assert (source[:, luma][:, outside] == result[:, luma][:, outside]).all()
    assert (source[:, luma][:, ~outside] != result[:, luma][:, ~outside]).mean() > 0.5
    planes = [f[:, HEIGHT:].reshape(len(f), 2, HEIGHT // 2, -1) for f in (source, result)]
    hole = np.zeros(planes[0].shape[2:], bool)
    hole[y // 2 : (y + h + 1) // 2, x // 2 : (x + w + 1) // 2] = True
    assert (planes[0][:, :, ~hole] == planes[1][:, :, ~hole]).all()


def test_the_same_bytes_come_from_one_and_from_three_workers(video, cli):
    for workers in (1, 3):
        cli("run", video, *box_option(), *FAST, "--workers", workers, "-o", f"out{workers}.mp4")
    assert sha256(video.with_name("out1.mp4")) == sha256(video.with_name("out3.mp4"))


def test_the_logo_is_found_when_nothing_is_given(clip, video, cli):
    cli("run", video, *FAST)
    result = read_bgr(video.with_name("clip.clean.mp4"))
    assert psnr(result, clip.truth, clip.mask) > 25


def test_a_mask_video_and_a_mask_folder_do_the_same(clip, video, cli, tmp_path):
    frames = np.repeat(clip.mask[None, ..., None], len(clip.truth), 0).repeat(3, 3)
    write_video(tmp_path / "mask.mkv", frames, audio=False, codec="ffv1", pix_fmt="bgr0", options={})
    (tmp_path / "masks").mkdir()
    for index in range(len(frames)):
        cv2.imwrite(str(tmp_path / "masks" / f"{index:05d}.png"), clip.mask)
    cv2.imwrite(str(tmp_path / "mask.png"), clip.mask)
    for name in ("mask.png", "mask.mkv", "masks"):
        cli("run", video, "--mask", name, *FAST, "-o", f"{name.replace('.', '-')}.mp4")
    assert len({sha256(path) for path in tmp_path.glob("mask*.mp4")}) == 1


def test_of_several_films_it_is_said_which_one_is_cleaned(cli, tmp_path):
    video = write_streams(tmp_path / "two.mkv", [Stream(frames=12), Stream(frames=12, flags=DEFAULT)])
    done = cli("run", video, "--box", "8,8,24,16", *FAST)
    assert "the video is stream 1 (h264); copied as they are: stream 0 (h264)" in done.stderr
    picture = write_streams(tmp_path / "one.mkv", [Stream("mjpeg", 1), Stream(frames=12, flags=DEFAULT)])
    assert "copied as they are" not in cli("run", picture, "--box", "8,8,24,16", *FAST).stderr


def test_dynamic_hdr_goes_only_when_told_and_it_is_said(cli, tmp_path):
    video = hdr10_plus(tmp_path / "a.hevc")
    refused = cli("run", video, "--box", "8,8,24,16", "-o", "o.mkv", *FAST, check=False)
    assert refused.returncode == 4
    assert "--drop-dynamic-hdr goes on without it" in refused.stderr
    done = cli("run", video, "--box", "8,8,24,16", "-o", "o.mkv", *FAST, "--drop-dynamic-hdr")
    assert "left out, as asked: the HDR10+ metadata of every frame" in done.stderr


def test_from_and_to_leave_the_rest_alone(clip, video, cli):
    cli("run", video, *box_option(), "--from", "1", "--to", "2", "--lossless", "-o", "out.mkv")
    source, result = read_yuv(video), read_yuv(video.with_name("out.mkv"))
    changed = np.flatnonzero((source != result).any(axis=(1, 2)))
    assert (changed.min(), changed.max()) == (24, 47)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "none.mp4"], 4, "no such video"),
        (["run", "text.mp4"], 4, "this is text, not a video"),
        (["run", "."], 4, "this is a folder, not a video"),
        (["run", "clip.mp4", "--box", "1,2,30,40", "--codec", "h265"], 2, "did you mean libx265"),
        (["run", "clip.mp4", "--box", "1,2,30,40", "--preset", "ultrafastest"], 2, "one of ultrafast superfast"),
        (["run", "clip.mp4", "--box", "1,2,30,40", "--encoder-opt", "tuen=film"], 2, "did you mean tune"),
        (["run", "clip.mp4", "--box", "1,2,30,40", "-o", "o.webm"], 4, "--codec libvpx-vp9"),
        (["run", "clip.mp4", "--box", "1,2,3"], 2, "x,y,w,h"),
        (["run", "clip.mp4", "--box", "250,10,30,30"], 2, "picture is 256x144"),
        (["run", "clip.mp4", "--detector", "none"], 3, "--box"),
        (["run", "clip.mp4", "--detector", "yolo"], 6, "--weights FILE"),
        (["run", "clip.mp4", "--weights", "none.pt"], 6, "weights file not found"),
        (["run", "clip.mp4", "--mask", "text.mp4"], 4, "mask"),
        (["run", "clip.mp4", "--box", "1,2,30,40", "-o", "clip.mp4"], 2, "replace the input"),
        (["run", "clip.mp4", "--box", "1,2,30,40", "-o", "exists.mp4"], 2, "exists"),
        (["run", "clip.mp4", "--box", "1,2,30,40", "-o", os.fsdecode(b"caf\xe9.mp4")], 2, "not UTF-8"),
        (["run", "--box", "1,2,30,40", os.fsdecode(b"caf\xe9.mp4")], 4, "not UTF-8"),
        (["run", "clean.mp4"], 3, "no overlay found"),
        (["run", "clip.mp4", "--nonsense"], 2, "no such option: --nonsense"),
        (["status", "--spool", "nowhere"], 6, "not a spool"),
    ],
    ids=lambda value: "-".join(value[:3]) if isinstance(value, list) else None,
)
def test_bad_input_gets_one_clear_error_and_no_output(video, cli, tmp_path, arguments, code, message):
    (tmp_path / "text.mp4").write_text("this is not a video")
    (tmp_path / "exists.mp4").write_bytes(b"mine")
    if "clean.mp4" in arguments:
        write_video(tmp_path / "clean.mp4", scene_frames(48))
    (tmp_path / os.fsdecode(b"caf\xe9.mp4")).touch()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    done = cli(*arguments, check=False)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def spool_of(tmp_path):
    return Spool.open(tmp_path / "spool")


def wait_for(condition, process, timeout_s=60):
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        try:
            if condition():
                return True
        except Exception:
            pass
        if process.poll() is not None:
            return False
        time.sleep(0.01)
    raise AssertionError("timeout")


MOMENTS = {
    "submitted": lambda job: True,
    "planned": lambda job: job.plan() is not None,
    "one-done": lambda job: job.state().counts.get("done", 0) >= 1,
    "half-done": lambda job: job.state().counts.get("done", 0) >= 2,
    "finalizing": lambda job: job.state().state == "finalizing",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_second_run_finishes_what_a_killed_one_began(video, cli, tmp_path, moment):
    order = ("--spool", "spool", "run", video, *box_option(), *FAST)
    cli("run", video, *box_option(), *FAST, "-o", "undisturbed.mp4")
    process = cli(*order, background=True, start_new_session=True)
    reached = wait_for(lambda: MOMENTS[moment](spool_of(tmp_path).jobs()[0]), process)
    kill_tree(process.pid)
    process.communicate()
    job = spool_of(tmp_path).jobs()[0]
    finished = {task.task: task.attempt for task in job.state().tasks if task.kind == "done"}
    cli(*order)
    state = spool_of(tmp_path).jobs()[0].state()
    assert state.state == "done" and state.published
    after = {task.task: task.attempt for task in state.tasks}
    assert all(after[task] == attempt for task, attempt in finished.items()), "finished work was done again"
    assert job.verify() == []
    assert sha256(tmp_path / "clip.clean.mp4") == sha256(tmp_path / "undisturbed.mp4")
    assert reached or moment == "finalizing"


def kill_tree(pid):
    """Kill -9 a process and everything it started, the parent first."""
    children = [int(p) for t in os.listdir(f"/proc/{pid}/task") for p in _children(pid, t)]
    os.kill(pid, signal.SIGKILL)
    for child in children:
        os.kill(child, signal.SIGKILL)


def _children(pid, task):
    with open(f"/proc/{pid}/task/{task}/children") as file:
        return file.read().split()


def test_ctrl_c_hands_claims_back(video, cli, tmp_path):
    process = cli("--spool", "spool", "run", video, *box_option(), *FAST, background=True, start_new_session=True)
    assert wait_for(lambda: "running" in spool_of(tmp_path).jobs()[0].state().counts, process)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    state = spool_of(tmp_path).jobs()[0].state()
    assert not [task for task in state.tasks if task.kind == "running"]
    assert all(task.failed == task.lost == 0 for task in state.tasks)
    cli("--spool", "spool", "run", video, *box_option(), *FAST)


def test_workers_know_only_the_spool(video, cli, tmp_path):
    job_id = cli("--spool", "spool", "submit", video, *box_option(), *FAST).stdout.strip()
    again = cli("--spool", "spool", "submit", video, *box_option(), *FAST).stdout.strip()
    assert job_id == again
    workers = [cli("--spool", "spool", "worker", "--drain", background=True) for _ in range(2)]
    for worker in workers:
        worker.communicate(timeout=120)
        assert worker.returncode == 0
    (summary,) = as_json(cli("--spool", "spool", "--json", "status"))["jobs"]
    assert (summary["state"], summary["counts"]["done"], summary["fraction"]) == ("done", 4, 1.0)
    assert (tmp_path / "clip.clean.mp4").exists()
    assert "all invariants hold" in cli("--spool", "spool", "verify").stdout
    assert "finished" in cli("--spool", "spool", "explain").stdout
    assert "frames" in cli("--spool", "spool", "logs", "last/1").stdout
    assert "SEEN" in cli("--spool", "spool", "status", "last", "--segments").stdout
    assert job_id in cli("--spool", "spool", "clean", "--older-than", "0s").stdout
    cli("--spool", "spool", "clean", "--older-than", "0s", "--yes")
    assert as_json(cli("--spool", "spool", "--json", "status"))["jobs"] == []
    assert (tmp_path / "clip.clean.mp4").exists()


def test_pause_holds_and_cancel_ends(video, cli, tmp_path):
    cli("--spool", "spool", "submit", video, *box_option(), *FAST)
    cli("--spool", "spool", "pause", "last")
    worker = cli("--spool", "spool", "worker", "--idle-timeout", "1", background=True)
    worker.communicate(timeout=60)
    assert as_json(cli("--spool", "spool", "--json", "status"))["jobs"][0]["state"] == "paused"
    cli("--spool", "spool", "resume", "last")
    cli("--spool", "spool", "cancel", "last")
    cli("--spool", "spool", "worker", "--drain")
    assert as_json(cli("--spool", "spool", "--json", "status"))["jobs"][0]["state"] == "cancelled"
    assert not (tmp_path / "clip.clean.mp4").exists()


def test_a_video_in_the_inbox_comes_out_of_the_outbox(video, cli, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("inbox: {poll_s: 0.2, settle_s: 0.5}\nplan: {segment_s: 1}\nencode: {preset: ultrafast}\n")
    Spool.create(tmp_path / "spool")
    video.rename(tmp_path / "spool" / "inbox" / "clip.mp4")
    (tmp_path / "spool" / "inbox" / "late.mp4.part").write_bytes(b"unfinished")
    watcher = cli("--spool", "spool", "--config", config, "watch", background=True)
    worker = cli("--spool", "spool", "--config", config, "worker", "--stages", "prep,segment", background=True)
    out = tmp_path / "spool" / "outbox" / "clip.clean.mp4"
    wait_for(lambda: out.exists() and list((tmp_path / "spool" / "inbox" / "done").iterdir()), watcher, timeout_s=120)
    for process in (watcher, worker):
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 143
    assert (tmp_path / "spool" / "inbox" / "late.mp4.part").exists()
    assert len(read_bgr(out)) == 96


def test_python_can_submit_and_wait(clip, video, cli, tmp_path):
    spool = PythonSpool(tmp_path / "spool", {"plan": {"segment_s": 1}, "encode": {"preset": "ultrafast"}})
    job = spool.submit(video, boxes=[BOX])
    worker = cli("--spool", "spool", "worker", "--drain", background=True)
    assert job.wait(timeout_s=120) == video.with_name("clip.clean.mp4")
    worker.communicate(timeout=60)
    assert job.state == "done"
