"""The second look at a restored place: good masks are clean, masks that are too small are not."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from waterz_spool.records import CropSpec, Residue, worst_verdict
from waterz_spool.restore import Clip, create, no_check
from waterz_spool.restore.residue import look
from waterz_spool.restore.residue.place import places_of
from waterz_spool.restore.residue.trace import traces
from waterz_spool.restore.residue.verdict import worst
from waterz_spool.stages.again import clear

SIZE, FRAMES = (110, 190), 12
HOLE = (50, 40, 134, 72)


def scene(moving):
    rng = np.random.default_rng(4)
    wide = np.zeros((SIZE[0], SIZE[1] + 60, 3), np.float32)
    for cells, weight in ((6, 50), (24, 30), (90, 9)):
        noise = rng.uniform(-1, 1, (cells // 2 + 2, cells, 3)).astype(np.float32)
        wide += weight * cv2.resize(noise, wide.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    wide = np.clip(wide + np.float32((120, 128, 128)), 0, 255)
    step = 4 if moving else 0
    return np.stack([wide[:, step * t : step * t + SIZE[1]] for t in range(FRAMES)])


def letters(alpha=1.0):
    """Opacity and colour of white letters with a black rim."""
    support, fill = (np.zeros((*SIZE, 1), np.uint8) for _ in range(2))
    for picture, width in ((support, 7), (fill, 2)):
        cv2.putText(picture, "Left?", (54, 65), cv2.FONT_HERSHEY_DUPLEX, 1.0, 255, width, cv2.LINE_AA)
    colour = np.concatenate([16 + fill.astype(np.float32) * 0.85, *[np.full((*SIZE, 1), 128, np.float32)] * 2], axis=2)
    return support.astype(np.float32) / 255 * alpha, colour


def plate(alpha=1.0):
    support = np.zeros((*SIZE, 1), np.float32)
    support[43:69, 53:131] = alpha
    return support, np.full((*SIZE, 3), (60, 160, 110), np.float32)


def clip_of(overlay, *, grow, moving=True, bits=8):
    """An overlay painted over a scene, with a mask that is its support grown by some px."""
    support, colour = overlay
    frames = scene(moving) * (1 - support) + colour * support
    frames += np.random.default_rng(1).normal(0, 1.0, frames.shape)  # what a codec does
    mask = (support[..., 0] > 0.02).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(grow) + 1,) * 2)
    mask = cv2.dilate(mask, disc) if grow > 0 else cv2.erode(mask, disc)
    scale = 2 ** (bits - 8)
    return Clip(
        frames=np.clip(frames * scale, 0, 255 * scale).astype(np.uint8 if bits == 8 else np.uint16),
        masks=np.repeat(mask[None] * np.uint8(255), FRAMES, axis=0),
        start=2,
        stop=FRAMES - 2,
        bits=bits,
        family="yuv",
    )


def verdict(clip, engine="membrane"):
    found = look(clip, create(engine).restore(clip).frames, HOLE)
    assert found is not None
    return found.verdict


KINDS = {"letters": letters(), "plate": plate(), "translucent plate": plate(0.5), "translucent letters": letters(0.5)}


@pytest.mark.parametrize("moving", [True, False], ids=["pan", "tripod"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_that_covers_the_overlay_leaves_nothing(kind, moving):
    assert verdict(clip_of(KINDS[kind], grow=3, moving=moving)) == "clean"


@pytest.mark.parametrize("moving", [True, False], ids=["pan", "tripod"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_that_is_too_small_is_found(kind, moving):
    assert verdict(clip_of(KINDS[kind], grow=-2, moving=moving)) in ("suspect", "left")


def test_colour_that_a_codec_smears_beside_the_mask_is_suspect():
    """A third of the overlay's colour, one pixel wide, with nothing in the brightness."""
    support, colour = plate()
    rim = cv2.dilate(support[..., 0], np.ones((3, 3), np.float32))[..., None] - support
    clip = clip_of((support, colour), grow=0)
    grey = np.float32([1, 0.15, 0.15]) * (clip.frames - np.float32(128)) + 128  # scenes have less colour than this one
    frames = clip.frames * support + grey * (1 - support)
    smeared = frames + 0.3 * rim * (colour - frames) * np.float32([0, 1, 1])
    assert verdict(replace(clip, frames=np.rint(frames).astype(np.uint8))) == "clean"
    clip = replace(clip, frames=np.rint(smeared).astype(np.uint8))
    places = list(places_of(clip, create("membrane").restore(clip).frames, HOLE))
    found = worst(list(traces(places, family="yuv", level=1.0)))
    assert found is not None and found.verdict in ("suspect", "left") and 0.1 < found.share < 0.5


