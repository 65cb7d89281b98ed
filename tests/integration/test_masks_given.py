"""Masks and boxes as people make them: with alpha, coloured, inverted, for turned and stretched pictures."""

from __future__ import annotations

import json
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from tests.detect.test_refine import around, burnt, scene, two_captions
from tests.integration.conftest import BOX, FRAMES, HEIGHT, WIDTH, as_json, read_bgr, write_video
from tests.media import make
from waterz_spool import media
from waterz_spool.geometry import Geometry
from waterz_spool.intake.submit import _pinnable
from waterz_spool.spool import Spool
from waterz_spool.stages.contract.payloads import plan_of
from waterz_spool.stages.prepare.overlays import VideoOverlay

FAST = ("--preset", "ultrafast", "--segment-s", "2")
X, Y, W, H = BOX


def shown_mask():
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[Y : Y + H, X : X + W] = 255
    return mask


def picture(kind):
    """The same place as paint programs save it: BGR or BGRA."""
    mask = shown_mask()
    gray, full, none = np.repeat(mask[..., None], 3, axis=2), np.full_like(mask, 255), np.zeros_like(mask)
    return {
        "white": gray,
        "opaque alpha": np.dstack([gray, full]),
        "nearly opaque alpha": np.dstack([gray, full - 1]),
        "alpha alone": np.dstack([none, none, none, mask]),
        "white all over, alpha": np.dstack([full, full, full, mask]),
        "red": np.dstack([none, none, mask]),
        "16 bit": (gray.astype(np.uint16) * 257),
    }[kind]


def planned(tmp_path, video, cli, *given):
    """The plan that prepare makes of a video with a mask or box."""
    job = as_json(cli("--spool", "s", "--json", "submit", video, *given, *FAST, "-o", "out.mp4"))["jobs"][0]["job"]
    cli("--spool", "s", "worker", "--drain", "--stages", "prep", "--idle-timeout", "1")
    return plan_of(Spool.open(tmp_path / "s").job(job).plan(), job)


@pytest.mark.parametrize(
    "kind", ["white", "opaque alpha", "nearly opaque alpha", "alpha alone", "white all over, alpha", "red", "16 bit"]
)
def test_a_mask_picture_masks_its_place(tmp_path, video, cli, kind):
    cv2.imwrite(str(tmp_path / "mask.png"), picture(kind))
    plan = planned(tmp_path, video, cli, "--mask", "mask.png")
    assert [track.box for track in plan.tracks] == [(X, Y, X + W, Y + H)]


@pytest.mark.parametrize("kind", ["white", "opaque alpha", "alpha alone", "red"])
@pytest.mark.parametrize("form", ["folder", "video"])
def test_masks_of_every_frame_are_read_as_pictures_are(tmp_path, video, cli, kind, form):
    found = picture(kind)
    if form == "folder":
        (tmp_path / "masks").mkdir()
        for index in range(FRAMES):
            cv2.imwrite(str(tmp_path / "masks" / f"{index:03}.png"), found)
        given = "masks"
    else:
        given = "masks.mkv"
        with av.open(str(tmp_path / given), "w") as container:
            alpha = found.shape[2] == 4
            stream = container.add_stream("ffv1", rate=24)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "bgra" if alpha else "bgr0"
            for _ in range(FRAMES):
                frame = av.VideoFrame.from_ndarray(found, format="bgra" if alpha else "bgr24")
                container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
            container.mux(stream.encode(None))
    plan = planned(tmp_path, video, cli, "--mask", given)
    assert [track.box for track in plan.tracks] == [(X, Y, X + W, Y + H)]


