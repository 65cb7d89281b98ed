"""Engine A: camera motion brings hidden pixels from other frames; a validated blend falls back to the membrane.

For opaque or unknown overlays. A pan shows what was hidden; where nothing does, or where what is brought in does not fit
the surroundings, the result is the membrane.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Confidence
from waterz_spool.restore import blend
from waterz_spool.restore.base import Check, Clip, Restored, no_check
from waterz_spool.restore.holes import Hole, hole
from waterz_spool.restore.masks import MaskGroups
from waterz_spool.restore.membrane import Membrane, fill_frames, round_to
from waterz_spool.restore.motion import Motions
from waterz_spool.restore.sources import Reach, Seen, Sources

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

_FRAMES_AT_ONCE = 8
_BRIDGE_PX = 16


@dataclass
class _Tally:
    hidden_px: int = 0
    seen_px: int = 0
    weight_px: float = 0.0

    def confidence(self) -> Confidence | None:
        if not self.hidden_px:
            return None
        share = 1 / self.hidden_px
        return Confidence(seen=self.seen_px * share, weight=self.weight_px * share, hidden_px=self.hidden_px)


@dataclass
class _Work:
    """What the frames of one clip share."""

    clip: Clip
    groups: MaskGroups
    sources: Sources
    out: NDArray[np.uint8] | NDArray[np.uint16]
    tally: _Tally = field(default_factory=_Tally)

    @property
    def scale(self) -> float:
        """Sample values per 8-bit level."""
        return float(2.0 ** (self.clip.bits - 8))


class PropagateRestorer:
    """Fills hidden pixels from the frames that show them, and from their surroundings where none does.

    Args:
        reach_frames: Largest distance in time to a frame that may serve as a source, 1..1000.
        sources: Sources per pixel and direction, 1..8.
        threads: Frames worked on at once; the result does not depend on it.

    Raises:
        ValueError: An option is out of its range.
    """

    name = "propagate"

    def __init__(self, *, reach_frames: int = 60, sources: int = 2, threads: int = 1) -> None:
        for what, value, most in (
            ("reach_frames", reach_frames, 1000),
            ("sources", sources, 8),
            ("threads", threads, 256),
        ):
            if not 1 <= value <= most:
                raise ValueError(f"{what} is {value}, not within 1..{most}")
        self._reach = Reach(frames=reach_frames, sources=sources)
        self._threads = threads

    def restore(self, clip: Clip, *, check: Check = no_check) -> Restored:
        """Fill the masked pixels of the clip's target frames.

        Raises:
            Stop: ``check`` asked for it.
        """
        groups = MaskGroups(clip.masks)
        sources = Sources(clip, groups, Motions(clip, groups), self._reach)
        work = _Work(clip, groups, sources, clip.frames[clip.start : clip.stop].copy())
        for key, frames in groups.runs(clip.start, clip.stop, _FRAMES_AT_ONCE):
            check()
            if groups.hidden(key).any():
                _restore_run(work, key, frames)
        return Restored(frames=work.out, confidence=work.tally.confidence())


def _restore_run(work: _Work, key: int, frames: list[int]) -> None:
    """Restore frames that share one mask."""
    hole_here = work.groups.cached("hole", key, hole)
    seen = [work.sources.collect(frame) for frame in frames]
    spatial = fill_frames(work.groups.cached("membrane", key, Membrane), work.clip, frames)
    ring = _ring_fill(work, key, frames) if any(s.has.any() for s in seen) else None
    for place, frame in enumerate(frames):
        _fuse(work, hole_here, frame, seen[place], spatial[place], None if ring is None else ring[place])


def _ring_fill(work: _Work, key: int, frames: list[int]) -> Floats:
    """The membrane of hole and ring together, float32 [frames, h, w, C] in the hole's box; 0 beyond the ring."""
    here = work.groups.cached("hole", key, hole)
    x0, y0, x1, y1 = here.box

    def wide(hidden: Bools) -> Membrane:
        region = np.zeros_like(hidden)
        region[y0:y1, x0:x1] = here.ringed
        return Membrane(region)

    out = np.zeros((len(frames), *here.ringed.shape, work.clip.frames.shape[3]), np.float32)
    out[:, here.ringed] = fill_frames(work.groups.cached("ring membrane", key, wide), work.clip, frames)
    return out


def _fuse(work: _Work, here: Hole, frame: int, seen: Seen, spatial: Floats, ring: Floats | None) -> None:
    x0, y0, x1, y1 = here.box
    pixels = work.out[frame - work.clip.start, y0:y1, x0:x1]
    hidden_px = int(np.count_nonzero(here.inside))
    work.tally.hidden_px += hidden_px
    if ring is None or not seen.has.any():
        pixels[here.inside] = round_to(spatial, pixels.dtype, work.clip.bits)
        return
    truth = pixels.astype(np.float32)
    judged = here.ring & seen.has
    temporal = blend.corrected(seen.colour, truth, judged, work.scale)
    trust = blend.weight(ring - truth, ring - temporal, judged, work.scale) * seen.has
    inside = here.inside
    mixed = truth
    mixed[inside] = spatial + trust[inside][:, None] * (temporal[inside] - spatial)
    change = np.abs(mixed[inside] - spatial).max()
    if change > work.scale / 2:
        _bridge(mixed, inside & ~seen.has, inside & seen.has)
    pixels[inside] = round_to(mixed[inside], pixels.dtype, work.clip.bits)
    work.tally.seen_px += int(np.count_nonzero(inside & seen.has))
    work.tally.weight_px += float(trust[inside].sum(dtype=np.float64))


def _bridge(mixed: Floats, missing: Bools, seen: Bools) -> None:
    """Fill what no frame shows from what is around it by now, in place; far from what is seen it is right already."""
    near = cv2.dilate(seen.view(np.uint8), np.ones((2 * _BRIDGE_PX + 1,) * 2, np.uint8)) != 0
    region = missing & near
    if region.any():
        membrane = Membrane(region)
        x0, y0, x1, y1 = membrane.box
        mixed[region] = membrane.fill(mixed[y0:y1, x0:x1])
