"""The detail of a clip's shot, made when the first frame needs it and kept for the clips of the same shot."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from waterz_spool.restore.holes import Hole
from waterz_spool.restore.texture.detail import Detail, Filler, detail_of
from waterz_spool.restore.texture.plate import PlaceOfPlate, Plate

Floats = NDArray[np.float32]

_KEPT = 8
_INVENTED = 0.3  # of the detail: from there on a pixel counts as invented
_WORTH = 0.02  # share of a hole that must lack sources for its texture to be made

_made: OrderedDict[tuple[Filler | None, bytes], Detail | None] = OrderedDict()


class Texture:
    """Adds the detail of one clip's plate to what its frames are filled with.

    Args:
        place: The plate.
        family: Colour family of the clip.
        scale: Sample values per 8-bit level.
        filler: What fills the plate, equal to any that gives the same; None copies patches.
    """

    def __init__(self, place: PlaceOfPlate, *, family: str, scale: float, filler: Filler | None = None) -> None:
        self._place, self._family, self._scale, self._filler = place, family, np.float32(scale), filler

    def add(self, frame: NDArray[Any], here: Hole, fill: Floats, trust: Floats) -> tuple[Floats, int]:
        """A fill with texture where nothing was ever seen.

        Args:
            frame: [H, W, C] of the clip.
            here: The hole.
            fill: float32 [m, C], in sample values.
            trust: float32 [m], the weight of what other frames show.

        Returns:
            The fill, and how many of its pixels are invented.
        """
        plate, (x, y) = self._place.plate, (self._place.x, self._place.y)
        rows, columns = np.divmod(here.inside, here.ringed.shape[1])
        rows, columns = rows + here.box[1] - y, columns + here.box[0] - x
        height, width = plate.hidden.shape
        within = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        never = within.copy()
        never[within] = plate.hidden[rows[within], columns[within]]
        lacking = float((1 - trust[never]).sum(dtype=np.float64))
        if lacking <= _WORTH * len(here.inside):
            return fill, 0
        detail = _detail(plate, self._family, self._filler)
        if detail is None:
            return fill, 0
        left, top, right, bottom = detail.box
        cut = frame[top + y : bottom + y, left + x : right + x].astype(np.float32) / self._scale
        if cut.shape[:2] != detail.hidden.shape:
            return fill, 0  # the clip ends inside the ring: it is not of this plate's shot
        weight = detail.weight(cut, family=self._family)[rows[never] - top, columns[never] - left] * (1 - trust[never])
        out = fill.copy()
        out[never] += weight[:, None] * detail.values[rows[never] - top, columns[never] - left] * self._scale
        return out, int(np.count_nonzero(weight > _INVENTED))


def _detail(plate: Plate, family: str, filler: Filler | None) -> Detail | None:
    digest = hashlib.blake2b(family.encode())
    for part in (plate.picture, plate.hidden, plate.stable):
        digest.update(np.ascontiguousarray(part).tobytes())
    key = filler, digest.digest()
    if key not in _made:
        _made[key] = detail_of(plate, family=family, filler=filler)
        while len(_made) > _KEPT:
            _made.popitem(last=False)
    _made.move_to_end(key)
    return _made[key]
