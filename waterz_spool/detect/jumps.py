"""Overlays that stand somewhere for a while and then elsewhere, found without being told.

Edges that stayed for a while and are gone from one frame to the next are looked for in the frames after: when the very
same shape stands there somewhere else from exactly that frame on, it is an overlay that jumped. The same is asked
backwards in time. In a moving picture nothing else stands still, is gone at once and stands still elsewhere; on a
tripod shot nothing does. At a cut everything changes at once, and nothing is believed.

What is learned here is only the overlay's shape; `waterz_spool.detect.follow` looks at the whole video for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.shapes import CLOSE_PX, disc
from waterz_spool.detect.templates import APART_PX, Place, Template, mean_of, slopes_at, template_of
from waterz_spool.detect.windows import BLOCK, Windows

Picture = NDArray[np.uint8]

BEFORE, BETWEEN, AFTER = 3, 2, 2  # blocks: where a shape stands, where it goes, where it is gone
BLOCKS = BEFORE + BETWEEN + AFTER
MIN_EDGE_PX = 100
MAX_AREA = 0.12  # of the picture
MOST = 4  # shapes that go at one time and are looked at, the largest first
STAYS, GONE = 0.75, 0.4  # strengths before and after
STEP = 0.5  # from one frame to the next
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
                    self._learn(frames, template, fit * fit * float(template.edges.sum()))

    def _learn(self, frames: Sequence[Picture], template: Template, worth: float) -> None:
        """Keep one shape of each overlay: the one with the most edges that were the same elsewhere."""
        before = mean_of(frames[: BEFORE * BLOCK])
        for number, (other, known) in enumerate(self._learned):
            if known.find(before) is not None:
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


def _jumps(frames: Sequence[Picture], place: Place, template: Template) -> float:
    """How well a shape that stands in the first frames and goes at once fits elsewhere from then on; 0: not at all."""
    at = _step(-template.strengths(frames, place))
    if at is None or _is_cut(frames, at):
        return 0.0
    after = mean_of(frames[at : at + AFTER * BLOCK])
    found = template.find(after)
    if found is None or max(abs(a - b) for a, b in zip(found[0], place, strict=True)) < APART_PX:
        return 0.0
    there = template_of(slopes_at(after, found[0], template.size), template.edges > 0)
    return found[1] if _step(there.strengths(frames, found[0]) - 1) == at else 0.0


def _step(values: NDArray[np.float32]) -> int | None:
    """The frame in which the values rise from -1 to 0 at once; None where they do so slowly or not at all."""
    first, last = BEFORE * BLOCK, (BEFORE + BETWEEN) * BLOCK
    at = first + int(np.argmax(np.diff(values[first - 1 : last + 1])))
    before, after = values[at - 6 : at], values[at : at + 6]
    if values[at] - values[at - 1] < STEP or np.median(before) > -STAYS or np.median(after) < -GONE:
        return None
    return at if before.max() < -GONE and after.min() > -STAYS else None


def _is_cut(frames: Sequence[Picture], at: int) -> bool:
    """Whether the whole picture changes more than it does in the frames around."""
    changes = [float(np.median(cv2.absdiff(a[::4, ::4], b[::4, ::4]))) for a, b in pairwise(frames)]
    return changes[at - 1] > CUT * max(1.0, float(np.median(changes))) + 2
