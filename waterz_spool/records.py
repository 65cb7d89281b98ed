"""Frozen records that travel between modules and processes.

Everything here is plain data: ints, strings, tuples. Times are ``pts * time_base``; a ratio is an exact
``(numerator, denominator)``. Boxes are integer ``(x0, y0, x1, y1)``, half-open, in coded pixels (before rotation).
Frame ranges are half-open ``[start, stop)`` over zero-based decode (presentation) order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

Ratio = tuple[int, int]
Box = tuple[int, int, int, int]
DisplayBox = tuple[int, int, int, int]
"""x, y, width, height in px of the picture as a player shows it."""

SCHEMA = 1


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One stream of the source, as far as the result must carry it again."""

    index: int
    kind: str  # video, audio, subtitle, attachment, data
    codec: str
    language: str = ""
    default: bool = False
    film: bool = False  # moving pictures: neither a cover nor a still
    cover: bool = False  # an attached picture


class VideoInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What probing a source tells without decoding all of it."""

    container: str
    stream_index: int
    codec: str
    pix_fmt: str  # as decoded
    width: int
    height: int
    bits: int
    time_base: Ratio
    average_rate: Ratio | None
    duration_s: float | None
    frames_hint: int | None  # container's own count; never trusted
    rotation: int  # degrees counter-clockwise to display upright: 0, 90, 180, 270
    sample_aspect: Ratio | None
    color_range: int
    colorspace: int
    color_primaries: int
    color_trc: int
    streams: tuple[StreamInfo, ...]
    chapters: int
    profile: str = ""  # the codec's own word, e.g. "HQ" for ProRes 422 HQ
    codec_tag: str = ""  # four characters, e.g. hvc1; empty when the container has none
    counted_pts: bool = False  # the container times no frames (AVI, raw streams): pts is a count of frames
    display_matrix: tuple[int, ...] | None = None  # nine integers as in the file; rotation is its summary
    mastering_display: tuple[Ratio, ...] | None = None  # R, G, B, white as x, y each; then least, greatest cd/m2
    content_light: tuple[int, int] | None = None  # MaxCLL, MaxFALL in cd/m2
    chroma_location: str = ""  # of 4:2:0 chroma samples: left, center, topleft, top, ...; empty when nothing says
    called_interlaced: bool = False  # by the container, though no frame says so
    dynamic_hdr: str = ""  # metadata for every frame that no result keeps: Dolby Vision, HDR10+, ...
    # All values above that libav names by enum are its integers (AVCOL_*); 2 (or 0 for range) is unspecified.


class EncodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How every segment of a job is encoded; resolved once, so that all workers write the same bytes."""

    codec: str  # libav encoder name, e.g. libx264
    pix_fmt: str
    options: dict[str, str]
    container: str  # extension of the output without dot


class OverlayTrack(msgspec.Struct, frozen=True, kw_only=True):
    """One overlay at one place over a contiguous frame range."""

    start: int
    stop: int
    box: Box


class CropSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An aligned region given to a restorer; it contains the boxes of its track with margin."""

    box: Box
    hole: Box  # box of the overlay; restored pixels are pasted only inside it
    start: int  # target frames of this crop, a sub-range of its segment's
    stop: int
    context_start: int  # first frame present in the crop file
    context_stop: int


class SegmentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A contiguous frame range processed as a unit."""

    index: int
    start: int
    stop: int
    crops: tuple[CropSpec, ...] = ()
    copy: bool = False  # the result takes the source's own packets; there is nothing to do


class FileRef(msgspec.Struct, frozen=True, kw_only=True):
    """A file named by a record: a bare name in a known folder, its size and its content."""

    file: str
    bytes: int
    sha256: str


class Cue(msgspec.Struct, frozen=True, kw_only=True):
    """A caption: its text, one line of it per line, and the frames in which it stands."""

    start: int
    stop: int
    text: str


class MaskPatch(msgspec.Struct, frozen=True, kw_only=True):
    """A small mask that a detector found, where it lies and over which frames."""

    start: int
    stop: int
    png: bytes  # gray PNG, 255 is hidden
    path: tuple[tuple[int, int, int], ...]  # (frame, x, y): from that frame on its corner lies there, in px


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about the job that is decided before the first segment is published."""

    video: VideoInfo
    encode: EncodeSettings
    pts: tuple[int, ...]  # true presentation times of all frames, strictly increasing, in video.time_base
    last_duration: int  # duration of the last frame in video.time_base
    cuts: tuple[int, ...]  # first frames of scenes, without 0
    tracks: tuple[OverlayTrack, ...]
    segments: tuple[SegmentSpec, ...]
    overlay_source: str  # box, mask, static, ...
    patches: tuple[MaskPatch, ...] = ()  # what was found: a second attempt of prepare does not search again
    notes: tuple[str, ...] = ()  # what the boxes given mask, one line each
    schema: int = SCHEMA

    @property
    def frame_count(self) -> int:
        """Number of frames of the video stream."""
        return len(self.pts)


class Plates(msgspec.Struct, frozen=True, kw_only=True):
    """What the shot of a segment looks like around its overlays, for the texture of what no frame shows."""

    pictures: FileRef  # one lossless picture per plate, at full chroma resolution
    masks: FileRef  # two per plate: what is never shown, what always looks the same
    boxes: tuple[Box | None, ...]  # of each crop's plate in the picture; None: it has none


class MarkLayer(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a translucent overlay, with one opacity and one colour."""

    slope: float  # share of light that comes through: 1 - opacity
    colour: tuple[float, ...]  # in 8-bit levels of the clip's colour model
    correlation: float  # squared, of what is shown with what lies under it


