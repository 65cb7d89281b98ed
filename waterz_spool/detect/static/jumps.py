"""Overlays that stand somewhere for a while and then elsewhere, found without being told.

Edges that stayed for a while and are gone from one frame to the next, or fade away within a few, are looked for in the
frames after: when the very same shape stands there somewhere else from exactly that frame on, or appears there during
the fade, it is an overlay that jumped. The same is asked backwards in time. In a moving picture nothing else stands
still, is gone so soon and stands still elsewhere; on a tripod shot nothing does. At a cut everything changes at once,
and nothing is believed.

What is learned here is only the overlay's shape, and no proof: heads, too, hold still, move at once and hold still.
`follow` looks at the whole video for it, and `confirm` asks for proof.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.static.shapes import CLOSE_PX, disc
from waterz_spool.detect.static.templates import APART_PX, Place, Template, mean_of, slopes_at, template_of
from waterz_spool.detect.static.windows import BLOCK, Image, Windows

Picture = NDArray[np.uint8]

BEFORE, BETWEEN, AFTER = 3, 2, 2  # blocks: where a shape stands, where it goes, where it is gone
BLOCKS = BEFORE + BETWEEN + AFTER
MIN_EDGE_PX = 100
MAX_AREA = 0.12  # of the picture
MOST = 4  # shapes that go at one time and are looked at, the largest first
STAYS, GONE = 0.75, 0.4  # strengths before and after
STEP = 0.5  # from one frame to the next
FADE = 6  # frames at most
LEVEL_FRAMES = 6  # on both sides of a change, in which the strength must have its level
CUT = 3.0  # times the usual change of the picture


class JumpWatch:
    """Learns the shapes of jumping overlays from a video's frames.

    Memory: BLOCKS * BLOCK small pictures beside the windows'.

    Args:
        windows: Sums over the same frames; holds BLOCKS blocks.
    """

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._ring: deque[Picture] = deque(maxlen=BLOCKS * BLOCK)
        self._count = 0
        self._learned: list[tuple[float, Template]] = []

    @property
    def templates(self) -> list[Template]:
        """The shapes of overlays that jumped."""
        return [template for _, template in self._learned]

    def add(self, picture: Picture) -> None:
        """The next frame, after it was added to the windows."""
        self._ring.append(picture)
        self._count += 1
        if len(self._ring) == BLOCKS * BLOCK and self._count % (BETWEEN * BLOCK) == 0:
            self._look()

    def _look(self) -> None:
        for back in (False, True):
            frames = list(self._ring)[::-1] if back else list(self._ring)
            for place, template in self._gone(back=back):
                if fit := _jumps(frames, place, template):
                    self._learn(frames, place, template, fit * fit * float(template.edges.sum()))

    def _learn(self, frames: Sequence[Picture], place: Place, template: Template, worth: float) -> None:
        """Keep one shape of each overlay: the one with the most edges that were the same elsewhere."""
        before = mean_of(frames[: BEFORE * BLOCK])
        if template.find(before) is None:
            return  # it fades already: another one stands there, too
        for number, (other, known) in enumerate(self._learned):
            if known.find(_around(before, place, template, known)) is not None:
                self._learned[number] = max((other, known), (worth, template), key=lambda pair: pair[0])
                return
        self._learned.append((worth, template))

    def _gone(self, *, back: bool) -> Iterator[tuple[Place, Template]]:
        """Shapes that stayed in the first half of the frames and are not there in the last ones."""
        order = range(BLOCKS)[::-1] if back else range(BLOCKS)
        mine, others = order[:BEFORE], order[-AFTER:]
        edges, across, down = self._windows.mean(mine)
        _, other_across, other_down = self._windows.mean(others)
        gone = edges & (across * (other_across - GONE * across) + down * (other_down - GONE * down) < 0)
        joined = cv2.morphologyEx(gone.astype(np.uint8), cv2.MORPH_CLOSE, disc(CLOSE_PX))
        count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
        sizes = np.bincount(labels[gone], minlength=count)
        sizes[0] = 0
        for label in np.argsort(-sizes)[:MOST]:
            x, y, w, h = (int(value) for value in stats[label, :4])
            if sizes[label] < MIN_EDGE_PX or w * h > MAX_AREA * gone.size:
                continue
            part = slice(y, y + h), slice(x, x + w)
            yield (x, y), template_of(np.dstack([across[part], down[part]]), gone[part] & (labels[part] == label))


def _around(picture: Image, place: Place, template: Template, known: Template) -> Image:
    """The part of a picture in which a known shape would be, if it were the one at a place."""
    (x, y), (width, height) = place, template.size
    across, down = (APART_PX + max(0, k - own) for k, own in zip(known.size, template.size, strict=True))
    return picture[max(0, y - down) : y + height + down, max(0, x - across) : x + width + across]


def _jumps(frames: Sequence[Picture], place: Place, template: Template) -> float:
    """How well a shape that stands in the first frames and then goes fits elsewhere from then on; 0: not at all."""
    gone = _change(-template.strengths(frames, place))
    if gone is None or _is_cut(frames, gone[0]):
        return 0.0
    after = mean_of(frames[gone[1] : gone[1] + AFTER * BLOCK])
    found = template.find(after)
    if found is None or not _elsewhere(place, found[0], template.size, faded=gone[0] < gone[1]):
        return 0.0
    there = template_of(slopes_at(after, found[0], template.size), template.edges > 0)
    come = _change(there.strengths(frames, found[0]) - 1)
    return found[1] if come is not None and _together(gone, come) else 0.0


def _elsewhere(old: Place, new: Place, size: tuple[int, int], *, faded: bool) -> bool:
    """Whether two places are far enough apart: things of the scene that move a little and stop look like a fade."""
    least = size if faded else (APART_PX, APART_PX)
    return any(abs(a - b) >= far for a, b, far in zip(old, new, least, strict=True))


def _together(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether two changes are one jump, or one fade."""
    return a == b if a[0] == a[1] or b[0] == b[1] else a[0] <= b[1] and b[0] <= a[1]


def _change(values: NDArray[np.float32]) -> tuple[int, int] | None:
    """First frame of the rise from -1 to 0, and the frame from which on it is complete.

    The two are one where the rise is at once; None where it is slow or does not come.
    """
    first, last = BEFORE * BLOCK, (BEFORE + BETWEEN) * BLOCK
    for frames in range(1, FADE + 1):
        rises = values[first + frames - 1 : last + frames] - values[first - 1 : last]
        at = first + int(np.argmax(rises))
        done = at + frames - 1
        before, after = values[at - LEVEL_FRAMES : at], values[done : done + LEVEL_FRAMES]
        levels = np.median(before) <= -STAYS and np.median(after) >= -GONE
        if rises.max() >= STEP and levels and before.max() < -GONE and after.min() > -STAYS:
            return at, done
    return None


def _is_cut(frames: Sequence[Picture], at: int) -> bool:
    """Whether the whole picture changes more than it does in the frames around."""
    changes = [float(np.median(cv2.absdiff(a[::4, ::4], b[::4, ::4]))) for a, b in pairwise(frames)]
    return changes[at - 1] > CUT * max(1.0, float(np.median(changes))) + 2
