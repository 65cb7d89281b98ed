"""Training pictures: the user's overlays composed onto the user's own clean footage.

Each picture is a frame of the footage with no, one or a few overlays at random places, in random size, opacity,
colour and sharpness, compressed by H.264 as a real video is. Everything follows from the seed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool.errors import InputError
from waterz_spool.records import Box

Picture = NDArray[np.uint8]

NEGATIVES = 0.2
_GROUP = 16
_TRIES = 20
_SUPPORT = 0.02  # of alpha
_VISIBLE = 8.0  # levels of 255, mean change: white on white teaches nothing but to guess


@dataclass(frozen=True)
class Overlay:
    """A picture of an overlay.

    Attributes:
        name: Its class.
        colour: float32 [H, W, 3] BGR, 0 to 255.
        alpha: float32 [H, W], 0 to 1.
    """

    name: str
    colour: NDArray[np.float32]
    alpha: NDArray[np.float32]


@dataclass(frozen=True)
class Example:
    """A composed picture.

    Attributes:
        picture: uint8 [H, W, 3] BGR.
        boxes: Class number and box of each overlay, px.
    """

    picture: Picture
    boxes: tuple[tuple[int, Box], ...]


def read_overlay(path: Path) -> Overlay:
    """An overlay from a picture file, cut to what is not transparent; without transparency it is a plate.

    Raises:
        InputError: Unreadable or wholly transparent.
    """
    data = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if data is None:
        raise InputError("the overlay picture cannot be read", where=str(path), todo="give a PNG, best with alpha")
    if data.dtype == np.uint16:
        data = np.asarray(data >> 8)
    data = np.asarray(data, np.float32)
    if data.ndim == 2:
        data = np.repeat(data[..., None], 3, 2)
    alpha = data[..., 3] / 255 if data.shape[2] == 4 else np.ones(data.shape[:2], np.float32)
    rows, columns = np.flatnonzero((alpha > _SUPPORT).any(axis=1)), np.flatnonzero((alpha > _SUPPORT).any(axis=0))
    if not len(rows):
        raise InputError("the overlay picture is wholly transparent", where=str(path), todo="give one that shows it")
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return Overlay(path.stem, np.ascontiguousarray(data[part][..., :3]), np.ascontiguousarray(alpha[part]))


def compose(
    overlays: Sequence[Overlay], footage: Sequence[Picture], *, count: int, imgsz: int, seed: int
) -> Iterator[Example]:
    """Training examples.

    Args:
        overlays: Their place in the sequence is the class number.
        footage: Clean frames, uint8 [H, W, 3] BGR.
        count: How many examples.
        imgsz: Longer side of the pictures, px.
        seed: The same seed gives the same examples.
    """
    rng = np.random.default_rng(seed)
    sizes: dict[tuple[int, int], list[Example]] = {}
    for _ in range(count):
        picture = _background(footage[int(rng.integers(len(footage)))], imgsz, rng)
        wanted = int(rng.choice((0, 1, 2, 3), p=(NEGATIVES, 0.55, 0.15, 0.1)))
        group = sizes.setdefault(picture.shape[:2], [])
        group.append(_with_overlays(picture, overlays, wanted, rng))
        if len(group) == _GROUP:
            yield from _compressed(group, rng)
            group.clear()
    for group in sizes.values():
        if group:
            yield from _compressed(group, rng)


def _background(frame: Picture, imgsz: int, rng: np.random.Generator) -> Picture:
    """A part of a frame, at least half of each side, sometimes mirrored; even sides of fixed shape per footage."""
    height, width = frame.shape[:2]
    share = float(rng.uniform(0.5, 1.0)) if rng.random() < 0.5 else 1.0
    h, w = max(2, round(height * share)), max(2, round(width * share))
    y, x = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    part = frame[y : y + h, x : x + w]
    scale = imgsz / max(height, width)
    size = max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
    picture = cv2.resize(part, size, interpolation=cv2.INTER_AREA if w > size[0] else cv2.INTER_LINEAR)
    return np.asarray(picture[:, ::-1] if rng.random() < 0.5 else picture, np.uint8)


def _with_overlays(picture: Picture, overlays: Sequence[Overlay], count: int, rng: np.random.Generator) -> Example:
    canvas = picture.astype(np.float32)
    boxes: list[tuple[int, Box]] = []
    for _ in range(count):
        number = int(rng.integers(len(overlays)))
        colour, alpha = _varied(overlays[number], picture.shape[1], picture.shape[0], rng)
        height, width = alpha.shape
        for _ in range(_TRIES):
            x, y = int(rng.integers(picture.shape[1] - width + 1)), int(rng.integers(picture.shape[0] - height + 1))
            box = (x, y, x + width, y + height)
            free = all(box[0] >= b[2] or b[0] >= box[2] or box[1] >= b[3] or b[1] >= box[3] for _, b in boxes)
            part = canvas[y : y + height, x : x + width]
            change = alpha[..., None] * (colour - part)
            if free and np.abs(change)[alpha > _SUPPORT].mean() >= _VISIBLE:
                part += change
                boxes.append((number, box))
                break
    return Example(np.clip(np.rint(canvas), 0, 255).astype(np.uint8), tuple(boxes))


def _varied(
    overlay: Overlay, width: int, height: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """An overlay in random size, opacity, colour and sharpness: colour [h, w, 3] and alpha [h, w]."""
    h, w = overlay.alpha.shape
    wanted = width * float(np.exp(rng.uniform(np.log(0.08), np.log(0.45))))
    scale = min(wanted / w, 0.6 * height / h, 0.9 * width / w)
    size = max(6, round(w * scale * rng.uniform(0.93, 1.07))), max(4, round(h * scale))
    size = min(size[0], width), min(size[1], height)
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    # Premultiplied, so that what lies under transparent pixels does not bleed in.
    both = np.dstack([overlay.colour * overlay.alpha[..., None], overlay.alpha])
    both = np.asarray(cv2.resize(both, size, interpolation=shrink), np.float32)
    if rng.random() < 0.5:
        both = np.asarray(cv2.GaussianBlur(both, (0, 0), float(rng.uniform(0.3, 1.2))), np.float32)
    alpha = both[..., 3]
    colour = both[..., :3] / np.maximum(alpha, 1e-3)[..., None]
    gain, offset = rng.uniform(0.85, 1.15, 3), rng.uniform(-12, 12, 3)
    opacity = 1.0 if rng.random() < 0.5 else float(rng.uniform(0.5, 1.0))
    return np.clip(colour * gain + offset, 0, 255).astype(np.float32), (alpha * opacity).astype(np.float32)


def _compressed(group: Sequence[Example], rng: np.random.Generator) -> Iterator[Example]:
    """Pictures of one size through H.264 and back, each alone, at a random quality."""
    height, width = group[0].picture.shape[:2]
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        options = {"crf": str(int(rng.integers(16, 34))), "preset": "ultrafast", "g": "1", "threads": "1"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for example in group:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(example.picture, format="bgr24")))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as made:
        for example, frame in zip(group, made.decode(video=0), strict=True):
            yield Example(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8), example.boxes)
