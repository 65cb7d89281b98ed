"""The public door: load the networks once, inpaint clips or streams many times.

Paper: Zhou et al., ProPainter: Improving Propagation and Transformer for Video Inpainting, ICCV 2023.
Weights: three files the user supplies (``propainter.weights``), non-commercial licence; nothing is downloaded.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from propainter import deform
from propainter.device import map_large_tensors, pick_device, pick_dtype
from propainter.effort import Effort, Ladder
from propainter.errors import InputError
from propainter.masks import dilate
from propainter.options import Frames, Options, checked_clip, checked_mode
from propainter.reference import Context, inpaint_reference
from propainter.scenes import Seen, mark_cuts
from propainter.shot import Shot
from propainter.weights import Models, load
from propainter.windows import PIXEL_CONTEXT

Cuts = Collection[int] | str | None


class Inpainter:
    """The three networks, loaded, and the pipelines over them. One instance serves one thread at a time.

    On the CPU the same input gives the same bytes, run after run, for the same build of torch and the same number of
    threads (``torch.set_num_threads``): another thread count may split sums differently and move single levels by
    one. On CUDA, atomic additions inside torch may move single levels by one even between equal runs.

    Args:
        models: Networks from ``propainter.weights.load``.
        device: Where they are.
        dtype: Float type of convolutions and matrices; warping and optical flow stay float32.
    """

    def __init__(self, models: Models, *, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self.models = models
        self.device = device
        self.dtype = dtype
        _channels_last(models)
        map_large_tensors()

    @classmethod
    def load(
        cls,
        weights: Path | str,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
    ) -> Inpainter:
        """Load the three checkpoints.

        Args:
            weights: Folder that holds them.
            device: Where to run; None picks CUDA if there is one, else the CPU.
            dtype: "float32" (None), "float16" (CUDA only) or "bfloat16".

        Raises:
            WeightsError: A file is missing, truncated or wrong.
            InputError: No such dtype.
        """
        place = pick_device(device)
        kind = pick_dtype(dtype, place)
        return cls(load(weights, device=place), device=place, dtype=kind)

    def inpaint(
        self,
        frames: Frames,
        masks: Frames,
        *,
        mode: str = "default",
        scene_cuts: Cuts = "auto",
        **options: int,
    ) -> Frames:
        """Inpaint a clip that is in memory.

        Args:
            frames: uint8 [T,H,W,3] RGB.
            masks: uint8 [T,H,W], nonzero inside the hole; one mask [H,W] or [1,H,W] serves all frames.
            mode: "default", or "reference": the published pipeline to the letter, for comparison.
            scene_cuts: See ``stream``; the reference knows no cuts.
            **options: Fields of ``propainter.options.Options``.

        Returns:
            uint8 [T,H,W,3]; outside the dilated masks the input, byte for byte (in reference mode only for sides
            that are multiples of 8).

        Raises:
            InputError: Shapes, types or options outside their range.
        """
        chosen = Options(**options)
        frames, masks = checked_clip(frames, masks)
        if checked_mode(mode) == "reference":
            return self._reference(frames, masks, chosen)
        return np.stack(list(self._stream(zip(frames, masks, strict=True), scene_cuts, chosen)))

    def stream(
        self,
        frames: Iterable[Frames],
        masks: Iterable[Frames],
        *,
        scene_cuts: Cuts = "auto",
        **options: int,
    ) -> Iterator[Frames]:
        """Inpaint a clip of any length in bounded memory; gives the same frames as ``inpaint`` in default mode.

        Frames come out in order, up to about two chunks (2 * subvideo_length) later than they went in.

        Args:
            frames: uint8 [H,W,3] RGB each, all of one size.
            masks: uint8 or bool [H,W] each, nonzero inside the hole, as many as frames.
            scene_cuts: Indices of frames that start a scene, "auto" to find them, None for none.
            **options: Fields of ``propainter.options.Options``.

        Yields:
            uint8 [H,W,3], one per frame.

        Raises:
            InputError: Shapes, types, counts or options outside their range.
        """
        return self._stream(zip(frames, masks, strict=True), scene_cuts, Options(**options))

    @torch.inference_mode()
    def _reference(self, frames: Frames, masks: Frames, options: Options) -> Frames:
        # the published operators, at full float32 precision where the GPU would round to TF32
        with deform.using("torchvision"), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return inpaint_reference(frames, masks, Context(self.models, options, self.device, self.dtype))

    def _stream(self, clip: Iterable[tuple[Any, Any]], cuts: Cuts, options: Options) -> Iterator[Frames]:
        ladder = Ladder(self.models, Effort(self.device, self.dtype))
        run = Run(ladder, options)
        try:
            for seen in mark_cuts(_holes(clip, options), cuts):
                with torch.inference_mode():  # not around the yield: it must not leak into the caller's code
                    out = run.push(seen)
                yield from out
            with torch.inference_mode():
                out = run.finish()
            yield from out
        finally:
            if ladder.effort.device != self.device:
                self.models.to(self.device)


class Run:
    """Splits a stream into shots: at scene cuts, and where no frame nearby has a hole.

    Frames without a hole pass through; a few of them on both sides of a stretch with holes go along as context.

    Args:
        ladder: Networks and the present effort; the effort is kept from shot to shot.
        options: Options of the run.
    """

    def __init__(self, ladder: Ladder, options: Options) -> None:
        self.ladder = ladder
        self.options = options
        self.context = max(PIXEL_CONTEXT, 2 * options.step)
        # shots start where windows and references of the whole scene would lie, too
        self.align = math.lcm(options.step, options.ref_stride)
        self.align = self.align if self.align <= 4 * self.context else options.step
        self.before: deque[Seen] = deque(maxlen=self.context + self.align)
        self.index = 0  # frames of this scene so far
        self.quiet = 0  # frames without a hole since the last one with
        self.shot: Shot | None = None

    def push(self, seen: Seen) -> list[Frames]:
        """Take the next frame; give back what is finished."""
        out = self.finish() if seen.cut else []
        has_hole = bool(seen.hole.any())
        if self.shot is None and has_hole:
            self.shot = self._start()
        self.quiet = 0 if has_hole else self.quiet + 1
        if self.shot is None:
            out.append(seen.frame)
        else:
            out.extend(self.shot.push(seen.frame, seen.hole))
            if self.quiet >= self.context:
                out.extend(self.shot.finish())
                self.shot = None
        self.before.append(seen)
        self.index += 1
        return out

    def finish(self) -> list[Frames]:
        """The scene ends here: give back the rest."""
        out = [] if self.shot is None else self.shot.finish()
        self.shot, self.index, self.quiet = None, 0, 0
        self.before.clear()
        return out

    def _start(self) -> Shot:
        """A shot that begins with earlier frames without holes, as context."""
        start = max(0, self.index - self.context)
        lead = min(self.index - start // self.align * self.align, self.quiet, len(self.before))
        shot = Shot(self.ladder, self.options, context=lead)
        for seen in list(self.before)[len(self.before) - lead :]:
            shot.push(seen.frame, seen.hole)
        return shot


def inpaint(
    frames: Frames,
    masks: Frames,
    *,
    weights: Path | str,
    mode: str = "default",
    subvideo_length: int = 80,
    neighbor_length: int = 10,
    ref_stride: int = 10,
    mask_dilation: int = 4,
    raft_iter: int = 20,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
) -> Frames:
    """Inpaint a clip; loads the networks, runs, forgets them. ``Inpainter`` keeps them.

    Args:
        frames: uint8 [T,H,W,3] RGB.
        masks: uint8 [T,H,W], nonzero inside the hole; one mask [H,W] or [1,H,W] serves all frames.
        weights: Folder with the three checkpoint files.
        mode: "default", or "reference": the published pipeline to the letter, for comparison.
        subvideo_length: Frames per chunk of flow completion and pixel propagation.
        neighbor_length: Frames per generator window, half to each side of its centre.
        ref_stride: Distance between reference frames.
        mask_dilation: Growth of the masks, px.
        raft_iter: Updates of the optical flow.
        device: Where to run; None picks CUDA if there is one, else the CPU.
        dtype: "float32" (None), "float16" (CUDA only) or "bfloat16".

    Returns:
        uint8 [T,H,W,3].

    Raises:
        InputError: Frames, masks or options outside what the pipeline accepts.
        WeightsError: A file is missing, truncated or wrong.
    """
    options: dict[str, Any] = {
        "subvideo_length": subvideo_length,
        "neighbor_length": neighbor_length,
        "ref_stride": ref_stride,
        "mask_dilation": mask_dilation,
        "raft_iter": raft_iter,
    }
    Options(**options), checked_clip(frames, masks), checked_mode(mode)  # before the seconds that loading takes
    return Inpainter.load(weights, device=device, dtype=dtype).inpaint(frames, masks, mode=mode, **options)


def _holes(clip: Iterable[tuple[Any, Any]], options: Options) -> Iterator[tuple[Frames, NDArray[np.bool_]]]:
    """Checked frames and dilated holes."""
    size: tuple[int, ...] | None = None
    for frame, mask in clip:
        frame, mask = np.asarray(frame), np.asarray(mask)
        size = size or frame.shape
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape != size or frame.shape[2] != 3:
            raise InputError(f"frame {frame.dtype} {frame.shape}", todo="Give uint8 [H,W,3], all of one size.")
        if mask.shape != frame.shape[:2]:
            raise InputError(f"mask {mask.shape} does not fit frame {frame.shape}", todo="Give [H,W].")
        yield frame, dilate(mask, options.mask_dilation)


def _channels_last(models: Models) -> None:
    """Convolution weights with channels innermost: the faster layout on CPUs and on tensor cores."""
    for net in (models.raft, models.completion, models.generator):
        for weight in net.parameters():
            if weight.dim() == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
