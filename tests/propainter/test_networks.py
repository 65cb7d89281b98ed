"""Every network against the recorded outputs of the published one, within the tolerances stated with them."""

import numpy as np
import pytest
import torch

from propainter import deform
from propainter.attention import plan_attention
from propainter.correlation import correlation_pyramid, lookup
from propainter.flow_completion import complete_bidirectional, complete_one_way
from propainter.generator import shrink_flows, shrink_masks, token_mask
from propainter.packed import NOTHING, Completed, cut_patch, propagate_packed, unpack
from propainter.propagation import Flows, backward_pass, forward_pass, propagate_pixels
from propainter.raft import convex_upsample, pixel_grid
from propainter.region import Box, decode_region, hole_box
from propainter.stages import complete_holes
from propainter.transformer import Grid
from propainter.warp import consistent, warp
from tests.propainter import synthetic
from tests.propainter.conftest import worst


def recorded(case, key):
    if key not in case:
        pytest.skip("only in the full set of golden vectors")
    return case.tensor(key)


@pytest.mark.parametrize("file", synthetic.EXPECTED)
def test_synthetic_weights_are_those_of_the_recording(file):
    assert synthetic.digest(synthetic.arrays(file)) == synthetic.EXPECTED[file]


# ---- deformable convolution


def test_deformable_convolution(golden, models, variant):
    case = golden("deform")
    layer = models.completion.feat_prop_module.deform_align["backward_"]
    inputs = (case.tensor(key) for key in ("x", "offset", "mask"))
    out = deform.deform_conv(*inputs, weight=layer.weight, bias=layer.bias, variant=variant)
    assert worst(out, case["out"]) <= 1e-5


def test_deformable_variants_agree_far_outside_the_image(models):
    layer = models.generator.feat_prop_module.deform_align["forward_1"]
    rng = torch.Generator().manual_seed(1)
    x, mask = torch.randn(2, 128, 9, 40, generator=rng), torch.rand(2, 144, 9, 40, generator=rng)
    offset = torch.randn(2, 288, 9, 40, generator=rng) * 30
    offset[0, :, 0, 0] = 1e6
    one, two = (
        deform.deform_conv(x, offset, mask, weight=layer.weight, bias=layer.bias, variant=name)
        for name in ("torch", "torchvision")
    )
    assert worst(one, two) <= 1e-4


def test_twin_in_slabs_equals_one_piece(models, monkeypatch):
    layer = models.generator.feat_prop_module.deform_align["forward_1"]
    x, offset, mask = torch.randn(1, 128, 7, 12), torch.randn(1, 288, 7, 12), torch.rand(1, 144, 7, 12)
    whole = deform.deform_conv(x, offset, mask, weight=layer.weight, bias=layer.bias, variant="torch")
    monkeypatch.setattr(deform, "SLAB_SAMPLES", 12 * 144 * 2)
    slabs = deform.deform_conv(x, offset, mask, weight=layer.weight, bias=layer.bias, variant="torch")
    assert worst(slabs, whole) <= 1e-5


def test_twin_serves_where_torchvision_has_no_operator(monkeypatch):
    monkeypatch.setattr(deform, "has_torchvision_op", lambda: False)
    with deform.using("torchvision"):
        assert deform.pick_variant(torch.device("cuda")) == "torch"


# ---- RAFT


@pytest.fixture(scope="module")
def raft_inputs(golden, models):
    with torch.inference_mode():
        video = golden("raft").video()
        return video, models.raft.features(video), models.raft.context(video)


def test_raft_encoders(golden, models, raft_inputs):
    case, (video, features, _) = golden("raft"), raft_inputs
    assert worst(features[:1], recorded(case, "fmap0")) <= 1e-4
    assert worst(features[1:2], recorded(case, "fmap1")) <= 1e-4
    assert worst(models.raft.context_encoder(video[:1]), recorded(case, "cnet_raw")) <= 1e-4


def test_raft_correlation_pyramid(golden, raft_inputs):
    case, (_, features, _) = golden("raft"), raft_inputs
    pyramid = correlation_pyramid(features[:1], features[1:2])
    for level in (1, 2, 3):
        assert worst(pyramid[level][37], recorded(case, f"corr_pyr{level}_row37")) <= 1e-4


