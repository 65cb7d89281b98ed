"""One line of text over time: its letters as a template, and the exact frames in which they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.detect.masks import overlap_px
from waterz_spool.detect.text.behind import Plate
from waterz_spool.detect.text.sights import Sights
from waterz_spool.records import Box

Gray = NDArray[np.uint8]
Image = NDArray[np.float32]

LETTERS = 0.3  # of a line's strongest contrast: what has less is not the letters' own
AGREES = 0.5  # of a pixel's contrast: a letter's own px changes by less
VISIBLE = 0.1  # of a line's strength: on ground of its own colour it may be so weak
LEAST_KEPT = 0.3  # of a line's px
ON = 0.5  # of a line's own strength: from here on its letters stand in a frame
FADES, FADED = 0.85, 0.25  # a line whose last full frame is weaker than the first fades; it is there down to the second
SAME = 0.6  # correlation of two high-passed pictures of the same letters
STEP = 0.35  # the last change of strength of a line that is gone at once
PANNING = 1.3  # of their own change from the frame before: more is no camera that goes on moving
BAR = 8  # grey levels: a row or column with less is a bar beside the picture
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
        life: How much its livelier tenth did.
        flatness: Of the whole picture at each look, as `flatness` says.
        roughness: Of the picture around it at each look, as `roughness` says.
        ticks: Frames in which some of its letters changed, and where these end; as `clock.ticks` says.
        sights: Looks at what is around it; None once they are not needed any more.
        plate: Behind it.
        before_scene: Whether the picture moves between its letters.
        uncertain: Whether there seems to be a plate whose ends do not show.
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
    life: list[float] = field(default_factory=list)
    flatness: list[float] = field(default_factory=list)
    roughness: list[float] = field(default_factory=list)
    ticks: list[tuple[int, float]] = field(default_factory=list)
    sights: Sights | None = None
    plate: Plate | None = None
    before_scene: bool = False
    uncertain: bool = False

    def strength(self, frame: Gray) -> float:
        """How strongly its letters stand in a frame: 1 as they were, 0 not at all."""
        return float((high_pass(frame, self.box) * self.template).sum() / (self.template**2).sum())

    def stands(self, frame: Gray) -> bool:
        """Whether a frame shows the same letters."""
        there = high_pass(frame, self.box) * (self.template != 0)
        size = float(np.sqrt((there**2).sum() * (self.template**2).sum())) + 1e-6
        return float((there * self.template).sum()) > SAME * size and self.strength(frame) > VISIBLE

    def adjoins(self, other: Line) -> bool:
        """Whether another line is one of the same text: just above, below or beside it, most of the time."""
        gap = max(height_of(self.box), height_of(other.box))
        x0, y0, x1, y1 = self.box
        near = overlap_px((x0 - gap, y0 - gap, x1 + gap, y1 + gap), other.box) > 0
        both = min(self.stop, other.stop) - max(self.start, other.start)
        return near and 2 * both > self.stop - self.start

    def settle(self, frame: Gray) -> None:
        """Forget what a frame that shows the line shows otherwise: the scene between the letters, a clock's digits."""
        kept = np.abs(high_pass(frame, self.box) - self.template) < AGREES * np.abs(self.template)
        if kept.sum() > LEAST_KEPT * (self.template != 0).sum():
            self.template = np.asarray(np.where(kept, self.template, 0), np.float32)


def line_at(frame: Gray, box: Box, score: float, start: int) -> Line | None:
    """A line whose letters are those of a frame; None where nothing has contrast."""
    template = high_pass(frame, box)
    if float(template.std()) <= 4:
        return None
    weak = np.abs(template) < LETTERS * np.percentile(np.abs(template), 95)
    template[weak] = 0  # there the scene shows, which may change
    return Line(box, score, start, start + 1, template)


def longer(line: Line, frame: Gray, box: Box) -> Line | None:
    """The same line with a box that holds more of it, in a frame that shows it."""
    whole = line_at(frame, box, line.score, line.start)
    if whole is None:
        return None
    moved = line.box[0] - box[0]
    return replace(line, box=box, template=whole.template, ticks=[(at, end + moved) for at, end in line.ticks])


def height_of(box: Box) -> int:
    """Of the letters in a box, px: its shorter side; in a picture that players turn a line may stand upright."""
    return min(box[2] - box[0], box[3] - box[1])


def length_of(box: Box) -> int:
    """Of a line, px: its longer side."""
    return max(box[2] - box[0], box[3] - box[1])


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


def flatness(frame: Gray) -> float:
    """Share of the pixels that are like their next neighbours exactly, apart from bars at the picture's sides.

    Screens, slides and drawn games have .8 and more of them, what a camera saw .1 to .6.
    """
    wide = frame[frame.max(axis=1) > frame.min(axis=1) + BAR][:, frame.max(axis=0) > frame.min(axis=0) + BAR]
    if min(wide.shape) < 2:
        return 1.0
    part = wide.astype(np.int16)
    same = (part[:-1, :-1] == part[:-1, 1:]) & (part[:-1, :-1] == part[1:, :-1])
    return float(same.mean())


def steps(line: Line, frames: Sequence[Gray]) -> tuple[int, bool]:
    """How many of the frames after (or before) a line still show it, and whether it then went at once.

    Args:
        line: With its letters.
        frames: In order of time away from the line; it stands in the first.
    """
    usual = max(VISIBLE, line.strength(frames[0]))
    strengths = [line.strength(frame) / usual for frame in frames]
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
