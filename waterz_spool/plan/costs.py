"""What the parts of a run cost, compared with each other: what progress goes by before anything was measured.

In seconds of one core, as measured; only the ratios count. `forecast` measures instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from waterz_spool.plan.pieces import Shot, effort, shot_of
from waterz_spool.records import CropSpec, SegmentSpec

_LOOK = 1.5e-8  # per pixel of a frame
_DECODE = 3.5e-9
_CUT = 0.2  # per crop
_EFFORT = 1.5e-7  # per unit
_ENCODE = 2.5e-8  # per pixel of a frame, decoded again
_VERIFY = 4e-9
_TEXTURE = 1.1e-3  # per pixel of an overlay


@dataclass(frozen=True)
class Cost:
    """Of one segment.

    Attributes:
        restore: Filling what is hidden.
        encode: Encoding its frames.
        shots: That it needs texture of; the first worker on one makes it, and tells no share meanwhile.
    """

    restore: float
    encode: float
    shots: tuple[Shot, ...] = ()

    @property
    def told(self) -> float:
        """The part whose share a worker tells."""
        return self.restore + self.encode


@dataclass(frozen=True)
class Costs:
    """Of a whole run.

    Attributes:
        look: The look at the whole video.
        cut: Writing all crops.
        segments: One after the other.
        texture: Of each shot that needs it.
        verify: Joining and verifying.
    """

    look: float
    cut: float
    segments: Sequence[Cost]
    texture: Mapping[Shot, float]
    verify: float

    @property
    def shared(self) -> float:
        """All that workers share."""
        return sum(cost.told for cost in self.segments) + sum(self.texture.values())


def costs_of(
    segments: Sequence[SegmentSpec], cuts: Sequence[int], *, picture_px: int, textured: Sequence[bool] = ()
) -> Costs:
    """The costs of a plan.

    Args:
        segments: The plan.
        cuts: First frames of its scenes, without 0.
        picture_px: Pixels of a frame.
        textured: Whether each segment is given what texture is made from, as far as known.
    """
    frames = segments[-1].stop if segments else 0
    texture: dict[Shot, float] = {}
    found = []
    for segment, needs in zip_longest(segments, textured[: len(segments)]):
        cost = cost_of(segment, picture_px=picture_px)
        shots = {shot_of(crop, cuts): _TEXTURE * _area(crop) for crop in segment.crops} if needs else {}
        texture.update(shots)
        found.append(Cost(cost.restore, cost.encode, tuple(shots)))
    return Costs(
        look=_LOOK * picture_px * frames,
        cut=_DECODE * picture_px * frames + _CUT * sum(len(segment.crops) for segment in segments),
        segments=found,
        texture=texture,
        verify=_VERIFY * picture_px * frames,
    )


def cost_of(segment: SegmentSpec, *, picture_px: int) -> Cost:
    """The cost of one segment, without texture."""
    if segment.copy:
        return Cost(0.0, 0.0)
    return Cost(
        restore=_EFFORT * sum(map(effort, segment.crops)),
        encode=_ENCODE * picture_px * (segment.stop - segment.start),
    )


def restoring_share(segment: SegmentSpec, *, picture_px: int, heaviness: float = 1.0) -> float:
    """What share of a segment's time restoring takes, 0..1, about; the rest is encoding.

    Args:
        segment: The segment.
        picture_px: Pixels of a frame.
        heaviness: Of the restorer, see `Restorer`.
    """
    cost = cost_of(segment, picture_px=picture_px)
    restore = heaviness * cost.restore
    return restore / (restore + cost.encode) if restore else 0.0


def _area(crop: CropSpec) -> int:
    x0, y0, x1, y1 = crop.hole
    return (x1 - x0) * (y1 - y0)
