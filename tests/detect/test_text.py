"""The text detector with its real network, on small films drawn here."""

from __future__ import annotations

from collections.abc import Callable

import av
import cv2
import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from waterz_spool import detect
from waterz_spool.config import DetectConfig
from waterz_spool.detect import patches
from waterz_spool.detect.base import Findings
from waterz_spool.detect.text import TextDetector, TextNetwork
from waterz_spool.records import VideoInfo

INFO = VideoInfo(
    container="mp4",
    stream_index=0,
    codec="h264",
    pix_fmt="yuv420p",
    width=384,
    height=216,
    bits=8,
    time_base=(1, 25),
    average_rate=(25, 1),
    duration_s=None,
    frames_hint=None,
    rotation=0,
    sample_aspect=None,
    color_range=1,
    colorspace=1,
    color_primaries=1,
    color_trc=1,
    streams=(),
    chapters=0,
)
Draw = Callable[[NDArray[np.uint8], int], None]
Scene = Callable[[int], NDArray[np.uint8]]


def wall() -> NDArray[np.uint8]:
    """A textured wall, larger than the picture."""
    rng = np.random.default_rng(5)
    coarse = cv2.resize(rng.integers(40, 200, (40, 100, 3), np.uint8), (1000, 400), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.GaussianBlur(coarse, (0, 0), 2), np.uint8)


def tripod(noise: float = 3.0) -> Scene:
    rng, still = np.random.default_rng(6), wall()[:216, :384].astype(np.int16)
    return lambda index: np.clip(still + rng.normal(0, noise, still.shape).round(), 0, 255).astype(np.uint8)


def pan(sign: str = "", place: tuple[int, int] = (250, 120)) -> Scene:
    whole = wall()
    if sign:
        write(whole, sign, place, 1.0)
    return lambda index: whole[60:276, 6 * index : 6 * index + 384].copy()


def slide() -> Scene:
    return lambda index: np.full((216, 384, 3), 245, np.uint8)


def write(picture: NDArray[np.uint8], words: str, place: tuple[int, int], size: float = 0.7) -> None:
    cv2.putText(picture, words, place, cv2.FONT_HERSHEY_DUPLEX, size, (0, 0, 0), 5, cv2.LINE_AA)
    cv2.putText(picture, words, place, cv2.FONT_HERSHEY_DUPLEX, size, (255, 255, 255), 1, cv2.LINE_AA)


def found(scene: Scene, draw: Draw, frames: int) -> Findings:
    detector = TextDetector(network(), INFO)
    for index in range(frames):
        picture = scene(index)
        draw(picture, index)
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        detector.add(index, frame, frame.reformat(format="gray").to_ndarray())
    return detector.finish(lambda: iter(()))


def network() -> TextNetwork:
    if not _KEPT:
        _KEPT.append(TextNetwork())
    return _KEPT[0]


_KEPT: list[TextNetwork] = []


def spans(findings: Findings) -> list[tuple[int, int]]:
    return sorted((each.start, each.stop) for each in findings.boxes)


@pytest.mark.parametrize("scene", [tripod, pan])
def test_captions_are_found_in_exactly_their_frames(scene: Callable[[], Scene]) -> None:
    def draw(picture: NDArray[np.uint8], index: int) -> None:
        if 9 <= index < 40:
            write(picture, "Look over there", (90, 195))
        if 42 <= index < 71:
            write(picture, "What is it now?", (95, 195))

    findings = found(scene(), draw, 80)
    assert spans(findings) == [(9, 40), (42, 71)]
    for each in findings.boxes:
        x0, y0, x1, y1 = patches.box_of(each)
        assert x0 <= 90 and y0 <= 176 and x1 >= 250 and y1 >= 200
        assert y0 > 150