class SegmentJob(msgspec.Struct, frozen=True, kw_only=True):
    """The job file of one segment: all that a worker needs beside the pinned source."""

    segment: SegmentSpec
    video: VideoInfo
    encode: EncodeSettings
    pts: tuple[int, ...]  # of [segment.start, segment.stop)
    engine: str
    engine_options: dict[str, Any]
    frames: FileRef | None = None  # one lossless video stream per crop, in order of segment.crops
    masks: FileRef | None = None
    plates: Plates | None = None
    layers: tuple[tuple[MarkLayer, ...] | None, ...] = ()  # of each crop's overlay; None: its own frames tell
    growing: tuple[Box | None, ...] = ()  # of each crop: a mask that is too small may grow in here
    schema: int = SCHEMA


LOW_WEIGHT = 0.3
"""Below this a restoration is a guess."""


class Confidence(msgspec.Struct, frozen=True, kw_only=True):
    """How far a restoration rests on pixels that were really seen."""

    seen: float  # share of hidden pixels that some other frame shows, 0..1
    weight: float  # mean blend weight of the temporal expert inside the mask, 0..1
    hidden_px: int  # hidden pixels summed over the frames: the weight of this record in means
    invented: float = 0.0  # share of hidden pixels with made-up texture, 0..1


def mean_confidence(parts: Iterable[Confidence | None]) -> Confidence | None:
    """The confidence of several restorations together, weighted by hidden pixels; None when nothing was hidden."""
    found = [part for part in parts if part is not None and part.hidden_px]
    total = sum(part.hidden_px for part in found)
    if not total:
        return None
    return Confidence(
        seen=round(sum(part.seen * part.hidden_px for part in found) / total, 6),
        weight=round(sum(part.weight * part.hidden_px for part in found) / total, 6),
        hidden_px=total,
        invented=round(sum(part.invented * part.hidden_px for part in found) / total, 6),
    )


VERDICTS = ("clean", "suspect", "left")
"""Of a second look, from good to bad."""


def worst_verdict(residues: Iterable[Residue | None]) -> str:
    """The worst verdict of several places; empty where none could be told."""
    return max((one.verdict for one in residues if one is not None), key=VERDICTS.index, default="")


class Residue(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of one overlay beside its mask after it was restored."""

    verdict: str  # one of VERDICTS
    score: float  # how far it exceeds what chance does, in standard deviations
    levels: float  # how strong it is, in grey levels of 8 bit
    share: float  # of the overlay's own contrast
    first: str = ""  # the verdict with the mask as it was found, where a grown one was tried, too
    grown_px: int = 0  # by how much the mask was grown that the result has


class SegmentResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker reports about one finished segment."""

    frames: int
    engine: str
    seconds: float
    peak_mib: float
    confidence: Confidence | None = None  # None: nothing was hidden
    copied: bool = False  # the result takes the source's packets: there was nothing to do
    residues: tuple[Residue | None, ...] = ()  # of each crop; None: it could not be told
    schema: int = SCHEMA

    @property
    def residue(self) -> str:
        """The worst verdict of its crops; empty where none could be told."""
        return worst_verdict(self.residues)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """An overlay as people see it: x, y, width, height in px of the displayed picture, and seconds from the start."""

    box: Box
    start_s: float
    stop_s: float


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """A segment whose restoration rests on little that was seen, with its place in time."""

    segment: int
    start_s: float
    stop_s: float
    weight: float


class Remains(msgspec.Struct, frozen=True, kw_only=True):
    """A place of the result that may still show some of its overlay: x, y, width, height in displayed px, seconds."""

    segment: int
    box: Box
    start_s: float
    stop_s: float
    verdict: str  # suspect, left
    levels: float  # how strong it is, in grey levels of 8 bit


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    """What finalize reports about the published video."""

    output: str
    bytes: int
    sha256: str
    frames: int
    seconds: float
    checks: tuple[str, ...]  # what was verified, in words
    passed: tuple[int, ...] = ()  # segments that could not be restored and are the source's own
    confidence: Confidence | None = None  # None: nothing was hidden, or its engine does not tell
    source: str = ""  # who said where the overlay is: box, mask, or a detector's name
    tracks: tuple[Place, ...] = ()  # the first ones, at most 32
    track_count: int = 0  # of all
    engines: tuple[str, ...] = ()  # restorers that filled something
    doubts: tuple[Doubt, ...] = ()  # the least certain segments, at most 8, the worst first
    doubt_count: int = 0  # of all segments with a weight below 0.3
    copied: int = 0  # frames whose packets are the source's own
    residue: str = ""  # clean, suspect or left, the worst of all places; empty where none could be told
    remains: tuple[Remains, ...] = ()  # places that are not clean, at most 8, the worst first
    remains_count: int = 0  # of all
    regrown_count: int = 0  # places whose mask was too small and is larger in the result
    captions: int | None = None  # kept as text; None: nobody asked for them
    captions_file: str = ""  # where they are kept; empty: in the result, as a subtitle track
    schema: int = SCHEMA
