"""From a segment's crop and mask files to the clips that restorers take, read beside them where that pays."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from waterz_spool import media
from waterz_spool.errors import InputError
from waterz_spool.records import CropSpec, SegmentJob
from waterz_spool.restore import Clip
from waterz_spool.restore.composite import to_full_chroma
from waterz_spool.restore.texture.plate import PlaceOfPlate
from waterz_spool.restore.unblend.layers import Layer

Paths = tuple[Path, Path]
Planes = tuple[NDArray[Any], ...]

_FULL_RANGE = 2  # AVCOL_RANGE_JPEG


def read_clips(
    paths: Paths, job: SegmentJob, *, beside: bool, plates: Sequence[PlaceOfPlate | None] = ()
) -> Generator[Clip]:
    """The clips of a segment, one per crop. Close the generator to stop its reader.

    Args:
        paths: The file of frames and the file of masks.
        job: The segment's job.
        beside: Give each clip before its frames are there (see `Clip.wait`) and read, in a thread, it and the next
            one while the caller works; else one clip at a time is in memory, read to its end.
        plates: One per crop, or none at all.

    Raises:
        InputError: A file is damaged or not what the job says.
    """
    stop = threading.Event()
    placed = plates or [None] * len(job.segment.crops)
    readings = (
        _Reading(paths, number, spec, job, stop, plate=plate)
        for number, (spec, plate) in enumerate(zip(job.segment.crops, placed, strict=True))
    )
    if not beside:
        for reading in readings:
            reading.read()
            reading.clip.wait(len(reading.clip.frames))
            yield reading.clip
        return
    with ThreadPoolExecutor(1, thread_name_prefix="waterz-read") as pool:

        def begin() -> _Reading | None:
            reading = next(readings, None)
            if reading is not None:
                pool.submit(reading.read)
            return reading

        coming = begin()
        try:
            while coming is not None:
                present, coming = coming, begin()
                yield present.clip
        finally:
            stop.set()


class _Arrival:
    """How many frames of a clip are there, or why no more come; apart from the clip, which keeps it to wait for them.

    Were it one with what fills the clip, each would keep the other, and with it all its frames, until Python looks for
    such rings: rarely.
    """

    def __init__(self) -> None:
        self._there = 0
        self._error: Exception | None = None
        self._news = threading.Condition()

    def tell(self, there: int) -> None:
        """So many are there now."""
        with self._news:
            self._there = there
            self._news.notify_all()

    def fail(self, error: Exception) -> None:
        """No more come; whoever waits raises the error."""
        with self._news:
            self._error = error
            self._news.notify_all()

    def wait(self, count: int) -> None:
        """Return when so many are there."""
        with self._news:
            self._news.wait_for(lambda: self._there >= count or self._error is not None)
            if self._error is not None:
                raise self._error


class _Reading:
    """One crop on its way into a clip: `read` fills it, in any thread, while others wait for what they need."""

    def __init__(
        self,
        paths: Paths,
        number: int,
        spec: CropSpec,
        job: SegmentJob,
        stop: threading.Event,
        *,
        plate: PlaceOfPlate | None,
    ) -> None:
        form = media.work_format(job.video.pix_fmt)
        x0, y0, x1, y1 = spec.box
        shape = spec.context_stop - spec.context_start, y1 - y0, x1 - x0
        self._paths = paths
        self._number = number
        self._form = form
        self._stop = stop
        self._arrival = _Arrival()
        frames: Any = np.empty((*shape, min(3, form.plane_count)), form.dtype)
        self.clip = Clip(
            frames=frames,
            masks=np.empty(shape, np.uint8),
            start=spec.start - spec.context_start,
            stop=spec.stop - spec.context_start,
            bits=form.bits,
            family=form.family,
            matrix=job.video.colorspace,
            full_range=job.video.color_range == _FULL_RANGE,
            wait=self._arrival.wait,
            layers=_layers(job, number),
            steps=(1 << form.shift_x, 1 << form.shift_y),
            plate=plate,
        )

    def read(self) -> None:
        """Read it all; an error reaches those who wait."""
        try:
            self._fill()
        except Exception as error:  # another thread's error; whoever waits raises it
            self._arrival.fail(error)

    def _fill(self) -> None:
        steps = 1 << self._form.shift_x, 1 << self._form.shift_y
        pictures, holes = media.CropReader(self._paths[0]), media.MaskReader(self._paths[1])
        read, count = 0, len(self.clip.frames)
        for planes, mask in zip(pictures.read(self._number), holes.read_masks(self._number), strict=False):
            if self._stop.is_set():
                return
            if read < count:
                self.clip.frames[read] = to_full_chroma(colour_planes(planes, self._form), *steps)
                self.clip.masks[read] = mask
            read += 1
            if read > count:
                break
            # The last frame counts as there only when it is known to be the last one.
            self._arrival.tell(min(read, count - 1))
        if read != count:
            where = str(self._paths[0])
            raise InputError(f"crop {self._number} has {read} frames, the job file says {count}", where=where)
        self._arrival.tell(count)


def _layers(job: SegmentJob, number: int) -> tuple[Layer, ...] | None:
    given = job.layers[number] if job.layers else None
    if given is None:
        return None
    return tuple(Layer(each.slope, np.array(each.colour), each.correlation) for each in given)


def colour_planes(planes: Planes, form: media.WorkFormat) -> Planes:
    """The planes that a restorer sees, in its order: no alpha, and R, G, B where libav stores G, B, R."""
    if form.family == "rgb":
        return planes[2], planes[0], planes[1]
    return planes[:3]
