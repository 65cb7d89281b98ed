"""The first look at a video: one pass over all frames that yields times, scene cuts and samples for a detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from waterz_spool import media
from waterz_spool.errors import InputError
from waterz_spool.records import VideoInfo

_LOOK_WIDTH_PX = 256


class Samples(Protocol):
    """A detector that looks at the frames that pass by."""

    def add(self, index: int, picture: Any, luma: NDArray[Any]) -> None:
        """One frame as ``av.VideoFrame``, and its luma [H, W]; kept or dropped."""
        ...


@dataclass(frozen=True)
class Survey:
    """What the first pass found.

    Attributes:
        pts: Presentation time of every frame, in the stream's time base.
        last_duration: Duration of the last frame, same unit.
        cuts: First frames of scenes, without 0.
    """

    pts: tuple[int, ...]
    last_duration: int
    cuts: tuple[int, ...]


def survey(
    path: Path,
    info: VideoInfo,
    *,
    scene_threshold: float,
    min_scene_frames: int,
    samples: Sequence[Samples] = (),
    check: Callable[[int], None] = lambda index: None,
) -> Survey:
    """Decode every frame once.

    Args:
        path: The pinned source.
        info: Its facts.
        scene_threshold: AdaptiveDetector's ratio that counts as a cut.
        min_scene_frames: No scene is shorter.
        samples: Each receives every frame, its luma in its own bit depth.
        check: Called with the index of every frame; raises to stop.

    Raises:
        InputError: Damaged or empty video.
    """
    cuts = _Cuts(scene_threshold, min_scene_frames)
    pts: list[int] = []
    last = None
    for frame in media.decode(path, info):
        check(frame.index)
        pts.append(frame.pts)
        last = frame
        luma = media.planes(frame)[0]
        for each in samples:
            each.add(frame.index, frame.picture, luma)
        cuts.add(frame.index, luma, info.bits)
    if last is None:
        raise InputError("the video has no frames", where=str(path), todo="check that it plays")
    return Survey(tuple(pts), media.last_duration(info, pts, last), tuple(cuts.found))


class _Cuts:
    """PySceneDetect's AdaptiveDetector, fed with small gray pictures from our own decoder."""

    def __init__(self, threshold: float, min_scene_frames: int) -> None:
        from scenedetect import AdaptiveDetector, FrameTimecode

        self._detector = AdaptiveDetector(adaptive_threshold=threshold, min_scene_len=min_scene_frames, luma_only=True)
        self._time = FrameTimecode
        self.found: list[int] = []

    def add(self, index: int, luma: NDArray[Any], bits: int) -> None:
        height, width = luma.shape
        size = (min(width, _LOOK_WIDTH_PX), max(1, round(height * min(1.0, _LOOK_WIDTH_PX / width))))
        small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
        gray = (small >> (bits - 8)).astype(np.uint8) if bits > 8 else small
        picture = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
        for cut in self._detector.process_frame(self._time(index, fps=25.0), picture):
            self.found.append(int(cut.frame_num))
