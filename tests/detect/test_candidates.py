"""What may be an overlay is told with the command that takes it, and is not used."""

from __future__ import annotations

import shlex
from fractions import Fraction

import cv2
import msgspec
import numpy as np
import pytest

from tests.integration.conftest import write_video
from waterz_spool import media
from waterz_spool.config import Config
from waterz_spool.detect import patches
from waterz_spool.detect.base import Findings, Rejected
from waterz_spool.duration import seconds_of
from waterz_spool.errors import NoOverlayError
from waterz_spool.stages.contract.request import JobRequest, parse_box
from waterz_spool.stages.prepare.candidates import MIN_CONFIDENCE, candidates_of
from waterz_spool.stages.prepare.detectors import find
from waterz_spool.stages.prepare.sheet import Looked, write_sheet


@pytest.fixture
def video(tmp_path):
    path = write_video(tmp_path / "my clip.mp4", np.zeros((10, 60, 100, 3), np.uint8), audio=False)
    info = media.probe(path)
    return path, info, [frame.pts for frame in media.decode(path, info)]


class Fixed:
    name = "fixed"

    def __init__(self, findings):
        self.findings = findings

    def add(self, index, picture, luma):
        pass

    def finish(self, reread):
        return self.findings


def asked(video, findings):
    path, info, pts = video
    request = JobRequest(source_name=path.name, output="/o.mp4", config=Config())
    return find(Fixed(findings), path, info, pts, request, check=lambda: None)


def test_an_error_names_the_likely_places_first_and_a_command_that_is_exact(video):
    _, info, pts = video
    found = (
        Rejected((1, 1, 9, 9), "dim", 0.3, 3, 7),
        Rejected((2, 3, 50, 20), "near", 0.6),
        Rejected((0, 0, 9, 9), "no"),
    )
    with pytest.raises(NoOverlayError) as caught:
        asked(video, Findings((), "nothing certain", found))
    first, second = (line.strip() for line in str(caught.value).splitlines() if "waterz-spool run" in line)
    assert shlex.split(first) == ["waterz-spool", "run", "my clip.mp4", "--box", "2,3,48,17"]
    words = dict(zip(shlex.split(second)[3::2], shlex.split(second)[4::2], strict=True))
    assert parse_box(words["--box"]) == (1, 1, 8, 8)
    times = [seconds_of(words[option]) / Fraction(*info.time_base) for option in ("--from", "--to")]
    assert [next(i for i, t in enumerate(pts) if t - pts[0] >= time) for time in times] == [3, 7]
    assert "0.60: near" in str(caught.value) and "0.30: dim" in str(caught.value) and ": no\n" not in str(caught.value)


def test_commands_name_the_video_by_the_path_that_was_given(video):
    path, info, pts = video
    request = JobRequest(source_name=path.name, source_from=str(path), output="/o.mp4", config=Config())
    everything = patches.whole(np.full((60, 100), 255, np.uint8), 0, 5)
    for findings in (Findings((), "no", (Rejected((2, 3, 50, 20), "near", 0.6),)), Findings((everything,))):
        with pytest.raises(NoOverlayError) as caught:
            find(Fixed(findings), path, info, pts, request, check=lambda: None)
        assert f"waterz-spool pick {shlex.quote(str(path))}`" in caught.value.todo
        assert f" {shlex.quote(path.name)}" not in caught.value.todo


def test_several_likely_places_are_offered_together(video):
    rejected = (Rejected((2, 3, 50, 20), "one", 0.9), Rejected((60, 30, 80, 40), "two", 0.6))
    with pytest.raises(NoOverlayError) as caught:
        asked(video, Findings((), "no", (*rejected, Rejected((0, 0, 9, 9), "dim", 0.3))))
    together = str(caught.value).partition("all of them at once:")[2].strip().splitlines()[0]
    assert together == "waterz-spool run 'my clip.mp4' --box 2,3,48,17 --box 60,30,20,10"


def test_places_are_those_that_a_player_shows(video):
    _, info, pts = video
    turned = msgspec.structs.replace(info, rotation=90)
    (one,) = candidates_of([Rejected((10, 5, 50, 20), "near", 0.6)], turned, pts, video="v")
    assert one.box == (5, 50, 15, 40) and "--box 5,50,15,40" in one.command


def test_what_is_unlikely_is_not_offered(video):
    _, info, pts = video
    assert candidates_of([Rejected((0, 0, 9, 9), "no", MIN_CONFIDENCE / 2)], info, pts, video="v") == ()


def test_more_than_a_quarter_of_the_picture_is_not_taken(video):
    mask = np.full((60, 100), 255, np.uint8)
    mask[:, 27:] = 0
    with pytest.raises(NoOverlayError, match="27 % of the picture"):
        asked(video, Findings((patches.whole(mask, 3, 4),)))
    mask[:, 20:] = 0
    assert asked(video, Findings((patches.whole(mask, 3, 4),))).patches


def test_the_sheet_draws_them_and_offers_to_take_them(video, tmp_path):
    path, info, pts = video
    found = Findings((), "nothing certain", (Rejected((10, 5, 50, 20), "near", 0.6),))
    likely = candidates_of(found.rejected, info, pts, video="v")
    look = Looked(path, "v", info, pts, "static", found=found, candidates=likely)
    write_sheet(tmp_path / "contact.html", look)
    page = (tmp_path / "contact.html").read_text()
    assert "confidence 0.60: near" in page and "[10, 5, 40, 15]" in page and "nothing certain" in page
    drawn = cv2.imread(str(tmp_path / "contact.png"))
    assert (drawn == 235).all(axis=2).sum() > 10 * (40 + 15)
