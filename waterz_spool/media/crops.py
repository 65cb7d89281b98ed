"""Crop and mask files: lossless FFV1 (RFC 9043, version 3, with slice checksums) in Matroska, one stream per crop.

Samples are stored as they are: planes of any work format travel under the name of a yuv or gray format with the same
plane sizes, so that no conversion can touch them. One encoder thread, so that equal frames give equal bytes. A cut file
is noticed here, but libav's decoder only logs a wrong slice checksum: who reads a crop file checks its bytes first
(FileRef.sha256).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from waterz_spool.errors import InputError
from waterz_spool.media.fresh import Finished, FreshFile
from waterz_spool.media.intact import check_intact
from waterz_spool.media.pixels import Plane, Planes, WorkFormat, plane_view, work_format, write_planes
from waterz_spool.media.source import open_file, read_pictures
from waterz_spool.records import VideoInfo

_TICK = 100  # ms between frames in the file; only their order means something
_TAG = "WATERZ_FORMAT"
_OPTIONS = {"level": "3", "coder": "1", "context": "0", "slicecrc": "1", "g": "1"}
_STORED = {(0, 0): "444", (1, 0): "422", (1, 1): "420", (0, 1): "440", (2, 0): "411", (2, 2): "410"}
_GRAY = work_format("gray")


def storage_format(work: WorkFormat) -> str:
    """The FFV1 format whose planes have the shapes of the work format's and room for its samples."""
    alpha = "a" if work.alpha else ""
    base = "gray" if work.family == "gray" else f"yuv{alpha}{_STORED[work.shift_x, work.shift_y]}p"
    encodable = {f.name for f in av.Codec("ffv1", "w").video_formats or ()}
    for depth in range(work.bits, 17):
        name = base if depth == 8 else f"{base}{depth}le"
        if name in encodable:
            return name
    raise InputError(f"FFV1 cannot store {work.pix_fmt}", todo="convert the video to at most 16 bit yuv or rgb first")


def ffv1_slices(width: int, height: int, work: WorkFormat) -> str:
    """How many slices FFV1 takes: not empty ones, nor two that would share a chroma sample, then it finds how many."""
    halves = ((width, width - width // 2, 1 << work.shift_x), (height, height - height // 2, 1 << work.shift_y))
    shared = any(side % step and not last % step for side, last, step in halves)
    return "1" if min(width, height) < 16 else "0" if shared else "4"


class CropWriter(Finished):
    """Writes crops losslessly; a context manager that finishes the file, or leaves it unfinished on an error.

    Args:
        path: File to write (Matroska whatever its name).
        crops: Width and height of each crop in pixels, already aligned to the chroma grid.
        work: Format of the planes.
        info: The source's facts, for the colour tags of the file; None for masks.
    """

    def __init__(
        self,
        path: Path,
        *,
        crops: Sequence[tuple[int, int]],
        work: WorkFormat,
        info: VideoInfo | None = None,
    ) -> None:
        self._work = work
        self._file = FreshFile(path)
        self._container = self._file.container(format="matroska")
        self._container.flags |= av.container.Flags.bitexact.value
        self._container.metadata[_TAG] = work.pix_fmt
        self._format = storage_format(work)
        self._written = [0] * len(crops)
        self._streams = [self._add(width, height, info) for width, height in crops]
        self._container.start_encoding()

    def _add(self, width: int, height: int, info: VideoInfo | None) -> av.VideoStream:
        options = {**_OPTIONS, "slices": ffv1_slices(width, height, self._work)}
        stream: av.VideoStream = self._container.add_stream("ffv1", rate=Fraction(1000, _TICK), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, self._format
        stream.codec_context.thread_count = 1
        stream.codec_context.flags |= av.codec.context.Flags.bitexact.value
        if info is not None:
            stream.codec_context.color_range = info.color_range
        return stream

    def write(self, crop: int, data: Sequence[Plane]) -> None:
        """Append one frame to a crop.

        Args:
            crop: Position in ``crops``.
            data: Planes in the work format, of the crop's size.
        """
        stream = self._streams[crop]
        frame = av.VideoFrame(stream.width, stream.height, self._format)
        if len(data) != self._work.plane_count or data[0].shape != (stream.height, stream.width):
            raise ValueError(f"crop {crop} takes {self._work.plane_count} planes of {stream.width}x{stream.height}")
        write_planes(frame, data, work_format(self._format))
        frame.pts = self._written[crop]
        frame.time_base = Fraction(_TICK, 1000)
        self._written[crop] += 1
        self._container.mux(stream.encode(frame))

    def close(self) -> None:
        """Finish the file."""
        for stream in self._streams:
            self._container.mux(stream.encode(None))
        self._container.close()
        self._file.close()

    def abandon(self) -> None:
        """Let go of the file as it is, not complete."""
        self._container.close()
        self._file.abandon()


class CropReader:
    """Reads a crop file; every read decodes one crop from its beginning, one frame at a time.

    Attributes:
        work: Format of the planes.
        sizes: Width and height of each crop in pixels.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        self._check_length()
        with self._open() as container:
            tag = {k.upper(): v for k, v in container.metadata.items()}.get(_TAG)
            if tag is None:
                raise self._damaged("this is not a crop file")
            self.work = work_format(tag)
            self.sizes = [(s.width, s.height) for s in container.streams.video]

    def read(self, crop: int) -> Iterator[Planes]:
        """The frames of one crop in order, as planes in the work format.

        Raises:
            InputError: The file is damaged.
        """
        with self._open() as container:
            stream = container.streams.video[crop]
            stream.codec_context.thread_count = 1
            for other in container.streams:
                if other.index != crop:
                    other.discard = av.stream.Discard.all
            yield from self._frames(container, stream)

    def _frames(self, container: InputContainer, stream: av.VideoStream) -> Iterator[Planes]:
        try:
            for frame in read_pictures(container, stream):
                stored = work_format(frame.format.name)
                yield tuple(plane_view(frame, i, stored).copy() for i in range(self.work.plane_count))
        except av.FFmpegError as error:
            raise self._damaged("the crop file is damaged") from error

    def _check_length(self) -> None:
        try:
            check_intact(self._path)
        except (InputError, OSError) as error:
            raise self._damaged("the crop file is cut short or missing") from error

    def _open(self) -> InputContainer:
        try:
            return open_file(self._path, "matroska")
        except (av.FFmpegError, OSError) as error:
            raise self._damaged("the crop file cannot be read") from error

    def _damaged(self, what: str) -> InputError:
        return InputError(what, where=str(self._path), todo="prepare the job again")


class MaskWriter(CropWriter):
    """Writes masks (uint8: 0 is known, 255 hidden, between blends) losslessly, one stream per crop."""

    def __init__(self, path: Path, *, crops: Sequence[tuple[int, int]]) -> None:
        super().__init__(path, crops=crops, work=_GRAY)

    def write_mask(self, crop: int, mask: NDArray[np.uint8]) -> None:
        """Append one mask, uint8 [H, W], to a crop."""
        self.write(crop, (mask,))


class MaskReader(CropReader):
    """Reads a mask file."""

    def read_masks(self, crop: int) -> Iterator[NDArray[np.uint8]]:
        """The masks of one crop in order, uint8 [H, W]."""
        for (mask,) in self.read(crop):
            yield mask.astype(np.uint8, copy=False)
