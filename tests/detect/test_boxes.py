"""Boxes in a request: refined or taken as they are, in the plan, in words, and from requests of earlier versions."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.detect.test_refine import HEIGHT, WIDTH, around, burnt, caption, scene, two_captions
from tests.integration.conftest import write_video
from waterz_spool import config, media
from waterz_spool.errors import UsageError
from waterz_spool.stages.contract.request import GivenTrack, JobRequest, decode_request, encode_request
from waterz_spool.stages.prepare.asked import check_request
from waterz_spool.stages.prepare.overlays import FoundOverlay
from waterz_spool.stages.prepare.prepare import make_plan, overlay_of


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    frames = burnt(scene(moving=True), two_captions("outline"))
    return write_video(tmp_path_factory.mktemp("boxes") / "in.mp4", frames, audio=False)


def request(video, **given) -> JobRequest:
    return JobRequest(source_name=video.name, output=str(video.parent / "out.mp4"), config=config.load(), **given)


def masks_of(plan):
    return list(FoundOverlay(plan.patches, plan.video, source="box").masks(plan.frame_count))


def shown(box):
    return box[0], box[1], box[2] - box[0], box[3] - box[1]


def test_a_box_is_refined_in_the_plan_and_said_in_words(video):
    box = around(two_captions("outline"))
    plan = make_plan(request(video, boxes=(shown(box),)), video, media.probe(video), None)
    masks = masks_of(plan)
    one = caption("outline", ("We should have gone", "an hour ago."))[..., 3] > 0.05
    assert all((mask[one] > 0).mean() > 0.995 for mask in masks[:18])
    assert not masks[18].any() and not masks[19].any()
    assert plan.overlay_source == "box"
    (note,) = plan.notes
    assert note.startswith(f"box {','.join(map(str, shown(box)))}: masks up to ") and "in 38 of 40 frames" in note


def test_an_exact_box_is_taken_as_it_is_and_limited_in_time(video):
    given = request(video, exact_boxes=((20, 30, 100, 40),), from_s=0.5)
    plan = make_plan(given, video, media.probe(video), None)
    masks = masks_of(plan)
    whole = np.zeros((HEIGHT, WIDTH), np.uint8)
    whole[30:70, 20:120] = 255
    assert not any(mask.any() for mask in masks[:12]) and all(np.array_equal(mask, whole) for mask in masks[12:])
    assert plan.notes == ("box 20,30,100,40: taken whole, as asked",)


@pytest.mark.parametrize("exact", [False, True])
def test_a_track_without_masks_is_refined_unless_it_is_exact(video, tmp_path, exact):
    box, info = around(two_captions("outline")), media.probe(video)
    mask = write_video(tmp_path / "mask.mkv", np.zeros((40, HEIGHT, WIDTH, 3), np.uint8), audio=False)
    track = GivenTrack(start=2, stop=40, box=shown(box), exact=exact)
    given = request(video, tracks=(track,), mask=mask.name)
    plan = make_plan(given, video, info, mask)
    masks = list(overlay_of(plan, given, mask).masks(40))
    one = caption("outline", ("We should have gone", "an hour ago."))[..., 3] > 0.05
    assert not masks[0].any() and not masks[1].any()
    assert all((each[one] > 0).mean() > 0.99 for each in masks[2:18])
    assert bool(masks[19].any()) == exact
    area = (box[2] - box[0]) * (box[3] - box[1])
    assert (np.count_nonzero(masks[10]) == area) == exact


def test_a_track_of_requests_of_earlier_versions_is_none(video):
    old = json.loads(encode_request(request(video)))
    del old["tracks"]
    assert decode_request(json.dumps(old).encode()).tracks == ()


def test_a_box_that_holds_nothing_is_taken_whole_and_says_so(video):
    plan = make_plan(request(video, boxes=((20, 20, 60, 30),)), video, media.probe(video), None)
    assert all((mask[20:50, 20:80] == 255).all() for mask in masks_of(plan))
    assert "the box is taken whole: " in plan.notes[0]


def test_exact_boxes_outside_the_picture_are_refused_at_once(video):
    with pytest.raises(UsageError, match="the picture is 320x180"):
        check_request(request(video, exact_boxes=((300, 20, 60, 30),)), video, None)


def test_requests_of_earlier_versions_are_read(video):
    old = json.loads(encode_request(request(video, boxes=((1, 2, 3, 4),))))
    del old["exact_boxes"]
    read = decode_request(json.dumps(old).encode())
    assert read.boxes == ((1, 2, 3, 4),) and read.exact_boxes == ()