def test_raft_backward_correlation_is_the_transpose(raft_inputs):
    _, features, _ = raft_inputs
    there = correlation_pyramid(features[1:2], features[:1])
    both = correlation_pyramid(features[:1], features[1:2], both_ways=True)
    assert all(worst(a, b[len(a) :]) <= 1e-5 for a, b in zip(there, both, strict=True))


@pytest.mark.parametrize("key", ["identity", "shifted"])
def test_raft_lookup(golden, raft_inputs, key):
    case, (_, features, _) = golden("raft"), raft_inputs
    coords = pixel_grid(features[:1]) + (case.tensor("coord_shift") if key == "shifted" else 0)
    taps = lookup(correlation_pyramid(features[:1], features[1:2]), coords)
    assert worst(taps, recorded(case, f"corr_lookup_{key}")) <= 1e-4


def test_raft_first_update(golden, models, raft_inputs):
    case, (_, features, (hidden, context)) = golden("raft"), raft_inputs
    pyramid = correlation_pyramid(features[:1], features[1:2])
    flow, state = models.raft.refine(pyramid, hidden[:1], context[:1], iters=1)
    assert worst(flow, recorded(case, "iter1_delta")) <= 1e-5
    assert worst(state, recorded(case, "iter1_net")) <= 1e-4
    mask = models.raft.mask_predictor(state)
    assert worst(convex_upsample(case.tensor("coord_shift"), mask), recorded(case, "upsample_of_shift")) <= 1e-3


@pytest.mark.parametrize("iters", [1, 5, 20])
def test_raft_flow(golden, models, raft_inputs, iters):
    case, (_, features, (hidden, context)) = golden("raft"), raft_inputs
    pyramid = correlation_pyramid(features[:1], features[1:2])
    flow, state = models.raft.refine(pyramid, hidden[:1], context[:1], iters=iters)
    assert worst(flow, recorded(case, f"low_{iters}")) <= 1e-5
    assert worst(models.raft.upsample(flow, state), recorded(case, f"up_{iters}")) <= 1e-4


def test_raft_with_a_start(golden, models, raft_inputs):
    case, (_, features, (hidden, context)) = golden("raft"), raft_inputs
    pyramid = correlation_pyramid(features[:1], features[1:2])
    start = case.tensor("flow_init")
    flow, state = models.raft.refine(pyramid, hidden[:1], context[:1], iters=3, start=start)
    assert worst(flow, recorded(case, "low_init3")) <= 1e-5
    assert worst(models.raft.upsample(flow, state), recorded(case, "up_init3")) <= 1e-3


@pytest.mark.parametrize("path", ["as published", "encoded once"])
def test_raft_both_directions(golden, models, path):
    case = golden("raft")
    video = case.video()
    if path == "as published":
        forward, backward = models.raft.bidirectional(video, iters=20)
    else:
        forward, backward = models.raft.both_ways(models.raft.encode(video), iters=20)
    assert worst(forward, case["bi20_f"]) <= 1e-4
    assert worst(backward, case["bi20_b"]) <= 1e-4


# ---- flow completion


@pytest.mark.parametrize(("name", "limit"), [("rfc_a", 2e-5), ("rfc_b", 1e-5)])
def test_flow_completion(golden, models, variant, name, limit):
    case = golden(name)
    masks, compared = case.tensor("mask_u8")[0].split(1), 0
    for suffix, at, order in (("f", masks[:-1], 1), ("b", masks[1:], -1)):
        flows = case.tensor(f"flow_{suffix}")[0].split(1)
        found = list(complete_one_way(models.completion, flows[::order], at[::order]))[::order]
        for key, steps in zip((f"pred_{suffix}", f"comb_{suffix}"), zip(*found, strict=True), strict=True):
            if key in case:
                compared += 1
                assert worst(torch.cat(steps), case[key]) <= limit, key
    assert compared


def test_both_directions_of_flow_completion(golden, models):
    case = golden("rfc_b")
    flows = (case.tensor("flow_f")[0].split(1), case.tensor("flow_b")[0].split(1))
    forward, backward = complete_bidirectional(models.completion, flows, case.tensor("mask_u8")[0].split(1))
    assert worst(torch.cat(forward), case["comb_f"]) <= 1e-5
    assert worst(torch.cat(backward), case["comb_b"]) <= 1e-5


