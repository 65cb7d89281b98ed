"""The default pipeline: what it promises around the networks."""

import logging

import numpy as np
import pytest
import torch

import propainter
from propainter import effort, shot, stages
from propainter.effort import Effort, Ladder, next_effort
from propainter.errors import InputError
from propainter.masks import dilate
from propainter.options import Options
from propainter.pipeline import Inpainter, Run
from propainter.scenes import mark_cuts
from propainter.shot import window_weight
from propainter.stages import tile_ramp, tile_spans

QUICK = {"raft_iter": 1, "mask_dilation": 2}


def psnr(a, b):
    return 10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b.astype(float)) ** 2)))


@pytest.fixture(scope="module")
def plain(clip, inpainter):
    """The default result for the clip."""
    return inpainter.inpaint(*clip, **QUICK)


def test_pixels_outside_the_grown_mask_are_untouched(clip, plain):
    frames, masks = clip
    holes = np.stack([dilate(mask, 2) for mask in masks])
    assert plain.dtype == np.uint8
    assert np.array_equal(plain[~holes], frames[~holes])
    assert not np.array_equal(plain[holes], frames[holes])


def test_close_to_the_reference(clip, plain, inpainter):
    """One clip without frames that lie in three windows: only rounding differs."""
    holes = np.stack([dilate(mask, 2) for mask in clip[1]])
    other = inpainter.inpaint(*clip, mode="reference", **QUICK)
    assert psnr(plain[[0, 1, 2, 3, 4, 6, 7]][holes[:7]], other[[0, 1, 2, 3, 4, 6, 7]][holes[:7]]) >= 45


def test_same_input_same_bytes(clip, plain, inpainter):
    assert np.array_equal(inpainter.inpaint(*clip, **QUICK), plain)


def test_stream_gives_what_inpaint_gives(clip, plain, inpainter):
    assert np.array_equal(np.stack(list(inpainter.stream(iter(clip[0]), iter(clip[1]), **QUICK))), plain)


def test_gradients_work_between_the_frames_of_a_stream(clip, inpainter):
    with torch.inference_mode(mode=False):
        for _ in inpainter.stream(clip[0][:2], clip[1][:2], **QUICK):
            assert not torch.is_inference_mode_enabled()


def test_door_loads_runs_and_equals_the_class(clip, plain, weights_folder):
    out = propainter.inpaint(*clip, weights=weights_folder, device="cpu", **QUICK)
    assert np.array_equal(out, plain)


@pytest.mark.parametrize(
    "options", [{}, {"subvideo_length": 8, "ref_stride": 4, "neighbor_length": 4}, {"subvideo_length": 3}]
)
@pytest.mark.parametrize("count", [1, 2, 11, 81, 85, 230])
def test_every_frame_comes_out_once_in_order_with_its_hole_filled(stubs, inpainter, options, count):
    frames = np.random.default_rng(count).integers(0, 256, (count, 128, 128, 3), np.uint8)
    masks = np.zeros((count, 128, 128), np.uint8)
    masks[:, 40:50, 40:60] = 1
    out = np.stack(list(inpainter.stream(frames, masks, scene_cuts=None, mask_dilation=0, **options)))
    expected = np.where(masks[..., None] != 0, 128, frames)
    assert np.array_equal(out, expected)


def test_one_frame_clip(clip, inpainter):
    out = inpainter.inpaint(clip[0][:1], clip[1][:1], **QUICK)
    assert out.shape == (1, 128, 160, 3)
    assert not np.array_equal(out, clip[0][:1])
    assert inpainter.inpaint(clip[0][:1], clip[1][:1], mode="reference", **QUICK).shape == out.shape


