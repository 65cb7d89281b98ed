"""All that was painted over a picture, or nothing: half-found is not found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from waterz_spool.detect import patches
from waterz_spool.detect.base import Findings, Rejected
from waterz_spool.records import Box, MaskPatch

NOT_ALONE = "certain by itself, but something beside it stays, too"
REASON = "what is certain is not all: beside it something stays that may be more of it, or another one"
CERTAIN = 0.9
MIN_HELD = 0.95  # of a place's box, in the box of what was taken
NEAR_PX = 25  # parts of a mask so near are one thing
MOST_TOLD = 3  # places of what is certain: the others must be told, too


def entire(found: Findings) -> Findings:
    """What was found, if it is all that is there; else nothing, and all of it is told.

    Args:
        found: With ``missing`` set for what is there and was not taken.
    """
    certain = [item for each in (*found.patches, *found.boxes) for item in _told(each)]
    missing = [item for item in found.rejected if item.missing and not any(_holds(c.box, item.box) for c in certain)]
    if not certain or not missing:
        return found
    told = sorted(certain, key=lambda item: item.start - (item.stop or 0))
    rejected = tuple(replace(item, missing=item in missing) for item in found.rejected)
    return Findings((), REASON, (*rejected, *told[:MOST_TOLD]), found.scores)


def _holds(outer: Box, inner: Box) -> bool:
    width = min(outer[2], inner[2]) - max(outer[0], inner[0])
    height = min(outer[3], inner[3]) - max(outer[1], inner[1])
    area = (inner[2] - inner[0]) * (inner[3] - inner[1])
    return width > 0 and height > 0 and width * height >= MIN_HELD * area


def _told(each: MaskPatch) -> Iterator[Rejected]:
    """The things in a patch, each with its box at its start; letters of a text are one."""
    _, x, y = each.path[0]
    mask = (patches.decoded(each) > 0).astype(np.uint8)
    joined = cv2.morphologyEx(np.pad(mask, NEAR_PX), cv2.MORPH_CLOSE, np.ones((NEAR_PX, NEAR_PX), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    for left, top, width, height in (stats[1:count, :4] - (NEAR_PX, NEAR_PX, 0, 0)).tolist():
        box = x + left, y + top, x + left + width, y + top + height
        yield Rejected(box, NOT_ALONE, CERTAIN, each.start, each.stop)
