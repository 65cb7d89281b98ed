"""The stages of the default pipeline over one stretch of frames: optical flow, and one generator window.

They compute on the device of the effort given and take their inputs from the host. Paper: Zhou et al., ProPainter,
ICCV 2023. Weights: see ``propainter.weights``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propainter.effort import Effort
from propainter.flow_completion import FlowCompletion, masked_inputs
from propainter.generator import Generator, token_mask
from propainter.options import Frames
from propainter.packed import NOTHING, FlowPair, Packed, Patch, cut_patch, unpack
from propainter.propagation import Flows
from propainter.raft import Raft
from propainter.region import Box, decode_region
from propainter.transformer import Grid

CELL = 4  # px per feature
TILE_OVERLAP = 24  # features shared by neighbouring tiles

Encoded = tuple[Tensor, Tensor, Tensor]


def flow_batch(
    raft: Raft, frames: Sequence[Frames], before: Encoded | None, *, iters: int, effort: Effort
) -> tuple[list[FlowPair], Encoded]:
    """Flows between consecutive frames, each frame encoded once.

    Args:
        raft: The network; runs in float32 whatever the effort says.
        frames: uint8 [H,W,3] each; new ones only when ``before`` is given.
        before: What an earlier call returned for its last frame.
        iters: Updates.
        effort: Where to run.

    Returns:
        Pairs (forward, backward) of [1,2,H,W] float32 on the host, and the last frame's encoding.
    """
    device = effort.device
    # flow errors move pixels: no half precision, and no TF32 rounding on the GPU either
    with torch.autocast(device.type, enabled=False), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        parts = [] if before is None else [tuple(part.to(device) for part in before)]
        for start in range(0, len(frames), effort.frames):
            batch = np.stack(frames[start : start + effort.frames])
            video = torch.from_numpy(batch).to(device).permute(0, 3, 1, 2).float() / 255 * 2 - 1
            parts.append(raft.encode(video))
        encoded = tuple(torch.cat(part) for part in zip(*parts, strict=True))
        forward, backward = (flow.cpu().split(1) for flow in raft.both_ways(encoded, iters=iters))
    return list(zip(forward, backward, strict=True)), tuple(part[-1:].clone() for part in encoded)


def complete_holes(
    net: FlowCompletion, flows: Sequence[Tensor], holes: Sequence[NDArray[np.bool_]], *, device: torch.device
) -> list[Patch]:
    """Completed flow of one direction, inside the holes; outside them it is what was measured.

    Args:
        net: The network.
        flows: [1,2,H,W] each, px, in the order of the recurrence.
        holes: bool [H,W] each, on the grid of its flow.
        device: Where to compute.
    """
    masks = [torch.from_numpy(hole)[None, None] for hole in holes]
    out: list[Patch] = []
    states = net.states(masked_inputs(flows, masks, device))
    for (state, skip), flow, mask, hole in zip(states, flows, masks, holes, strict=True):
        patch = cut_patch(flow, hole)
        if patch.box != NOTHING:
            found = net.decode_region(state, skip, patch.box).float().cpu()
            patch = patch._replace(values=torch.where(mask[..., *patch.box.cut], found, patch.values))
        out.append(patch)
    return out


def encode_frames(
    net: Generator, updated: Sequence[Packed], holes: Sequence[NDArray[np.bool_]], *, effort: Effort
) -> list[Tensor]:
    """Generator features [1,128,H/4,W/4] of single frames, on the device."""
    out: list[Tensor] = []
    for start in range(0, len(updated), effort.frames):
        inputs = []
        for packed, hole in zip(updated[start:][: effort.frames], holes[start:][: effort.frames], strict=True):
            image, missing = unpack(packed, effort.device)
            mask = torch.from_numpy(hole).to(effort.device, torch.float32)[None, None]
            inputs.append(torch.cat((image, mask, missing), dim=1))  # (1, 5, H, W)
        # copies: a view that is kept long would keep the whole batch
        out.extend(features.clone() for features in net.encoder(torch.cat(inputs)).split(1))
    return out


class WindowInput(NamedTuple):
    """One generator window on the device.

    Attributes:
        local: Features of the L local frames, [1,128,h,w] each.
        references: Features of the reference frames, [1,128,h,w] each.
        flows: Completed flows between local frames on the feature grid, each [L-1,2,h,w].
        masks: Hole and missing on the feature grid, [L,2,h,w].
        boxes: Wanted part of each local frame, px; None where its hole is empty.
    """

    local: list[Tensor]
    references: list[Tensor]
    flows: Flows
    masks: Tensor
    boxes: list[Box | None]


class Pixels(NamedTuple):
    """Pixels of one local frame: its position in the window, where they go, values and blend shares on the host."""

    at: int
    box: Box
    values: Tensor  # [3,h,w] in [-1,1]
    share: Tensor  # [h,w]


def generate(net: Generator, view: WindowInput, *, effort: Effort) -> list[Pixels]:
    """Inpaint the wanted boxes of one window, in tiles if the effort says so.

    Args:
        net: The generator.
        view: The window.
        effort: Batch size and tiles.
    """
    size = view.masks.shape
    axis = 2 if size[2] > size[3] else 3
    length = size[axis]
    out: list[Pixels] = []
    for start, stop in tile_spans(length, effort.tiles):
        ramp = tile_ramp(start, stop, length)
        part = _slice(view, axis, start, stop) if effort.tiles > 1 else view
        for pixels in _generate_tile(net, part, effort):
            out.append(_placed(pixels, axis, start * CELL, ramp) if effort.tiles > 1 else pixels)
    return out


def _generate_tile(net: Generator, view: WindowInput, effort: Effort) -> list[Pixels]:
    if not any(view.boxes):
        return []
    local = len(view.local)
    grid = Grid(*view.masks.shape[2:])
    spread = net.feat_prop_module(view.local, view.flows, view.masks)
    tokens = net.ss(torch.cat((spread, *view.references)))
    tokens = net.transformers(tokens, token_mask(view.masks), grid, fast=True)
    features = spread + net.sc(tokens[:local], grid, as_conv=True)
    wanted = [(index, box) for index, box in enumerate(view.boxes) if box is not None]
    out: list[Pixels] = []
    for start in range(0, len(wanted), effort.frames):
        out.extend(_decode(net, features, wanted[start : start + effort.frames]))
    return out


def _decode(net: Generator, features: Tensor, wanted: list[tuple[int, Box]]) -> list[Pixels]:
    """Decode some frames together on the union of their boxes."""
    boxes = [box for _, box in wanted]
    union = Box(
        min(b.top for b in boxes), max(b.bottom for b in boxes),
        min(b.left for b in boxes), max(b.right for b in boxes),
    )  # fmt: skip
    images = torch.tanh(decode_region(net.decoder, features[[index for index, _ in wanted]], union).float()).cpu()
    out = []
    for (index, box), image in zip(wanted, images, strict=True):
        values = image[:, box.top - union.top : box.bottom - union.top, box.left - union.left : box.right - union.left]
        out.append(Pixels(index, box, values, torch.ones(values.shape[1:])))
    return out


def tile_spans(length: int, tiles: int) -> list[tuple[int, int]]:
    """Overlapping spans that cover ``length`` features; fewer where they would be mostly overlap."""
    tiles = min(tiles, max(1, length // (2 * TILE_OVERLAP)))
    edges = [length * i // tiles for i in range(tiles + 1)]
    half = TILE_OVERLAP // 2
    return [(max(0, a - half), min(length, b + half)) for a, b in itertools.pairwise(edges)]


def tile_ramp(start: int, stop: int, length: int) -> Tensor:
    """Blend shares per px along a tile: rising and falling over the overlap, 1 elsewhere."""
    position = (torch.arange((stop - start) * CELL) + 0.5) / (TILE_OVERLAP * CELL)
    rise = position.clamp(max=1.0) if start > 0 else torch.ones_like(position)
    fall = position.flip(0).clamp(max=1.0) if stop < length else torch.ones_like(position)
    return rise * fall


def _slice(view: WindowInput, axis: int, start: int, stop: int) -> WindowInput:
    """The part of a window between two features along one axis."""

    def cut(x: Tensor) -> Tensor:
        return x.narrow(axis, start, stop - start)

    boxes = [None if box is None else _cut_box(box, axis, start * CELL, stop * CELL) for box in view.boxes]
    flows = Flows(*(cut(flow) for flow in view.flows))
    return WindowInput([*map(cut, view.local)], [*map(cut, view.references)], flows, cut(view.masks), boxes)


def _cut_box(box: Box, axis: int, start: int, stop: int) -> Box | None:
    low, high = (box.top, box.bottom) if axis == 2 else (box.left, box.right)
    low, high = max(low, start) - start, min(high, stop) - start
    if low >= high:
        return None
    return box._replace(top=low, bottom=high) if axis == 2 else box._replace(left=low, right=high)


def _placed(pixels: Pixels, axis: int, offset: int, ramp: Tensor) -> Pixels:
    """A tile's pixels in coordinates of the whole frame, with their blend shares."""
    box = pixels.box
    if axis == 2:
        share = ramp[box.top : box.bottom, None].expand_as(pixels.share)
        return pixels._replace(box=box._replace(top=box.top + offset, bottom=box.bottom + offset), share=share)
    share = ramp[box.left : box.right].expand_as(pixels.share)
    return pixels._replace(box=box._replace(left=box.left + offset, right=box.right + offset), share=share)
