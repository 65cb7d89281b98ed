"""Which frames are processed together: chunks with context, and the generator's windows. Integers only.

Source: the published inference pipeline (Zhou et al., ProPainter, ICCV 2023), restated as rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from propainter.options import Options

FLOW_CONTEXT = 5  # flows on both sides of a chunk in flow completion
PIXEL_CONTEXT = 10  # frames on both sides of a chunk in pixel propagation
PIXEL_CHUNK = 100  # longest chunk of pixel propagation, frames


class Chunk(NamedTuple):
    """Positions [start, stop) to keep, computed on [first, last)."""

    start: int
    stop: int
    first: int
    last: int

    @property
    def keep(self) -> slice:
        """What to keep, counted from ``first``."""
        return slice(self.start - self.first, self.stop - self.first)


class Window(NamedTuple):
    """One generator window: consecutive local frames [start, stop) and reference frames elsewhere."""

    start: int
    stop: int
    references: tuple[int, ...]

    @property
    def ids(self) -> list[int]:
        """All frame positions, local ones first."""
        return [*range(self.start, self.stop), *self.references]


def chunks(total: int, length: int, context: int) -> Iterator[Chunk]:
    """Split ``total`` positions in chunks of ``length`` with ``context`` more on both sides where there are any."""
    for start in range(0, total, length):
        stop = min(total, start + length)
        yield Chunk(start, stop, max(0, start - context), min(total, start + length + context))


def raft_clips(total: int, width: int) -> Iterator[tuple[int, int]]:
    """Ranges of frames that go through optical flow at once; neighbours share one frame."""
    length = 12 if width <= 640 else 8 if width <= 720 else 4 if width <= 1280 else 2
    for start in range(0, total, length):
        yield max(0, start - 1), min(total, start + length)


def window(centre: int, total: int, options: Options) -> Window:
    """The window around ``centre`` in a clip of ``total`` frames."""
    start, stop = max(0, centre - options.step), min(total, centre + options.step + 1)
    if total <= options.subvideo_length:
        candidates = range(0, total, options.ref_stride)
    else:
        reach = reference_reach(options)
        # counted from the start of the reach, which is no multiple of the stride in general
        candidates = range(max(0, centre - reach), min(total, centre + reach), options.ref_stride)
    return Window(start, stop, tuple(i for i in candidates if not start <= i < stop))


def reference_reach(options: Options) -> int:
    """How far reference frames may be from the centre in clips longer than ``subvideo_length``, frames."""
    return options.ref_stride * (options.subvideo_length // options.ref_stride // 2)
