"""Restore and encode one segment: everything it needs lies beside its job file and in the pinned source."""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from waterz_spool import media
from waterz_spool.plan.costs import restoring_share
from waterz_spool.records import Confidence, CropSpec, Residue, SegmentJob, SegmentResult, mean_confidence
from waterz_spool.restore import Restorer
from waterz_spool.restore.composite import composite
from waterz_spool.restore.texture.plate import PlaceOfPlate
from waterz_spool.spool import Claim, SegmentClaim
from waterz_spool.stages.again import clear
from waterz_spool.stages.clips import Planes, colour_planes, read_clips
from waterz_spool.stages.contract.payloads import segment_job_of
from waterz_spool.stages.plates import read_plate

log = logging.getLogger(__name__)

Check = Callable[[], None]

DECODE_THREADS = 2
"""Per worker; a node runs several workers."""


class SegmentWork:
    """A claimed segment on its way to its encoded output: `restore`, then `encode`, which may run in another thread.

    Args:
        claim: The claim of the segment.
    """

    def __init__(self, claim: SegmentClaim) -> None:
        self._begun = time.monotonic()
        self.claim = claim
        self.job = segment_job_of(claim.payload(), f"{claim.job.id}/{claim.task}")
        self._engine = ""
        self._restoring = 0.0  # share of the time that restoring takes
        self._patches: list[_Patch] = []
        self._confidence: Confidence | None = None
        self._residues: list[Residue | None] = []

    def copied(self) -> bytes:
        """The record of a segment that the result takes from the source: there is no work in it."""
        frames = self.job.segment.stop - self.job.segment.start
        return msgspec.json.encode(SegmentResult(frames=frames, engine="", seconds=0.0, peak_mib=0.0, copied=True))

    def restore(self, restorer: Restorer, check: Check, *, tell: Callable[[float], None] | None = None) -> None:
        """Read the crops and fill their hidden pixels.

        Args:
            restorer: The back end that the job names. While one that ``streams`` works, the frames are read in a
                thread beside it, and the crop after the present one, too.
            check: Called between frames and windows; raises to stop.
            tell: Told how many crops are done, and what share of the next one; None: the claim is told.

        Raises:
            InputError: An input is not what the job file names.
        """
        if not self.job.segment.crops:
            return
        self._engine = restorer.name
        picture_px = self.job.video.width * self.job.video.height
        self._restoring = restoring_share(self.job.segment, picture_px=picture_px, heaviness=restorer.heaviness)
        assert self.job.frames is not None and self.job.masks is not None
        paths = self.claim.opened_input(self.job.frames), self.claim.opened_input(self.job.masks)
        found: list[Confidence | None] = []
        with closing(read_clips(paths, self.job, beside=restorer.streams, plates=self._plates())) as clips:
            for spec, clip in zip(self.job.segment.crops, clips, strict=True):
                within = self.job.growing[len(found)] if self.job.growing else None
                told = replace(clip, tell=self._telling(len(found), tell))
                made = clear(restorer, told, spec, within=within, lines=self.job.video.height, check=check)
                self._patches.append(_Patch(spec, made.frames, made.masks))
                self._residues.append(made.residue)
                found.append(made.confidence)
        self._confidence = mean_confidence(found)

    def _plates(self) -> list[PlaceOfPlate | None]:
        """The plates of all crops, each where it lies in its crop; an empty list when the segment has none."""
        plates = self.job.plates
        if plates is None:
            return []
        paths = self.claim.opened_input(plates.pictures), self.claim.opened_input(plates.masks)
        bits = media.work_format(self.job.video.pix_fmt).bits
        placed: list[PlaceOfPlate | None] = []
        for spec, box in zip(self.job.segment.crops, plates.boxes, strict=True):
            number = sum(each is not None for each in placed)
            placed.append(
                PlaceOfPlate(read_plate(paths, number, box, bits=bits), box[0] - spec.box[0], box[1] - spec.box[1])
                if box
                else None
            )
        return placed

    def _telling(self, number: int, tell: Callable[[float], None] | None) -> Callable[[float], None]:
        """Reports progress within one crop: crops count alike, and encoding comes after them."""
        if tell is not None:
            return lambda share: tell(number + share)
        part = self._restoring / len(self.job.segment.crops)
        return lambda share: self.claim.progress(part * (number + share), "restoring")

    def encode(self, check: Check) -> tuple[Path, bytes]:
        """Composite what was restored into the source's frames and encode them.

        Args:
            check: Called for each frame; raises to stop.

        Returns:
            The output file and the record of its outcome, a SegmentResult as JSON.

        Raises:
            InputError: The source is not what the job file names.
        """
        out = self.claim.output(".mkv")
        _encode(self.claim, self.job, self._patches, out, check, first=self._restoring)
        result = SegmentResult(
            frames=self.job.segment.stop - self.job.segment.start,
            engine=self._engine,
            seconds=round(time.monotonic() - self._begun, 3),
            peak_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            confidence=self._confidence,
            residues=tuple(self._residues),
        )
        log.info("segment %d: %d frames in %.1f s", self.job.segment.index, result.frames, result.seconds)
        return out, msgspec.json.encode(result)


class _Patch:
    """The restored pixels of one crop over its target frames."""

    def __init__(self, spec: CropSpec, frames: NDArray[Any], masks: NDArray[np.uint8]) -> None:
        self.spec = spec
        self.frames = frames
        self.masks = masks

    def paste(self, index: int, planes: Planes, steps: tuple[int, int]) -> None:
        spec = self.spec
        if spec.start <= index < spec.stop:
            offset = index - spec.start
            composite(planes, self.frames[offset], self.masks[offset], spec.box, sx=steps[0], sy=steps[1])


def _encode(claim: Claim, job: SegmentJob, patches: list[_Patch], out: Path, check: Check, *, first: float) -> None:
    segment = job.segment
    form = media.work_format(job.video.pix_fmt)
    frames = media.decode(
        claim.job.source(), job.video, start=segment.start, stop=segment.stop, pts=job.pts, threads=DECODE_THREADS
    )
    with media.SegmentEncoder(out, job.encode, job.video) as encoder:
        for frame in frames:
            check()
            planes = _patched(frame, patches, form) if patches else None
            encoder.write(frame, planes)
            done = (frame.index + 1 - segment.start) / (segment.stop - segment.start)
            claim.progress(first + (1.0 - first) * done, "encoding")


def _patched(frame: media.Frame, patches: list[_Patch], form: media.WorkFormat) -> Planes:
    planes = media.planes(frame)
    steps = 1 << form.shift_x, 1 << form.shift_y
    for patch in patches:
        patch.paste(frame.index, colour_planes(planes, form), steps)
    return planes
