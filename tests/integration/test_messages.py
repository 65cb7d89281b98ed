"""What was asked wrongly is said with the user's own words: which option, which file, what it may be, what to do."""

from __future__ import annotations

import errno
import os

import cv2
import numpy as np
import pytest

from tests.integration.conftest import as_json, box_option, scene_frames, write_video
from tests.integration.test_failing import Desk
from tests.integration.test_run import FAST
from waterz_spool import config
from waterz_spool.errors import UsageError
from waterz_spool.spool import Job
from waterz_spool.stages.finalize import publish


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--crf", "99"], ["encode.crf cannot be 99", "0 .. 63", "where: --crf 99"]),
        (["--crf", "-1"], ["encode.crf cannot be -1", "where: --crf -1"]),
        (["--segment-s", "0"], ["plan.segment_s cannot be 0.0", "0.2 .. 600", "where: --segment-s 0"]),
        (["--workers", "5000"], ["worker.workers cannot be 5000", "0 .. 1024", "where: --workers 5000"]),
        (["--from", "3", "--to", "2"], ["no time lies between --from and --to", "where: --from 3 --to 2"]),
        (["--from", "100"], ["the video lasts 4.0 s", "where: --from 100"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_a_wrong_value_names_its_option_and_its_range(video, cli, tmp_path, arguments, parts):
    done = cli("run", video, *box_option(), *arguments, check=False)
    assert done.returncode == 2 and all(part in done.stderr for part in parts), done.stderr
    assert not list(tmp_path.glob("state/waterz-spool/jobs/2*")), "said before any work"


@pytest.mark.parametrize("section", ["detect: {conf: 7}", "slurm: {signal_s: 0}", "spool: {on_dead: maybe}"])
def test_a_wrong_value_in_a_file_names_the_file(cli, tmp_path, section):
    (tmp_path / "c.yaml").write_text(section)
    done = cli("--config", "c.yaml", "config", "show", check=False)
    assert done.returncode == 2 and "where: c.yaml" in done.stderr and " cannot be " in done.stderr
    assert "config show --example" in done.stderr


def test_from_python_no_command_line_is_named():
    with pytest.raises(UsageError, match=r"encode\.crf cannot be 99") as caught:
        config.load(overrides={"encode": {"crf": 99}})
    assert caught.value.where == "options"


@pytest.mark.parametrize("text", ["encode:\n  crf: [1\n", "a: b: c\n", "\t- x\n", "encode: 'x\n"])
def test_bad_yaml_names_file_and_line(cli, tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    done = cli("--config", "c.yaml", "status", check=False)
    lines = done.stderr.splitlines()
    assert done.returncode == 2 and len(lines) == 3, done.stderr
    assert lines[0].startswith("error: the config file is not valid YAML, line ") and lines[1] == "  where: c.yaml"


def test_a_spool_where_none_can_be_says_so(video, cli, tmp_path):
    done = cli("--spool", "/proc/spool", "run", video, *box_option(), check=False)
    assert done.returncode == 6 and "no spool can be made or used here" in done.stderr
    assert "where: /proc/spool" in done.stderr and "with --spool" in done.stderr
    (tmp_path / "file").write_bytes(b"")
    done = cli("--spool", "file", "submit", video, *box_option(), check=False)
    assert done.returncode == 6 and f"where: {tmp_path}/file" in done.stderr and "a file lies where" in done.stderr


def test_a_full_disk_of_the_output_is_named_not_the_spool(tmp_path, monkeypatch):
    desk = Desk(tmp_path)

    def full(self, target, *, overwrite=False, mode=None):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Job, "publish", full)
    with pytest.raises(OSError, match="No space left") as caught:
        publish(desk.job)
    assert caught.value.filename == str(tmp_path)


def test_cancelling_what_is_done_is_an_error(video, cli, tmp_path):
    cli("--spool", "spool", "run", video, *box_option(), *FAST)
    done = cli("--spool", "spool", "cancel", "last", check=False)
    assert done.returncode == 2 and "too late to cancel" in done.stderr and "clip.clean.mp4" in done.stderr
    assert as_json(cli("--spool", "spool", "--json", "cancel", "all"))["jobs"] == []


def test_a_mask_that_does_not_fit_is_named_as_it_was_given(clip, video, cli, tmp_path):
    frames = np.repeat(clip.mask[None, ..., None], 120, 0).repeat(3, 3)
    write_video(tmp_path / "mask.mkv", frames, audio=False, codec="ffv1", pix_fmt="bgr0", options={})
    done = cli("run", video, "--mask", "mask.mkv", *FAST, check=False)
    assert done.returncode == 4 and f"where: --mask {tmp_path}/mask.mkv" in done.stderr and "96" in done.stderr
    (tmp_path / "masks").mkdir()
    for index in range(50):
        cv2.imwrite(str(tmp_path / "masks" / f"{index}.png"), clip.mask)
    done = cli("run", video, "--mask", "masks", *FAST, check=False)
    assert done.returncode == 4 and f"where: --mask {tmp_path}/masks" in done.stderr


def test_tracks_of_another_video_are_named_as_they_were_given(video, cli, tmp_path):
    cli("detect", video, "-o", "found")
    other = write_video(tmp_path / "other.mp4", scene_frames(60))
    done = cli("run", other, "--tracks", "found", *FAST, check=False)
    assert done.returncode == 4 and f"where: --tracks {tmp_path}/found" in done.stderr
    assert "waterz-spool detect" in done.stderr


def test_nothing_found_names_the_video_not_a_job_that_is_gone(cli, tmp_path):
    clean = write_video(tmp_path / "clean.mp4", scene_frames(48))
    done = cli("run", clean, check=False)
    assert done.returncode == 3 and f"where: {clean}" in done.stderr
