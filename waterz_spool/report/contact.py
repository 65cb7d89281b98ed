"""The contact sheet: pictures over time with what was found, as one PNG and one self-contained HTML page."""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.geometry import Geometry
from waterz_spool.records import DisplayBox

Picture = NDArray[np.uint8]

THUMB_PX = 320
COLUMNS = 4
MOST = 24
_COLOURS = ((60, 220, 60), (40, 170, 255), (255, 120, 80), (230, 80, 230), (60, 230, 230))  # BGR


class Thumbs:
    """Small pictures spread evenly over a video of unknown length, at most twice MOST at a time.

    Args:
        geometry: How the video is shown.
    """

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        self._stride = 1
        self._kept: list[tuple[int, Picture]] = []

    def add(self, index: int, picture: Any) -> None:
        """A decoded ``av.VideoFrame``."""
        if index % self._stride:
            return
        scale = min(1.0, THUMB_PX / max(self._geometry.shown))
        self._kept.append((index, self._geometry.small(picture, scale)))
        if len(self._kept) == 2 * MOST:
            del self._kept[1::2]
            self._stride *= 2

    def pictures(self) -> list[tuple[int, Picture]]:
        """At most MOST of them, with their frame indexes."""
        places = np.linspace(0, len(self._kept) - 1, min(MOST, len(self._kept)))
        return [self._kept[index] for index in np.unique(places.round().astype(int))]


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


@dataclass(frozen=True)
class Sheet:
    """All that a contact sheet shows.

    Attributes:
        title: Of the video.
        facts: Lines about the video and the detector.
        size: Width and height of the displayed picture, px.
        tracks: What was found.
        notes: What was not taken, in words.
        thumbs: Frame index and picture, uint8 [h, w, 3] BGR.
        likely: What may be an overlay and was not taken, with the command that takes it.
    """

    title: str
    facts: Sequence[str]
    size: tuple[int, int]
    tracks: Sequence[Shown]
    notes: Sequence[str]
    thumbs: Sequence[tuple[int, Picture]]
    likely: Sequence[tuple[Shown, str]] = ()


def sheet_png(sheet: Sheet) -> bytes:
    """The pictures in rows, each with its frame index, boxes and confidences."""
    drawn = [_drawn(sheet, index, picture) for index, picture in sheet.thumbs]
    height, width = drawn[0].shape[:2]
    rows = -(-len(drawn) // COLUMNS)
    canvas = np.full((rows * (height + 8) + 8, COLUMNS * (width + 8) + 8, 3), 32, np.uint8)
    for number, picture in enumerate(drawn):
        y, x = 8 + number // COLUMNS * (height + 8), 8 + number % COLUMNS * (width + 8)
        canvas[y : y + height, x : x + width] = picture
    return bytes(cv2.imencode(".png", canvas)[1])


def _drawn(sheet: Sheet, index: int, picture: Picture) -> Picture:
    """One picture with a caption bar above it."""
    image = cv2.copyMakeBorder(picture, 20, 0, 0, 0, cv2.BORDER_CONSTANT, value=(32, 32, 32))
    scale = picture.shape[1] / sheet.size[0]
    words = [f"frame {index}"]
    for number, track in enumerate(sheet.tracks):
        if track.start <= index < track.stop:
            colour = _COLOURS[number % len(_COLOURS)]
            x, y, w, h = (round(value * scale) for value in track.box)
            cv2.rectangle(image, (x - 1, y + 19), (x + w, y + h + 20), colour, 2)
            words.append(f"#{number + 1} {track.words}".rstrip())
    for number, (track, _) in enumerate(sheet.likely):
        if track.start <= index < track.stop:
            x, y, w, h = (round(value * scale) for value in track.box)
            cv2.rectangle(image, (x - 1, y + 19), (x + w, y + h + 20), (235, 235, 235), 1)
            words.append(f"?{number + 1} {track.score:.2f}")
    cv2.putText(image, "  ".join(words), (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (235, 235, 235), 1, cv2.LINE_AA)
    return np.asarray(image, np.uint8)


def sheet_html(sheet: Sheet) -> str:
    """The same as a page that needs nothing but itself."""
    pictures = "".join(
        f'<img alt="frame {index}" src="data:image/jpeg;base64,{_jpeg(_drawn(sheet, index, picture))}">'
        for index, picture in sheet.thumbs
    )
    rows = "".join(
        f"<tr><td>#{number}<td>{track.start}<td>{track.stop - 1}<td>{','.join(map(str, track.box))}"
        f"<td>{html.escape(track.words)}"
        for number, track in enumerate(sheet.tracks, 1)
    )
    notes = "".join(f"<li>{html.escape(note)}" for note in sheet.notes)
    facts = "<br>".join(html.escape(fact) for fact in sheet.facts)
    table = f"<table><tr><th><th>first frame<th>last<th>x,y,w,h<th>confidence{rows}</table>" if rows else ""
    likely = "".join(
        f"<tr><td>?{number}<td>{track.start}<td>{track.stop - 1}<td>{','.join(map(str, track.box))}"
        f"<td>{track.score:.2f}<td><code>{html.escape(command)}</code>"
        for number, (track, command) in enumerate(sheet.likely, 1)
    )
    head = "<tr><th><th>first frame<th>last<th>x,y,w,h<th>confidence<th>takes it"
    asked = f"<h2>May be an overlay</h2><table>{head}{likely}</table>" if likely else ""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(sheet.title)}</title>{_STYLE}'
        f"<h1>{html.escape(sheet.title)}</h1><p>{facts}</p>{table}{asked}"
        f"{f'<h2>Not taken</h2><ul>{notes}</ul>' if notes else ''}<div>{pictures}</div></html>\n"
    )


_STYLE = (
    "<style>body{font:15px system-ui;margin:2em;background:#202020;color:#ddd}img{margin:4px;max-width:100%}"
    "td,th{padding:2px 12px;text-align:left;font-variant-numeric:tabular-nums}</style>"
)


def _jpeg(picture: Picture) -> str:
    return b64encode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()).decode()
