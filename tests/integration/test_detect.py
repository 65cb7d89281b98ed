"""Looking before the work starts: tracks, masks, contact sheet; corrected tracks; review."""

from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pytest

from tests.integration.conftest import (
    BOX,
    HEIGHT,
    WIDTH,
    as_json,
    box_option,
    read_bgr,
    read_yuv,
    scene_frames,
    write_video,
)
from tests.integration.test_run import FAST, psnr


def near(box, other=BOX, px=10):
    return all(abs(a - b) <= px for a, b in zip(box, other, strict=True))


def test_detect_writes_what_people_look_at_and_submit_takes_it_back(clip, video, cli, tmp_path):
    (shown,) = as_json(cli("--json", "detect", video, "-o", "found"))["tracks"]
    assert near(shown["box"]) and (shown["start"], shown["stop"]) == (0, len(clip.truth))
    tree = json.loads((tmp_path / "found" / "tracks.json").read_text())
    assert tree["size"] == [WIDTH, HEIGHT] and tree["tracks"] == [shown]
    sheet = cv2.imread(str(tmp_path / "found" / "contact.png"))
    assert sheet is not None and min(sheet.shape[:2]) > 300
    page = (tmp_path / "found" / "contact.html").read_text()
    assert page.count("data:image/jpeg") == 10 and not re.search(r"(src|href)=.(?!data:)", page)
    cli("run", video, "--tracks", "found", *FAST)
    assert psnr(read_bgr(video.with_name("clip.clean.mp4")), clip.truth, clip.mask) > 25
    assert {path.name for path in (tmp_path / "found").iterdir()} == {
        "tracks.json", "masks.mkv", "contact.png", "contact.html",
    }  # fmt: skip


def test_a_track_added_by_hand_masks_its_box_and_a_removed_one_nothing(video, cli, tmp_path):
    cli("detect", video, "-o", "found")
    path = tmp_path / "found" / "tracks.json"
    tree = json.loads(path.read_text())
    tree["tracks"] = [{"start": 24, "stop": 48, "box": [20, 90, 40, 30]}]
    path.write_text(json.dumps(tree))
    cli("run", video, "--tracks", "found", "--lossless", "-o", "out.mkv")
    changed = (read_bgr(video) != read_bgr(tmp_path / "out.mkv")).any(axis=3)
    assert set(np.flatnonzero(changed.any(axis=(1, 2)))) == set(range(24, 48))
    rows, columns = np.flatnonzero(changed.any(axis=(0, 2))), np.flatnonzero(changed.any(axis=(0, 1)))
    assert rows[0] >= 88 and rows[-1] <= 121 and columns[0] >= 18 and columns[-1] <= 61


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"stop": 96', '"stop": 97', "line 8: stop 97 is beyond the last of 96 frames"),
        ('"stop": 96', '"stop": "end"', "line 8: Expected `int`"),
        ('"start": 0', '"strat": 0', "line 8: Object"),
        ('"box": [', '"box": [250, ', "line 8: Expected `array` of length 4"),
        ('"tracks": [', '"tracks": [,', "line 7: Expecting value"),
        ('"size": [256', '"size": [356', "the tracks are for 356x144, the video shows 256x144"),
    ],
    ids=["late", "word", "key", "box", "syntax", "size"],
)
def test_errors_in_tracks_name_the_line(video, cli, tmp_path, old, new, message):
    cli("detect", video, "-o", "found")
    path = tmp_path / "found" / "tracks.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    done = cli("run", video, "--tracks", "found", check=False)
    assert done.returncode == 4 and message in done.stderr, done.stderr


def test_a_clean_clip_gives_a_sheet_and_exit_code_3(cli, tmp_path):
    write_video(tmp_path / "clean.mp4", scene_frames(48))
    done = cli("detect", "clean.mp4", "-o", "found", check=False)
    assert (done.returncode, "no overlay found" in done.stderr) == (3, True)
    assert {path.name for path in (tmp_path / "found").iterdir()} == {"contact.png", "contact.html"}


def test_limits_cut_what_a_detector_finds(video, cli):
    x, y, w, h = BOX
    done = as_json(cli("--json", "detect", video, "-o", "found", "--limit", f"{x},{y},{w // 2},{h}"))
    (shown,) = done["tracks"]
    assert near(shown["box"], (x, y, w // 2, h), 1)
    cli("run", video, "--limit", f"{x},{y},{w // 2},{h}", "--engine", "membrane", "--lossless", "-o", "half.mkv")
    changed = (read_yuv(video) != read_yuv(video.with_name("half.mkv")))[:, :HEIGHT].any(axis=0)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert y <= rows[0] < rows[-1] < y + h and x <= columns[0] < columns[-1] < x + w // 2, "not one sample outside"
    away = cli("run", video, "--limit", "10,100,30,30", check=False)
    assert (away.returncode, "outside the limits" in away.stderr) == (3, True)


def test_review_stops_before_segments_until_resume(clip, video, cli, tmp_path):
    spool = ("--spool", "spool")
    job = cli(*spool, "submit", video, "--review", *FAST).stdout.strip()
    worker = cli(*spool, "worker", "--idle-timeout", "1", background=True)
    worker.communicate(timeout=150)
    (state,) = as_json(cli(*spool, "--json", "status"))["jobs"]
    assert state["state"] == "paused"
    assert not list((tmp_path / "spool" / "jobs" / job / "segments").glob("*/job.json"))
    page = tmp_path / "spool" / "jobs" / job / "review" / "contact.html"
    assert state["review"] == str(page)
    for command in (("status",), ("explain", "last"), ("logs", "last/prep")):
        assert str(page) in cli(*spool, *command).stdout, command
    assert "resume" in cli(*spool, "explain", "last").stdout
    assert "overlay in frames 0 to 95" in cli(*spool, "logs", "last/prep").stdout
    assert page.read_text().count("data:image/jpeg") == 10 and "detector text+static" in page.read_text()
    drawn = cv2.imread(str(page.with_suffix(".png")))
    assert drawn.shape[1] > 4 * WIDTH and (drawn == (60, 220, 60)).all(axis=2).sum() > 10 * BOX[2], "its box is drawn"
    assert {path.name for path in page.parent.iterdir()} == {"contact.html", "contact.png"}
    assert "all invariants hold" in cli(*spool, "verify", "last").stdout
    cli(*spool, "resume", "last")
    assert str(page) not in cli(*spool, "status").stdout, "told as long as it waits"
    cli(*spool, "worker", "--drain")
    assert as_json(cli(*spool, "--json", "status"))["jobs"][0]["state"] == "done"
    assert psnr(read_bgr(video.with_name("clip.clean.mp4")), clip.truth, clip.mask) > 25


def test_a_given_box_is_reviewed_too(video, cli, tmp_path):
    spool = ("--spool", "spool")
    job = cli(*spool, "submit", video, "--review", *box_option(), *FAST).stdout.strip()
    cli(*spool, "worker", "--idle-timeout", "1")
    page = (tmp_path / "spool" / "jobs" / job / "review" / "contact.html").read_text()
    assert "given by boxes" in page and json.dumps(list(BOX)) in page
