"""The network through the spool, with synthetic weights: the plumbing, not the pictures."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from tests.integration.conftest import as_json, box_option, read_bgr, scene_frames, write_video
from tests.propainter import synthetic
from tests.restore import scenes
from waterz_spool.errors import SetupError
from waterz_spool.restore import create
from waterz_spool.restore.propainter import PropainterRestorer
from waterz_spool.restore.rgb import from_rgb, to_rgb
from waterz_spool.restore.weights import pinned_digests

pytestmark = pytest.mark.neural

FRAMES = 14


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    synthetic.write(folder)
    return folder


@pytest.fixture
def with_weights(weights, monkeypatch):
    monkeypatch.setenv("WATERZ_MODELS", str(weights))


def test_one_and_three_workers_give_the_same_bytes(tmp_path, cli, weights):
    video = write_video(tmp_path / "clip.mp4", scene_frames(FRAMES)[:, 4:52, 160:240])  # the network sees all of it
    config = tmp_path / "config.yaml"
    config.write_text(
        "plan: {segment_s: 0.25, min_segment_frames: 4, context_frames: 2}\nrestore: {torch_threads: 1}\n"
    )
    environment = {"WATERZ_MODELS": str(weights)}
    digests = set()
    for workers in (1, 3):
        name = f"out{workers}.mp4"
        options = ("--box", "10,8,64,28", "--engine", "propainter", "--preset", "ultrafast")
        options = (*options, "--workers", workers, "-o", name)
        cli("--config", config, "run", video, *options, extra=environment)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1
    source, result = read_bgr(video), read_bgr(tmp_path / "out1.mp4")
    x, y, w, h = 10, 8, 64, 28
    assert len(result) == FRAMES
    assert np.abs(source[:, y : y + h, x : x + w].astype(int) - result[:, y : y + h, x : x + w]).mean() > 3


def test_missing_weights_say_which_and_what_works_without(video, cli, tmp_path):
    extra = {"WATERZ_MODELS": str(tmp_path / "none")}
    done = cli("run", video, *box_option(), "--engine", "propainter", check=False, extra=extra)
    assert done.returncode == 6
    for words in ("raft-things.pth", "BSD-3", "WATERZ_MODELS", "--engine propagate"):
        assert words in done.stderr


def test_models_are_listed_and_verified(cli, weights, tmp_path):
    extra = {"WATERZ_MODELS": str(weights)}
    listed = as_json(cli("--json", "models", "list", extra=extra))
    assert all(row["present"] for row in listed["files"] if row["of"] != "lama") and len(listed["files"]) > 4
    assert "non-commercial" in listed["files"][2]["licence"]
    assert {state["state"] for state in as_json(cli("--json", "models", "verify", extra=extra))["files"]} == {"ok"}
    assert cli("models", "path", extra=extra).stdout.strip() == str(weights)
    (tmp_path / "cut").mkdir()
    for path in weights.iterdir():
        (tmp_path / "cut" / path.name).write_bytes(path.read_bytes()[:1000])
    done = cli("models", "verify", check=False, extra={"WATERZ_MODELS": str(tmp_path / "cut")})
    assert done.returncode == 6
    assert "truncated" in done.stdout


def test_other_weights_than_the_jobs_are_refused(with_weights):
    digests = pinned_digests(PropainterRestorer.weights)
    with pytest.raises(SetupError, match="not the job's"):
        create("propainter", {"threads": 1, "weights": {**digests, "ProPainter.pth": "0" * 64}})


@pytest.mark.parametrize(
    ("bits", "channels", "family"), [(8, 3, "yuv"), (10, 3, "yuv"), (8, 1, "gray"), (12, 3, "rgb")], ids=str
)
def test_only_hidden_pixels_of_targets_change(with_weights, bits, channels, family):
    truth = scenes.samples(scenes.pan(5, 48, 64, channels=channels), bits)
    masks = scenes.box_mask(5, 48, 64, (20, 16, 40, 28))
    clip = scenes.clip(scenes.covered(truth, masks, bits), masks, bits=bits, family=family, span=(1, 4))
    result = create("propainter", {"threads": 1}).restore(clip)
    outside = clip.masks[1:4] == 0
    assert result.frames.dtype == clip.frames.dtype
    assert np.array_equal(result.frames[outside], clip.frames[1:4][outside])
    assert (result.frames[~outside] != clip.frames[1:4][~outside]).mean() > 0.5


@pytest.mark.parametrize("matrix", [1, 2, 9], ids=["709", "unknown", "2020"])
@pytest.mark.parametrize("full_range", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("bits", [8, 10])
def test_colours_survive_the_way_to_rgb_and_back(matrix, full_range, bits):
    from dataclasses import replace

    rgb = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    frames = np.zeros((1, 16, 16, 3), np.uint8 if bits == 8 else np.uint16)
    clip = scenes.clip(frames, np.zeros((1, 16, 16), np.uint8), bits=bits, family="yuv")
    clip = replace(clip, matrix=matrix, full_range=full_range)
    back = to_rgb(from_rgb(rgb, clip), clip)
    assert np.abs(back.astype(int) - rgb).max() <= 3