def test_deep_colours_and_the_other_engine_are_judged_alike():
    assert verdict(clip_of(letters(), grow=3, bits=10)) == "clean"
    assert verdict(clip_of(letters(), grow=-1, bits=10)) == "left"
    assert verdict(clip_of(letters(), grow=3), engine="propagate") == "clean"
    assert verdict(clip_of(letters(), grow=-1), engine="propagate") == "left"


def test_a_place_without_an_overlay_tells_nothing():
    clip = clip_of(plate(0.0), grow=0)
    masks = np.zeros_like(clip.masks)
    assert look(clip, clip.frames[clip.start : clip.stop], HOLE) is None
    masks[:, HOLE[1] : HOLE[3], HOLE[0] : HOLE[2]] = 255
    clip = replace(clip, masks=masks)
    found = look(clip, create("propagate").restore(clip).frames, HOLE)
    assert found is None or found.verdict == "clean"


def cleared(clip, within, threads=1):
    whole = (0, 0, SIZE[1], SIZE[0])
    spec = CropSpec(box=whole, hole=HOLE, start=2, stop=FRAMES - 2, context_start=0, context_stop=FRAMES)
    engine = create("propagate", {"threads": threads})
    return clear(engine, clip, spec, within=within, lines=720, check=no_check)


def test_a_found_mask_that_is_too_small_is_grown_once():
    clip = clip_of(letters(), grow=-1)
    made = cleared(clip, (0, 0, SIZE[1], SIZE[0]))
    assert (made.residue.first, made.residue.verdict, made.residue.grown_px) == ("left", "clean", 4)
    assert (made.masks > 0).sum() > 1.5 * (clip.masks[2:-2] > 0).sum()
    same = cleared(clip, (0, 0, SIZE[1], SIZE[0]), threads=2)
    assert np.array_equal(made.frames, same.frames) and made.residue == same.residue


def test_a_mask_grows_no_farther_than_the_user_allows():
    clip = clip_of(letters(), grow=-1)
    kept = cleared(clip, None)
    assert (kept.residue.verdict, kept.residue.grown_px) == ("left", 0)
    assert np.array_equal(kept.masks, clip.masks[2:-2])
    x0, y0, x1, y1 = HOLE
    box = (x0 - 1, y0, x1, y1)
    made = cleared(clip, box)
    outside = made.masks.copy()
    outside[:, y0:y1, x0 - 1 : x1] = 0
    assert not outside.any()


def coming_and_going(shown, masked, *, moving, fade=0):
    """Letters in the frames ``shown`` with a mask in the frames ``masked``, of 24."""
    support, colour = letters()
    frames = np.concatenate([scene(moving), scene(moving)[::-1]])
    for frame in range(*shown):
        seen = min(1.0, (frame - shown[0] + 1) / (fade + 1))
        frames[frame] += seen * support * (colour - frames[frame])
    frames += np.random.default_rng(1).normal(0, 1.0, frames.shape)
    mask = cv2.dilate((support[..., 0] > 0.02).astype(np.uint8) * np.uint8(255), np.ones((7, 7), np.uint8))
    masks = np.zeros((24, *SIZE), np.uint8)
    masks[masked[0] : masked[1]] = mask
    frames = np.clip(frames, 0, 255).astype(np.uint8)
    return Clip(frames=frames, masks=masks, start=2, stop=22, bits=8, family="yuv")


@pytest.mark.parametrize("moving", [True, False], ids=["pan", "tripod"])
def test_an_overlay_that_is_there_before_its_mask_or_after_it_is_found(moving):
    assert verdict(coming_and_going((8, 16), (8, 16), moving=moving)) == "clean"
    for masked in ((9, 16), (8, 15), (10, 16)):
        assert verdict(coming_and_going((8, 16), masked, moving=moving)) == "left"
    assert verdict(coming_and_going((8, 16), (9, 16), moving=moving, fade=3)) in ("suspect", "left")


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((), ""),
        ((None,), ""),
        (("clean", None), "clean"),
        (("left", "clean", "suspect"), "left"),
        (("suspect", "clean"), "suspect"),
    ],
    ids=str,
)
def test_the_worst_place_speaks_for_all(verdicts, expected):
    found = [one and Residue(verdict=one, score=0.0, levels=0.0, share=0.0) for one in verdicts]
    assert worst_verdict(found) == expected