@pytest.mark.parametrize("form", ["folder", "video"])
@pytest.mark.parametrize("colours", [0, 255], ids=["black", "white"])
def test_a_frame_that_is_opaque_all_over_is_read_as_the_other_frames_of_the_mask_are(tmp_path, form, colours):
    own = np.dstack([np.full((HEIGHT, WIDTH, 3), colours, np.uint8), shown_mask()])
    pictures = [own, np.where(np.arange(4) == 3, np.uint8(255), own), own]
    given = masks_given(tmp_path, form, pictures)
    clip = media.probe(write_video(tmp_path / "v.mkv", np.zeros((3, HEIGHT, WIDTH, 3), np.uint8), audio=False))
    masks = list(VideoOverlay(given, clip).masks(3))
    assert [int((mask > 0).sum()) for mask in masks] == [W * H, WIDTH * HEIGHT, W * H]


def masks_given(folder, form, pictures):
    """Pictures, BGRA, as the mask file that a job pins."""
    if form == "folder":
        (folder / "masks").mkdir()
        for index, picture in enumerate(pictures):
            cv2.imwrite(str(folder / "masks" / f"{index}.png"), picture)
        return _pinnable(folder / "masks", folder)
    with av.open(str(folder / "masks.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "bgra"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgra")))
        container.mux(stream.encode(None))
    return folder / "masks.mkv"


@pytest.mark.parametrize("what", ["all white", "inverted", "whole box", "exact box"])
def test_most_of_the_picture_is_not_replaced_without_yes(tmp_path, video, cli, what):
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8) if what == "all white" else 255 - shown_mask()
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    option = {"whole box": "--box", "exact box": "--box-exact"}.get(what)
    given = (option, f"0,0,{WIDTH},{HEIGHT}") if option else ("--mask", "mask.png")
    done = cli("run", video, *given, *FAST, check=False)
    assert done.returncode == 2 and "of the picture would be replaced" in done.stderr and "--yes" in done.stderr
    assert ("inverted" in done.stderr) == (what == "inverted")
    assert not video.with_name("clip.clean.mp4").exists()


def test_with_yes_most_of_the_picture_is_replaced(tmp_path, video, cli):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, : int(0.6 * WIDTH)] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    cli("run", video, "--mask", "mask.png", "--yes", "--engine", "membrane", *FAST)
    assert video.with_name("clip.clean.mp4").exists()


