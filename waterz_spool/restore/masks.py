"""Masks recognised by content, and what is derived from one of them kept as long as the clip is worked on."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Box
from waterz_spool.restore.base import Masks

T = TypeVar("T")

_KEPT = 48  # derived values kept at once: a timestamp shows a few states at a time, a moving overlay many


class MaskGroups:
    """The distinct masks of a clip; threads may share it.

    Args:
        masks: uint8 [T, H, W]; 0 is known, anything else hidden.
    """

    def __init__(self, masks: Masks) -> None:
        self._masks = masks
        self.keys: list[int] = []  # per frame: the first frame with the same mask
        first: dict[bytes, int] = {}
        for number, mask in enumerate(masks):
            digest = hashlib.blake2b(np.packbits(mask != 0).tobytes(), digest_size=16).digest()
            self.keys.append(first.setdefault(digest, number))
        self._lock = threading.RLock()
        self._derived: OrderedDict[tuple[str, int], object] = OrderedDict()

    def hidden(self, key: int) -> NDArray[np.bool_]:
        """One distinct mask, bool [H, W]."""
        return np.asarray(self._masks[key] != 0)

    def empty(self, key: int) -> bool:
        """Whether a distinct mask hides nothing."""
        return not self._masks[key].any()

    def cached(self, what: str, key: int, make: Callable[[NDArray[np.bool_]], T]) -> T:
        """What `make` derives from one distinct mask; the least recently used values are forgotten."""
        name = (what, key)
        with self._lock:
            if name not in self._derived:
                self._derived[name] = make(self.hidden(key))
                while len(self._derived) > _KEPT:
                    self._derived.popitem(last=False)
            self._derived.move_to_end(name)
            return cast("T", self._derived[name])

    def runs(self, start: int, stop: int, longest: int) -> Iterator[tuple[int, list[int]]]:
        """Consecutive frames of [start, stop) with equal masks, at most `longest` at a time, with their key."""
        run: list[int] = []
        for frame in range(start, stop):
            if run and (self.keys[frame] != self.keys[run[0]] or len(run) == longest):
                yield self.keys[run[0]], run
                run = []
            run.append(frame)
        if run:
            yield self.keys[run[0]], run


def bounding_box(region: NDArray[np.bool_], margin_px: int = 0) -> Box:
    """Smallest box around the True pixels, grown by a margin inside the array; empty at the origin if there is none."""
    left, top, columns, rows = cv2.boundingRect(np.ascontiguousarray(region).view(np.uint8))
    if not rows:
        return 0, 0, 0, 0
    height, width = region.shape
    right, bottom = left + columns + margin_px, top + rows + margin_px
    return max(left - margin_px, 0), max(top - margin_px, 0), min(right, width), min(bottom, height)
