"""A browser plays a video of copied and encoded packets, through and from any place."""

from __future__ import annotations

import base64
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.media import make
from tests.media.test_copying import GOP, Spliced

SIZE = (320, 192)
PAGE = """<!doctype html><title>video</title>
<video muted preload="auto" src="data:video/mp4;base64,{}"></video><canvas></canvas>"""
LOOK = """async (time) => {
  const video = document.querySelector("video"), canvas = document.querySelector("canvas");
  if (video.readyState < 2) await new Promise((done, fail) => { video.onloadeddata = done; video.onerror = fail; });
  await new Promise((done, fail) => { video.onseeked = done; video.onerror = fail; video.currentTime = time; });
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  return [canvas.toDataURL("image/png"), video.duration, video.error && video.error.message];
}"""
PLAY = """async () => {
  const video = document.querySelector("video");
  video.currentTime = 0; video.playbackRate = 4;
  await new Promise((done, fail) => { video.onended = done; video.onerror = fail; video.play().catch(fail); });
  return video.getVideoPlaybackQuality().totalVideoFrames;
}"""


@pytest.fixture(scope="module")
def spliced(tmp_path_factory: pytest.TempPathFactory) -> Spliced:
    folder = tmp_path_factory.mktemp("spliced")
    source = make.video(folder / "a.mp4", frames=100, size=SIZE, options={"preset": "veryfast", "x264-params": GOP})
    made = Spliced(source, folder / "work", 41, 52)
    made.verify()
    (folder / "work" / "page.html").write_text(PAGE.format(base64.b64encode(made.out.read_bytes()).decode()))
    return made


def grays(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


def small(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (40, 24), interpolation=cv2.INTER_AREA).astype(float)


def test_every_place_shows_its_own_frame(spliced: Spliced, open_page) -> None:
    """In copied groups, in the encoded one, and on both sides of every seam."""
    page = open_page(spliced.out.with_name("page.html"))
    frames = grays(spliced.out)
    edges = sorted({edge for span in spliced.copies for edge in span} - {0, 100})
    assert len(edges) >= 2
    for index in (3, *(edge + step for edge in edges for step in (-1, 0, 7)), 97):
        shown, duration, error = page.evaluate(LOOK, (index + 0.5) / 25)
        assert error is None and duration == pytest.approx(4.0, abs=0.05)
        png = np.frombuffer(base64.b64decode(shown.partition(",")[2]), np.uint8)
        picture = small(cv2.imdecode(png, cv2.IMREAD_GRAYSCALE))
        off = [float(np.abs(picture - small(frame)).mean()) for frame in frames]
        assert int(np.argmin(off)) == index, (index, off[index], min(off))


def test_it_plays_through_to_its_end(spliced: Spliced, open_page) -> None:
    page = open_page(spliced.out.with_name("page.html"))
    page.evaluate(LOOK, 0.0)
    assert page.evaluate(PLAY) > 10
