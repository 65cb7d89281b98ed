"""Engine A: camera motion brings hidden pixels from other frames; a validated blend falls back to the membrane.

For opaque or unknown overlays. A pan shows what was hidden; where nothing does, or where what is brought in does not
fit the surroundings, the result is the membrane.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Confidence
from waterz_spool.restore import blend
from waterz_spool.restore.base import Check, Clip, Masks, Restored, Restorer, no_check
from waterz_spool.restore.holes import Hole, hole
from waterz_spool.restore.masks import MaskGroups
from waterz_spool.restore.membrane import Membrane, fill_frames, round_to
from waterz_spool.restore.motion import Motions
from waterz_spool.restore.sources import Reach, Seen, Sources
from waterz_spool.restore.texture.added import Texture
from waterz_spool.restore.texture.detail import Filler

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

_FRAMES_AT_ONCE = 8
_BRIDGE_PX = 16  # how far the passage from seen to unseen pixels reaches
_LEAST_SEEN = 0.02  # share of a hole that must be seen for the temporal expert to be heard


@dataclass
class _Tally:
    hidden_px: int = 0
    seen_px: int = 0
    weight_px: float = 0.0
    invented_px: int = 0

    def confidence(self) -> Confidence | None:
        if not self.hidden_px:
            return None
        share = 1 / self.hidden_px
        return Confidence(
            seen=self.seen_px * share,
            weight=self.weight_px * share,
            hidden_px=self.hidden_px,
            invented=self.invented_px * share,
        )


@dataclass
class _Work:
    """What the frames of one clip share."""

    clip: Clip
    groups: MaskGroups
    out: NDArray[Any]
    texture: Texture | None
    trust: Masks | None = None
    tally: _Tally = field(default_factory=_Tally)

    @property
    def scale(self) -> float:
        """Sample values per 8-bit level."""
        return float(2.0 ** (self.clip.bits - 8))


class PropagateRestorer(Restorer):
    """Fills hidden pixels from the frames that show them, and from their surroundings where none does.

    Args:
        reach_frames: Largest distance in time to a frame that may serve as a source, 1..1000.
        sources: Sources per pixel and direction, 1..8.
        threads: Frames worked on at once; the result does not depend on it.

    Raises:
        ValueError: An option is out of its range.
    """

    name = "propagate"
    automatic = True
    texture = True

    def __init__(self, *, reach_frames: int = 60, sources: int = 2, threads: int = 1) -> None:
        super().__init__(threads=threads)
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
        return self._filled(clip, check)

    def _filled(self, clip: Clip, check: Check, trust: Masks | None = None) -> Restored:
        """Fill the masked pixels; ``trust`` [stop - start, H, W] receives the weight of what was seen, 0 to 255."""
        groups = MaskGroups(clip.masks)
        steps = _Steps(clip)
        sources = Sources(clip, groups, Motions(clip, groups, tell=steps.estimated), self._reach)
        out = clip.frames[clip.start : clip.stop].copy()
        work = _Work(clip, groups, out, self._texture(clip), trust)
        with ThreadPoolExecutor(self._threads) as pool:
            for key, frames in groups.runs(clip.start, clip.stop, _FRAMES_AT_ONCE):
                check()
                if not groups.empty(key):
                    collect = pool.map if self._threads > 1 else map
                    _restore_run(work, key, frames, list(collect(sources.collect, frames)))
                steps.filled(len(frames))
        return Restored(frames=work.out, confidence=work.tally.confidence())

    def filler(self, clip: Clip) -> Filler | None:
        """What fills the plate of a clip's shot; None copies patches of its surroundings."""
        del clip
        return None

    def _texture(self, clip: Clip) -> Texture | None:
        if clip.plate is None:
            return None
        scale = 2.0 ** (clip.bits - 8)
        return Texture(clip.plate, family=clip.family, scale=scale, filler=self.filler(clip))


class _Steps:
    """Tells how far a clip is: a motion costs about half of what filling a frame does."""

    def __init__(self, clip: Clip) -> None:
        self._tell = clip.tell
        self._all = max(1, len(clip.frames) - 1 + 2 * (clip.stop - clip.start))
        self._motions = self._frames = 0

    def estimated(self, motions: int) -> None:
        self._motions = motions
        self._tell(min(1.0, (self._motions + 2 * self._frames) / self._all))

    def filled(self, frames: int) -> None:
        self._frames += frames
        self.estimated(self._motions)


