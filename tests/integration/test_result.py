"""Every command that ends with a result says what was done, and says so when the place is a guess."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from tests.integration.conftest import BOX, HEIGHT, WIDTH, as_json, box_option, scene_frames, write_video
from tests.integration.test_run import FAST
from waterz_spool import Spool as PythonSpool

PLACE = ",".join(map(str, BOX))


@pytest.fixture
def tripod(tmp_path):
    """A still camera: nothing behind the box is ever visible."""
    frames = scene_frames(1).repeat(48, 0)
    frames[:, 120:130, 10:20] = np.arange(48, dtype=np.uint8)[:, None, None, None] * 5
    x, y, w, h = BOX
    frames[:, y : y + h, x : x + w] = (20, 200, 240)
    return write_video(tmp_path / "tripod.mp4", frames)


def test_run_says_what_was_done(video, cli, tmp_path):
    done = cli("run", video, *box_option(), *FAST, "--report")
    assert done.stdout.strip() == str(tmp_path / "clip.clean.mp4")
    assert f"removed {PLACE} in 00:00:00-00:00:04 (as given by --box)" in done.stderr
    assert "high confidence: " in done.stderr and "of the hidden picture was seen in other frames" in done.stderr
    assert " kB, verified\n" in done.stderr or " MB, verified\n" in done.stderr
    assert "warning" not in done.stderr
    summary = json.loads((tmp_path / "clip.clean.json").read_text())
    assert summary["output"] == str(tmp_path / "clip.clean.mp4") and summary["bytes"] > 0
    assert summary["tracks"] == [{"box": list(BOX), "start_s": 0.0, "stop_s": 4.0}]
    assert summary["seen"] > 0.9 and not summary["guess"]


def test_what_no_frame_shows_is_called_a_guess(tripod, cli):
    done = cli("--json", "run", tripod, *box_option(), *FAST)
    data = json.loads(done.stdout)["jobs"][0]["result"]
    assert data["guess"] and data["weight"] < 0.3 and data["seconds"] > 0 and data["frames"] == 48
    assert data["warnings"] == ["warning: nothing behind the overlay was ever visible; the place is a guess"]
    done = cli("run", tripod, *box_option(), *FAST, "--engine", "membrane", "-o", "m.mp4")
    assert "warning: the membrane engine looks at no other frame; the place is a guess" in done.stderr


def test_a_place_that_is_a_guess_for_some_time_is_named_with_it(clip, cli, tmp_path):
    """The camera pans for two seconds and then stands still."""
    frames = scene_frames(144)
    frames[48:] = frames[47]
    x, y, w, h = BOX
    frames[:, y : y + h, x : x + w] = (20, 200, 240)
    cuts = frames.copy()
    cuts[48:] = cv2.flip(frames[47], 0)  # a cut: nothing of the pan may be used
    cuts[48:, y : y + h, x : x + w] = (20, 200, 240)
    video = write_video(tmp_path / "half.mp4", cuts)
    done = cli("run", video, *box_option(), *FAST)
    assert "most of the place is a guess, worst at 00:00:0" in done.stderr or "warning: little" in done.stderr
    assert "look at 00:00:0" in done.stderr


def test_a_worker_and_a_waiting_submit_say_it_too(video, cli, tmp_path):
    cli("--spool", "spool", "submit", video, *box_option(), *FAST)
    worker = cli("--spool", "spool", "worker", "--drain")
    assert f"removed {PLACE}" in worker.stderr and f"{tmp_path}/clip.clean.mp4: " in worker.stderr
    assert "6 tasks done" in worker.stderr
    again = cli("--spool", "spool", "submit", video, *box_option(), *FAST, "--wait", "--report")
    assert f"removed {PLACE}" in again.stderr and (tmp_path / "clip.clean.json").exists()
    assert "nothing was there to do" in cli("--spool", "spool", "worker", "--drain").stderr
    (row,) = as_json(cli("--spool", "spool", "--json", "status"))["jobs"]
    row = row["result"]
    assert row["seen"] > 0.9 and row["tracks"][0]["box"] == list(BOX)
    assert f"  {row['seen']:.0%}  " in cli("--spool", "spool", "status").stdout.splitlines()[1]
    details = PythonSpool(tmp_path / "spool").job("last").details
    assert details is not None and (details.seen, details.bytes) == (row["seen"], row["bytes"])


def test_a_summary_replaces_nothing_of_the_users(video, cli, tmp_path):
    (tmp_path / "clip.clean.json").write_text('{"mine": 1}')
    done = cli("run", video, *box_option(), *FAST, "--report", check=False)
    assert done.returncode == 2 and "clip.clean.json" in done.stderr
    assert (tmp_path / "clip.clean.json").read_text() == '{"mine": 1}'
    assert cli("--spool", "s", "submit", video, *box_option(), "--report", check=False).returncode == 2


def test_what_a_mask_leaves_of_the_overlay_is_said_everywhere_and_is_no_success(video, cli, tmp_path):
    x, y, w, h = BOX
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y + 3 : y + h - 3, x + 3 : x + w - 3] = 255
    cv2.imwrite(str(tmp_path / "small.png"), mask)
    where = ("--spool", "spool")
    done = cli(*where, "--json", "run", video, "--mask", tmp_path / "small.png", *FAST, "--report", check=False)
    assert done.returncode == 7 and (tmp_path / "clip.clean.mp4").exists()
    assert "some of the overlay is still there" in done.stderr and f"{x + 3},{y + 3},{w - 6},{h - 6}" in done.stderr
    (job,) = json.loads(done.stdout)["jobs"]
    data = job["result"]
    assert data["residue"] == "left" and data["remains_count"] >= len(data["remains"]) > 0
    assert data["remains"][0]["box"] == [x + 3, y + 3, w - 6, h - 6]
    assert "LEFT at" in data["warnings"][0]
    assert "  left" in cli(*where, "status", "--segments").stdout
    assert "LEFT at" in (tmp_path / "clip.clean.html").read_text()
    assert cli(*where, "finalize", "last", check=False).returncode == 7
