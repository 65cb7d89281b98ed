"""The second look at a restored place, by all that can be told from its pixels."""

from __future__ import annotations

from waterz_spool.records import Box, Residue
from waterz_spool.restore.base import Clip, Frames
from waterz_spool.restore.residue.blinks import blinks
from waterz_spool.restore.residue.edges import edges
from waterz_spool.restore.residue.place import places_of
from waterz_spool.restore.residue.trace import traces
from waterz_spool.restore.residue.verdict import worst


def look(clip: Clip, restored: Frames, hole: Box) -> Residue | None:
    """What is left of one overlay.

    Args:
        clip: As it was restored.
        restored: [stop - start, H, W, C], the result.
        hole: Of the overlay, in px of the crop; other overlays' masks are not looked at.

    Returns:
        None where there is nothing to tell: no mask, or no room around it.
    """
    places = list(places_of(clip, restored, hole))
    level = 2.0 ** (clip.bits - 8)
    return worst(
        [
            *traces(places, family=clip.family, level=level),
            *edges(places, level=level),
            *blinks(clip, restored, places, level=level),
        ]
    )
