"""The static detector on scenes made here: it finds what stays, and nothing where nothing stays or all does."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from waterz_spool.detect.static.detector import FRAMES, Sampler, detect
from waterz_spool.detect.static.windows import Shares, Windows, eight_bits, small

SIZE = (320, 180)  # width, height


def scene(frames=60, *, pan=2.5, noise=0.0):
    rng = np.random.default_rng(5)
    wide = np.zeros((SIZE[1] + 20, SIZE[0] + 300), np.float32)
    for cells, weight in ((10, 60), (50, 40), (160, 25)):
        grain = rng.uniform(-1, 1, (cells // 2 + 2, cells)).astype(np.float32)
        wide += weight * cv2.resize(grain, wide.shape[::-1], interpolation=cv2.INTER_CUBIC)
    move = [np.float32([[1, 0, 5 + pan * t], [0, 1, 8]]) for t in range(frames)]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    shots = [np.clip(cv2.warpAffine(wide, m, SIZE, flags=flags) + 125, 0, 255) for m in move]
    return [np.clip(shot + rng.normal(0, noise, shot.shape), 0, 255).astype(np.uint8) for shot in shots]


def logo(frames, *, alpha=1.0):
    plate = np.zeros(SIZE[::-1], np.uint8)
    cv2.rectangle(plate, (220, 20), (290, 55), 40, -1)
    cv2.putText(plate, "TV7", (226, 48), cv2.FONT_HERSHEY_DUPLEX, 1.0, 250, 2, cv2.LINE_AA)
    cover = np.zeros(SIZE[::-1], np.float32)
    cover[20:56, 220:291] = alpha
    burnt = [np.rint(f * (1 - cover) + plate * cover).astype(np.uint8) for f in frames]
    return burnt, cover > 0


def look(frames, bits=8):
    sampler, windows, shares = Sampler(), Windows(Shares.SPAN), Shares()
    for index, frame in enumerate(frames):
        sampler.add(index, frame)
        if windows.add(eight_bits(small(frame), bits)):
            shares.add(windows.persistent(Shares.SPAN))
    return detect(sampler.frames(), share=shares.share(), bits=bits, size=sampler.size)


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("alpha", [1.0, 0.6], ids=["opaque", "half-transparent"])
def test_a_logo_over_a_pan_is_found(alpha):
    frames, truth = logo(scene(), alpha=alpha)
    found = look(frames)
    assert len(found.overlays) == 1
    assert overlap(found.mask > 0, truth) > 0.85


@pytest.mark.parametrize(("right", "down"), [(29, 0), (0, -20), (29, -20), (29, 124), (-220, 124)])
def test_a_plate_at_the_edge_of_the_picture_is_found_wholly(right, down):
    def moved(frame):
        return np.roll(frame, (down, right), (0, 1))

    frames, truth = logo([moved(frame) for frame in scene()])
    frames, truth = [moved(frame) for frame in frames], moved(truth)
    assert truth[0].any() or truth[-1].any() or truth[:, 0].any() or truth[:, -1].any()
    found = look(frames)
    assert (found.mask > 0)[truth].mean() > 0.95 and overlap(found.mask > 0, truth) > 0.85


def test_deep_video_gives_the_same_place():
    frames, truth = logo(scene())
    found = look([frame.astype(np.uint16) << 2 for frame in frames], bits=10)
    assert overlap(found.mask > 0, truth) > 0.85


def test_a_large_picture_gets_a_mask_of_its_own_size():
    frames, truth = logo(scene(40))
    large = [cv2.resize(frame, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR) for frame in frames]
    found = look(large)
    assert found.mask.shape == (SIZE[1] * 4, SIZE[0] * 4)
    assert overlap(found.mask > 0, cv2.resize(truth.astype(np.uint8), None, fx=4, fy=4) > 0) > 0.8


def test_nothing_is_found_in_a_clean_pan():
    found = look(scene())
    assert (found.overlays, bool(found.mask.any())) == ((), False)
    assert "while the picture moves" in found.reason


@pytest.mark.parametrize("burnt", [False, True], ids=["clean", "with a logo"])
def test_a_camera_that_stands_still_is_no_proof(burnt):
    frames = scene(pan=0.0, noise=1.5)
    found = look(logo(frames)[0] if burnt else frames)
    assert found.overlays == ()
    assert found.reason


def test_letterbox_bars_are_no_overlay():
    frames = scene()
    for frame in frames:
        frame[:20] = frame[-20:] = 16
    assert look(frames).overlays == ()


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_few_frames_are_too_few(count):
    assert "too short" in look(scene(count)).reason


@pytest.mark.parametrize("count", [1, 31, 64, 65, 1000])
def test_samples_are_spread_over_the_whole_video_in_bounded_memory(count):
    sampler = Sampler()
    for index in range(count):
        sampler.add(index, np.full((4, 4), index % 251, np.uint8))
        assert len(sampler._kept) <= 2 * FRAMES
    kept = sampler.frames()
    assert len(kept) == min(count, FRAMES) or (count > FRAMES and len(kept) == FRAMES)
    assert kept[0][0, 0] == 0


def test_all_states_of_a_changing_text_are_masked():
    def text(second):
        picture = np.zeros(SIZE[::-1], np.uint8)
        words = f"14:{second // 60:02}:{second % 60:02}"
        cv2.putText(picture, words, (20, 165), cv2.FONT_HERSHEY_DUPLEX, 0.7, 255, 2, cv2.LINE_AA)
        return picture / np.float32(255)

    shots = scene(110)
    frames = (shots + shots[::-1]) * 2
    alphas = [text(207 + t // 25) for t in range(len(frames))]
    found = look([np.rint(f * (1 - a) + 250 * a).astype(np.uint8) for f, a in zip(frames, alphas, strict=True)])
    mask = cv2.dilate(found.mask, np.ones((7, 7), np.uint8)) > 0
    assert min(mask[a > 0.02].mean() for a in alphas) > 0.99


def test_a_soft_scene_that_creeps_is_no_overlay():
    assert look(scene(80, pan=0.3)).overlays == ()