def test_a_stamp_over_a_moving_picture_is_found_in_all_frames() -> None:
    findings = found(pan(), lambda picture, index: write(picture, f"2024-05-17 14:03:{index // 25:02}", (12, 205)), 75)
    covered = {frame for each in findings.boxes for frame in range(each.start, each.stop)}
    assert covered == set(range(75))


def test_a_clock_is_found_on_a_tripod_shot() -> None:
    """Its last digit changes once a second."""
    findings = found(tripod(), lambda picture, index: write(picture, f"14:03:{(index + 7) // 25 + 21}", (12, 205)), 80)
    assert spans(findings) == [(0, 80)]


def test_words_before_something_that_moves_are_found_on_a_tripod_shot() -> None:
    """The picture moves between their letters, as it does behind no sign."""
    still, whole = tripod(), wall()

    def scene(index: int) -> NDArray[np.uint8]:
        picture = still(index)
        picture[150:] = whole[60:126, 4 * index : 4 * index + 384]
        return picture

    assert spans(found(scene, lambda picture, index: write(picture, "CHANNEL ONE NEWS", (12, 200)), 60)) == [(0, 60)]


def test_figures_that_change_now_and_then_may_be_a_scoreboard_of_the_scene() -> None:
    """They are told and not taken."""

    def draw(picture: NDArray[np.uint8], index: int) -> None:
        write(picture, f"HOME 12 : {(index > 18) + (index > 51) + 30}", (12, 205))

    findings = found(tripod(), draw, 80)
    assert not findings.boxes
    assert findings.rejected


@pytest.mark.parametrize("scene", [tripod, pan])
def test_running_text_is_found_with_its_band(scene: Callable[[], Scene]) -> None:
    def draw(picture: NDArray[np.uint8], index: int) -> None:
        picture[190:208] = (60, 20, 20)
        words = "Harbour opens after the storm  +++  Road works until Friday  +++  Local team wins  +++  Rain"
        place = (20 - 4 * index, 203)
        cv2.putText(picture, words, place, cv2.FONT_HERSHEY_DUPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)

    (each,) = found(scene(), draw, 70).boxes
    x0, y0, x1, y1 = patches.box_of(each)
    assert (x0, x1) == (0, 384) and y0 <= 190 and y1 >= 208
    assert (each.start, each.stop) == (0, 70)


def test_text_of_the_scene_that_moves_with_the_camera_is_left_alone() -> None:
    assert not found(pan("HARBOUR MUSEUM"), lambda picture, index: None, 75).boxes


def test_a_long_line_on_a_wall_that_runs_with_the_camera_is_no_ticker() -> None:
    scene = pan("HARBOUR MUSEUM AND LIBRARY OF THE OLD TOWN AND ITS ISLANDS", (5, 255))
    assert not found(scene, lambda picture, index: None, 75).boxes


def test_a_sign_on_a_tripod_shot_is_told_and_not_taken() -> None:
    findings = found(tripod(), lambda picture, index: write(picture, "THE OLD BAKERY", (90, 90)), 60)
    assert not findings.boxes
    assert findings.rejected[0].confidence > 0
    assert (findings.rejected[0].start, findings.rejected[0].stop) == (0, 60)


def bar(picture: NDArray[np.uint8], *, alpha: float = 0.6, words: str = "Jane Sample", fading: int = 0) -> None:
    """A plate of one colour, its right end perhaps fading out over so many px, with text on it."""
    weight = np.zeros(picture.shape[:2], np.float32)
    weight[150:196, 24:264] = alpha
    if fading:
        weight[150:196, 264 - fading : 264] *= np.linspace(1, 0, fading, dtype=np.float32)
    picture[:] = picture * (1 - weight[..., None]) + np.float32((90, 40, 10)) * weight[..., None]
    cv2.putText(picture, words, (36, 180), cv2.FONT_HERSHEY_DUPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)


