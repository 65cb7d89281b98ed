"""Between the source's planes and the arrays a restorer works on.

Planes are 2-D arrays in the source's own sampling and bit depth: ``(Y, Cb, Cr)`` with chroma of ``ceil(W / sx)`` by
``ceil(H / sy)`` samples, ``(R, G, B)`` or ``(Y,)``. A crop is one ``[H, W, C]`` array at full chroma resolution.
Boxes are half-open ``(x0, y0, x1, y1)`` in luma samples and start on a chroma sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from waterz_spool.records import Box

Plane = NDArray[Any]
Pixels = NDArray[Any]


def crop_planes(planes: Sequence[Plane], box: Box, sx: int, sy: int) -> tuple[Plane, ...]:
    """Views of the planes inside a box.

    Args:
        planes: One frame's planes.
        box: Luma box whose left and top are multiples of ``sx`` and ``sy``; its right and bottom are too, or the
            frame ends there.
        sx: Luma columns per chroma column: 1, 2 or 4.
        sy: Luma rows per chroma row: 1, 2 or 4.

    Raises:
        ValueError: The box would cut a chroma sample.
    """
    x0, y0, x1, y1 = box
    height, width = planes[0].shape
    if x0 % sx or y0 % sy or (x1 % sx and x1 != width) or (y1 % sy and y1 != height):
        raise ValueError(f"box {box} cuts a chroma sample of {sx}x{sy} luma samples")
    chroma = slice(y0 // sy, -(-y1 // sy)), slice(x0 // sx, -(-x1 // sx))
    return (planes[0][y0:y1, x0:x1], *(plane[chroma] for plane in planes[1:]))


def to_full_chroma(planes: Sequence[Plane], sx: int, sy: int) -> Pixels:
    """Planes as one array at full chroma resolution.

    Inside each chroma cell the samples follow the local slope and keep the cell's value as their exact mean, so the
    way back (`composite`) returns the very same chroma. The slope is the monotonised central difference (van Leer,
    "Towards the ultimate conservative difference scheme III", 1977): no value leaves the range of its neighbours.

    Args:
        planes: uint8 or uint16, 2-D.
        sx: Luma columns per chroma column: 1, 2 or 4.
        sy: Luma rows per chroma row: 1, 2 or 4.

    Returns:
        [H, W, C], dtype of the planes.
    """
    height, width = planes[0].shape
    out = np.empty((height, width, len(planes)), planes[0].dtype)
    out[..., 0] = planes[0]
    for channel, plane in enumerate(planes[1:], 1):
        out[..., channel] = _upsample(plane, (height, width), sx, sy)
    return out


def composite(
    planes: Sequence[Plane], restored: Pixels, mask: NDArray[np.uint8], box: Box, *, sx: int, sy: int
) -> None:
    """Write the restored pixels into the planes, in place and only inside the mask.

    The mask is the weight of the restored pixels: 255 replaces, less blends. A chroma sample has the highest weight of
    its luma samples. Every sample of weight 0 stays as it is.

    Args:
        planes: One frame's whole planes, writable.
        restored: [H, W, C] of the box, dtype of the planes.
        mask: uint8 [H, W] of the box; 0 is outside, 255 wholly inside.
        box: Where the crop lies; see `crop_planes`.
        sx: Luma columns per chroma column: 1, 2 or 4.
        sy: Luma rows per chroma row: 1, 2 or 4.

    Raises:
        ValueError: The box would cut a chroma sample, or the shapes do not fit it.
    """
    views = crop_planes(planes, box, sx, sy)
    if restored.shape != (*views[0].shape, len(planes)) or mask.shape != views[0].shape:
        raise ValueError(f"restored {restored.shape} and mask {mask.shape} do not fit box {box}")
    _blend(views[0], restored[..., 0], mask)
    weight = mask if sx == sy == 1 else _cells(mask, sx, sy).max(axis=(1, 3))
    for channel, view in enumerate(views[1:], 1):
        _blend(view, _downsample(restored[..., channel], sx, sy), weight)


def _blend(plane: Plane, restored: Plane, weight: NDArray[np.uint8]) -> None:
    """In place; integers throughout, so that the same input gives the same bytes everywhere."""
    np.copyto(plane, restored, where=weight == 255)
    soft = (weight > 0) & (weight < 255)
    share = weight[soft].astype(np.uint32)
    mixed = restored[soft].astype(np.uint32) * share + plane[soft].astype(np.uint32) * (255 - share)
    plane[soft] = (mixed + 127) // 255


def _upsample(plane: Plane, shape: tuple[int, int], sx: int, sy: int) -> Plane:
    if sx == sy == 1:
        return plane
    value = plane.astype(np.int32)
    rows = _steps(value, 0, sy, shape[0])
    columns = _steps(value, 1, sx, shape[1])
    cells = value[:, None, :, None] + rows.transpose(1, 0, 2)[..., None] + columns.transpose(1, 2, 0)[:, None]
    full = cells.reshape(plane.shape[0] * sy, plane.shape[1] * sx)
    return full[: shape[0], : shape[1]].astype(plane.dtype)


def _steps(value: NDArray[np.int32], axis: int, factor: int, length: int) -> NDArray[np.int32]:
    """Offsets of a cell's samples along one axis, [factor, h, w]; each cell's offsets sum to zero."""
    if factor == 1:
        return np.zeros((1, *value.shape), np.int32)
    slope = _slope(value, axis, factor / (factor - 1))
    if length % factor:  # the last cell is cut by the frame's edge: keep its value
        np.moveaxis(slope, axis, 0)[-1] = 0
    offsets = (np.arange(factor) - (factor - 1) / 2) / factor
    return np.asarray(np.trunc(offsets[:, None, None] * slope), np.int32)


def _slope(value: NDArray[np.int32], axis: int, steepest: float) -> NDArray[np.float32]:
    """Limited central difference: the ends of a cell then lie at most half way to its neighbours along each axis."""
    edge = np.pad(value, [(1, 1) if i == axis else (0, 0) for i in range(2)], mode="edge")
    step = np.diff(edge, axis=axis).astype(np.float32)
    before, after = (step[:-1], step[1:]) if axis == 0 else (step[:, :-1], step[:, 1:])
    size = np.minimum(np.abs(before + after) / 2, steepest * np.minimum(np.abs(before), np.abs(after)))
    return np.asarray(np.where(before * after > 0, np.sign(before) * size, 0), np.float32)


def _downsample(plane: Plane, sx: int, sy: int) -> Plane:
    if sx == sy == 1:
        return plane
    count = _cell_sums(np.ones(plane.shape, np.int32), sx, sy)
    return ((_cell_sums(plane, sx, sy) + count // 2) // count).astype(plane.dtype)


def _cell_sums(plane: Plane, sx: int, sy: int) -> NDArray[np.int32]:
    return np.asarray(_cells(plane, sx, sy).sum(axis=(1, 3)), np.int32)


def _cells(plane: Plane, sx: int, sy: int) -> NDArray[np.int32]:
    """Samples by chroma cell, [h, sy, w, sx]; zeros beyond the plane."""
    height, width = plane.shape
    full = np.zeros((-(-height // sy) * sy, -(-width // sx) * sx), np.int32)
    full[:height, :width] = plane
    return full.reshape(full.shape[0] // sy, sy, full.shape[1] // sx, sx)
