"""Cutting a video into segments: an exact partition of [0, frame_count) that many workers can share.

Boundaries lie at scene cuts, where overlay begins and ends, and wherever a span is longer than the target length, so
that one static logo still feeds many workers. Every frame belongs to exactly one segment; each overlay track is cut
along the segments, and each piece gets a crop with context on both sides that never crosses a cut. Frames without
overlay whose packets can be copied are segments of their own, however long and over any cut.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from msgspec.structs import replace

from waterz_spool.plan.crops import crop_box, margin_px
from waterz_spool.records import Box, CropSpec, OverlayTrack, SegmentSpec

Range = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class PlanRules:
    """The numbers that shape a plan.

    Attributes:
        segment_frames: Target length of a segment.
        min_segment_frames: Shortest segment, except between two cuts or in a shorter video.
        merge_gap_frames: Spans without overlay shorter than this stay in their segment.
        context_frames: Extra frames on both sides of a crop's target frames.
        margin_px: (least, most) margin of a crop.
        crop_px: Least (width, height) of a crop, where the frame is that large.
        align_px: Chroma step (x, y).
        clip_bytes: Bound for the decoded frames of one crop, context included.
        sample_bytes: Bytes per pixel of a decoded crop (channels x bytes per sample, plus the mask).
    """

    segment_frames: int
    min_segment_frames: int
    merge_gap_frames: int
    context_frames: int
    margin_px: tuple[int, int]
    align_px: tuple[int, int]
    clip_bytes: int
    sample_bytes: int
    crop_px: tuple[int, int] = (0, 0)


def plan_segments(
    frame_count: int,
    tracks: Sequence[OverlayTrack],
    cuts: Sequence[int],
    *,
    size: tuple[int, int],
    rules: PlanRules,
    copies: Sequence[Range] = (),
) -> tuple[SegmentSpec, ...]:
    """Segments that partition [0, frame_count) with the crops of every track.

    Args:
        frame_count: Frames of the video, at least 1.
        tracks: Overlays; ranges within [0, frame_count), boxes within the frame.
        cuts: First frames of scenes, strictly increasing, without 0.
        size: Frame (width, height) in px.
        rules: The numbers.
        copies: Ranges whose packets are copied, in order, without overlay.

    Returns:
        Segments in order; their ranges partition [0, frame_count).
    """
    crops = [(track, _crop(track.box, size, rules)) for track in tracks]
    length, context = _fit([box for _, box in crops], rules)
    segments = [SegmentSpec(index=0, start=start, stop=stop, copy=True) for start, stop in copies]
    for scene in _scenes(frame_count, cuts):
        for part in _without(scene, copies):
            for span in _spans(part, tracks, rules):
                for start, stop in _split(span, length, rules.min_segment_frames):
                    pieces = tuple(_pieces(start, stop, scene, crops, context))
                    segments.append(SegmentSpec(index=0, start=start, stop=stop, crops=pieces))
    ordered = sorted(segments, key=lambda segment: segment.start)
    return tuple(replace(segment, index=index) for index, segment in enumerate(ordered))


def plan_copies(
    starts: Sequence[int], ends: Sequence[int], tracks: Sequence[OverlayTrack], gaps: Sequence[int], *, least: int
) -> tuple[Range, ...]:
    """The longest ranges without overlay that begin and end where copies can.

    Args:
        starts: Frames at which a copy can begin, in order.
        ends: Frames before which one can end, in order; the last one is the number of all frames.
        tracks: Overlays.
        gaps: Frames at which a segment must begin.
        least: Frames of the shortest copy.

    Returns:
        Ranges in order.
    """
    copies = []
    for start, stop in _free(ends[-1], tracks, gaps):
        begin, end = bisect_left(starts, start), bisect_right(ends, stop) - 1
        if begin < len(starts) and end >= 0 and ends[end] - starts[begin] >= least:
            copies.append((starts[begin], ends[end]))
    return tuple(copies)


def _free(frame_count: int, tracks: Sequence[OverlayTrack], gaps: Sequence[int]) -> list[Range]:
    """Ranges between overlays, cut at the gaps."""
    spans = _covered((0, frame_count), tracks, 0)
    edges = [0, *(edge for span in spans for edge in span), frame_count]
    free = zip(edges[::2], edges[1::2], strict=True)
    return [part for span in free for part in pairwise([span[0], *(g for g in gaps if span[0] < g < span[1]), span[1]])]


def _without(scene: Range, copies: Sequence[Range]) -> list[Range]:
    """What the copies leave of a scene."""
    inside = [(max(start, scene[0]), min(stop, scene[1])) for start, stop in copies]
    edges = [scene[0], *(edge for span in inside if span[0] < span[1] for edge in span), scene[1]]
    return [(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True) if start < stop]


def _crop(box: Box, size: tuple[int, int], rules: PlanRules) -> Box:
    margin = margin_px(box, least=rules.margin_px[0], most=rules.margin_px[1])
    return crop_box(box, size=size, margin=margin, least=rules.crop_px, align=rules.align_px)


def _fit(boxes: Sequence[Box], rules: PlanRules) -> tuple[int, int]:
    """Segment length and context in frames, shortened until the largest crop fits the memory bound."""
    area = max(((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes), default=0)
    if not area:
        return rules.segment_frames, rules.context_frames
    frames = rules.clip_bytes // (area * rules.sample_bytes)
    context = min(rules.context_frames, frames // 4)
    return max(rules.min_segment_frames, min(rules.segment_frames, frames - 2 * context)), context


def _scenes(frame_count: int, cuts: Sequence[int]) -> list[Range]:
    edges = [0, *(cut for cut in cuts if 0 < cut < frame_count), frame_count]
    return list(pairwise(edges))


def _spans(scene: Range, tracks: Sequence[OverlayTrack], rules: PlanRules) -> list[Range]:
    """Alternating spans with and without overlay that cover the scene; short ones are merged into a neighbour."""
    covered = _covered(scene, tracks, rules.merge_gap_frames)
    edges = sorted({scene[0], scene[1], *(edge for span in covered for edge in span)})
    kept = [scene[0]]
    for edge in edges[1:-1]:
        if edge - kept[-1] >= rules.min_segment_frames and scene[1] - edge >= rules.min_segment_frames:
            kept.append(edge)
    return list(zip(kept, [*kept[1:], scene[1]], strict=True))


def _covered(scene: Range, tracks: Sequence[OverlayTrack], gap: int) -> list[Range]:
    spans: list[Range] = []
    for start, stop in sorted((max(t.start, scene[0]), min(t.stop, scene[1])) for t in tracks):
        if start >= stop:
            continue
        if spans and start - spans[-1][1] <= gap:
            spans[-1] = (spans[-1][0], max(spans[-1][1], stop))
        else:
            spans.append((start, stop))
    return spans


def _split(span: Range, length: int, least: int) -> list[Range]:
    """Nearly equal parts of at most the target length, none shorter than ``least`` unless the span is."""
    frames = span[1] - span[0]
    count = max(1, min(-(-frames // length), frames // least))
    edges = [span[0] + frames * i // count for i in range(count + 1)]
    return list(pairwise(edges))


def _pieces(
    start: int, stop: int, scene: Range, crops: Sequence[tuple[OverlayTrack, Box]], context: int
) -> list[CropSpec]:
    pieces = []
    for track, box in crops:
        first, last = max(start, track.start), min(stop, track.stop)
        if first < last:
            pieces.append(
                CropSpec(
                    box=box,
                    hole=track.box,
                    start=first,
                    stop=last,
                    context_start=max(scene[0], first - context),
                    context_stop=min(scene[1], last + context),
                )
            )
    return pieces
