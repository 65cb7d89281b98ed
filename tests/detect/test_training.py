"""From one picture of an overlay to weights that find it on footage they never saw."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tests.detect.test_static import scene
from tests.integration.conftest import write_video
from waterz_spool.detect.training.compose import Overlay, compose, read_overlay
from waterz_spool.detect.training.fit import write_set
from waterz_spool.errors import InputError
from waterz_spool.tools.training import copy_set

LOGO = Overlay("logo", np.full((20, 50, 3), (20, 30, 220), np.float32), np.ones((20, 50), np.float32))


def clean(count=12, seed=0):
    return [np.repeat(frame[..., None], 3, 2) for frame in scene(count + seed)[seed:]]


def test_the_same_seed_composes_the_same_pictures():
    a, b, c = (list(compose([LOGO], clean(), count=20, imgsz=160, seed=seed)) for seed in (1, 1, 2))
    assert [x.boxes for x in a] == [x.boxes for x in b] != [x.boxes for x in c]
    assert all((x.picture == y.picture).all() for x, y in zip(a, b, strict=True))


def test_boxes_lie_in_the_picture_do_not_overlap_and_hold_the_overlay():
    made = list(compose([LOGO], clean(), count=80, imgsz=160, seed=3))
    assert len(made) == 80
    assert 0.1 < np.mean([not each.boxes for each in made]) < 0.35, "negatives"
    red = [int(p[..., 2].mean()) - int(p[..., 0].mean()) for p in (_inside(each) for each in made if each.boxes)]
    assert np.mean(np.array(red) > 25) > 0.9
    for each in made:
        height, width = each.picture.shape[:2]
        assert (width, height) == (160, 90)
        for number, (x0, y0, x1, y1) in each.boxes:
            assert number == 0 and 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height


def _inside(example):
    x0, y0, x1, y1 = example.boxes[0][1]
    return example.picture[y0:y1, x0:x1]


def test_a_picture_with_alpha_is_cut_to_what_shows(tmp_path):
    picture = np.zeros((40, 60, 4), np.uint8)
    picture[10:20, 5:35] = (1, 2, 3, 128)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    overlay = read_overlay(tmp_path / "a.png")
    assert (overlay.name, overlay.alpha.shape) == ("a", (10, 30)) and abs(overlay.alpha.mean() - 0.5) < 0.01
    cv2.imwrite(str(tmp_path / "b.png"), picture * 0)
    for name in ("b.png", "none.png"):
        with pytest.raises(InputError):
            read_overlay(tmp_path / name)


def test_labels_are_shares_of_the_picture(tmp_path):
    (example,) = compose([LOGO], clean(), count=1, imgsz=160, seed=5)
    example = example.__class__(example.picture, ((0, (16, 9, 48, 27)),))
    assert write_set(tmp_path, "train", [example]) == 1
    assert (tmp_path / "labels/train/000001.txt").read_text() == "0 0.200000 0.200000 0.200000 0.200000\n"


def labelled(folder, *, count=6, seed=9):
    """A set in YOLO's form, one folder of pictures and one of labels."""
    write_set(folder, "all", compose([LOGO], clean(), count=count, imgsz=160, seed=seed))
    return folder


