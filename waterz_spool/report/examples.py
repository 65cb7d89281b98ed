"""The page about trained weights: how well they find the overlays, and examples to look at."""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Tried:
    """A picture with what is there and what was found.

    Attributes:
        picture: uint8 [H, W, 3] BGR.
        there: Boxes of the overlays in it.
        found: Boxes and confidences that the weights gave.
    """

    picture: NDArray[np.uint8]
    there: Sequence[Box]
    found: Sequence[tuple[Box, float]]


def examples_html(title: str, facts: Mapping[str, object], tried: Sequence[Tried]) -> str:
    """A self-contained page: green is there, orange was found."""
    rows = "".join(f"<tr><td>{html.escape(str(key))}<td>{html.escape(str(value))}" for key, value in facts.items())
    pictures = "".join(f'<img alt="" src="data:image/jpeg;base64,{_jpeg(each)}">' for each in tried)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>{_STYLE}'
        f"<h1>{html.escape(title)}</h1><table>{rows}</table><p>Green: composed or labelled. Orange: found, with "
        f"confidence.</p><div>{pictures}</div></html>\n"
    )


_STYLE = (
    "<style>body{font:15px system-ui;margin:2em;background:#202020;color:#ddd}img{margin:4px;max-width:100%}"
    "td{padding:2px 12px;vertical-align:top;overflow-wrap:anywhere}</style>"
)


def _jpeg(tried: Tried) -> str:
    image = tried.picture.copy()
    for x0, y0, x1, y1 in tried.there:
        cv2.rectangle(image, (x0 - 2, y0 - 2), (x1 + 1, y1 + 1), (60, 220, 60), 1)
    for (x0, y0, x1, y1), score in tried.found:
        cv2.rectangle(image, (x0, y0), (x1 - 1, y1 - 1), (40, 150, 255), 1)
        cv2.putText(image, f"{score:.2f}", (x0, max(10, y0 - 3)), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (40, 150, 255), 1)
    return b64encode(cv2.imencode(".jpg", image)[1].tobytes()).decode()
