"""The contact sheet as one PNG: pictures over time with what was found drawn into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import DisplayBox
from waterz_spool.report.picking import Picture, Still
from waterz_spool.report.words import clock

THUMB_PX = 320
COLUMNS = 4
_COLOURS = ((60, 220, 60), (40, 170, 255), (255, 120, 80), (230, 80, 230), (60, 230, 230))  # BGR
_GAP_PX, _BAR_PX = 8, 20


@dataclass(frozen=True)
class Shown:
    """A track to be drawn.

    Attributes:
        start: First frame.
        stop: One past the last.
        box: Where.
        score: Confidence; None where there is none.
        label: Class name.
    """

    start: int
    stop: int
    box: DisplayBox
    score: float | None
    label: str

    @property
    def words(self) -> str:
        """Label and confidence."""
        return " ".join(part for part in (self.label, "" if self.score is None else f"{self.score:.2f}") if part)


def sheet_png(stills: Sequence[Still], tracks: Sequence[Shown], likely: Sequence[Shown]) -> bytes:
    """The pictures in rows, each with its frame, its time, and the boxes and confidences in it.

    Args:
        stills: At least one, all of one size.
        tracks: What is taken.
        likely: What may be an overlay, drawn thinly.
    """
    drawn = [_drawn(still, tracks, likely) for still in stills]
    height, width = drawn[0].shape[:2]
    rows = -(-len(drawn) // COLUMNS)
    size = rows * (height + _GAP_PX) + _GAP_PX, COLUMNS * (width + _GAP_PX) + _GAP_PX, 3
    canvas = np.full(size, 32, np.uint8)
    for number, picture in enumerate(drawn):
        row, column = divmod(number, COLUMNS)
        y, x = _GAP_PX + row * (height + _GAP_PX), _GAP_PX + column * (width + _GAP_PX)
        canvas[y : y + height, x : x + width] = picture
    return bytes(cv2.imencode(".png", canvas)[1])


def _drawn(still: Still, tracks: Sequence[Shown], likely: Sequence[Shown]) -> Picture:
    """One picture, small, with a caption bar above it."""
    full = still.picture.shape
    scale = min(1.0, THUMB_PX / max(full[:2]))
    size = max(2, round(full[1] * scale)), max(2, round(full[0] * scale))
    small = cv2.resize(still.picture, size, interpolation=cv2.INTER_AREA)
    image: NDArray[np.uint8] = np.asarray(
        cv2.copyMakeBorder(small, _BAR_PX, 0, 0, 0, cv2.BORDER_CONSTANT, value=(32, 32, 32)), np.uint8
    )
    words = [f"frame {still.index}, {clock(still.time_s)}"]
    for number, track in enumerate(tracks):
        if track.start <= still.index < track.stop:
            _outline(image, track, scale, _COLOURS[number % len(_COLOURS)], 2)
            words.append(f"#{number + 1} {track.words}".rstrip())
    for number, track in enumerate(likely):
        if track.start <= still.index < track.stop:
            _outline(image, track, scale, (235, 235, 235), 1)
            words.append(f"?{number + 1} {track.words}".rstrip())
    cv2.putText(image, "  ".join(words), (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (235, 235, 235), 1, cv2.LINE_AA)
    return image


def _outline(image: Picture, track: Shown, scale: float, colour: tuple[int, int, int], thickness: int) -> None:
    x, y, w, h = (round(value * scale) for value in track.box)
    cv2.rectangle(image, (x - 1, y + _BAR_PX - 1), (x + w, y + h + _BAR_PX), colour, thickness)
