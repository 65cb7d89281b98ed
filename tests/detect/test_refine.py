"""From a box to the overlay's own pixels: scenes that move and that stand still, captions, plates, pauses, fades."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterz_spool.detect import patches
from waterz_spool.detect.refine import Refined, refine
from waterz_spool.detect.refine.steady import steady
from waterz_spool.detect.refine.turned import turned

WIDTH, HEIGHT, FRAMES = 320, 180, 40
SIZE = (WIDTH, HEIGHT)
FONT = cv2.FONT_HERSHEY_DUPLEX
SCALE = 4  # letters are drawn larger, for soft rims
TEXTS = (("We should have gone", "an hour ago."), ("Nobody ever listens,", "do they? Never."))


def scene(*, moving: bool, frames: int = FRAMES, seed: int = 5) -> np.ndarray:
    """A textured scene, uint8 [T, H, W, 3]; where it stands still only its noise changes."""
    rng = np.random.default_rng(seed)
    wide = np.zeros((HEIGHT + 40, WIDTH + 160, 3), np.float32)
    for cells, weight in ((6, 40), (24, 30), (90, 18)):
        noise = rng.uniform(-1, 1, (cells // 2 + 2, cells, 3)).astype(np.float32)
        wide += weight * cv2.resize(noise, wide.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    done = []
    for t in range(frames):
        x, y = (int(3 * t), int(12 + 9 * np.sin(t / 6))) if moving else (40, 12)
        picture = wide[y : y + HEIGHT, x : x + WIDTH] + 112 + rng.normal(0, 1.5, (HEIGHT, WIDTH, 3))
        done.append(np.clip(picture, 0, 255).astype(np.uint8))
    return np.stack(done)


def empty() -> np.ndarray:
    return np.zeros((HEIGHT * SCALE, WIDTH * SCALE), np.uint8)


def letters(lines: tuple[str, ...], *, thick: float = 1.5, shift: float = 0) -> np.ndarray:
    """Lines of text in the lower third, 0 to 255."""
    done = empty()
    for number, line in enumerate(lines):
        (width, _), _ = cv2.getTextSize(line, FONT, 0.5 * SCALE, 1)
        place = (int((WIDTH * SCALE - width) / 2 + shift * SCALE), int((142 + 20 * number + shift) * SCALE))
        cv2.putText(done, line, place, FONT, 0.5 * SCALE, 255, round(thick * SCALE), cv2.LINE_AA)
    return done


def plates(lines: tuple[str, ...]) -> np.ndarray:
    """A box behind each line."""
    done = empty()
    for number, line in enumerate(lines):
        (width, _), _ = cv2.getTextSize(line, FONT, 0.5 * SCALE, 1)
        left, base = (WIDTH * SCALE - width) // 2, (142 + 20 * number) * SCALE
        cv2.rectangle(
            done, (left - 6 * SCALE, base - 14 * SCALE), (left + width + 6 * SCALE, base + 5 * SCALE), 255, -1
        )
    return done


def layer(*parts: tuple[np.ndarray, tuple[int, int, int], float]) -> np.ndarray:
    """Parts over each other, premultiplied colour and alpha, float32 [H, W, 4]."""
    done = np.zeros((HEIGHT * SCALE, WIDTH * SCALE, 4), np.float32)
    for mask, colour, opacity in parts:
        alpha = (mask.astype(np.float32) / 255 * opacity)[..., None]
        done = done * (1 - alpha) + np.concatenate([np.float32(colour) * alpha, alpha], axis=2)
    return cv2.resize(done, SIZE, interpolation=cv2.INTER_AREA)


WHITE, BLACK, YELLOW = (255, 255, 255), (0, 0, 0), (20, 220, 250)


def caption(style: str, lines: tuple[str, ...]) -> np.ndarray:
    if style == "outline":
        return layer((letters(lines, thick=4.5), BLACK, 1), (letters(lines), WHITE, 1))
    if style == "shadow":
        soft = cv2.GaussianBlur(letters(lines, thick=2, shift=1), (0, 0), 1.0 * SCALE)
        return layer((soft, BLACK, 0.7), (letters(lines, thick=2), YELLOW, 1))
    if style == "black on white":
        return layer((letters(lines, thick=4.5), WHITE, 1), (letters(lines), BLACK, 1))
    if style == "glow":
        soft = cv2.GaussianBlur(letters(lines, thick=5), (0, 0), 2.0 * SCALE)
        return layer((soft, BLACK, 0.85), (letters(lines, thick=2), WHITE, 1))
    if style == "boxed":
        return layer((plates(lines), BLACK, 0.7), (letters(lines), WHITE, 1))
    raise ValueError(style)


def bar() -> np.ndarray:
    """A translucent lower third with text."""
    plate = empty()
    plate[124 * SCALE : 166 * SCALE, 40 * SCALE : 250 * SCALE] = 255
    text = empty()
    cv2.putText(text, "Jane Sample", (50 * SCALE, 150 * SCALE), FONT, 0.6 * SCALE, 255, 2 * SCALE, cv2.LINE_AA)
    return layer((plate, (90, 40, 10), 0.7), (text, WHITE, 1))


def logo() -> np.ndarray:
    """An opaque plate with a disc and two letters."""
    plate, disc, text = empty(), empty(), empty()
    plate[20 * SCALE : 50 * SCALE, 220 * SCALE : 290 * SCALE] = 255
    cv2.circle(disc, (238 * SCALE, 35 * SCALE), 10 * SCALE, 255, -1)
    cv2.putText(text, "TV", (254 * SCALE, 42 * SCALE), FONT, 0.6 * SCALE, 255, 2 * SCALE, cv2.LINE_AA)
    return layer((plate, (150, 60, 20), 1), (disc, (40, 190, 240), 1), (text, WHITE, 1))


@cache
def stamp(second: int) -> np.ndarray:
    text, rim = empty(), empty()
    for mask, thick in ((rim, 4.5), (text, 1.5)):
        place = (20 * SCALE, 160 * SCALE)
        cv2.putText(mask, f"14:03:{second:02d}", place, FONT, 0.6 * SCALE, 255, round(thick * SCALE), cv2.LINE_AA)
    return layer((rim, BLACK, 1), (text, WHITE, 1))


def burnt(clean: np.ndarray, overlays: list[np.ndarray | None]) -> np.ndarray:
    """The scene with one overlay per frame."""
    done = clean.astype(np.float32)
    for frame, over in zip(done, overlays, strict=True):
        if over is not None:
            frame *= 1 - over[..., 3:]
            frame += over[..., :3]
    return np.clip(np.rint(done), 0, 255).astype(np.uint8)


def around(overlays: list[np.ndarray | None], slack: int = 10) -> tuple[int, int, int, int]:
    """The box as a person draws it."""
    seen = np.any([over[..., 3] > 0.02 for over in overlays if over is not None], axis=0)
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return (
        max(0, int(columns[0]) - slack),
        max(0, int(rows[0]) - slack),
        min(WIDTH, int(columns[-1]) + 1 + slack),
        min(HEIGHT, int(rows[-1]) + 1 + slack),
    )


def found_in(frames: np.ndarray, box: tuple[int, int, int, int]) -> tuple[Refined, list[np.ndarray]]:
    def crops(window, start, stop):
        x0, y0, x1, y1 = window
        return (frame[y0:y1, x0:x1] for frame in frames[start:stop])

    refined = refine(crops, box, (0, len(frames)), size=SIZE)
    masks = list(patches.masks(refined.patches, len(frames), size=SIZE))
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[box[1] : box[3], box[0] : box[2]] = False
    assert not any(mask[outside].any() for mask in masks), "never outside the box"
    return refined, masks


def check(overlays, masks, *, covered=0.995, box=None, most=0.8, may_last=0):
    """The overlay is covered, in its frames and no others (a fade may end later), and much of the box is left."""
    wanted = got = masked = 0
    for index, (over, mask) in enumerate(zip(overlays, masks, strict=True)):
        if over is None:
            near = overlays[max(0, index - may_last) : index + may_last + 1]
            assert not mask.any() or any(each is not None for each in near), f"frame {index} shows no overlay"
            continue
        true = over[..., 3] > 0.05
        wanted, got, masked = wanted + true.sum(), got + (true & (mask > 0)).sum(), masked + (mask > 0).sum()
    assert got / wanted >= covered
    if box is not None:
        area = (box[2] - box[0]) * (box[3] - box[1]) * sum(over is not None for over in overlays)
        assert masked <= most * area


def two_captions(style: str) -> list[np.ndarray | None]:
    """One caption, two frames without any, another."""
    one, other = (caption(style, lines) for lines in TEXTS)
    return [one] * 18 + [None] * 2 + [other] * 20


@pytest.mark.parametrize("moving", [True, False], ids=["moving", "still"])
@pytest.mark.parametrize("style", ["outline", "shadow", "black on white", "boxed"])
def test_captions_are_masked_letter_by_letter_and_their_pause_is_not(style, moving):
    overlays = two_captions(style)
    box = around(overlays)
    refined, masks = found_in(burnt(scene(moving=moving), overlays), box)
    assert refined.certain, refined.reason
    check(overlays, masks, box=box)


def test_a_glow_is_masked_where_its_coming_and_going_shows_it():
    overlays = two_captions("glow")
    _, masks = found_in(burnt(scene(moving=False), overlays), around(overlays))
    check(overlays, masks, covered=0.99)


@pytest.mark.parametrize("moving", [True, False], ids=["moving", "still"])
def test_a_caption_of_some_frames_in_a_box_of_all_is_masked_in_its_frames(moving):
    overlays = [None] * 12 + [caption("outline", TEXTS[0])] * 16 + [None] * 12
    refined, masks = found_in(burnt(scene(moving=moving), overlays), around(overlays))
    assert refined.certain, refined.reason
    check(overlays, masks)


@pytest.mark.parametrize("moving", [True, False], ids=["moving", "still"])
def test_fades_are_masked_as_far_as_they_are_seen(moving):
    full = caption("outline", TEXTS[0])
    shares = [0.0] * 8 + [k / 6 for k in range(1, 6)] + [1.0] * 14 + [1 - k / 6 for k in range(1, 6)] + [0.0] * 8
    overlays = [full * np.float32(share) if share else None for share in shares]
    _, masks = found_in(burnt(scene(moving=moving), overlays), around(overlays))
    check(overlays[6:34], masks[6:34], may_last=2)
    assert not any(mask.any() for mask in (*masks[:6], *masks[34:]))


@pytest.mark.parametrize("moving", [True, False], ids=["moving", "still"])
def test_a_timestamp_is_masked_in_all_its_states(moving):
    overlays = [stamp(25 + index // 10) for index in range(FRAMES)]
    box = around(overlays)
    refined, masks = found_in(burnt(scene(moving=moving), overlays), box)
    assert refined.certain, refined.reason
    check(overlays, masks, box=box)


@pytest.mark.parametrize("moving", [True, False], ids=["moving", "still"])
@pytest.mark.parametrize("kind", [bar, logo])
@pytest.mark.parametrize("slack", [10, 0])
def test_plates_are_masked_as_what_they_are(kind, moving, slack):
    overlays = [kind()] * FRAMES
    box = around(overlays, slack)
    _, masks = found_in(burnt(scene(moving=moving), overlays), box)
    check(overlays, masks, box=box if slack else None, most=0.85)


def test_a_band_with_running_text_is_masked_as_a_band():
    """The text has no state; the band is a plate that ends at the picture's edges."""
    band = empty()
    band[140 * SCALE : 160 * SCALE] = 255
    text = empty()
    words = "Harbour reopens after storm"
    cv2.putText(text, words, (20 * SCALE, 155 * SCALE), FONT, 0.5 * SCALE, 255, 2 * SCALE, cv2.LINE_AA)
    under, over = layer((band, (70, 20, 20), 0.85)), layer((text, WHITE, 1))
    shifted = [np.roll(over, 40 - 4 * index, axis=1) for index in range(FRAMES)]
    overlays = [under * (1 - each[..., 3:]) + each for each in shifted]
    box = around(overlays)
    _, masks = found_in(burnt(scene(moving=True), overlays), box)
    check(overlays, masks, box=box)


