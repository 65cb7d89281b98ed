"""Where the overlay is, from whatever the user gave: boxes, a mask picture, a mask video, or what a detector found.

Boxes and masks are given in pixels of the picture as a player shows it; everything after this module works in coded
pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool import media
from waterz_spool.detect import patches
from waterz_spool.detect.masks import Linker, Mask
from waterz_spool.errors import InputError, UsageError
from waterz_spool.geometry import Geometry
from waterz_spool.media.source import check_picture
from waterz_spool.records import Box, DisplayBox, MaskPatch, OverlayTrack, VideoInfo

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm"}


class Overlay(Protocol):
    """The overlays of one video: the mask of every frame in order."""

    source: str

    def masks(self, frame_count: int) -> Iterator[Mask]:
        """One uint8 [H, W] mask per frame: weights of what replaces the picture; a repeated one is the same object."""
        ...


@dataclass(frozen=True)
class Hidden:
    """What an overlay hides.

    Attributes:
        tracks: Together they contain every masked pixel.
        most_px: Pixels of the frame in which most are masked.
    """

    tracks: list[OverlayTrack]
    most_px: int


def hidden_by(overlay: Overlay, frame_count: int) -> Hidden:
    """Tracks of everything that an overlay masks, one per separate part."""
    linker, most_px, before = Linker(), 0, None
    for mask in overlay.masks(frame_count):
        linker.add(mask)
        if mask is not before:
            before, most_px = mask, max(most_px, cv2.countNonZero(mask))
    return Hidden(linker.finish(), most_px)


MOST_GIVEN = 0.5
"""Of the picture: a place given by hand that hides more is rarer than a mistake."""


def check_share(px: int, info: VideoInfo, *, yes: bool, where: str = "") -> None:
    """Refuse what hides most of the picture, unless the user said that it is meant.

    Raises:
        UsageError: More than MOST_GIVEN is hidden.
    """
    share = px / (info.width * info.height)
    if yes or share <= MOST_GIVEN:
        return
    inverted = share < 1 and 1 - share < MOST_GIVEN / 2
    raise UsageError(
        f"{share:.0%} of the picture would be replaced"
        + ("; the mask looks inverted: white is what is removed, black stays" if inverted else ""),
        where=where,
        todo="mask the overlay alone, or add --yes if that much is meant",
    )


class StaticOverlay:
    """One mask that holds from frame ``start`` up to ``stop``.

    Args:
        mask: uint8 [H, W], nonzero is hidden.
        source: How it was found, for the plan: box, mask, static.
        start: First frame.
        stop: One past the last frame; None is the end of the video.
    """

    def __init__(self, mask: Mask, *, source: str, start: int = 0, stop: int | None = None) -> None:
        self.source = source
        self._mask = binary(mask)
        self._start = start
        self._stop = stop

    def masks(self, frame_count: int) -> Iterator[Mask]:
        """The mask inside the range, an empty one outside."""
        stop = frame_count if self._stop is None else self._stop
        empty = np.zeros_like(self._mask)
        for index in range(frame_count):
            yield self._mask if self._start <= index < stop else empty


class FoundOverlay:
    """What a detector found.

    Args:
        found: Masks with place and frames.
        info: Facts of the video.
        source: The detector's name.
        limits: Nothing outside these boxes is masked; empty is no limit.
    """

    def __init__(
        self, found: Sequence[MaskPatch], info: VideoInfo, *, source: str, limits: Sequence[DisplayBox] = ()
    ) -> None:
        self.source = source
        self._found = found
        self._size = (info.width, info.height)
        self._limit = boxes_mask(limits, info, option="--limit") if limits else None

    def masks(self, frame_count: int) -> Iterator[Mask]:
        """The masks, cut to the limits."""
        before, cut = None, np.zeros((0, 0), np.uint8)
        for mask in patches.masks(self._found, frame_count, size=self._size):
            if mask is not before:
                before, cut = mask, mask if self._limit is None else np.bitwise_and(mask, self._limit)
            yield cut


class UnitedOverlay:
    """What either of two overlays masks.

    Args:
        one: Its name is that of both.
        other: The other.
    """

    def __init__(self, one: Overlay, other: Overlay) -> None:
        self.source = one.source
        self._parts = one, other

    def masks(self, frame_count: int) -> Iterator[Mask]:
        """The greater weight of both."""
        before, both = None, np.zeros((0, 0), np.uint8)
        for pair in zip(*(part.masks(frame_count) for part in self._parts), strict=True):
            if before is None or pair[0] is not before[0] or pair[1] is not before[1]:
                before, both = pair, np.maximum(*pair)
            yield both


def united(given: Overlay, found: Sequence[MaskPatch], info: VideoInfo) -> Overlay:
    """What is given, and what was found beside it."""
    return UnitedOverlay(given, FoundOverlay(found, info, source=given.source)) if found else given


class VideoOverlay:
    """A mask video: one mask per frame of the source, as many frames, of the same size.

    Args:
        path: The mask video.
        info: The source's facts.
        start: First frame in which the masks hold.
        stop: One past the last; None is the end of the video.
    """

    source = "mask"

    def __init__(self, path: Path, info: VideoInfo, *, start: int = 0, stop: int | None = None) -> None:
        self._path = path
        self._info = info
        self._start = start
        self._stop = stop
        self._reading: Reading | None = None

    def masks(self, frame_count: int) -> Iterator[Mask]:
        """The masks, decoded in order.

        Raises:
            InputError: The mask video has fewer or more frames than the source.
        """
        previous: Mask | None = None
        count = 0
        info = media.probe(self._path)
        if self._reading is None:
            self._reading = _reading_of_video(self._path, info)
        for frame in media.decode(self._path, info):
            count += 1
            if count > frame_count:
                break
            mask = coded_mask(_mask_of(_pixels(frame, info), self._reading), self._info, self._path)
            if frame.index < self._start or (self._stop is not None and frame.index >= self._stop):
                mask = np.zeros_like(mask)
            previous = previous if previous is not None and np.array_equal(mask, previous) else mask
            yield previous
        if count != frame_count:
            raise InputError(
                f"the mask video has {'more' if count > frame_count else count} frames, the video has {frame_count}",
                where=str(self._path),
                todo="give one mask per frame, or one picture for all frames",
            )


def binary(mask: NDArray[np.generic]) -> Mask:
    """Any array [H, W] as a mask of 0 and 255."""
    return np.where(mask, np.uint8(255), np.uint8(0))


def boxes_overlay(
    boxes: Sequence[DisplayBox], info: VideoInfo, *, start: int = 0, stop: int | None = None
) -> StaticOverlay:
    """The overlay that fills the given boxes.

    Raises:
        UsageError: A box lies outside the picture.
    """
    return StaticOverlay(boxes_mask(boxes, info), source="box", start=start, stop=stop)


def boxes_mask(boxes: Sequence[DisplayBox], info: VideoInfo, *, option: str = "--box") -> Mask:
    """A mask of the coded picture with the given boxes filled.

    Args:
        boxes: In displayed pixels.
        info: Facts of the video.
        option: Where they were given, for the error.

    Raises:
        UsageError: A box lies outside the picture.
    """
    mask = np.zeros((info.height, info.width), np.uint8)
    for box in boxes:
        x0, y0, x1, y1 = coded_box(box, info, option=option)
        mask[y0:y1, x0:x1] = 255
    return mask


def picture_overlay(path: Path, info: VideoInfo, *, start: int = 0, stop: int | None = None) -> StaticOverlay:
    """The overlay that a mask picture shows: alpha where it has any, else bright pixels.

    Raises:
        InputError: Unreadable, empty or of another size than the video.
    """
    return StaticOverlay(coded_mask(read_picture(path), info, path), source="mask", start=start, stop=stop)


@dataclass(frozen=True)
class Reading:
    """How all pictures of one mask are read: what one of them alone looks like does not tell.

    Attributes:
        alpha: The alpha channel is the mask, for it has some transparency in one of them: one that is opaque all over
            hides the whole picture then. Else the bright pixels are, whatever alpha says.
        ones: 1 is hidden, for none of them holds anything brighter. Among brighter pictures that is noise.
    """

    alpha: bool
    ones: bool


def read_picture(path: Path, *, may_be_empty: bool = False, reading: Reading | None = None) -> Mask:
    """A mask picture as uint8 [H, W], 0 or 255: its alpha where it has any transparency, else its bright pixels.

    Args:
        path: The file.
        may_be_empty: Whether it may mask nothing.
        reading: How all pictures of the mask are read; None is this one alone.

    Raises:
        InputError: Unreadable, or it masks nothing.
    """
    picture = _picture(path)
    mask = _mask_of(picture, reading or _reading_of([picture]))
    if not may_be_empty and not mask.any():
        raise InputError("the mask picture masks nothing", where=str(path), todo="paint the overlay white on black")
    return mask


def reading_of(paths: Sequence[Path]) -> Reading:
    """How the pictures of one mask are read.

    Raises:
        InputError: One is unreadable.
    """
    return _reading_of(_picture(path) for path in paths)


def _reading_of(pictures: Iterable[NDArray[Any]]) -> Reading:
    alpha, ones = False, True
    for picture in pictures:
        alpha = alpha or _transparent(picture)
        ones = ones and picture.max(initial=0) <= 1
    return Reading(alpha, ones)


def _reading_of_video(path: Path, info: VideoInfo) -> Reading:
    """Its pictures are looked at once more where they have alpha; noise of 1 in an encoded video is never a mask."""
    if not media.work_format(info.pix_fmt).alpha:
        return Reading(alpha=False, ones=False)
    return Reading(any(_transparent(_pixels(frame, info)) for frame in media.decode(path, info)), ones=False)


def _transparent(picture: NDArray[Any]) -> bool:
    return picture.ndim == 3 and picture.shape[2] == 4 and bool(picture[..., 3].min() < _half(picture, ones=True))


def _half(picture: NDArray[Any], *, ones: bool) -> float:
    """What is more than this is hidden."""
    integer = np.issubdtype(picture.dtype, np.integer) and not (ones and picture.max(initial=0) <= 1)
    return np.iinfo(picture.dtype).max / 2 if integer else 0.5


def _picture(path: Path) -> NDArray[Any]:
    if path.is_file():
        check_picture(path)
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if picture is None:
        raise InputError(
            "the mask picture cannot be read", where=str(path), todo="give a PNG, white where the overlay is"
        )
    return np.asarray(picture)


def _mask_of(picture: NDArray[Any], reading: Reading) -> Mask:
    """What a picture [H, W] or [H, W, C] masks: its alpha or its bright pixels."""
    half = _half(picture, ones=reading.ones)
    if picture.ndim == 3 and picture.shape[2] == 4:
        picture = picture[..., 3] if reading.alpha else picture[..., :3]
    return binary(picture.max(axis=2) > half if picture.ndim == 3 else picture > half)


def _pixels(frame: media.Frame, info: VideoInfo) -> NDArray[Any]:
    """A frame of a mask video as a picture file would hold it: gray at its own depth, else 8-bit RGB or RGBA."""
    form = media.work_format(info.pix_fmt)
    if form.family == "gray" and not form.alpha:
        return binary(media.planes(frame)[0] >= 1 << (form.bits - 1))
    return np.asarray(frame.picture.to_ndarray(format="rgba" if form.alpha else "rgb24"))


def coded_box(box: DisplayBox, info: VideoInfo, *, option: str = "--box") -> Box:
    """A box of the picture as a player shows it, in coded px.

    Args:
        box: In displayed px.
        info: Facts of the video.
        option: Where it was given, for the error.

    Raises:
        UsageError: It lies outside the picture.
    """
    geometry = Geometry.of(info)
    x, y, w, h = box
    width, height = geometry.shown
    if x + w <= width and y + h <= height:
        return geometry.coded_box(box)
    todo = "give x,y,w,h in px of the picture as a player shows it"
    if x < w <= width and y < h <= height:
        todo = f"for the corners {x},{y} and {w},{h} that is {option} {x},{y},{w - x},{h - y}"
    raise UsageError(
        f"the box ends at {x + w},{y + h} but the picture is {geometry.words}",
        where=f"{option} {x},{y},{w},{h}",
        todo=todo,
    )


def coded_mask(mask: Mask, info: VideoInfo, path: Path) -> Mask:
    """A mask of the picture, as a player shows it or as the file stores it, in coded pixels.

    Raises:
        InputError: It is of another size than the video; the error says which sizes fit.
    """
    check_mask_size((mask.shape[1], mask.shape[0]), info, path)
    return Geometry.of(info).coded_mask(mask)


def check_mask_size(size: tuple[int, int], info: VideoInfo, path: Path) -> None:
    """Refuse a mask of another width and height than the picture.

    Raises:
        InputError: It says which sizes fit.
    """
    geometry = Geometry.of(info)
    if not geometry.fitting(size):
        raise InputError(
            f"the mask is {size[0]}x{size[1]}, the picture is {geometry.words}",
            where=str(path),
            todo=f"make the mask from a frame of this video, {geometry.sizes}",
        )
