"""What the default pipeline holds: in a shot between stages, and inside one generator window."""

import weakref

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from propainter import attention, shot, stages
from propainter.effort import Effort, Ladder
from propainter.options import Options
from propainter.packed import pack_input, propagate_packed
from propainter.transformer import Grid
from propainter.windows import FLOW_CONTEXT, PIXEL_CONTEXT


@pytest.mark.parametrize("length", [8, 40])
def test_buffers_do_not_grow_with_the_clip(stubs, models, length):
    stretch = shot.Shot(Ladder(models, Effort(torch.device("cpu"))), Options(subvideo_length=length))
    frame, hole = np.zeros((128, 128, 3), np.uint8), np.ones((128, 128), bool)
    for _ in range(8 * length + 100):
        stretch.push(frame, hole)
        for name, buffer in vars(stretch.data).items():
            assert len(buffer) <= 2 * length + 60, name


def whole_tensors(held, size):
    """Distinct storages of at least ``size`` bytes among tensors in nested tuples, by address."""
    if isinstance(held, torch.Tensor):
        storage = held.untyped_storage()
        return {storage.data_ptr()} if storage.nbytes() >= size else set()
    return set().union(*(whole_tensors(part, size) for part in held)) if isinstance(held, tuple | list) else set()


def test_each_flow_frame_and_hole_is_held_once(stubs, models, monkeypatch):
    """Completion and propagation change nothing outside the hole, so only that part may be stored beside the input."""
    small, flow_bytes = np.zeros((128, 128), bool), 2 * 128 * 128 * 4
    small[40:50, 40:60] = True

    def own_flows(_net, frames, before, *, iters, effort):
        return [(torch.zeros(1, 2, 128, 128), torch.zeros(1, 2, 128, 128)) for _ in frames[before is None :]], ()

    monkeypatch.setattr(shot, "flow_batch", own_flows)
    length = 40
    stretch = shot.Shot(Ladder(models, Effort(torch.device("cpu"))), Options(subvideo_length=length))
    data, counts = stretch.data, []

    def count():
        counts.append(len(whole_tensors([*data.raw.values(), *data.completed.values()], flow_bytes)))

    def counted(*args):
        count()
        return propagate_packed(*args)

    monkeypatch.setattr(shot, "propagate_packed", counted)
    for _ in range(4 * length):
        stretch.push(np.zeros((128, 128, 3), np.uint8), small.copy())
        count()
        assert not whole_tensors([*data.updated.values()], 128 * 128)
        assert all(packed.frame is data.frames.get(t, packed.frame) for t, packed in data.updated.items())
        assert len({id(hole) for hole in data.holes.values()}) == 1
    pairs = length + FLOW_CONTEXT + 2 * PIXEL_CONTEXT + 12  # the last: a batch of optical flow
    assert 2 * length < max(counts) <= 2 * pairs


def test_features_do_not_wait_for_the_next_chunk(stubs, models):
    stretch = shot.Shot(Ladder(models, Effort(torch.device("cpu"))), Options(subvideo_length=40))
    for _ in range(200):
        stretch.push(np.zeros((128, 128, 3), np.uint8), np.ones((128, 128), bool))
        assert not stretch.data.features
    assert stretch.centre > 100


def test_references_of_a_long_shot_are_encoded_once(stubs, models, monkeypatch):
    """Between two pauses; windows at odd multiples of the step count their references from there."""
    encoded = []
    monkeypatch.setattr(
        shot.Shot,
        "_encode",
        lambda self, ids, _effort: (
            encoded.append(ids) or self.data.features.update(dict.fromkeys(ids, torch.zeros(1, 1)))
        ),
    )
    stretch = shot.Shot(Ladder(models, Effort(torch.device("cpu"))), Options())
    for _ in range(170):
        stretch.push(np.zeros((128, 128, 3), np.uint8), np.ones((128, 128), bool))
    bursts = encoded.copy()
    stretch.finish()
    last = [t for ids in encoded[len(bursts) :] for t in ids]
    assert len(last) == len(set(last))


def test_features_are_no_views_of_a_batch(models):
    packed = [pack_input(np.zeros((128, 128, 3), np.uint8), np.ones((128, 128), bool))] * 3
    found = stages.encode_frames(
        models.generator, packed, [np.ones((128, 128), bool)] * 3, effort=Effort(torch.device("cpu"))
    )
    assert [features.untyped_storage().nbytes() for features in found] == [128 * 32 * 32 * 4] * 3


class Live(TorchDispatchMode):
    """Most bytes that tensors made inside the ``with`` block held at any moment."""

    def __init__(self):
        super().__init__()
        self.sizes, self.now, self.most = {}, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self._seen(tensor.untyped_storage())
        self.most = max(self.most, self.now)
        return out

    def _seen(self, storage):
        if storage._cdata not in self.sizes:
            self.sizes[storage._cdata] = storage.nbytes()
            self.now += storage.nbytes()
            weakref.finalize(storage, self._gone, storage._cdata)

    def _gone(self, key):
        self.now -= self.sizes.pop(key)


def test_transformer_holds_few_copies_of_its_tokens(models, monkeypatch):
    """The number of references decides how many tokens there are: what is held per token must stay small."""
    monkeypatch.setattr(attention, "GATHERED_BYTES", {"cpu": 1})
    grid, mask = Grid(30, 54), torch.zeros(3, 10, 18)
    mask[:, 0, 0] = 1
    peaks = []
    for frames in (4, 4, 12):  # the first makes what is kept beside the weights
        tokens = torch.randn(frames, 10, 18, 512)
        with Live() as live:
            models.generator.transformers(tokens, mask, grid, fast=True)
        peaks.append(live.most)
    # normed, in window order, the result in both orders, keys and values of half the frames, and one window's keys
    assert (peaks[2] - peaks[1]) / (8 * 10 * 18 * 512 * 4) < 6.5
