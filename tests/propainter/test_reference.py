"""The reference pipeline: the recorded end-to-end clip, and the published rules about borders and sizes."""

import numpy as np
import pytest
import torch

from propainter.errors import InputError
from propainter.masks import dilate
from propainter.options import Options
from propainter.reference import Context, completion_stage, flow_stage, pixel_stage, resize_back, shrink_clip, to_video
from propainter.windows import chunks, raft_clips, reference_reach, window
from tests.propainter.conftest import worst


def test_end_to_end(golden, inpainter):
    case = golden("e2e_a")
    frames = case["frames_u8"]
    out = inpainter.inpaint(frames, case["mask_u8"], mode="reference")
    difference = np.abs(out.astype(int) - case["comp_u8"])
    assert np.mean(difference <= 1) >= 0.999
    outside = case["proc_mask_u8"][0] == 0
    assert np.array_equal(out[:, outside], frames[:, outside])
    assert np.array_equal(dilate(case["mask_u8"][0], 4), ~outside)


def test_stages_of_the_recorded_clip(golden, models):
    case = golden("e2e_a")
    if "gt_f" not in case:
        pytest.skip("only in the full set of golden vectors")
    ctx = Context(models, Options(), torch.device("cpu"), torch.float32)
    video, which = to_video(case["frames_u8"], ctx.device), case["flow_sel"]
    raw = flow_stage(video, ctx)
    assert max(worst(raw.forward[which], case["gt_f"]), worst(raw.backward[which], case["gt_b"])) <= 1e-4
    masks = case.tensor("proc_mask_u8")[:, None].expand(len(video), -1, -1, -1)
    flows = completion_stage(raw, masks, ctx)
    assert max(worst(flows.forward[which], case["pred_f"]), worst(flows.backward[which], case["pred_b"])) <= 1e-4
    updated, missing = pixel_stage(video, masks, flows, ctx)
    assert np.mean(missing[:, 0].numpy() == case["updated_masks_u8"]) >= 0.999
    levels = ((updated[[0, 6, 11]] + 1) * 127.5).round().numpy()
    assert np.mean(np.abs(levels - case["updated_frames_u8"]) <= 1) >= 0.999


def test_first_window_of_the_recorded_clip(golden):
    case = golden("e2e_a")
    view = window(0, 12, Options())
    assert view.ids == case["first_window_ids"].tolist()
    assert view.stop - view.start == case["first_window_nlocal"][0]


def test_short_clips_take_references_from_everywhere():
    assert window(15, 80, Options()).references == (0, 30, 40, 50, 60, 70)


def test_long_clips_count_references_from_the_start_of_the_reach():
    options = Options(subvideo_length=40)
    assert reference_reach(options) == 20
    view = window(25, 81, options)
    assert (view.start, view.stop, view.references) == (20, 31, (5, 15, 35))
    assert window(75, 81, options).references == (55, 65)
    assert window(0, 81, Options(subvideo_length=5)).references == ()


def test_odd_neighbour_counts_round_down():
    assert window(6, 20, Options(neighbor_length=7)).ids[:7] == [3, 4, 5, 6, 7, 8, 9]


def test_chunks_carry_context_on_both_sides():
    assert [tuple(chunk) for chunk in chunks(23, 10, 5)] == [(0, 10, 0, 15), (10, 20, 5, 23), (20, 23, 15, 23)]


def test_flow_clips_share_a_frame():
    assert list(raft_clips(25, 640)) == [(0, 12), (11, 24), (23, 25)]
    assert list(raft_clips(9, 648))[:2] == [(0, 8), (7, 9)]
    assert list(raft_clips(5, 1281)) == [(0, 2), (1, 4), (3, 5)]


def test_flow_does_not_depend_on_clips(clip, models):
    video = to_video(clip[0][:4], torch.device("cpu"))
    whole = models.raft.bidirectional(video, iters=2)
    parts = [models.raft.bidirectional(video[a:b], iters=2) for a, b in ((0, 2), (1, 4))]
    assert worst(torch.cat([part[0] for part in parts]), whole[0]) <= 1e-4


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_dilation_is_a_diamond(steps):
    mask = np.zeros((15, 17), np.uint8)
    mask[2, 3] = 1
    y, x = np.mgrid[0:15, 0:17]
    assert np.array_equal(dilate(mask, steps), np.abs(y - 2) + np.abs(x - 3) <= steps)


def test_chunked_stages_differ_from_whole_ones_and_follow_the_rules(clip, models):
    """Small subvideo_length: each chunk is exactly the stage on its own slice, cropped."""
    frames, masks = clip
    ctx = Context(models, Options(subvideo_length=3, raft_iter=1), torch.device("cpu"), torch.float32)
    video = to_video(frames, ctx.device)
    holes = torch.from_numpy(masks != 0).float()[:, None]
    raw = flow_stage(video, ctx)
    flows = completion_stage(raw, holes, ctx)
    alone = completion_stage(
        type(raw)(raw.forward[1:], raw.backward[1:]), holes[1:], ctx._replace(options=Options(subvideo_length=9))
    )
    assert worst(flows.forward[6], alone.forward[5]) <= 1e-5  # the last chunk is [6, 7) on [1, 7)
    updated, missing = pixel_stage(video, holes, flows, ctx)
    assert updated.shape == video.shape
    assert missing.shape == holes.shape


def test_odd_sizes_are_processed_smaller_and_resized_back(clip, inpainter):
    frames, masks = clip[0][:2, :, :157], clip[1][:2, :, :157]
    frames = np.concatenate((frames, frames[:, :3]), axis=1)
    masks = np.concatenate((masks, masks[:, :3]), axis=1)
    out = inpainter.inpaint(frames, masks, mode="reference", raft_iter=1)
    assert out.shape == frames.shape
    small, holes = shrink_clip(frames, masks, (152, 128))
    inner = inpainter.inpaint(small, holes, mode="reference", raft_iter=1)
    assert np.array_equal(out, resize_back(inner, (157, 131)))


def test_too_small_for_optical_flow_is_refused(inpainter):
    with pytest.raises(InputError, match="128"):
        inpainter.inpaint(np.zeros((2, 120, 160, 3), np.uint8), np.ones((2, 120, 160), np.uint8), mode="reference")