def _restore_run(work: _Work, key: int, frames: list[int], seen: list[Seen]) -> None:
    """Restore frames that share one mask."""
    here = work.groups.cached("hole", key, hole)
    spatial = fill_frames(work.groups.cached("membrane", key, Membrane), work.clip, frames)
    shown = [int(np.count_nonzero(what.has.ravel()[here.inside])) for what in seen]
    work.tally.hidden_px += len(frames) * len(here.inside)
    work.tally.seen_px += sum(shown)
    rings = _rings(work, key, frames) if max(shown) > _LEAST_SEEN * len(here.inside) else [None] * len(frames)
    for place, (frame, ring) in enumerate(zip(frames, rings, strict=True)):
        pixels = _box_pixels(work, here, frame)
        fill, trust = spatial[place], np.zeros(len(here.inside), np.float32)
        if ring is not None:
            mixed = blend.mix(here, seen[place], spatial[place], ring, scale=work.scale)
            fill, trust = _bridged(mixed, spatial[place], here, pixels, work.scale), mixed.trust
            work.tally.weight_px += float(trust.sum(dtype=np.float64))
        if work.texture is not None:
            fill, invented_px = work.texture.add(work.clip.frames[frame], here, fill, trust)
            work.tally.invented_px += invented_px
        mask = work.clip.masks[frame, here.box[1] : here.box[3], here.box[0] : here.box[2]] != 0
        pixels[mask] = round_to(fill, pixels.dtype, work.clip.bits)
        if work.trust is not None:
            x0, y0, x1, y1 = here.box
            work.trust[frame - work.clip.start, y0:y1, x0:x1][mask] = np.rint(trust * 255)


def _box_pixels(work: _Work, here: Hole, frame: int) -> NDArray[Any]:
    """The hole's box of a target frame of the result."""
    x0, y0, x1, y1 = here.box
    return work.out[frame - work.clip.start, y0:y1, x0:x1]


def _rings(work: _Work, key: int, frames: list[int]) -> list[blend.Ring]:
    """The rings of frames that share a mask, with their membranes across hole and ring."""
    here = work.groups.cached("hole", key, hole)
    x0, y0, x1, y1 = here.box

    def wide(hidden: Bools) -> Membrane:
        region = np.zeros_like(hidden)
        region[y0:y1, x0:x1] = here.ringed
        return Membrane(region)

    solved = fill_frames(work.groups.cached("ring membrane", key, wide), work.clip, frames)
    in_ring = np.isin(np.flatnonzero(here.ringed), here.ring)
    rings = []
    for frame, values in zip(frames, solved, strict=True):
        pixels = _box_pixels(work, here, frame)
        truth = pixels.reshape(-1, pixels.shape[2])[here.ring].astype(np.float32)
        rings.append(blend.Ring(truth, values[in_ring]))
    return rings


def _bridged(mixed: blend.Mixed, spatial: Floats, here: Hole, pixels: NDArray[Any], scale: float) -> Floats:
    """The fill with a smooth passage from what is seen to what is not; farther away the membrane is right already."""
    if not 0 < np.count_nonzero(mixed.trust) < len(spatial) or np.abs(mixed.fill - spatial).max() < scale / 2:
        return mixed.fill
    size = here.ringed.size
    seen, hidden = np.zeros(size, np.uint8), np.zeros(size, np.bool_)
    seen[here.inside[mixed.trust > 0]] = 1
    hidden[here.inside[mixed.trust == 0]] = True
    reach = cv2.dilate(seen.reshape(here.ringed.shape), np.ones((2 * _BRIDGE_PX + 1,) * 2, np.uint8)) != 0
    region = hidden.reshape(reach.shape) & reach
    image = pixels.astype(np.float32)
    flat = image.reshape(size, -1)
    flat[here.inside] = mixed.fill
    membrane = Membrane(region)
    x0, y0, x1, y1 = membrane.box
    image[region] = membrane.fill(image[y0:y1, x0:x1])
    return np.asarray(flat[here.inside])