@pytest.mark.parametrize("moving", [True, False], ids=["moving", "still"])
def test_a_box_with_nothing_in_it_is_taken_whole_and_says_why(moving):
    box = (40, 100, 240, 160)
    refined, masks = found_in(scene(moving=moving), box)
    assert not refined.certain and refined.reason
    assert all((mask[100:160, 40:240] == 255).all() for mask in masks)


def emblem_and_text() -> np.ndarray:
    """A drawing of many colours, which is no stroke, beside a name."""
    rng = np.random.default_rng(1)
    emblem = cv2.resize(rng.uniform(0, 255, (4, 4, 3)).astype(np.float32), (26, 26), interpolation=cv2.INTER_CUBIC)
    over = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    over[20:46, 60:86, :3], over[20:46, 60:86, 3] = np.clip(emblem, 0, 255), 1
    text = empty()
    cv2.putText(text, "Nordlicht", (92 * SCALE, 42 * SCALE), FONT, 0.6 * SCALE, 255, 2 * SCALE, cv2.LINE_AA)
    return over + layer((text, WHITE, 0.9))


def test_an_emblem_that_stays_before_a_moving_scene_is_masked_with_its_text():
    overlays = [emblem_and_text()] * FRAMES
    box = around(overlays)
    refined, masks = found_in(burnt(scene(moving=True), overlays), box)
    assert refined.certain, refined.reason
    check(overlays, masks, box=box)