@pytest.mark.parametrize(("height", "width"), [(37, 50), (131, 157)])
def test_odd_and_small_sizes_are_padded_not_resized(clip, inpainter, height, width):
    frames, masks = np.zeros((2, height, width, 3), np.uint8), np.zeros((2, height, width), np.uint8)
    high, wide = min(height, 128), min(width, 160)
    frames[:, :high, :wide] = clip[0][:2, :high, :wide]
    masks[:, 5:20, width - 12 :] = 1  # up to the border: the mirrored part is a hole, too
    out = inpainter.inpaint(frames, masks, **QUICK)
    assert out.shape == frames.shape
    outside = ~np.stack([dilate(mask, 2) for mask in masks])
    assert np.array_equal(out[outside], frames[outside])


def test_frames_without_a_hole_pass_through_untouched(clip, inpainter, monkeypatch):
    def never(*_args, **_options):
        raise AssertionError("a network ran")

    monkeypatch.setattr(shot, "flow_batch", never)
    assert np.array_equal(inpainter.inpaint(clip[0], np.zeros_like(clip[1])), clip[0])


def test_long_stretches_without_a_hole_are_not_computed(clip, models):
    ladder = Ladder(models, Effort(torch.device("cpu")))
    run = Run(ladder, Options(**QUICK))
    hole, none = clip[1][0] != 0, np.zeros_like(clip[1][0], bool)
    pushed = []
    original = shot.Shot.push

    class Spy(shot.Shot):
        def push(self, frame, mask):
            pushed.append(mask.any())
            return [frame]

        def finish(self):
            return []

    assert original is shot.Shot.push
    import propainter.pipeline as pipeline

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "Shot", Spy)
        out = []
        for t in range(100):
            out += run.push(type("Seen", (), {"frame": clip[0][0], "hole": hole if t == 50 else none, "cut": False}))
        out += run.finish()
    # 10 of context on each side at least, the start rounded down to a multiple of 10
    assert len(pushed) == 10 + 1 + 10
    assert pushed.index(True) == 10


def test_windows_with_an_empty_mask_are_skipped(clip, inpainter, monkeypatch):
    masks = clip[1].copy()
    masks[2:] = 0
    seen = []
    monkeypatch.setattr(
        shot, "generate", lambda net, view, effort: seen.append(view) or stages.generate(net, view, effort=effort)
    )
    inpainter.inpaint(clip[0], masks, neighbor_length=4, **QUICK)
    assert len(seen) == 2  # centres 0 and 2 of 0, 2, 4, 6


# ---- scene cuts


def scenes(cuts, frames):
    return [seen.cut for seen in mark_cuts([(frame, np.zeros(frame.shape[:2], bool)) for frame in frames], cuts)]


@pytest.fixture
def two_scenes(clip):
    return np.concatenate((clip[0][:4], 255 - clip[0][:4, ::-1]))


def test_cuts_are_found(two_scenes):
    assert [t for t, cut in enumerate(scenes("auto", two_scenes)) if cut] == [4]


def test_a_flash_and_a_pan_are_no_cuts(clip):
    frames = clip[0].copy()
    frames[4] = 255
    assert not any(scenes("auto", frames))
    assert not any(scenes("auto", clip[0]))


def test_given_cuts_are_taken(clip):
    assert scenes([3, 5], clip[0]) == [t in (3, 5) for t in range(8)]
    assert not any(scenes(None, 255 * (clip[0] > 128)))


def test_nothing_crosses_a_cut(clip, inpainter):
    frames, masks = clip[0][:6], clip[1][:6]
    other = np.concatenate((frames[:3], 255 - frames[3:]))
    one, two = (inpainter.inpaint(x, masks, scene_cuts=[3], **QUICK) for x in (frames, other))
    assert np.array_equal(one[:3], two[:3])
    alone = inpainter.inpaint(frames[:3], masks[:3], scene_cuts=None, **QUICK)
    assert np.array_equal(one[:3], alone)


# ---- blending, tiles, the ladder


def test_window_weights_are_symmetric_and_sum_to_one_for_a_static_picture():
    assert window_weight(-3, between=False) == window_weight(3, between=False)
    shares = [window_weight(d, between=True) for d in (-5, 0, 5)]
    assert np.allclose(np.array(shares) / sum(shares), (3 / 8, 1 / 4, 3 / 8))