def test_flow_completion_of_a_box_is_the_same(golden, models):
    """The part of the decoder that a box needs, at all borders and in the middle."""
    case, net = golden("rfc_a"), models.completion
    masks = case.tensor("mask_u8")[0, :-1]
    flow = case.tensor("flow_f")[0] * (1 - masks)
    state, skip = list(net.states(lambda: torch.cat((flow, masks), dim=1).split(1)))[2]
    whole = net.decode(state, skip)
    height, width = whole.shape[2:]
    boxes = (Box(0, height, 0, width), Box(0, 9, 3, 21), Box(height - 17, height, 20, width), Box(21, 30, 13, 14))
    for box in (*boxes, Box(height - 1, height, 0, 1), Box(33, 64, width - 40, width - 8)):
        assert worst(net.decode_region(state, skip, box), whole[..., *box.cut]) <= 2e-5, box


def test_completed_holes_are_the_part_of_the_completed_flow(golden, models):
    case, net = golden("rfc_a"), models.completion
    flows, masks = case.tensor("flow_f")[0].split(1), case.tensor("mask_u8")[0, :-1].split(1)
    holes = [(mask[0, 0] != 0).numpy() for mask in masks]
    holes[1] = np.zeros_like(holes[1])
    masks = [torch.from_numpy(hole)[None, None] for hole in holes]
    found = complete_holes(net, flows, holes, device=torch.device("cpu"))
    for patch, (_, flow), hole in zip(found, complete_one_way(net, flows, masks), holes, strict=True):
        assert patch.box == (hole_box(hole) or NOTHING)
        assert patch.values.numel() == 0 or worst(patch.values, flow[..., *patch.box.cut]) <= 2e-5


def test_flow_completion_inside(golden, models, variant):
    case, net, seen = golden("rfc_a"), models.completion, {}
    names = ("downsample", "encoder1", "encoder2", "mid_dilation", "decoder2", "decoder1")
    modules = [(f"{n}_t2", getattr(net, n)) for n in names]
    aligns = [(f"align_{d}", net.feat_prop_module.deform_align[f"{d}_"]) for d in ("backward", "forward")]
    hooks = []
    for key, module in modules + aligns:
        hooks.append(module.register_forward_hook(lambda _m, _i, out, key=key: seen.setdefault(key, []).append(out)))
    masks = case.tensor("mask_u8")[0, :-1]
    flow = case.tensor("flow_f")[0] * (1 - masks)
    try:
        list(net(lambda: torch.cat((flow, masks), dim=1).split(1)))
    finally:
        for hook in hooks:
            hook.remove()
    for key, outs in seen.items():
        aligned = [(outs[0], f"{key}_1"), (outs[1], f"{key}_2")]
        for out, name in aligned if key.startswith("align") else [(outs[2], key)]:
            if name in case:
                assert worst(out, case[name]) <= 5e-5, name


# ---- warping and pixel propagation


def test_warp_and_consistency(golden):
    case = golden("imgprop")
    flow, back = case.tensor("flow_f")[0], case.tensor("flow_b")[0]
    assert np.mean(consistent(flow, back).numpy() == case["valid_fwd_u8"]) >= 0.9995
    if "valid_bwd_u8" in case:
        assert np.mean(consistent(back, flow).numpy() == case["valid_bwd_u8"]) >= 0.9995
    for mode in ("nearest", "bilinear"):
        if f"warp_{mode}_t0" in case:
            assert worst(warp(case.video()[1:2], flow[:1], mode), case[f"warp_{mode}_t0"]) <= 1e-5


def test_pixel_propagation(golden):
    case = golden("imgprop")
    video, masks = case.video(), case.tensor("mask_u8")[:, None]
    flows = Flows(case.tensor("flow_f")[0], case.tensor("flow_b")[0])
    updated, missing = propagate_pixels(video, masks, flows)
    assert np.mean(updated.numpy() == case["updated_frames"]) >= 0.999
    assert np.mean(missing.numpy() == case["updated_masks_u8"]) >= 0.9995
    if "out_backward_pass" in case:
        images, left = backward_pass(video * (1 - masks), masks, flows)
        assert np.mean(images.numpy() == case["out_backward_pass"]) >= 0.999
        assert np.mean(forward_pass(images, left, flows)[0].numpy() == case["out_forward_pass"]) >= 0.999


