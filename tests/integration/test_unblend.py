"""A translucent mark, as users meet it: measured once, undone alike in all segments, whoever works on them."""

from __future__ import annotations

import hashlib

import cv2
import msgspec
import numpy as np
import pytest

from tests.integration.conftest import HEIGHT, WIDTH, as_json, read_bgr, write_video
from tests.restore import scenes
from waterz_spool import restore
from waterz_spool.records import SegmentJob
from waterz_spool.spool import Spool
from waterz_spool.stages.contract.payloads import plan_of
from waterz_spool.stages.prepare.marks import Marks

FAST = ("--segment-s", "1", "--preset", "ultrafast")
OPACITY = 0.5


@pytest.fixture
def marked(tmp_path):
    """A textured still scene, two seconds, with a white mark; and what is under it, and its mask."""
    rng = np.random.default_rng(4)
    layers = [cv2.GaussianBlur(rng.normal(0, 1, (HEIGHT, WIDTH, 3)), (0, 0), size) for size in (3, 6, 16)]
    scene = 105 + 14 * sum(layer / layer.std() for layer in layers)
    clean = np.clip(scene + rng.normal(0, 1, (48, HEIGHT, WIDTH, 3)), 0, 255)
    large = np.zeros((4 * HEIGHT, 4 * WIDTH), np.uint8)
    cv2.putText(large, "PREVIEW", (120, 2 * HEIGHT), cv2.FONT_HERSHEY_DUPLEX, 6, 255, 32, cv2.LINE_AA)
    share = OPACITY * cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)[..., None] / 255
    shown = np.rint(clean * (1 - share) + 255 * share).astype(np.uint8)
    mask = cv2.dilate((share[..., 0] > 0.01).astype(np.uint8) * 255, np.ones((5, 5)))
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    return write_video(tmp_path / "marked.mp4", shown, audio=False), clean, mask != 0


def error(result, clean, hidden):
    return float(np.square(result.astype(float) - clean)[:, hidden].mean())


def test_all_segments_undo_it_alike_on_any_number_of_workers(marked, cli, tmp_path):
    video, clean, hidden = marked
    sums = set()
    for workers in (1, 3):
        cli("run", video, "--mask", "mask.png", *FAST, "--workers", workers, "-o", f"{workers}.mp4")
        sums.add(hashlib.sha256((tmp_path / f"{workers}.mp4").read_bytes()).hexdigest())
    assert len(sums) == 1
    undone, some = read_bgr(tmp_path / "1.mp4"), slice(20, 24)
    source = scenes.clip(read_bgr(video)[some], np.repeat(hidden[None] * np.uint8(255), 4, axis=0), family="rgb")
    filled = restore.create("propagate").restore(source).frames
    assert error(undone[some], clean[some], hidden) < 0.8 * error(filled, clean[some], hidden)
    steps = np.abs(np.diff(undone.astype(float), axis=0))[23]  # the border of segments
    assert steps[hidden].mean() < steps[~hidden].mean() + 1


def test_it_is_measured_once_and_a_later_attempt_recalls_it(marked, cli, tmp_path):
    submitted = ("--spool", "s", "--json", "submit", marked[0], "--mask", "mask.png", *FAST, "-o", "s.mp4")
    job = as_json(cli(*submitted))["jobs"][0]["job"]
    cli("--spool", "s", "worker", "--drain", "--stages", "prep", "--idle-timeout", "1")
    found = Spool.open(tmp_path / "s").job(job)
    segments = [msgspec.json.decode(found.segment(index), type=SegmentJob) for index in range(2)]
    assert segments[0].layers[0] is not None
    assert 1 - segments[0].layers[0][0].slope == pytest.approx(OPACITY, abs=0.06)
    assert segments[0].layers == segments[1].layers

    class Claim:
        job = found

    marks = Marks(Claim(), plan_of(found.plan(), job), lambda: None)
    assert marks.layers(segments[1], (tmp_path / "none", tmp_path / "none")) == segments[0].layers