@pytest.mark.parametrize("scene", [tripod, pan])
def test_a_plate_that_the_scene_shows_through_is_found_with_its_text(scene: Callable[[], Scene]) -> None:
    """No sign of a scene does so: it is certain on a tripod shot, too."""
    (each,) = found(scene(), lambda picture, index: bar(picture), 60).boxes
    marked, (x0, y0, _, _) = patches.decoded(each), patches.box_of(each)
    rows, columns = np.flatnonzero(marked.any(1)), np.flatnonzero(marked.any(0))
    ends = x0 + columns[0], y0 + rows[0], x0 + columns[-1] + 1, y0 + rows[-1] + 1
    assert np.abs(np.subtract(ends, (24, 150, 264, 196))).max() <= 1
    assert (each.start, each.stop) == (0, 60)


@pytest.mark.parametrize("scene", [tripod, pan])
def test_captions_on_tight_plates_of_their_own_are_found(scene: Callable[[], Scene]) -> None:
    """Two plates of different widths are no rectangle: they are told apart where their box is refined."""

    def draw(picture: NDArray[np.uint8], index: int) -> None:
        for words, x, y in (("Look over there, behind", 86, 170), ("the water tower", 122, 194)) if index >= 10 else ():
            wide = cv2.getTextSize(words, cv2.FONT_HERSHEY_DUPLEX, 0.6, 1)[0][0]
            plate = picture[y - 18 : y + 6, x - 6 : x + wide + 6]
            plate[:] = plate * 0.3
            cv2.putText(picture, words, (x, y), cv2.FONT_HERSHEY_DUPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)

    (each,) = found(scene(), draw, 50).boxes
    assert (each.start, each.stop) == (10, 50)
    x0, y0, x1, y1 = patches.box_of(each)
    assert x0 <= 82 and y0 <= 152 and x1 >= 290 and y1 >= 198


def test_a_board_of_the_scene_with_text_is_told_and_not_taken() -> None:
    findings = found(tripod(), lambda picture, index: bar(picture, alpha=1.0), 60)
    assert not findings.boxes
    assert findings.rejected


def test_text_whose_plate_has_no_certain_end_is_told_and_not_taken() -> None:
    """Its letters alone would be half of the overlay."""
    findings = found(pan(), lambda picture, index: bar(picture, fading=120), 60)
    assert not findings.boxes
    assert "plate" in findings.reason


def test_words_that_appear_on_a_slide_belong_to_it() -> None:
    def draw(picture: NDArray[np.uint8], index: int) -> None:
        cv2.putText(picture, "Results of the year", (30, 40), cv2.FONT_HERSHEY_DUPLEX, 0.8, (40, 40, 40), 1)
        if index >= 30:
            cv2.putText(picture, "More of everything", (40, 90), cv2.FONT_HERSHEY_DUPLEX, 0.7, (40, 40, 40), 1)

    assert not found(slide(), draw, 60).boxes


def test_a_picture_that_a_player_turns_is_read_upright() -> None:
    info = structs.replace(INFO, width=216, height=384, rotation=90)
    detector, scene = TextDetector(network(), info), pan()
    for index in range(50):
        picture = scene(index)
        write(picture, "Look over there", (90, 195))
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.rot90(picture, -1)), format="bgr24")
        detector.add(index, frame, frame.reformat(format="gray").to_ndarray())
    (each,) = detector.finish(lambda: iter(())).boxes
    x0, y0, x1, y1 = patches.box_of(each)
    assert x0 <= 20 and x1 < 60 and y0 <= 90 and y1 >= 250  # the bottom of the upright picture


def test_a_caption_on_a_shot_with_hardly_any_noise_is_found() -> None:
    def draw(picture: NDArray[np.uint8], index: int) -> None:
        if index < 40:
            write(picture, "Look over there", (90, 195))

    assert spans(found(tripod(noise=0.8), draw, 60)) == [(0, 40)]


def test_the_detector_is_chosen_by_its_name() -> None:
    assert detect.create(detect.Setting(options=DetectConfig(detector="text"), info=INFO)).name == "text"
