"""One line of text over time: its letters as a template, and the exact frames in which they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Box

Gray = NDArray[np.uint8]
Image = NDArray[np.float32]

ON = 0.5  # of a line's own strength: from here on its letters stand in a frame
FADES, FADED = 0.85, 0.25  # a line whose last full frame is weaker than the first fades; it is there down to the second
SAME = 0.6  # correlation of two high-passed pictures of the same letters
STEP = 0.35  # the last change of strength of a line that is gone at once
PANNING = 1.3  # of their own change from the frame before: more is no camera that goes on moving
QUIET = 0.5  # of the change inside the box: so much may the surroundings change when a line comes or goes


@dataclass(eq=False)
class Line:
    """A line of text that was seen to stand still.

    Attributes:
        box: In px of the small picture.
        score: The network's confidence.
        start: First frame.
        stop: One past the last.
        comes: Whether it appeared at once, while its surroundings did not change.
        goes: Whether it vanished so.
        whole: Whether its start and stop are ends of the video or of a shot, or such events.
        activity: How much the whole picture changed in half a second, grey levels, at each look.
        roughness: Of the picture around it at each look, as `roughness` says.
    """

    box: Box
    score: float
    start: int
    stop: int
    template: Image
    comes: bool = False
    goes: bool = False
    whole: bool = True
    activity: list[float] = field(default_factory=list)
    roughness: list[float] = field(default_factory=list)

    def strength(self, frame: Gray) -> float:
        """How strongly its letters stand in a frame: 1 as they were, 0 not at all."""
        return float((high_pass(frame, self.box) * self.template).sum() / (self.template**2).sum())

    def stands(self, frame: Gray) -> bool:
        """Whether a frame shows the same letters."""
        there = high_pass(frame, self.box)
        size = float(np.sqrt((there**2).sum() * (self.template**2).sum())) + 1e-6
        return float((there * self.template).sum()) > SAME * size and self.strength(frame) > ON


def line_at(frame: Gray, box: Box, score: float, start: int) -> Line | None:
    """A line whose letters are those of a frame; None where nothing has contrast."""
    template = high_pass(frame, box)
    return Line(box, score, start, start + 1, template) if float(template.std()) > 4 else None


def height_of(box: Box) -> int:
    """Of the letters in a box, px: its shorter side; in a picture that players turn a line may stand upright."""
    return min(box[2] - box[0], box[3] - box[1])


def high_pass(frame: Gray, box: Box) -> Image:
    """A box of a frame without what is wider than letters."""
    x0, y0, x1, y1 = box
    part = frame[y0:y1, x0:x1].astype(np.float32)
    return np.asarray(part - cv2.GaussianBlur(part, (0, 0), max(2.0, height_of(box) / 4)), np.float32)


def ring_of(frame: NDArray[Any], box: Box) -> list[NDArray[Any]]:
    """The strips above and below a box and at its sides."""
    x0, y0, x1, y1 = box
    gap, wide = 3, max(6, height_of(box) // 2)
    rows = slice(max(0, y0 - gap), y1 + gap)
    strips = (
        frame[max(0, y0 - gap - wide) : max(0, y0 - gap), x0:x1],
        frame[y1 + gap : y1 + gap + wide, x0:x1],
        frame[rows, max(0, x0 - gap - wide) : max(0, x0 - gap)],
        frame[rows, x1 + gap : x1 + gap + wide],
    )
    return [strip for strip in strips if strip.size]


def roughness(frame: Gray, box: Box) -> float:
    """Of the smoother half of the pixels around a box: how far they are off their own surroundings, grey levels."""
    parts = [part.astype(np.float32) for part in ring_of(frame, box)]
    rough = [np.abs(part - cv2.GaussianBlur(part, (0, 0), 3.0)).ravel() for part in parts]
    return float(np.median(np.concatenate(rough))) if rough else 0.0


def steps(line: Line, frames: Sequence[Gray]) -> tuple[int, bool]:
    """How many of the frames after (or before) a line still show it, and whether it then went at once.

    Args:
        line: Its letters stand in the first frame.
        frames: In order of time away from the line.
    """
    strengths = [line.strength(frame) for frame in frames]
    last = next((i for i, value in enumerate(strengths) if value < ON), len(frames)) - 1
    if last < 0 or last + 1 >= len(frames):
        return last + 1, False
    faded = last
    while strengths[last] < FADES and faded + 1 < len(frames) and FADED < strengths[faded + 1] < strengths[faded]:
        faded += 1
    fall = strengths[last] - min(strengths[last + 1 : last + 3])
    inside = _change(high_pass(frames[last], line.box), high_pass(frames[last + 1], line.box))
    usual = _around(frames[max(0, last - 1)], frames[last], line.box)
    return faded + 1, fall > STEP and _around(frames[last], frames[last + 1], line.box) < max(
        QUIET * inside, 1.3 * usual
    )


def _around(a: Gray, b: Gray, box: Box) -> float:
    """How much the surroundings of a box change from one frame to another."""
    strips = zip(ring_of(a, box), ring_of(b, box), strict=True)
    return float(np.median([_change(p.astype(np.float32), q.astype(np.float32)) for p, q in strips] or [0.0]))


def _change(a: Image, b: Image) -> float:
    return float(np.abs(a - b).mean())
