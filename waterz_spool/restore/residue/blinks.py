"""An overlay that is there a frame before its mask comes, or after it has gone: it blinks.

What stands under the mask is known from the frames with it. In the frame beside them the same pixels show the scene
alone, or a share of the overlay, which is the slope of what they differ from the fill against what was removed. Where
the picture around the mask changes, too, as at a cut, nothing is told.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from waterz_spool.records import Residue
from waterz_spool.restore.base import Clip, Frames
from waterz_spool.restore.residue.place import SCALE, Place
from waterz_spool.restore.residue.verdict import Limits

STILL_LEVELS, CUT = (
    8,
    1.6,
)  # grey levels, and of the usual change from frame to frame around a mask: a cut has more
RING_PX = 8
LATER_FRAMES = 4  # so much later nothing of the overlay is expected any more
NOISE = 0.02  # of the overlay: no share is known better
LIMITS = Limits(suspect=((6.0, 4.0),), left=(12.0, 10.0))


def blinks(clip: Clip, restored: Frames, places: Sequence[Place], *, level: float) -> Iterator[Residue]:
    """What the frames beside each state's frames show of it.

    Args:
        clip: As it was restored.
        restored: Its target frames.
        places: States of one overlay.
        level: Sample values per grey level of 8 bit.
    """
    for place in places:
        for edge, step in ((place.span[0], -1), (place.span[1] - 1, 1)):
            beside, later = edge + step, edge + step * (1 + LATER_FRAMES)
            if _tells(clip, place, edge, step):
                fill = restored[edge - clip.start, place.box[1] : place.box[3], place.box[0] : place.box[2]]
                share = _share(clip, place, fill, beside) - max(0.0, _share(clip, place, fill, later))
                strong = math.sqrt(float((place.removed[place.mask] ** 2).mean())) / SCALE / level
                score, levels = share / NOISE, share * strong
                yield Residue(
                    verdict=LIMITS.verdict(score, levels),
                    score=round(score, 2),
                    levels=round(levels, 2),
                    share=round(share, 4),
                )


def _tells(clip: Clip, place: Place, edge: int, step: int) -> bool:
    """Whether the frame beside a state's last one (or first one) has no mask there and shows the same scene."""
    beside, later = edge + step, edge + step * (1 + LATER_FRAMES)
    if min(beside, later) < 0 or max(beside, later) >= len(clip.frames) or not _bare(clip, place, beside):
        return False
    before = edge - step
    known = place.span[0] <= before < place.span[1]
    usual = _change(clip, place, before, edge) if known else 0.0
    level = 2.0 ** (clip.bits - 8)
    return _change(clip, place, edge, beside) <= max(STILL_LEVELS * level, CUT * usual)


def _bare(clip: Clip, place: Place, frame: int) -> bool:
    """Whether a frame has no mask where the state has one."""
    x0, y0, x1, y1 = place.box
    return not clip.masks[frame, y0:y1, x0:x1][place.mask].any()


def _change(clip: Clip, place: Place, a: int, b: int) -> float:
    """Mean change of the known pixels around a mask between two frames."""
    x0, y0, x1, y1 = place.box
    ring = (place.distance <= RING_PX) & place.known & (clip.masks[b, y0:y1, x0:x1] == 0)
    one, other = (clip.frames[frame, y0:y1, x0:x1][ring].astype(np.int64) for frame in (a, b))
    return float(np.abs(one - other)[:, 0].mean()) if len(one) else math.inf


def _share(clip: Clip, place: Place, fill: Frames, frame: int) -> float:
    """Of the overlay in a frame without its mask."""
    x0, y0, x1, y1 = place.box
    differs = (clip.frames[frame, y0:y1, x0:x1].astype(np.int64) - fill)[place.mask]
    removed = place.removed[place.mask]
    return SCALE * int((differs * removed).sum()) / max(1, int((removed**2).sum()))
