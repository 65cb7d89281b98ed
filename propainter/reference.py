"""The published inference pipeline, stage by stage, with its chunk borders, integer blending and resizing.

Paper: Zhou et al., ProPainter, ICCV 2023. Weights: see ``propainter.weights``. It exists for comparison: nothing is
shared between windows or directions, all stage results stay on the device, and memory grows with the clip. The
pipeline for use is ``propainter.pipeline``.

Departures, where the published pipeline crashes or gives no finite numbers: a one-frame clip runs as two equal
frames, and sides under 128 px are refused.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from propainter.device import autocast
from propainter.errors import InputError
from propainter.flow_completion import complete_bidirectional
from propainter.masks import dilate
from propainter.options import Frames, Options
from propainter.propagation import Flows, propagate_pixels
from propainter.raft import MIN_SIDE_PX
from propainter.weights import Models
from propainter.windows import FLOW_CONTEXT, PIXEL_CHUNK, PIXEL_CONTEXT, chunks, raft_clips, window


class Context(NamedTuple):
    """What every stage needs: networks, options, where and in which type they run."""

    models: Models
    options: Options
    device: torch.device
    dtype: torch.dtype


def inpaint_reference(frames: Frames, masks: Frames, ctx: Context) -> Frames:
    """Inpaint a clip as published.

    Args:
        frames: uint8 [T,H,W,3] RGB.
        masks: uint8 [T,H,W], nonzero inside the hole.
        ctx: Networks and options.

    Returns:
        uint8 [T,H,W,3]. Sizes that are no multiple of 8 are processed at the next smaller multiple and resized back.

    Raises:
        InputError: A processed side is under 128 px.
    """
    if len(frames) == 1:
        return inpaint_reference(np.repeat(frames, 2, axis=0), np.repeat(masks, 2, axis=0), ctx)[:1]
    height, width = (side // 8 * 8 for side in frames.shape[1:3])
    if min(height, width) < MIN_SIDE_PX:
        raise InputError(
            f"{width}x{height} px after rounding down to multiples of 8: optical flow needs {MIN_SIDE_PX} px",
            todo="Enlarge the crop, or use mode='default', which pads.",
        )
    small, holes = shrink_clip(frames, masks, (width, height))
    holes = np.stack([dilate(mask, ctx.options.mask_dilation) for mask in holes])
    return resize_back(inpaint_sized(small, holes, ctx), (frames.shape[2], frames.shape[1]))


def inpaint_sized(frames: Frames, holes: np.ndarray, ctx: Context) -> Frames:
    """The stages at process size: uint8 [T,H,W,3] and bool [T,H,W] (already dilated) to uint8 [T,H,W,3]."""
    video = to_video(frames, ctx.device)
    masks = torch.from_numpy(holes).to(ctx.device, torch.float32)[:, None]
    flows = flow_stage(video, ctx)
    flows = completion_stage(flows, masks, ctx)
    updated, missing = pixel_stage(video, masks, flows, ctx)
    return generator_stage(frames, holes, (updated, masks, missing, flows), ctx)


def to_video(frames: Frames, device: torch.device) -> Tensor:
    """uint8 [T,H,W,3] to float32 [T,3,H,W] in [-1,1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).to(device).permute(0, 3, 1, 2).float() / 255 * 2 - 1


def flow_stage(video: Tensor, ctx: Context) -> Flows:
    """Optical flow of all pairs, float32, a clip of frames at a time."""
    parts = [
        ctx.models.raft.bidirectional(video[first:last], iters=ctx.options.raft_iter)
        for first, last in raft_clips(len(video), video.shape[-1])
        if last - first > 1
    ]
    return Flows(*(torch.cat(side) for side in zip(*parts, strict=True)))


def completion_stage(flows: Flows, masks: Tensor, ctx: Context) -> Flows:
    """Flow completed inside the hole, chunk by chunk; the recurrent state restarts with each chunk."""
    total, length = len(flows.forward), ctx.options.subvideo_length
    parts = []
    for chunk in chunks(total, length, FLOW_CONTEXT if total > length else 0):
        near = tuple(flow[chunk.first : chunk.last].split(1) for flow in flows)
        with autocast(ctx.device, ctx.dtype):
            holes = masks[chunk.first : chunk.last + 1].split(1)
            combined = complete_bidirectional(ctx.models.completion, near, holes)
        parts.append([torch.cat(side[chunk.keep]) for side in combined])
    return Flows(*(torch.cat(side) for side in zip(*parts, strict=True)))


def pixel_stage(video: Tensor, masks: Tensor, flows: Flows, ctx: Context) -> tuple[Tensor, Tensor]:
    """Frames filled along flow, and what is still missing, chunk by chunk."""
    total, length = len(video), min(PIXEL_CHUNK, ctx.options.subvideo_length)
    parts = []
    for chunk in chunks(total, length, PIXEL_CONTEXT if total > length else 0):
        span = slice(chunk.first, chunk.last)
        near = Flows(*(flow[chunk.first : chunk.last - 1] for flow in flows))
        parts.append([out[chunk.keep] for out in propagate_pixels(video[span], masks[span], near)])
    updated, missing = (torch.cat(side) for side in zip(*parts, strict=True))
    return updated, missing


def generator_stage(
    frames: Frames, holes: np.ndarray, inputs: tuple[Tensor, Tensor, Tensor, Flows], ctx: Context
) -> Frames:
    """All windows in order, blended half and half in uint8 with what earlier windows left."""
    updated, masks, missing, flows = inputs
    out = frames.copy()
    seen = np.zeros(len(frames), bool)
    for centre in range(0, len(frames), ctx.options.step):
        view = window(centre, len(frames), ctx.options)
        ids = view.ids
        near = Flows(*(flow[view.start : view.stop - 1] for flow in flows))
        with autocast(ctx.device, ctx.dtype):
            pred = ctx.models.generator(updated[ids], near, masks[ids], missing[ids], local=view.stop - view.start)
        pixels = ((pred.float() + 1) / 2).permute(0, 2, 3, 1).cpu().numpy() * 255
        for index, image in zip(range(view.start, view.stop), pixels.astype(np.uint8), strict=True):
            image = np.where(holes[index, :, :, None], image, frames[index])
            if seen[index]:
                image = (out[index].astype(np.float32) * 0.5 + image.astype(np.float32) * 0.5).astype(np.uint8)
            out[index], seen[index] = image, True
    return out


def shrink_clip(frames: Frames, masks: Frames, size: tuple[int, int]) -> tuple[Frames, Frames]:
    """Frames by Pillow's bicubic and masks by its nearest to ``size`` (width, height); unchanged if already so."""
    if (frames.shape[2], frames.shape[1]) == size:
        return frames, masks
    from PIL import Image

    small = [np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)) for frame in frames]
    holes = [np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST)) for mask in masks]
    return np.stack(small), np.stack(holes)


def resize_back(frames: Frames, size: tuple[int, int]) -> Frames:
    """Frames by OpenCV's bilinear to ``size`` (width, height); unchanged if already so."""
    if (frames.shape[2], frames.shape[1]) == size:
        return frames
    import cv2

    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR) for frame in frames])
