"""The part of a video around a box, frame by frame, as small pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from waterz_spool import media
from waterz_spool.records import Box, VideoInfo

Picture = NDArray[np.uint8]
"""[h, w, 3] BGR."""

Crops = Callable[[Box, int, int], Iterator[Picture]]
"""The pictures inside a box (half-open, coded px) of the frames [start, stop), in order."""


class VideoCrops:
    """Crops of a video, decoded anew for every range.

    Args:
        source: The video.
        info: Its facts.
        pts: True times of all its frames, so that a range can be reached by seeking.
        check: Called between frames; raises to stop.
    """

    def __init__(
        self, source: Path, info: VideoInfo, pts: Sequence[int], *, check: Callable[[], None] = lambda: None
    ) -> None:
        self._source, self._info, self._pts, self._check = source, info, pts, check

    def __call__(self, box: Box, start: int, stop: int) -> Iterator[Picture]:
        """The pictures inside a box of the frames [start, stop)."""
        x0, y0, x1, y1 = box
        for frame in media.decode(self._source, self._info, start=start, stop=stop, pts=self._pts):
            self._check()
            whole = np.asarray(frame.picture.reformat(format="bgr24").to_ndarray(), np.uint8)
            yield whole[y0:y1, x0:x1].copy()
