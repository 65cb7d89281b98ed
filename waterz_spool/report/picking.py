"""The page on which a person draws the place of an overlay: frames of the video, boxes, and the command to run."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import DisplayBox
from waterz_spool.report.pages import page

Picture = NDArray[np.uint8]
PAGE_BYTES = 2_800_000
"""Of all pictures together, in base64: a page stays under 3 MB."""
_QUALITIES = (88, 80, 70, 60, 50, 40)
_SCALES = (1.0, 0.75, 0.5, 0.35, 0.25)


@dataclass(frozen=True)
class Still:
    """One frame as a player shows it.

    Attributes:
        index: Of the frame.
        time_s: Since the first frame.
        picture: uint8 [H, W, 3] BGR.
        mask: uint8 [H, W], nonzero where it will be restored; None where nothing is.
    """

    index: int
    time_s: float
    picture: Picture
    mask: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Marked:
    """A box on the page.

    Attributes:
        box: Where.
        from_s: It holds from here on, in seconds since the first frame; None is the start.
        to_s: Up to here; None is the end.
        note: Said beside it.
    """

    box: DisplayBox
    from_s: float | None = None
    to_s: float | None = None
    note: str = ""


@dataclass(frozen=True)
class PickPage:
    """All that the page shows.

    Attributes:
        name: Of the video.
        command_name: The video as the command line takes it, quoted for a shell.
        facts: About the video and the detector, short.
        size: Width and height of the displayed picture, px.
        frame_count: Frames of the video.
        rate: Mean frames per second.
        stills: At least one frame, in order of time.
        boxes: Drawn at the start, for the person to correct.
        doubts: Places that were seen and not taken.
        notes: What is no overlay, in words.
        reason: Why nothing was taken; empty otherwise.
    """

    name: str
    command_name: str
    facts: Sequence[str]
    size: tuple[int, int]
    frame_count: int
    rate: float
    stills: Sequence[Still]
    boxes: Sequence[Marked] = ()
    doubts: Sequence[Marked] = ()
    notes: Sequence[str] = ()
    reason: str = ""


def pick_html(shown: PickPage) -> str:
    """The page as HTML that needs nothing but itself."""
    width, height = shown.size
    pictures = _fitting([still.picture for still in shown.stills])
    first = next((at for at, still in enumerate(shown.stills) if still.mask is not None), 0)
    data: dict[str, Any] = {
        "name": shown.name,
        "video": shown.command_name,
        "size": [width, height],
        "count": shown.frame_count,
        "rate": shown.rate,
        "first": first,
        "frames": [
            {
                "index": still.index,
                "time": round(still.time_s, 6),
                "picture": picture,
                "mask": None if still.mask is None else _mask_uri(still.mask),
            }
            for still, picture in zip(shown.stills, pictures, strict=True)
        ],
        "boxes": [_plain(each) for each in shown.boxes],
        "doubts": [_plain(each) for each in shown.doubts],
    }
    return page(
        "pick.html",
        name=shown.name,
        facts=list(shown.facts),
        reason=shown.reason,
        notes=list(shown.notes),
        width=width,
        height=height,
        data=data,
    )


def _plain(each: Marked) -> dict[str, Any]:
    return {"box": list(each.box), "from": each.from_s, "to": each.to_s, "note": each.note}


def _fitting(pictures: Sequence[Picture]) -> list[str]:
    """All pictures as data URIs, as good as fits into PAGE_BYTES together."""
    uris: list[str] = []
    for scale, quality in [(1.0, quality) for quality in _QUALITIES] + [(scale, 60) for scale in _SCALES[1:]]:
        uris = [jpeg_uri(picture, quality=quality, scale=scale) for picture in pictures]
        if sum(map(len, uris)) <= PAGE_BYTES:
            break
    return uris


def jpeg_uri(picture: Picture, *, quality: int, scale: float = 1.0) -> str:
    """A picture as a data URI.

    Args:
        picture: uint8 [H, W, 3] BGR.
        quality: Of the JPEG, 1 to 100.
        scale: Of its sides, at most 1.
    """
    if scale < 1:
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    return f"data:image/jpeg;base64,{b64encode(data).decode()}"


def _mask_uri(mask: NDArray[np.uint8]) -> str:
    """A mask as a red picture, transparent where it is 0."""
    shown = np.zeros((*mask.shape, 4), np.uint8)
    shown[mask > 0] = (40, 40, 255, 255)
    data = cv2.imencode(".png", shown, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    return f"data:image/png;base64,{b64encode(data).decode()}"
