"""The YOLO detector: the user's weights and nothing else, no network, boxes at their places."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.detect.test_static import scene
from tests.integration.conftest import write_video
from waterz_spool import config, media, restore
from waterz_spool.detect.base import Detection
from waterz_spool.detect.model.tracks import LinkRules
from waterz_spool.detect.model.weights import private_copy, weights_sha256
from waterz_spool.detect.model.yolo import YoloDetector, YoloOptions
from waterz_spool.errors import SetupError
from waterz_spool.plan import plan_segments
from waterz_spool.stages.prepare.detectors import findings_of
from waterz_spool.stages.prepare.overlays import FoundOverlay, hidden_by
from waterz_spool.stages.prepare.prepare import rules_of
from waterz_spool.stages.prepare.survey import survey

PLATE = (200, 30, 260, 60)


def test_weights_must_be_there_outside_the_spool_and_unchanged(tmp_path):
    (tmp_path / "spool").mkdir()
    (tmp_path / "private").mkdir()
    weights = tmp_path / "w.pt"
    weights.write_bytes(b"weights")
    assert weights_sha256(weights, spool=tmp_path / "spool") == hashlib.sha256(b"weights").hexdigest()
    copy = private_copy(weights, tmp_path / "private", sha256=weights_sha256(weights))
    assert copy.read_bytes() == b"weights" and copy.suffix == ".pt"
    with pytest.raises(SetupError, match="not those the job"):
        private_copy(weights, tmp_path / "private", sha256="0" * 64)
    with pytest.raises(SetupError, match="weights file not found"):
        weights_sha256(tmp_path / "none.pt")
    (tmp_path / "link.pt").symlink_to(tmp_path / "spool" / "w.pt")
    (tmp_path / "spool" / "w.pt").write_bytes(b"weights")
    for inside in (tmp_path / "spool" / "w.pt", tmp_path / "link.pt"):
        with pytest.raises(SetupError, match="inside the spool") as caught:
            weights_sha256(inside, spool=tmp_path / "spool")
        assert caught.value.exit_code == 6


def test_weights_that_are_a_folder_are_pinned_by_all_their_files(tmp_path):
    weights = tmp_path / "logo_openvino_model"
    (weights / "sub").mkdir(parents=True)
    (weights / "w.xml").write_bytes(b"net")
    (weights / "sub" / "w.bin").write_bytes(b"numbers")
    listing = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in (("sub/w.bin", b"numbers"), ("w.xml", b"net"))
    )
    pinned = weights_sha256(weights, spool=tmp_path / "spool")
    assert pinned == hashlib.sha256(listing.encode()).hexdigest()
    (tmp_path / "private").mkdir()
    copy = private_copy(weights, tmp_path / "private", sha256=pinned)
    assert copy.name == weights.name and (copy / "sub" / "w.bin").read_bytes() == b"numbers"
    (weights / "more").write_bytes(b"")
    with pytest.raises(SetupError, match="not those the job"):
        private_copy(weights, tmp_path / "private", sha256=pinned)
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "w.bin").write_bytes(b"numbers")
    (weights / "more").unlink()
    (weights / "more").symlink_to(tmp_path / "spool" / "w.bin")
    with pytest.raises(SetupError, match="inside the spool"):
        weights_sha256(weights, spool=tmp_path / "spool")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SetupError, match="empty"):
        weights_sha256(tmp_path / "empty")


def red(pictures):
    """Stands in for a model: the box of what is red."""
    found = []
    for picture in pictures:
        strong = (picture[..., 2].astype(int) - picture[..., 0] > 90).astype(np.uint8)
        x, y, w, h = cv2.boundingRect(strong)
        found.append((Detection((x, y, x + w, y + h), 0.9, "red"),) if w and h else ())
    return found


@dataclass
class Shot:
    path: Path
    masks: np.ndarray


def shot(path, places, *, pan=2.5):
    frames = np.repeat(np.stack(scene(len(places), pan=pan))[..., None], 3, 3)
    masks = np.zeros(frames.shape[:3], bool)
    for index, place in enumerate(places):
        if place is not None:
            x0, y0, x1, y1 = place
            frames[index, y0:y1, x0:x1] = (20, 30, 220)
            masks[index, y0:y1, x0:x1] = True
    return Shot(write_video(path, frames, audio=False), masks)


def found_in(path, *, every=1, rotation=0):
    info = media.probe(path)
    info = info.__class__(**{**{f: getattr(info, f) for f in info.__struct_fields__}, "rotation": rotation})
    options = YoloOptions(imgsz=160, every=every)
    detector = YoloDetector(red, info, options, rules=LinkRules())
    pts = []
    for frame in media.decode(path, info):
        detector.add(frame.index, frame.picture, media.planes(frame)[0])
        pts.append(frame.pts)
    return findings_of(detector, path, info, pts, check=lambda: None), info


def masks_in(path, count, **options):
    from waterz_spool.detect import patches

    found, info = found_in(path, **options)
    return np.stack(list(patches.masks(found.patches, count, size=(info.width, info.height)))) > 0


def iou(a, b):
    return (a & b).sum((1, 2)) / np.maximum(1, (a | b).sum((1, 2)))


@pytest.mark.parametrize("every", [1, 5])
def test_a_jumping_overlay_is_masked_at_each_place_to_the_frame(tmp_path, every):
    other = (40, 120, 100, 150)
    made = shot(tmp_path / "v.mp4", [PLATE] * 23 + [other] * 21 + [PLATE] * 20)
    got = masks_in(made.path, 64, every=every)
    assert (got & made.masks).sum() > 0.95 * made.masks.sum()
    assert iou(got, made.masks).min() > 0.6
    assert not got[:23, 110:, :120].any() and not got[23:44, :70, 190:].any()


def test_the_own_pixels_are_separated_where_the_picture_moves(tmp_path):
    frames = np.repeat(np.stack(scene(60))[..., None], 3, 3)
    truth = np.zeros(frames.shape[1:3], np.uint8)
    cv2.putText(truth, "L O", (190, 70), cv2.FONT_HERSHEY_DUPLEX, 1.6, 255, 5)
    frames[:, truth > 0] = (20, 30, 220)
    got = masks_in(write_video(tmp_path / "v.mp4", frames, audio=False), 60)[30]
    assert got[truth > 0].mean() > 0.97
    box = cv2.boundingRect(truth)
    assert got.sum() < 0.7 * (box[2] + 10) * (box[3] + 10), "a model's box is padded by 5 px"


def test_on_a_tripod_the_padded_box_is_the_mask(tmp_path):
    made = shot(tmp_path / "v.mp4", [PLATE] * 30, pan=0.0)
    got = masks_in(made.path, 30)
    assert (got | ~made.masks).all() and iou(got, made.masks).min() > 0.6


def test_a_drifting_overlay_is_covered_in_every_frame(tmp_path):
    places = [(40 + 2 * i, 30, 90 + 2 * i, 60) for i in range(60)]
    made = shot(tmp_path / "v.mp4", places)
    got = masks_in(made.path, 60)
    assert (got | ~made.masks).all() and iou(got, made.masks).min() > 0.5


def test_a_drifting_overlay_has_a_mask_per_frame_inside_one_crop_that_contains_them_all(tmp_path):
    made = shot(tmp_path / "v.mp4", [(40 + 2 * i, 30, 90 + 2 * i, 60) for i in range(40)])
    found, info = found_in(made.path)
    overlay = FoundOverlay(found.patches, info, source="yolo")
    seen = survey(made.path, info, scene_threshold=3.0, min_scene_frames=10)
    rules = rules_of(config.load(), info, seen, restore.chosen(config.load().restore))
    segments = plan_segments(40, hidden_by(overlay, 40).tracks, seen.cuts, size=(info.width, info.height), rules=rules)
    (crop,) = (crop for segment in segments for crop in segment.crops)
    assert (crop.start, crop.stop) == (0, 40)
    x0, y0, x1, y1 = crop.box
    masks = list(overlay.masks(40))
    assert len({mask.tobytes() for mask in masks}) >= 38, "a mask per frame"
    for mask in masks:
        assert mask[y0:y1, x0:x1].sum() == mask.sum() > 0


def test_an_animated_overlay_is_covered_in_every_frame(tmp_path):
    """It turns: its width swings between 60 and 20 px."""
    widths = [30 - abs(i % 40 - 20) for i in range(80)]
    made = shot(tmp_path / "v.mp4", [(150 - w, 30, 150 + w, 60) for w in widths])
    got = masks_in(made.path, 80)
    assert (got | ~made.masks).all()
    assert iou(got, made.masks).min() > 0.4, "and not much more than that"


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_models_see_the_upright_picture_and_masks_are_coded(tmp_path, rotation):
    made = shot(tmp_path / "v.mp4", [PLATE] * 12)
    got = masks_in(made.path, 12, rotation=rotation)
    assert iou(got, made.masks).min() > 0.5


def test_a_clean_video_has_no_overlay_and_a_reason(tmp_path):
    found, _ = found_in(shot(tmp_path / "v.mp4", [None] * 12).path)
    assert (found.patches, found.reason) == ((), "the weights see no overlay")


def python(code, *arguments, **environment):
    import os

    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


@pytest.fixture(scope="session")
def untrained(tmp_path_factory):
    """A nano model from its yaml, as random as it comes."""
    folder = tmp_path_factory.mktemp("weights")
    code = """
        import sys
        from waterz_spool.detect.model.offline import ultralytics
        ultralytics().YOLO("yolo11n.yaml").save(sys.argv[1])
    """
    done = python(code, folder / "random.pt")
    assert done.returncode == 0, done.stderr
    return folder / "random.pt"


@pytest.mark.neural
def test_no_connection_is_attempted_and_nothing_is_left_behind(untrained, tmp_path):
    code = """
        import os, pathlib, socket, sys
        tried = []
        def refuse(*arguments, **options):
            tried.append(arguments)
            raise OSError("no network here")
        for name in ("connect", "connect_ex", "sendto"):
            setattr(socket.socket, name, refuse)
        socket.getaddrinfo = socket.gethostbyname = socket.create_connection = refuse
        import numpy as np
        import torch
        from waterz_spool.detect.model.yolo import YoloModel, YoloOptions
        from waterz_spool.detect.model.weights import weights_sha256
        torch.set_num_threads(2)
        path = pathlib.Path(sys.argv[1])
        model = YoloModel(path, YoloOptions(imgsz=64, device="cpu"), sha256=weights_sha256(path))
        assert len(model([np.zeros((36, 64, 3), np.uint8)] * 3)) == 3
        assert torch.get_num_threads() == 2
        from ultralytics.utils import SETTINGS, USER_CONFIG_DIR
        assert SETTINGS["sync"] is False
        from ultralytics.utils.events import events
        assert not events.enabled
        print(len(tried), tried[:1], USER_CONFIG_DIR)
    """
    done = python(code, untrained, HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path), MPLCONFIGDIR=str(tmp_path / "m"))
    assert done.returncode == 0, done.stderr
    count, _, home = done.stdout.split()[-3:]
    assert count == "0", done.stdout
    assert not Path(home).exists()
    assert not [path for path in tmp_path.rglob("*") if "ltralytics" in path.name]


@pytest.mark.neural
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("classes=('logo',)", "no class 'logo'"),
        ("device='cuda:7'", "no GPU"),
        ("imgsz=64", "cannot load these weights: "),
        ("imgsz=96", "not a supported model format"),
        ("imgsz=128", "import of openvino halted"),
    ],
)
def test_unfit_weights_and_devices_are_setup_errors(untrained, tmp_path, options, message):
    if message == "no GPU" and Path("/proc/driver/nvidia/gpus").is_dir():
        pytest.skip("there is a GPU here")
    path = untrained
    if "imgsz" in options:
        path = {"imgsz=64": "text.pt", "imgsz=96": "folder/text", "imgsz=128": "x_openvino_model/x.xml"}[options]
        path = tmp_path / path
        path.parent.mkdir(exist_ok=True)
        path.write_text("these are no weights")
        path = path if path.suffix == ".pt" else path.parent
    code = f"""
        import pathlib, sys
        sys.modules["openvino"] = None
        from waterz_spool.detect.model.yolo import YoloModel, YoloOptions
        from waterz_spool.errors import SetupError
        try:
            YoloModel(pathlib.Path(sys.argv[1]), YoloOptions({options}))
        except SetupError as error:
            print(error)
    """
    done = python(code, path)
    assert message in done.stdout, done.stdout + done.stderr


def test_a_missing_package_names_the_command_that_installs_it(tmp_path):
    code = """
        import sys
        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name == "ultralytics":
                    raise ModuleNotFoundError("No module named 'ultralytics'", name="ultralytics")
        sys.meta_path.insert(0, Missing())
        from waterz_spool.detect.model.offline import ultralytics
        from waterz_spool.errors import SetupError
        try:
            ultralytics()
        except SetupError as error:
            print(error.exit_code, error)
    """
    done = python(code)
    assert done.stdout.startswith("6 ") and 'pip install "waterz-spool[neural]"' in done.stdout, done.stderr
