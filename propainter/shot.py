"""The default pipeline over one shot: frames go in one by one, finished ones come out, memory stays bounded.

Every stage runs as soon as its inputs are complete and drops what no later stage needs. Stage results wait on the
host; features of frames near the present window stay on the device. Chunk borders are those of the published
pipeline (see ``windows``) with one difference: pixel propagation ends its chunks where completed flow ends, not a
whole chunk later. Paper: Zhou et al., ProPainter, ICCV 2023.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propainter.effort import Effort, Ladder
from propainter.generator import shrink_flows, shrink_masks
from propainter.options import Frames, Options
from propainter.packed import Completed, FlowPair, Packed, Patch, propagate_packed
from propainter.propagation import Flows
from propainter.raft import MIN_SIDE_PX
from propainter.region import Box, hole_box
from propainter.stages import Encoded, WindowInput, complete_holes, encode_frames, flow_batch, generate
from propainter.windows import FLOW_CONTEXT, PIXEL_CHUNK, PIXEL_CONTEXT, Window, reference_reach, window

HOST = torch.device("cpu")


@dataclass
class Canvas:
    """Weighted sum of what windows made of one frame's hole.

    Attributes:
        box: Where it lies, px.
        total: float32 [3,h,w], sum of weight times value in [-1,1].
        weight: float32 [h,w].
    """

    box: Box
    total: Tensor
    weight: Tensor


@dataclass
class Buffers:
    """What a shot holds, by frame index (flows: index of their earlier frame)."""

    frames: dict[int, Frames] = field(default_factory=dict)
    holes: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    raw: dict[int, FlowPair] = field(default_factory=dict)
    completed: dict[int, Completed] = field(default_factory=dict)
    small_flows: dict[int, Flows] = field(default_factory=dict)
    updated: dict[int, Packed] = field(default_factory=dict)
    small_masks: dict[int, Tensor] = field(default_factory=dict)
    features: dict[int, Tensor] = field(default_factory=dict)
    canvases: dict[int, Canvas] = field(default_factory=dict)


class Shot:
    """Consecutive frames of one scene, inpainted as they arrive.

    Args:
        ladder: Networks and the present effort.
        options: Options of the run.
        context: How many of the first frames pushed are context, not to be given back.
    """

    def __init__(self, ladder: Ladder, options: Options, *, context: int = 0) -> None:
        self.ladder = ladder
        self.options = options
        self.data = Buffers()
        self.count = 0  # frames pushed
        self.flows = 0  # raw flows computed
        self.completed = 0  # flows completed
        self.updated = 0  # frames propagated
        self.centre = 0  # next window
        self.given = context  # next frame to give back
        self.ended = False
        self.last_encoded: Encoded | None = None
        self.size: tuple[int, int] = (0, 0)

    def push(self, frame: Frames, hole: NDArray[np.bool_]) -> list[Frames]:
        """Take the next frame, uint8 [H,W,3], and its hole, bool [H,W]; give back those that are finished."""
        self.size = frame.shape[:2]
        height, width = (max(MIN_SIDE_PX, -(-side // 8) * 8) for side in self.size)
        pad = ((0, height - self.size[0]), (0, width - self.size[1]))
        # the hole is mirrored as well: what it hides must not come back as known pixels
        self.data.frames[self.count] = np.pad(frame, (*pad, (0, 0)), mode="reflect") if any(map(any, pad)) else frame
        hole = np.pad(hole, pad, mode="reflect") if any(map(any, pad)) else hole
        before = self.data.holes.get(self.count - 1)
        # most holes stay where they are: held once
        self.data.holes[self.count] = before if before is not None and np.array_equal(before, hole) else hole
        self.count += 1
        return self._advance()

    def finish(self) -> list[Frames]:
        """No more frames: give back the rest."""
        if self.count == 1:  # a window needs two frames; the copy is not given back
            only = (self.data.frames[0], self.data.holes[0])
            self.data.frames[1], self.data.holes[1], self.count = *only, 2
            self.ended = True
            return self._advance()[:1]
        self.ended = True
        return self._advance()

    def _advance(self) -> list[Frames]:
        self._flow_stage()
        self._completion_stage()
        self._pixel_stage()
        return self._window_stage()

    def _flow_stage(self) -> None:
        height, width = self.data.frames[self.count - 1].shape[:2]
        while (pending := self.count - 1 - self.flows) > 0:
            batch = min(pending, self.ladder.effort.pairs_for(height, width))
            if not self.ended and batch < self.ladder.effort.pairs_for(height, width):
                return
            self.ladder.run(lambda effort: self._flow_batch(min(pending, effort.pairs_for(height, width)), effort))

    def _flow_batch(self, pairs: int, effort: Effort) -> None:
        start = self.flows + (self.last_encoded is not None)
        frames = [self.data.frames[t] for t in range(start, self.flows + pairs + 1)]
        iters = self.options.raft_iter
        found, self.last_encoded = flow_batch(
            self.ladder.models.raft, frames, self.last_encoded, iters=iters, effort=effort
        )
        self.data.raw.update(enumerate(found, start=self.flows))
        self.flows += pairs

    def _completion_stage(self) -> None:
        length = self.options.subvideo_length
        while self.completed < self.flows:
            start = self.completed
            if not self.ended and self.flows < start + length + FLOW_CONTEXT:
                return
            stop = min(self.flows, start + length)
            first, last = max(0, start - FLOW_CONTEXT), min(self.flows, start + length + FLOW_CONTEXT)
            filled = self.ladder.run(partial(self._complete, first, last))
            for t in range(start, stop):
                self.data.completed[t] = Completed(self.data.raw[t], filled[t - first])
                self.data.small_flows[t] = shrink_flows(Flows(*self.data.completed[t].pair(HOST)))
            self.completed = stop
            _drop_before(self.data.raw, stop - FLOW_CONTEXT)

    def _complete(self, first: int, last: int, effort: Effort) -> list[tuple[Patch, Patch]]:
        net, raw = self.ladder.models.completion, [self.data.raw[t] for t in range(first, last)]
        holes = [self.data.holes[t] for t in range(first, last + 1)]
        there = complete_holes(net, [pair[0] for pair in raw], holes[:-1], device=effort.device)
        back = complete_holes(net, [pair[1] for pair in raw[::-1]], holes[:0:-1], device=effort.device)
        return list(zip(there, back[::-1], strict=True))

    def _pixel_stage(self) -> None:
        limit = min(PIXEL_CHUNK, self.options.subvideo_length)
        whole = self.ended and self.completed == self.count - 1
        while (reach := self.count if whole else self.completed - PIXEL_CONTEXT) > self.updated:
            start, stop = self.updated, min(reach, self.updated + limit)
            first = max(0, start - PIXEL_CONTEXT)
            last = min(self.count if whole else self.completed + 1, stop + PIXEL_CONTEXT)
            span = range(first, last)
            found = propagate_packed(
                [self.data.frames[t] for t in span],
                [self.data.holes[t] for t in span],
                [self.data.completed[t] for t in span[:-1]],
                self.ladder.effort.device,
            )
            for t in range(start, stop):
                self.data.updated[t] = found[t - first]
                self.data.small_masks[t] = self._small_masks(t)
            self.updated = stop
            _drop_before(self.data.completed, stop - PIXEL_CONTEXT)

    def _small_masks(self, t: int) -> Tensor:
        hole = torch.from_numpy(self.data.holes[t]).float()[None, None]
        return shrink_masks(hole, self.data.updated[t].missing(HOST)).bool()

    def _window_stage(self) -> list[Frames]:
        out: list[Frames] = []
        whole = self.ended and self.updated == self.count
        while self.centre < self.count:
            ahead = self.centre + max(self.options.step + 1, reference_reach(self.options))
            if not whole and (self.count <= self.options.subvideo_length or self.updated < ahead):
                self.data.features.clear()  # they would wait for a whole chunk; encoding a few again costs 1 %
                return out
            view = window(self.centre, self.count, self.options)
            if any(self.data.holes[t].any() for t in range(view.start, view.stop)):
                self.ladder.run(partial(self._run_window, view))
            self.centre += self.options.step
            out.extend(self._give(self.centre - self.options.step if self.centre < self.count else self.count))
            self._forget()
        return out

    def _run_window(self, view: Window, effort: Effort) -> None:
        start, stop, references = self._narrowed(view, effort)
        ids = [*range(start, stop), *references]
        self._encode([t for t in ids if t not in self.data.features], effort)
        features = [self.data.features[t].to(effort.device) for t in ids]
        local = stop - start
        flows = [self.data.small_flows[t] for t in range(start, stop - 1)]
        masks = torch.cat([self.data.small_masks[t] for t in range(start, stop)])
        near = WindowInput(
            local=features[:local],
            references=features[local:],
            flows=Flows(*(torch.cat(side).to(effort.device) for side in zip(*flows, strict=True))),
            masks=masks.to(effort.device).float(),
            boxes=[hole_box(self.data.holes[t]) for t in range(start, stop)],
        )
        made = generate(self.ladder.models.generator, near, effort=effort)
        for pixels in made:  # only after the whole window succeeded: a repeated stage must not add twice
            self._blend(start + pixels.at, pixels.box, pixels.values, pixels.share)

    def _narrowed(self, view: Window, effort: Effort) -> tuple[int, int, tuple[int, ...]]:
        """Local range and references under the present effort."""
        start, stop, references = view
        if effort.short:
            reach = (self.options.step + 1) // 2
            start = max(start, self.centre - reach)
            # the last window reaches the end, since no later one does
            stop = stop if self.centre + self.options.step >= self.count else min(stop, self.centre + reach + 1)
        if effort.references is not None:
            nearest = sorted(references, key=lambda t: abs(t - self.centre))[: effort.references]
            references = tuple(sorted(nearest))
        return start, stop, references

    def _encode(self, ids: list[int], effort: Effort) -> None:
        found = encode_frames(
            self.ladder.models.generator,
            [self.data.updated[t] for t in ids],
            [self.data.holes[t] for t in ids],
            effort=effort,
        )
        self.data.features.update(zip(ids, found, strict=True))

    def _blend(self, t: int, box: Box, values: Tensor, share: Tensor) -> None:
        if t < self.given:
            return
        if t not in self.data.canvases:
            whole = hole_box(self.data.holes[t])
            assert whole is not None  # windows give no pixels of frames without a hole
            shape = (whole.bottom - whole.top, whole.right - whole.left)
            self.data.canvases[t] = Canvas(whole, torch.zeros(3, *shape), torch.zeros(shape))
        canvas = self.data.canvases[t]
        rows = slice(box.top - canvas.box.top, box.bottom - canvas.box.top)
        columns = slice(box.left - canvas.box.left, box.right - canvas.box.left)
        between = t >= self.options.step and t + self.options.step < self.count
        share = share * window_weight(t - self.centre, between=between)
        canvas.total[:, rows, columns] += values * share
        canvas.weight[rows, columns] += share

    def _give(self, until: int) -> list[Frames]:
        """Finished frames up to ``until``, cropped to the size they came in."""
        first, self.given = self.given, max(self.given, until)
        return [self._finished(t)[: self.size[0], : self.size[1]] for t in range(first, self.given)]

    def _finished(self, t: int) -> Frames:
        canvas = self.data.canvases.pop(t, None)
        frame = self.data.frames[t].copy()
        if canvas is None:
            return frame
        box = canvas.box
        levels = ((canvas.total / canvas.weight + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        hole = self.data.holes[t][box.top : box.bottom, box.left : box.right]
        inside = frame[box.top : box.bottom, box.left : box.right]
        inside[hole] = levels.permute(1, 2, 0).numpy()[hole]
        return frame

    def _forget(self) -> None:
        """Drop what no later window, chunk or frame needs."""
        local = self.centre - self.options.step
        everywhere = self.count <= self.options.subvideo_length  # references may be anywhere in a short shot
        far = 0 if everywhere else self.centre - max(reference_reach(self.options), self.options.step)
        # in a long shot, references are counted from the start of their reach, which moves by a step
        grid = self.options.ref_stride if everywhere else math.gcd(self.options.ref_stride, self.options.step)
        for held in (self.data.features, self.data.updated):
            for t in [t for t in held if t < far or (t < local and t % grid)]:
                del held[t]
        _drop_before(self.data.small_flows, local)
        _drop_before(self.data.small_masks, local)
        chunk = min(self.updated - PIXEL_CONTEXT, self.completed - FLOW_CONTEXT)
        _drop_before(self.data.frames, min(local, chunk, self.given))
        _drop_before(self.data.holes, min(far, local, chunk, self.given))


def window_weight(distance: int, *, between: bool) -> float:
    """Share of a window in a frame, before normalisation: published halving made symmetric in time.

    Frames between two centres lie in two windows and get a half of each. A frame at a centre lies in three; halving
    in window order gives it 1/4, 1/4 and 1/2, in reverse order 1/2, 1/4 and 1/4, and the mean is 3/8, 1/4, 3/8.

    Args:
        distance: Frames from the window's centre.
        between: Whether windows centred before and after the frame reach it, too.
    """
    return 2 / 3 if distance == 0 and between else 1.0


def _drop_before(held: dict[int, Any], first: int) -> None:
    for t in [t for t in held if t < first]:
        del held[t]
