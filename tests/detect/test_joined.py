"""A model and the static detector together: outlines where both find an overlay, and what only one of them finds."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np

from tests.detect.test_static import scene
from tests.detect.test_yolo import red
from tests.integration.conftest import write_video
from waterz_spool import media
from waterz_spool.detect import patches
from waterz_spool.detect.base import Detection, Findings, Rejected
from waterz_spool.detect.joined import JoinedDetector, without
from waterz_spool.detect.model.tracks import LinkRules
from waterz_spool.detect.model.yolo import YoloDetector, YoloOptions
from waterz_spool.detect.static.detector import StaticDetector
from waterz_spool.stages.prepare.detectors import findings_of

SIZE = (100, 60)


def box(start, stop, x, y, w=20, h=10):
    return patches.patch(np.full((h, w), 255, np.uint8), start, stop, ((start, x, y),))


def shown(found, frame_count=30):
    return np.stack(list(patches.masks(found, frame_count, size=SIZE))) > 0


def test_a_box_yields_to_an_outline_in_the_frames_of_both():
    outline = np.zeros((10, 20), np.uint8)
    outline[1:9, 1:19] = 255
    outline[4:6, 4:16] = 0
    stands = patches.patch(outline, 8, 20, ((8, 30, 20),))
    left = without([box(5, 25, 30, 20)], [stands], 30, size=SIZE, fade_frames=2)
    assert [(each.start, each.stop) for each in left] == [(5, 8), (20, 25)]
    assert {each.path for each in left} == {((5, 30, 20),), ((20, 30, 20),)}


def test_a_fade_that_the_model_guessed_beside_an_outline_is_dropped():
    left = without([box(6, 25, 30, 20)], [box(8, 20, 30, 20)], 30, size=SIZE, fade_frames=2)
    assert [(each.start, each.stop) for each in left] == [(20, 25)]
    (whole,) = without([box(6, 8, 30, 20)], [box(8, 20, 30, 20)], 30, size=SIZE, fade_frames=2)
    assert (whole.start, whole.stop) == (6, 8), "as short as it is, the model alone saw it"


def test_a_box_stays_beside_an_outline_of_something_else():
    for other in (box(0, 30, 70, 40), box(0, 30, 45, 20), box(0, 30, 31, 21, w=6, h=8), box(0, 30, 30, 20, w=14)):
        left = without([box(5, 25, 30, 20)], [other], 30, size=SIZE, fade_frames=2)
        assert [(each.start, each.stop) for each in left] == [(5, 25)]


def test_a_box_that_moves_yields_only_where_it_meets_the_outline():
    path = tuple((frame, 5 * frame, 20) for frame in range(16))
    moving = patches.patch(np.full((10, 20), 255, np.uint8), 0, 16, path)
    left = without([moving], [box(0, 30, 40, 20)], 30, size=SIZE, fade_frames=2)
    assert [(each.start, each.stop) for each in left] == [(0, 7), (10, 16)], "three quarters of it lie on the outline"
    before, after = shown([moving]), shown(left)
    assert (after[:7] == before[:7]).all() and (after[10:16] == before[10:16]).all() and not after[7:10].any()


def test_a_box_beyond_the_edge_yields_to_an_outline_of_all_that_is_seen_of_it():
    for place in ((-12, 20), (92, 20), (30, -6), (30, 56)):
        seen = patches.whole(shown([box(0, 30, *place)])[0] * np.uint8(255), 0, 30)
        assert without([box(5, 25, *place)], [seen], 30, size=SIZE, fade_frames=2) == ()


def test_memory_does_not_grow_with_the_places_of_an_overlay():
    size, count = (400, 400), 40
    found, outlined = ([box(i, i + 1, i, j) for i in range(count)] for j in (0, 1))
    tracemalloc.start()
    without(found, outlined, count, size=size, fade_frames=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * size[0] * size[1]


def test_own_pixels_yield_to_an_outline_that_covers_them_and_not_to_a_piece_of_it():
    letters = np.zeros((40, 60), np.uint8)
    letters[2:38, 4:20] = letters[2:38, 40:56] = 255
    own = patches.patch(letters, 0, 20, ((0, 10, 10),))
    outline, piece = np.zeros((2, *SIZE[::-1]), np.uint8)
    outline[13:47, 15:29] = outline[13:47, 51:65] = 255
    piece[12:14, 14:16] = piece[13:47, 51:65] = 255
    for seen, left in ((outline, 0), (piece, 1)):
        found = without([own], [patches.whole(seen, 0, 20)], 20, size=SIZE, fade_frames=2)
        assert len(found) == left


def test_the_own_pixels_of_a_real_shot_yield_to_the_outline(tmp_path):
    frames = np.repeat(np.stack(scene(60))[..., None], 3, 3)
    frames[:, 30:70, 190:270] = (10, 10, 255)
    frames[:, 34:66, 194:266] = (0, 0, 120)
    path = write_video(tmp_path / "v.mp4", frames, audio=False)
    info = media.probe(path)
    model, shapes = YoloDetector(red, info, YoloOptions(imgsz=160), rules=LinkRules()), StaticDetector(info.bits)
    detector = JoinedDetector([model, shapes], info, fade_frames=2)
    for frame in media.decode(path, info):
        detector.add(frame.index, frame.picture, media.planes(frame)[0])
    found = detector.finish(lambda: ((f.index, media.planes(f)[0]) for f in media.decode(path, info)))
    assert len(found.patches) == 1


class Says:
    """A detector that says what it was made to say."""

    needs_weights = False

    def __init__(self, name, findings):
        self.name, self._findings, self.count = name, findings, 0
        self.outlines = name == "static"

    def add(self, index, picture, luma):
        self.count += 1

    def finish(self, reread):
        return self._findings


def test_what_one_of_them_finds_or_says_is_kept(tmp_path):
    path = write_video(tmp_path / "v.mp4", np.zeros((12, 60, 100, 3), np.uint8), audio=False)
    info = media.probe(path)
    one, other = box(0, 6, 10, 10), box(3, 12, 60, 40)
    score, rejected = (2, Detection((10, 10, 30, 20), 0.8)), Rejected((0, 0, 5, 5), "too large")

    def both(model, shapes):
        detector = JoinedDetector([Says("yolo", model), Says("static", shapes)], info, fade_frames=2)
        for frame in media.decode(path, info):
            detector.add(frame.index, frame.picture, media.planes(frame)[0])
        return detector.finish(lambda: iter(()))

    found = both(Findings((one,), "", (rejected,), (score,)), Findings((other,)))
    assert found == Findings((other, one), "", (rejected,), (score,))
    assert both(Findings((one,)), Findings((), "nothing stays")) == Findings((one,))
    assert both(Findings((), "sees none"), Findings((other,))) == Findings((other,))
    assert both(Findings((), "sees none"), Findings((), "nothing stays")).reason == "sees none; nothing stays"


def test_letters_get_their_outline_and_on_a_tripod_shot_at_most_the_box(tmp_path):
    for pan in (2.5, 0.0):
        frames = np.repeat(np.stack(scene(60, pan=pan))[..., None], 3, 3)
        truth = np.zeros(frames.shape[1:3], np.uint8)
        cv2.putText(truth, "L O", (190, 70), cv2.FONT_HERSHEY_DUPLEX, 1.6, 255, 5)
        frames[:, truth > 0] = (20, 30, 220)
        path = write_video(tmp_path / f"{pan}.mp4", frames, audio=False)
        info = media.probe(path)
        model = YoloDetector(red, info, YoloOptions(imgsz=160), rules=LinkRules())
        detector = JoinedDetector([model, StaticDetector(info.bits)], info, fade_frames=2)
        pts = []
        for frame in media.decode(path, info):
            detector.add(frame.index, frame.picture, media.planes(frame)[0])
            pts.append(frame.pts)
        found = findings_of(detector, path, info, pts, check=lambda: None)
        mask = list(patches.masks(found.patches, 60, size=(info.width, info.height)))[30] > 0
        assert mask[truth > 0].mean() > 0.97
        _, _, w, h = cv2.boundingRect(truth)
        padded = (w + 12) * (h + 12)
        assert mask.sum() < (0.7 * padded if pan else 1.1 * padded)