def test_packed_pixel_propagation_is_the_same_bits(golden):
    case = golden("imgprop")
    flows = Flows(case.tensor("flow_f")[0], case.tensor("flow_b")[0])
    updated, missing = propagate_pixels(case.video(), case.tensor("mask_u8")[:, None], flows)
    holes, cpu = [m != 0 for m in case["mask_u8"]], torch.device("cpu")
    pairs = zip(flows.forward.split(1), flows.backward.split(1), holes[:-1], holes[1:], strict=True)
    completed = [
        Completed(
            (torch.where(torch.from_numpy(h0), 7, f), torch.where(torch.from_numpy(h1), 7, b)),
            (cut_patch(f, h0), cut_patch(b, h1)),
        )
        for f, b, h0, h1 in pairs
    ]
    found = propagate_packed(list(case["frames_u8"]), holes, completed, cpu)
    images, masks = zip(*(unpack(packed, cpu) for packed in found), strict=True)
    assert torch.equal(torch.cat(images), updated)
    assert torch.equal(torch.cat(masks), missing)


# ---- generator


def window(case):
    missing = case.tensor("upd_mask_u8")[:, None]
    flows = Flows(case.tensor("flow_f")[0], case.tensor("flow_b")[0])
    return case.video() * (1 - missing), flows, case.tensor("mask_u8")[:, None], missing


GENERATOR_CASES = [("gen_a", 4), ("gen_b", 4), ("gen_c", 3)]


@pytest.mark.parametrize(("name", "local"), GENERATOR_CASES)
def test_generator(golden, models, variant, name, local):
    case = golden(name)
    out = models.generator(*window(case), local=local)
    assert worst(out[-len(case["out"]) :], case["out"]) <= 2e-5


@pytest.mark.parametrize(("name", "local"), GENERATOR_CASES)
def test_generator_fast_path(golden, models, name, local):
    """Convolutions instead of patches, the last block on local frames only, the decoder on part of the image."""
    case, net = golden(name), models.generator
    frames, flows, masks, missing = window(case)
    encoded = net.encoder(torch.cat((frames, masks, missing), dim=1))
    small = shrink_masks(masks[:local], missing[:local])
    spread = net.feat_prop_module(encoded[:local].split(1), shrink_flows(flows), small)
    grid = Grid(*encoded.shape[-2:])
    tokens = net.ss(torch.cat((spread, encoded[local:])))
    tokens = net.transformers(tokens, token_mask(small), grid, fast=True)
    assert len(tokens) == local
    features = spread + net.sc(tokens, grid, as_conv=True)
    height, width = frames.shape[-2:]
    expected = case["out"]
    for box in (Box(0, height, 0, width), Box(0, 9, 3, 21), Box(height - 17, height, 20, width), Box(21, 30, 13, 14)):
        part = torch.tanh(decode_region(net.decoder, features, box))[-len(expected) :]
        assert worst(part, expected[:, :, box.top : box.bottom, box.left : box.right]) <= 2e-5


def test_generator_inside(golden, models, variant):
    case, net = golden("gen_a"), models.generator
    frames, flows, masks, missing = window(case)
    encoded = net.encoder(torch.cat((frames, masks, missing), dim=1))
    small = shrink_masks(masks[:4], missing[:4])
    spread = net.feat_prop_module(encoded[:4].split(1), shrink_flows(flows), small)
    assert worst(encoded[5], case["encoder_t5"]) <= 5e-5
    assert worst(spread[3], case["prop_t3"]) <= 5e-5
    grid, tokens = Grid(16, 24), net.ss(torch.cat((spread, encoded[4:])))
    plan = plan_attention(token_mask(small))
    assert worst(tokens, recorded(case, "tokens")) <= 2e-4
    first = net.transformers.transformer[0]
    attended = first.attention(first.norm1(tokens), plan, parity=0, queries=6)
    assert worst(attended, recorded(case, "attn0")) <= 2e-4
    for as_conv in (False, True):
        mixed = first.mlp(first.norm2(tokens + attended), grid, as_conv=as_conv)
        assert worst(mixed, recorded(case, "mlp0")) <= 2e-4
    last = net.transformers(tokens, token_mask(small), grid)
    assert worst(last, recorded(case, "block7")) <= 2e-4
    for as_conv in (False, True):
        assert worst(net.sc(last, grid, as_conv=as_conv)[0], recorded(case, "softcomp_t0")) <= 1e-4
