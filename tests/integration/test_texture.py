"""Texture on a still shot, as users meet it: the same in all segments, said, and switched off when asked."""

from __future__ import annotations

import hashlib

import cv2
import msgspec
import numpy as np
import pytest

from tests.integration.conftest import BOX, HEIGHT, WIDTH, as_json, box_option, read_bgr, write_video
from waterz_spool import media
from waterz_spool.records import SegmentJob
from waterz_spool.spool import Spool
from waterz_spool.stages.contract.payloads import plan_of
from waterz_spool.stages.plates import PlateMaker, write_plates
from waterz_spool.stages.prepare.overlays import boxes_overlay

FAST = ("--segment-s", "1", "--preset", "ultrafast")


@pytest.fixture
def still(tmp_path):
    """Grass under a tripod, three seconds, with an opaque logo."""
    rng = np.random.default_rng(4)
    noise = cv2.GaussianBlur(rng.normal(0, 1, (HEIGHT, WIDTH, 3)), (0, 0), 1.2)
    scene = np.clip(110 + 30 * noise / noise.std(), 0, 255)
    frames = np.clip(scene + rng.normal(0, 1.5, (72, HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
    x, y, w, h = BOX
    frames[:, y : y + h, x : x + w] = (130, 50, 20)
    return write_video(tmp_path / "still.mp4", frames, audio=False)


def inside(frames):
    x, y, w, h = BOX
    return frames[:, y + 4 : y + h - 4, x + 4 : x + w - 4].astype(np.float32)


def sharpness(frames):
    return float(np.abs(np.diff(inside(frames), axis=2)).mean())


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_segments_of_a_shot_share_one_texture_on_any_number_of_workers(still, cli, tmp_path):
    sums = set()
    for workers in (1, 3):
        cli("run", still, *box_option(), *FAST, "--workers", workers, "-o", f"{workers}.mp4")
        sums.add(sha256(tmp_path / f"{workers}.mp4"))
    assert len(sums) == 1
    result, source = read_bgr(tmp_path / "1.mp4"), read_bgr(still)
    beside = source[:, 60:100, 20:100].astype(np.float32)
    assert sharpness(result) > 0.5 * float(np.abs(np.diff(beside, axis=2)).mean())
    steps = np.abs(np.diff(inside(result), axis=0)).mean(axis=(1, 2, 3))
    assert steps.max() < 2  # levels; another texture in the next segment would be a jump by twenty


def test_it_is_off_when_asked(still, cli, tmp_path):
    (tmp_path / "off.yaml").write_text("restore: {texture: off}\n")
    cli("--config", "off.yaml", "run", still, *box_option(), *FAST, "-o", "off.mp4")
    cli("run", still, *box_option(), *FAST, "-o", "auto.mp4")
    assert sharpness(read_bgr(tmp_path / "off.mp4")) < 0.4 * sharpness(read_bgr(tmp_path / "auto.mp4"))


def test_a_later_attempt_takes_the_plate_from_the_same_frames(still, cli, tmp_path):
    job = as_json(cli("--spool", "s", "--json", "submit", still, *box_option(), *FAST, "-o", "s.mp4"))["jobs"][0]["job"]
    cli("--spool", "s", "worker", "--drain", "--stages", "prep", "--idle-timeout", "1")
    found = Spool.open(tmp_path / "s").job(job)
    segments = [msgspec.json.decode(found.segment(index), type=SegmentJob) for index in range(3)]
    plates = [each.plates for each in segments]
    assert all(each is not None and each.boxes[0] is not None for each in plates)
    assert len({each.pictures.sha256 for each in plates}) == 1

    plan = plan_of(found.plan(), job)
    maker = PlateMaker(plan, plan.segments[2:])  # as if the first two had been published before
    overlay = boxes_overlay([BOX], plan.video)
    masks = overlay.masks(plan.frame_count)
    assert maker.first == 0
    for frame, mask in zip(media.decode(still, plan.video), masks, strict=True):
        maker.add(frame.index, media.planes(frame), mask)
    ((box, plate),) = maker.plates(plan.segments[2])
    write_plates((tmp_path / "p.mkv", tmp_path / "m.mkv"), [(box, plate)], bits=8)
    assert sha256(tmp_path / "p.mkv") == plates[2].pictures.sha256