def test_a_labelled_set_is_copied_with_its_labels_and_may_have_pictures_without(tmp_path):
    given = labelled(tmp_path / "given")
    (given / "labels" / "all" / "000002.txt").unlink()
    copy_set(given, tmp_path / "copy", classes=1)
    for number in range(6):
        label = given / "labels" / "all" / f"{number + 1:06d}.txt"
        copied = (tmp_path / "copy" / "labels" / "val" / f"{number:06d}.txt").read_text()
        assert copied == (label.read_text() if label.exists() else "")
    assert any(path.read_text() for path in (tmp_path / "copy" / "labels" / "val").iterdir())
    assert {path.name for path in given.rglob("*")} >= {"000001.jpg", "000001.txt"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1\n", "line 2: class 1, but the weights know 0 to 0"),
        ("0 50 50 10 10\n", "line 1: numbers are shares"),
        ("0 0.5 0.5 0.1\n", "line 1: 3 numbers"),
        ("logo 0.5 0.5 0.1 0.1\n", "line 1: a class and numbers"),
        ("\n0\n", "line 2: 0 numbers"),
        ("0 nan 0.5 0.1 0.1\n", "line 1: numbers are shares"),
    ],
)
def test_labels_that_say_nothing_are_refused_with_their_line(tmp_path, text, message):
    given = labelled(tmp_path / "given")
    (given / "labels" / "all" / "000003.txt").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        copy_set(given, tmp_path / "copy", classes=1)
    assert "000003.txt" in caught.value.where
    (given / "labels" / "all" / "000003.txt").write_text("0 0.1 0.1 0.3 0.1 0.3 0.3\n")
    copy_set(given, tmp_path / "outline", classes=1)


def test_a_labelled_set_needs_pictures_that_can_be_read(tmp_path):
    with pytest.raises(InputError, match="no pictures"):
        copy_set(tmp_path, tmp_path / "copy", classes=1)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_text("no picture")
    with pytest.raises(InputError, match="cannot be read"):
        copy_set(tmp_path, tmp_path / "other", classes=1)


def command(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "waterz_spool", "--json", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=folder, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.neural
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_detector_trained_from_one_picture_finds_the_logo_on_an_unseen_clip(tmp_path):
    plate = np.zeros((24, 60, 4), np.uint8)
    plate[:] = (20, 30, 220, 255)
    cv2.circle(plate, (14, 12), 8, (250, 250, 250, 255), -1)
    cv2.imwrite(str(tmp_path / "logo.png"), plate)
    write_video(tmp_path / "footage.mp4", np.stack(clean(40)), audio=False)
    scores = command(
        tmp_path, "detector", "train", "--overlay", "logo.png", "--footage", "footage.mp4", "-o", "w.pt",
        "--imgsz", 96, "--pictures", 240, "--epochs", 14, "--batch", 8, "--device", "cpu", "--threads", 1,
    )  # fmt: skip
    assert scores["map50"] > 0.3
    provenance = json.loads((tmp_path / "w.json").read_text())
    assert provenance["overlays"].keys() == {"logo.png"} and provenance["scores"]["map50"] == scores["map50"]
    assert "data:image/jpeg" in (tmp_path / "w.html").read_text()
    frames = np.stack(clean(24, seed=60))
    frames[:, 20:44, 180:240] = plate[..., :3]
    write_video(tmp_path / "unseen.mp4", frames, audio=False)
    found = command(
        tmp_path, "detect", "unseen.mp4", "--weights", "w.pt", "--imgsz", 96, "--device", "cpu", "-o", "found"
    )
    x, y, w, h = found["tracks"][0]["box"]
    assert x <= 190 and y <= 25 and x + w >= 230 and y + h >= 39 and w * h < 6 * 60 * 24
    again = command(
        tmp_path, "detector", "test", "w.pt", "--overlay", "logo.png", "--footage", "unseen.mp4", "--imgsz", 96,
        "--pictures", 40, "--device", "cpu",
    )  # fmt: skip
    assert 0 <= again["map50"] <= 1
    given = tmp_path / "given"
    write_set(given, "all", compose([read_overlay(tmp_path / "logo.png")], clean(), count=24, imgsz=96, seed=8))
    right = command(tmp_path, "detector", "test", "w.pt", "--data", "given", "--imgsz", 96, "--device", "cpu")
    assert right["map50"] > 0.3 and right["pictures"] == 24
    for path in (given / "labels").rglob("*.txt"):
        path.write_text("0 0.02 0.98 0.02 0.02\n")
    wrong = command(tmp_path, "detector", "test", "w.pt", "--data", "given", "--imgsz", 96, "--device", "cpu")
    assert wrong["map50"] < 0.05