def test_an_emblem_that_comes_and_goes_before_a_still_scene_is_masked_with_its_text():
    overlays = [None] * 12 + [emblem_and_text()] * 16 + [None] * 12
    box = around(overlays)
    refined, masks = found_in(burnt(scene(moving=False), overlays), box)
    assert refined.certain, refined.reason
    check(overlays, masks, box=box)


def test_long_videos_are_read_in_parts_and_give_the_same_masks(monkeypatch):
    overlays = two_captions("outline")
    frames, box = burnt(scene(moving=True), overlays), around(overlays)
    _, at_once = found_in(frames, box)
    monkeypatch.setattr("waterz_spool.detect.refine.scene.KEPT_BYTES", 0)
    monkeypatch.setattr("waterz_spool.detect.refine.scene.CHUNK_BYTES", 1 << 20)
    refined, in_parts = found_in(frames, box)
    assert refined.certain, refined.reason
    check(overlays, in_parts)
    assert np.mean([(a != b).mean() for a, b in zip(at_once, in_parts, strict=True)]) < 0.01


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_video_that_a_player_turns_gives_the_same_masks(rotation):
    """The frames lie turned in the file; what is masked is the same, turned back."""
    overlays = two_captions("outline")
    shown, box = burnt(scene(moving=True), overlays), around(overlays)
    _, wanted = found_in(shown, box)
    coded = np.rot90(shown, -(rotation // 90), axes=(1, 2))
    size = coded.shape[2], coded.shape[1]
    there = turned(box, SIZE, (360 - rotation) % 360)

    def crops(window, start, stop):
        x0, y0, x1, y1 = window
        return (frame[y0:y1, x0:x1] for frame in coded[start:stop])

    refined = refine(crops, there, (0, FRAMES), size=size, rotation=rotation)
    found = patches.masks(refined.patches, FRAMES, size=size)
    assert all(np.array_equal(np.rot90(mask, rotation // 90), true) for mask, true in zip(found, wanted, strict=True))


def test_the_same_frames_give_the_same_masks():
    overlays = two_captions("shadow")
    frames, box = burnt(scene(moving=False), overlays), around(overlays)
    assert found_in(frames, box)[0] == found_in(frames, box)[0]


@settings(max_examples=12, deadline=None)
@given(
    st.tuples(st.integers(0, 250), st.integers(0, 130), st.integers(1, 200), st.integers(1, 120)),
    st.integers(1, 6),
    st.booleans(),
)
def test_masks_lie_in_the_box_and_its_frames_whatever_is_in_it(corner, count, moving):
    x, y, w, h = corner
    found_in(scene(moving=moving, frames=count, seed=x), (x, y, min(WIDTH, x + w), min(HEIGHT, y + h)))


def test_the_filter_keeps_the_frame_in_which_something_appears():
    frames = [np.full((8, 8, 3), 200 if index >= 13 else 50, np.uint8) for index in range(30)]
    filtered = [int(picture.mean()) for picture, _ in steady(frames)]
    assert filtered == [50] * 13 + [200] * 17
