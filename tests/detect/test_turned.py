"""What `detect` says of turned, mirrored and stretched pictures: places as a player shows them, and back."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from tests.integration.conftest import BOX, FRAMES, HEIGHT, WIDTH, scene_frames
from tests.unit.test_geometry import ORIENTATIONS, matrix_of, seen
from waterz_spool import config, media
from waterz_spool.intake.tracksfile import check_tracks, combined
from waterz_spool.report.contact import THUMB_PX
from waterz_spool.stages.prepare.overlays import VideoOverlay
from waterz_spool.tools.detecting import detect_video

ASPECTS = {"hflip": (4, 3), "half turn": (8, 9), "transpose": (4, 3), "clockwise": (16, 11), "transverse": (8, 9)}
GREEN, PLATE = (60, 220, 60), (130, 50, 20)  # of the first track's frame, and of the logo: BGR


@pytest.fixture(scope="module")
def burnt():
    frames = scene_frames()
    x, y, w, h = BOX
    frames[:, y : y + h, x : x + w] = PLATE
    for frame in frames:
        cv2.putText(frame, "TV", (x + 14, y + 22), cv2.FONT_HERSHEY_DUPLEX, 0.8, (255, 255, 255), 2, cv2.LINE_AA)
    return frames


@pytest.fixture(params=ORIENTATIONS)
def turned(request, burnt, tmp_path):
    """A video of this orientation, what is known of it, and where its viewer sees the logo: x, y, width, height."""
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "14", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(*ASPECTS.get(request.param, (1, 1)))
        stream.set_display_matrix(matrix_of(*ORIENTATIONS[request.param]))
        for frame in burnt:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="bgr24")))
        container.mux(stream.encode(None))
    info = media.probe(path)
    places = seen(info)
    x, y, w, h = BOX
    inside = (places[..., 0] >= x) & (places[..., 0] < x + w) & (places[..., 1] >= y) & (places[..., 1] < y + h)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    box = (int(columns[0]), int(rows[0]), len(columns), len(rows))
    return path, info, places.shape[1::-1], box


def test_detect_speaks_of_what_the_viewer_sees_and_its_tracks_lead_back(turned, tmp_path):
    path, info, shown, box = turned
    found, resolved = tmp_path / "found", config.load(overrides={"detect": {"detector": "static"}})
    (track,) = detect_video(path, found, resolved).tracks.tracks
    assert all(abs(a - b) <= 15 for a, b in zip(track.box, box, strict=True))
    check_tracks(found, path)
    *_, mask = VideoOverlay(combined(found, tmp_path / "masks.mkv"), info).masks(FRAMES)
    x, y, w, h = BOX
    assert mask[y : y + h, x : x + w].all() and (mask > 0).sum() < 1.6 * w * h
    assert (
        drawn_around(cv2.imread(str(found / "contact.png")), track.box, THUMB_PX / max(shown)) > 0.3
    )  # letters and a margin are the rest
    limit = (*box[:2], box[2] // 2, box[3])
    assert detect_video(path, tmp_path / "limited", resolved, limits=[limit]).tracks.tracks[0].box == limit


def drawn_around(sheet, box, scale):
    """Share of the plate's colour inside a frame drawn on a contact sheet, which must have the size of the box."""
    green = (np.abs(sheet.astype(int) - GREEN) < 12).all(axis=2).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(green)
    x, y, w, h = max((each[:4] for each in stats[1:]), key=lambda each: each[2] * each[3])
    assert abs(w - box[2] * min(1.0, scale)) < 8 and abs(h - box[3] * min(1.0, scale)) < 8
    plate = np.abs(sheet[y : y + h, x : x + w].astype(int) - PLATE).max(axis=2) < 40
    return plate.mean()
