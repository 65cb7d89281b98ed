"""Whether something of the overlay was missed: then the whole box is the safer mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.refine.palette import unknown
from waterz_spool.detect.refine.plates import gradients
from waterz_spool.detect.refine.scene import Place
from waterz_spool.detect.refine.steady import Mask
from waterz_spool.detect.refine.strokes import grown

FAR_PX = 26
FARTHER_PX = 12
MOST_UNKNOWN = 0.03
MOST_EDGES = 0.15
MORE_EDGES = 2.5
EDGE = 8.0


def missed(mean: NDArray[np.float32], found: Mask, place: Place) -> str:
    """Why a mask seems to miss something; empty where it does not.

    Args:
        mean: Mean of frames, [h, w, 3].
        found: All that is masked in some of them.
        place: Where they lie.
    """
    rest, ring = place.inner & ~grown(found, 1), ~grown(place.inner, 2)
    if rest.sum() <= 50 or ring.sum() <= 50:
        return ""
    picture = mean.astype(np.uint8)
    if unknown(picture[rest], picture[ring]) > MOST_UNKNOWN:
        return "it holds colours that the scene around it has not"
    slopes = gradients(mean)
    edged = np.hypot(slopes.across, slopes.down) > EDGE
    if edged[rest].mean() > max(MOST_EDGES, MORE_EDGES * edged[ring].mean()):
        return "it has more edges than the scene around it"
    return ""


def far(found: Mask, place: Place) -> str:
    """Why all masks together seem to leave out one end of the box; empty where they do not."""
    rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
    x0, y0, x1, y1 = place.box
    slack = columns[0] - x0, x1 - 1 - columns[-1], rows[0] - y0, y1 - 1 - rows[-1]
    free = [int(each) for each, edge in zip(slack, place.open, strict=True) if not edge] or [0]
    if max(free) > max(FAR_PX, place.px(FAR_PX), min(free) + max(FARTHER_PX, place.px(FARTHER_PX))):
        return "what was found leaves out one end of the box"
    return ""