@pytest.mark.parametrize("form", ["folder", "video"])
@pytest.mark.parametrize("wrong", ["number", "size"])
def test_masks_that_do_not_fit_are_refused_before_any_work(tmp_path, video, cli, form, wrong):
    count, size = (FRAMES - 1, (WIDTH, HEIGHT)) if wrong == "number" else (FRAMES, (WIDTH // 2, HEIGHT))
    mask = np.full(size[::-1], 0, np.uint8)
    mask[2:20, 2:20] = 255
    if form == "folder":
        (tmp_path / "masks").mkdir()
        for index in range(count):
            cv2.imwrite(str(tmp_path / "masks" / f"{index}.png"), mask)
        given = tmp_path / "masks"
    else:
        given = tmp_path / "masks.mkv"
        with media.MaskWriter(given, crops=[size]) as writer:
            for _ in range(count):
                writer.write_mask(0, mask)
    done = cli("--spool", "s", "submit", video, "--mask", given, check=False)
    words = f"{count} masks, the video has {FRAMES}" if wrong == "number" else f"the mask is {WIDTH // 2}x{HEIGHT}"
    assert done.returncode == 4 and words in done.stderr and str(given) in done.stderr
    assert not list((tmp_path / "s" / "jobs").iterdir())


@pytest.mark.parametrize("form", ["folder", "folder of zeros and ones", "video"])
def test_noise_in_an_empty_mask_is_not_a_mask(tmp_path, video, cli, form):
    one = form == "folder of zeros and ones"
    masked, empty = shown_mask() // (255 if one else 1), np.zeros((HEIGHT, WIDTH), np.uint8)
    empty[90:100, 10:40] = 0 if one else 1
    frames = [masked] * 24 + [empty] * (FRAMES - 24)
    if form == "video":
        with av.open(str(tmp_path / "masks"), "w", format="matroska") as container:
            stream = container.add_stream("ffv1", rate=24)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "bgr0"
            for mask in frames:
                frame = av.VideoFrame.from_ndarray(np.repeat(mask[..., None], 3, axis=2), format="bgr24")
                container.mux(stream.encode(frame.reformat(format="bgr0")))
            container.mux(stream.encode(None))
    else:
        (tmp_path / "masks").mkdir()
        for index, mask in enumerate(frames):
            cv2.imwrite(str(tmp_path / "masks" / f"{index:03}.png"), mask)
    plan = planned(tmp_path, video, cli, "--mask", "masks")
    assert [(track.start, track.stop, track.box) for track in plan.tracks] == [(0, 24, (X, Y, X + W, Y + H))]


TURNS = {"hflip": (-65536, 0, 0, 65536), "transverse": (0, -65536, -65536, 0), "clockwise": (0, 65536, -65536, 0)}


@pytest.mark.parametrize("given", ["box", "mask"])
@pytest.mark.parametrize(
    ("turn", "aspect"), [("hflip", None), ("transverse", None), ("clockwise", (4, 3)), (None, (16, 11))]
)
def test_what_the_viewer_points_at_is_what_goes(tmp_path, cli, turn, aspect, given):
    four = TURNS.get(turn)
    matrix = (four[0], four[1], 0, four[2], four[3], 0, 0, 0, 1 << 30) if four else None
    context = {"sample_aspect_ratio": Fraction(*aspect)} if aspect else {}
    path = make.video(tmp_path / "turned.mp4", frames=12, size=(96, 64), matrix=matrix, context=context)
    info = media.probe(path)
    geometry = Geometry.of(info)
    width, height = geometry.shown
    box = (width // 8, height // 6, width // 4, height // 4)
    option = ("--box-exact", ",".join(map(str, box)))
    if given == "mask":
        mask = np.zeros((height, width), np.uint8)
        mask[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = 255
        cv2.imwrite(str(tmp_path / "mask.png"), mask)
        option = ("--mask", "mask.png")
    plan = planned(tmp_path, path, cli, *option)
    (track,) = plan.tracks
    assert track.box == geometry.coded_box(box)
    assert geometry.shown_box(track.box) == box or aspect


def test_a_tracks_file_alone_masks_whole_boxes(tmp_path, video, cli):
    tracks = {
        "schema": 1, "video": "clip.mp4", "frames": FRAMES, "size": [WIDTH, HEIGHT], "detector": "pick",
        "tracks": [{"start": 0, "stop": FRAMES, "box": list(BOX), "score": None, "label": ""},
                   {"start": 24, "stop": 48, "box": [10, 90, 40, 20], "score": None, "label": ""}],
    }  # fmt: skip
    (tmp_path / "tracks.json").write_text(json.dumps(tracks))
    plan = planned(tmp_path, video, cli, "--tracks", "tracks.json")
    assert sorted((t.start, t.stop, t.box) for t in plan.tracks) == [
        (0, FRAMES, (X, Y, X + W, Y + H)), (24, 48, (10, 90, 50, 110)),
    ]  # fmt: skip


def test_frames_in_which_nothing_stands_in_a_box_come_out_as_they_went_in(tmp_path, cli):
    captions = two_captions("outline")
    path = write_video(tmp_path / "in.mp4", burnt(scene(moving=True), captions), audio=False)
    x0, y0, x1, y1 = around(captions)
    cli("run", path, "--box", f"{x0},{y0},{x1 - x0},{y1 - y0}", "--lossless", "-o", "out.mkv")
    before, after = read_bgr(path), read_bgr(tmp_path / "out.mkv")
    same = (before == after).all(axis=(1, 2, 3))
    assert set(np.flatnonzero(same)) == {index for index, each in enumerate(captions) if each is None}


def test_corners_instead_of_a_size_are_told(video, cli):
    done = cli("run", video, "--box", f"{X},{Y},{X + W},{Y + H}", check=False)
    assert done.returncode == 2 and f"--box {X},{Y},{W},{H}" in done.stderr
