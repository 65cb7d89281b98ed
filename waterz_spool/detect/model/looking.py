"""Which frames a model looks at: every N-th, and by bisection the exact frames where what it sees changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from waterz_spool.detect.base import Detection

Seen = tuple[Detection, ...]
Model = Callable[[Sequence[Any]], Sequence[Seen]]
"""Pictures of one size to the detections of each."""
Same = Callable[[Seen, Seen], bool]


class Looker:
    """Detections of every frame, from as few looks as the video allows.

    Two looked-at frames that agree vouch for the frames between them; where they differ the middle one is looked at,
    until the change lies between neighbours. An overlay that comes and goes between two agreeing looks is missed:
    with ``every`` 1 nothing is. Memory is bounded by batch * every pictures.

    Args:
        model: Looks at pictures.
        same: Whether two frames show the same overlays at the same places.
        every: Look at every N-th frame first.
        batch: Pictures given to the model at once.
    """

    def __init__(self, model: Model, same: Same, *, every: int = 1, batch: int = 8) -> None:
        self._model, self._same = model, same
        self._every, self._batch = every, batch
        self._pictures: list[Any] = []  # from frame self._first on
        self._first = 0
        self._before: Seen | None = None  # of frame self._first - 1
        self.frames: list[Seen] = []
        self.looks = 0

    def add(self, picture: Any) -> None:
        """The next frame."""
        self._pictures.append(picture)
        if len(self._pictures) >= self._batch * self._every:
            self._work()

    def finish(self) -> list[Seen]:
        """The detections of every frame added."""
        self._work()
        return self.frames

    def _work(self) -> None:
        if not self._pictures:
            return
        count = len(self._pictures)
        # The block's last frame is looked at, so that blocks can be closed one by one.
        asked = sorted({*range(self._every - 1, count, self._every), count - 1})
        if self._before is None:
            asked = sorted({0, *asked})
        seen = self._look(asked)
        if self._before is not None:
            seen[-1] = self._before
        self._bisect(seen)
        self.frames += [seen[max(i for i in seen if i <= index)] for index in range(count)]
        self._before = self.frames[-1]
        self._pictures = []
        self._first += count

    def _look(self, asked: Sequence[int]) -> dict[int, Seen]:
        seen: dict[int, Seen] = {}
        for start in range(0, len(asked), self._batch):
            part = asked[start : start + self._batch]
            found = self._model([self._pictures[index] for index in part])
            seen |= {index: tuple(sorted(each)) for index, each in zip(part, found, strict=True)}
        self.looks += len(asked)
        return seen

    def _bisect(self, seen: dict[int, Seen]) -> None:
        while True:
            known = sorted(seen)
            asked = [(a + b) // 2 for a, b in pairwise(known) if b - a > 1 and not self._same(seen[a], seen[b])]
            if not asked:
                return
            seen |= self._look(asked)
