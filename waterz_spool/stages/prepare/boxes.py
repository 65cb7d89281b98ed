"""Boxes that a user gave: the overlay's own pixels inside them, and in words what each masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from waterz_spool.detect import patches
from waterz_spool.detect.refine import Refined, VideoCrops, refine
from waterz_spool.records import Box, DisplayBox, MaskPatch, VideoInfo
from waterz_spool.stages.contract.request import GivenTrack, JobRequest
from waterz_spool.stages.prepare.overlays import Overlay, coded_box


@dataclass(frozen=True)
class Boxed:
    """What the boxes of a request mask.

    Attributes:
        patches: Masks with place and frames.
        notes: One line per box.
    """

    patches: tuple[MaskPatch, ...]
    notes: tuple[str, ...]


def boxed(
    request: JobRequest,
    source: Path,
    info: VideoInfo,
    pts: Sequence[int],
    *,
    span: tuple[int, int],
    check: Callable[[], None],
) -> Boxed:
    """Look into every box of a request.

    Args:
        request: Its boxes are refined, its exact boxes are taken as they are.
        source: The video.
        info: Its facts.
        pts: True times of all its frames.
        span: Frames [start, stop) in which the boxes hold.
        check: Called between frames; raises to stop.
    """
    crops = VideoCrops(source, info, pts, check=check)
    found: list[MaskPatch] = []
    notes = []
    for shown in request.boxes:
        box = coded_box(shown, info)
        refined = refine(crops, box, span, size=(info.width, info.height), rotation=info.rotation)
        found += refined.patches
        notes.append(f"box {_text(shown)}: {_words(refined, box, span)}")
    for shown in request.exact_boxes:
        found.append(patches.filled(coded_box(shown, info), *span))
        notes.append(f"box {_text(shown)}: taken whole, as asked")
    return Boxed(tuple(found), tuple(notes))


def tracked(
    request: JobRequest,
    source: Path,
    info: VideoInfo,
    pts: Sequence[int],
    given: Overlay,
    *,
    check: Callable[[], None],
) -> Boxed:
    """Look into every track of a request in the frames in which its masks show nothing there.

    Args:
        request: Its exact tracks are taken as they are, the others are refined.
        source: The video.
        info: Its facts.
        pts: True times of all its frames.
        given: The masks.
        check: Called between frames; raises to stop.
    """
    crops = VideoCrops(source, info, pts, check=check)
    found: list[MaskPatch] = []
    notes = []
    for track, span in _unmasked(request.tracks, given, info, len(pts)):
        box = coded_box(track.box, info, option="--tracks")
        if track.exact:
            found.append(patches.filled(box, *span))
            continue
        refined = refine(crops, box, span, size=(info.width, info.height), rotation=info.rotation)
        found += refined.patches
        notes.append(f"track {_text(track.box)}: {_words(refined, box, span)}")
    return Boxed(tuple(found), tuple(notes))


def _unmasked(
    tracks: Sequence[GivenTrack], given: Overlay, info: VideoInfo, frame_count: int
) -> Iterator[tuple[GivenTrack, tuple[int, int]]]:
    """Each track with the ranges of its frames in which the masks show nothing in its box."""
    boxes = [coded_box(track.box, info, option="--tracks") for track in tracks]
    empty = np.zeros((len(tracks), frame_count), np.bool_)
    for index, mask in enumerate(given.masks(frame_count) if tracks else ()):
        for number, (track, (x0, y0, x1, y1)) in enumerate(zip(tracks, boxes, strict=True)):
            if track.start <= index < track.stop:
                empty[number, index] = not mask[y0:y1, x0:x1].any()
    for track, frames in zip(tracks, empty, strict=True):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], frames, [False]])))
        for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            yield track, (start, stop)


def _text(box: DisplayBox) -> str:
    return ",".join(map(str, box))


def _words(refined: Refined, box: Box, span: tuple[int, int]) -> str:
    """What is masked of a box, in how many frames."""
    count = span[1] - span[0]
    frames = np.zeros(count, np.bool_)
    px = 0
    for each in refined.patches:
        frames[each.start - span[0] : each.stop - span[0]] = True
        px = max(px, int((patches.decoded(each) > 0).sum()))
    share = px / ((box[2] - box[0]) * (box[3] - box[1]))
    seen = f"masks up to {share:.0%} of it, in {int(frames.sum())} of {count} frames"
    return seen if refined.certain else f"{seen}; the box is taken whole: {refined.reason}"