@pytest.mark.parametrize("length", [40, 96, 181])
def test_tiles_cover_everything(length):
    total = np.zeros(length * 4)
    for start, stop in tile_spans(length, 2):
        total[start * 4 : stop * 4] += tile_ramp(start, stop, length).numpy()
    assert total.min() > 0.4
    assert np.allclose(total, 1)


class Starved:
    """Stands in for a stage that runs out of CUDA memory ``times`` times."""

    def __init__(self, stage, times):
        self.stage, self.left = stage, times

    def __call__(self, *args, **options):
        if self.left:
            self.left -= 1
            raise torch.OutOfMemoryError("injected")
        return self.stage(*args, **options)


def test_ladder_steps_down_in_order_and_ends():
    state, words = Effort(torch.device("cuda")), []
    while (step := next_effort(state)) is not None:
        words.append(step[0])
        state = step[1]
    assert words == [
        "smaller batches",
        "fewer references and shorter windows",
        "half precision",
        "two tiles",
        "the CPU in float32",
    ]
    assert (state.device.type, state.dtype, state.tiles) == ("cpu", torch.float32, 2)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_out_of_memory_is_survived_and_logged(clip, plain, inpainter, monkeypatch, caplog, times):
    monkeypatch.setattr(shot, "generate", Starved(stages.generate, times))
    with caplog.at_level(logging.WARNING, logger="propainter"):
        out = inpainter.inpaint(*clip, **QUICK)
    assert len(caplog.records) == times
    assert out.shape == plain.shape
    if times == 1:  # smaller batches change no number beyond rounding
        assert np.abs(out.astype(int) - plain).max() <= 1


def test_out_of_memory_at_the_end_of_the_ladder_is_raised(clip, inpainter, monkeypatch):
    monkeypatch.setattr(shot, "generate", Starved(stages.generate, 99))
    with pytest.raises(torch.OutOfMemoryError):
        inpainter.inpaint(*clip, **QUICK)


def test_pair_batches_shrink_with_the_frame():
    cpu = Effort(torch.device("cpu"))
    assert cpu.pairs_for(128, 160) == 12
    assert 1 <= cpu.pairs_for(240, 432) < 8
    assert cpu.pairs_for(2160, 3840) == 1
    assert effort.next_effort(cpu)[1].pairs_for(128, 160) == 1


# ---- checks on what is given


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"neighbor_length": 1}, "neighbor_length"),
        ({"subvideo_length": 0}, "subvideo_length"),
        ({"mask_dilation": -1}, "mask_dilation"),
        ({"raft_iter": 0}, "raft_iter"),
        ({"mode": "fast"}, "mode"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_options_out_of_range_are_refused(clip, inpainter, change, words):
    with pytest.raises(InputError, match=words):
        inpainter.inpaint(*clip, **change)


def test_shapes_and_types_are_checked(clip, inpainter):
    frames, masks = clip
    for bad in ((frames.astype(np.float32), masks), (frames, masks[:3]), (frames, masks[:, 1:]), (frames[:0], masks)):
        with pytest.raises(InputError):
            inpainter.inpaint(*bad)
    with pytest.raises(ValueError, match="argument 2"):
        list(inpainter.stream(frames[:1], []))


def test_bfloat16_is_offered_and_float16_needs_cuda(clip, plain, weights_folder, caplog):
    with caplog.at_level(logging.WARNING, logger="propainter"):
        assert Inpainter.load(weights_folder, device="cpu", dtype="float16").dtype is torch.float32
    assert "float16" in caplog.text
    out = Inpainter.load(weights_folder, device="cpu", dtype="bfloat16").inpaint(*clip, **QUICK)
    holes = np.stack([dilate(mask, 2) for mask in clip[1]])
    assert psnr(out[holes], plain[holes]) > 30
    with pytest.raises(InputError, match="dtype"):
        Inpainter.load(weights_folder, dtype="int8")
