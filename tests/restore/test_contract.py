"""What every restorer promises, run over all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.restore import scenes
from waterz_spool import restore
from waterz_spool.backends import RESTORERS
from waterz_spool.config import RestoreConfig
from waterz_spool.errors import UsageError

HEIGHT, WIDTH = 72, 96
BOX = (30, 26, 58, 42)


def moving_clip(frames=6, *, bits=8, channels=3, family=None, box=BOX, span=None):
    truth = scenes.samples(scenes.pan(frames, HEIGHT, WIDTH, channels=channels), bits)
    masks = scenes.box_mask(frames, HEIGHT, WIDTH, box)
    return scenes.clip(scenes.covered(truth, masks, bits), masks, bits=bits, family=family, span=span)


NAMES = [kind.name for kind in RESTORERS.usable() if not kind.weights]


@pytest.fixture(params=NAMES)
def restorer(request):
    return restore.create(request.param)


def test_it_says_what_it_is(restorer):
    kind = RESTORERS.load(restorer.name)
    assert type(restorer) is kind
    assert json.loads(json.dumps(kind.pinned(RestoreConfig()))) == kind.pinned(RestoreConfig())
    assert min(kind.margin_px, kind.context_frames, *kind.size_px) >= 0
    kind.require()


@pytest.mark.parametrize(
    ("bits", "channels", "family"),
    [(8, 3, "yuv"), (10, 3, "yuv"), (16, 3, "yuv"), (8, 1, "gray"), (10, 1, "gray"), (8, 3, "rgb"), (12, 3, "rgb")],
    ids=str,
)
def test_only_hidden_pixels_of_targets_change(restorer, bits, channels, family):
    clip = moving_clip(bits=bits, channels=channels, family=family, span=(1, 5))
    before = clip.frames.copy()
    result = restorer.restore(clip)
    assert result.frames.shape == (4, HEIGHT, WIDTH, channels)
    assert result.frames.dtype == clip.frames.dtype
    assert np.array_equal(clip.frames, before)
    outside = clip.masks[1:5] == 0
    assert np.array_equal(result.frames[outside], clip.frames[1:5][outside])
    assert (result.frames[~outside] != clip.frames[1:5][~outside]).mean() > 0.5
    assert int(result.frames.max()) < 1 << bits


def test_confidence_counts_hidden_pixels_of_targets(restorer):
    confidence = restorer.restore(moving_clip(span=(1, 5))).confidence
    assert confidence is not None
    assert confidence.hidden_px == 4 * (BOX[2] - BOX[0]) * (BOX[3] - BOX[1])
    assert 0 <= confidence.weight <= confidence.seen <= 1


def test_twice_gives_the_same_bytes(restorer):
    first, second = (restorer.restore(moving_clip()).frames for _ in range(2))
    assert first.tobytes() == second.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_number_of_threads_does_not_change_a_byte(name):
    code = (
        "import sys, hashlib, cv2; cv2.setNumThreads(int(sys.argv[2]));"
        "from tests.restore.test_contract import moving_clip; from waterz_spool import restore;"
        "frames = restore.create(sys.argv[1], {'threads': int(sys.argv[2])}).restore(moving_clip(8)).frames;"
        "print(hashlib.sha256(frames.tobytes()).hexdigest())"
    )
    digests = set()
    for threads in ("1", "2", "8"):
        env = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        command = [sys.executable, "-c", code, name, threads]
        digests.add(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout)
    assert len(digests) == 1


@pytest.mark.parametrize("frames", [1, 2], ids=["one frame", "two frames"])
def test_short_clips(restorer, frames):
    clip = moving_clip(frames)
    assert restorer.restore(clip).frames.shape == clip.frames.shape


def test_one_target_among_context(restorer):
    assert restorer.restore(moving_clip(9, span=(4, 5))).frames.shape[0] == 1


def test_no_target(restorer):
    result = restorer.restore(moving_clip(3, span=(2, 2)))
    assert result.frames.shape[0] == 0
    assert result.confidence is None


def test_empty_mask_is_a_pass(restorer):
    clip = moving_clip(3, box=(0, 0, 0, 0))
    result = restorer.restore(clip)
    assert result.confidence is None
    assert np.array_equal(result.frames, clip.frames)


def test_nothing_known_is_filled_evenly(restorer):
    result = restorer.restore(moving_clip(3, box=(0, 0, WIDTH, HEIGHT)))
    assert result.confidence is not None
    assert result.confidence.seen == 0
    assert np.ptp(result.frames.reshape(3, -1, 3), axis=1).max() == 0


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 20, 14),
        (WIDTH - 20, HEIGHT - 14, WIDTH, HEIGHT),
        (0, 20, WIDTH, 40),
        (0, 0, WIDTH - 1, HEIGHT),
        (5, 5, 6, 6),
    ],
    ids=["top left", "bottom right", "whole width", "all but a column", "one pixel"],
)
def test_mask_at_the_border(restorer, box):
    clip = moving_clip(4, box=box)
    result = restorer.restore(clip)
    outside = clip.masks == 0
    assert np.array_equal(result.frames[outside], clip.frames[outside])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 50), (17, 9), (45, 67)], ids=str)
def test_odd_and_tiny_crops(restorer, height, width):
    truth = scenes.samples(scenes.texture(height, width, 3))[None].repeat(3, 0)
    masks = scenes.box_mask(3, height, width, (width // 2, height // 2, width // 2 + 1, height // 2 + 1))
    assert restorer.restore(scenes.clip(truth, masks)).frames.shape == truth.shape


def test_masks_may_differ_in_every_frame(restorer):
    clip = moving_clip(6)
    masks = np.stack([np.roll(mask, 3 * number, axis=1) for number, mask in enumerate(clip.masks)])
    result = restorer.restore(scenes.clip(clip.frames, masks))
    assert np.array_equal(result.frames[masks == 0], clip.frames[masks == 0])


def test_hidden_samples_are_not_read(restorer):
    clip = moving_clip(6)
    other = clip.frames.copy()
    other[clip.masks != 0] = 7
    first, second = restorer.restore(clip), restorer.restore(scenes.clip(other, clip.masks))
    assert np.array_equal(first.frames, second.frames)


def test_a_stop_comes_through(restorer):
    def stop():
        raise restore.Stop

    with pytest.raises(restore.Stop):
        restorer.restore(moving_clip(3), check=stop)


def test_check_is_asked_again_and_again(restorer):
    asked = []
    restorer.restore(moving_clip(40), check=lambda: asked.append(1))
    assert len(asked) > 1


@pytest.mark.parametrize(
    ("name", "options"), [("propagate", {"reach": 3}), ("propagate", {"threads": 0}), ("membrane", {"x": 1})]
)
def test_unknown_options_are_refused(name, options):
    with pytest.raises(UsageError):
        restore.create(name, options)
