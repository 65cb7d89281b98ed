"""Golden vectors, synthetic weights and small clips for the tests of propainter."""

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("torchvision")

import torch

from propainter import deform, shot, stages
from propainter.packed import cut_patch
from propainter.pipeline import Inpainter
from tests.propainter import synthetic

TRIMMED = Path(__file__).parent / "golden"
FULL = Path(__file__).parents[3] / "shared" / "propainter" / "golden"


class Golden:
    """Recorded arrays of one case: the full set where it is there, else the trimmed one."""

    def __init__(self, name):
        folder = FULL if FULL.is_dir() else TRIMMED
        with np.load(folder / f"{name}.npz") as data:
            self.data = dict(data)

    def __getitem__(self, key):
        return self.data[key]

    def __contains__(self, key):
        return key in self.data

    def tensor(self, key):
        """The array as float32."""
        return torch.from_numpy(self.data[key].astype(np.float32))

    def video(self):
        """frames_u8 as [T,3,H,W] in [-1,1]."""
        return self.tensor("frames_u8").permute(0, 3, 1, 2) / 255 * 2 - 1


@pytest.fixture(scope="session")
def golden():
    cases = {}
    return lambda name: cases.setdefault(name, Golden(name))


@pytest.fixture(scope="session")
def weights_folder(tmp_path_factory):
    given = os.environ.get("PROPAINTER_SYNTHETIC_WEIGHTS")  # made once for a series of runs by the mutation script
    return Path(given) if given else synthetic.write(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def inpainter(weights_folder):
    return Inpainter.load(weights_folder, device="cpu")


@pytest.fixture(scope="session")
def models(inpainter):
    return inpainter.models


@pytest.fixture(autouse=True)
def few_threads_no_gradients():
    before = torch.get_num_threads()
    torch.set_num_threads(min(2, before))
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


@pytest.fixture(params=["torchvision", "torch"])
def variant(request):
    with deform.using(request.param):
        yield request.param


@pytest.fixture(scope="session")
def clip():
    """A textured scene that pans by 2 px a frame, and a hole: uint8 [8,128,160,3] and [8,128,160]."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:128, 0:200]
    scene = np.stack((127 + 90 * np.sin(x / 11 + y / 17), 127 + 90 * np.cos(x / 7), 127 + 80 * np.sin(y / 5)), axis=-1)
    scene = np.clip(scene + rng.normal(0, 6, scene.shape), 0, 255).astype(np.uint8)
    masks = np.zeros((8, 128, 160), np.uint8)
    masks[:, 50:80, 60:100] = 255
    return np.stack([scene[:, 2 * t : 2 * t + 160] for t in range(8)]), masks


@pytest.fixture
def stubs(monkeypatch):
    """Stages that compute nothing, so that only the bookkeeping runs: flows are 0, holes become mid grey."""

    def no_flow(_net, frames, before, *, iters, effort):
        zero = torch.zeros(1, 2, *frames[0].shape[:2])
        return [(zero, zero)] * (len(frames) - (before is None)), (zero, zero, zero)

    def grey(_net, view, *, effort):
        boxes = [(i, box) for i, box in enumerate(view.boxes) if box is not None]
        shapes = [(box.bottom - box.top, box.right - box.left) for _, box in boxes]
        return [stages.Pixels(i, b, torch.zeros(3, *s), torch.ones(s)) for (i, b), s in zip(boxes, shapes, strict=True)]

    monkeypatch.setattr(shot, "flow_batch", no_flow)
    monkeypatch.setattr(shot, "complete_holes", lambda _net, flows, holes, device: list(map(cut_patch, flows, holes)))
    monkeypatch.setattr(shot, "encode_frames", lambda _net, updated, _holes, effort: [torch.zeros(1, 1)] * len(updated))
    monkeypatch.setattr(shot, "generate", grey)


def worst(ours, recorded):
    """Largest absolute difference."""
    return float((torch.as_tensor(ours).float().reshape(recorded.shape) - torch.as_tensor(recorded)).abs().max())
