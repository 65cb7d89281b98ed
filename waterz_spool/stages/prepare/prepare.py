"""Prepare: find the overlay, decide the plan, write every segment's inputs.

The source is decoded at most twice: once to learn its exact times, cuts and overlay, once to write lossless crops.
Only crops and masks are written, a few segments at a time, so that memory and space do not depend on the length of
the video. A segment is published as soon as its inputs are complete; workers start while prepare still runs. A
second attempt continues with the first one's plan and writes only what is missing.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import msgspec

from waterz_spool import detect, media, restore
from waterz_spool.backends import RESTORERS
from waterz_spool.config import Config
from waterz_spool.detect.base import Detector, Findings
from waterz_spool.detect.text.files import check_reader
from waterz_spool.errors import InputError, NoOverlayError, UsageError
from waterz_spool.geometry import Geometry
from waterz_spool.plan import PlanRules, plan_segments
from waterz_spool.records import Box, DisplayBox, OverlayTrack, Plan, VideoInfo
from waterz_spool.restore import Restorer, Stop
from waterz_spool.spool import Job, PrepClaim
from waterz_spool.stages.contract.payloads import plan_of, segment_job_of
from waterz_spool.stages.contract.request import JobRequest, decode_request
from waterz_spool.stages.prepare.asked import dropped_hdr, encode_settings, with_quality
from waterz_spool.stages.prepare.boxes import boxed, tracked
from waterz_spool.stages.prepare.candidates import candidates_of
from waterz_spool.stages.prepare.copying import plan_copying
from waterz_spool.stages.prepare.detectors import find
from waterz_spool.stages.prepare.inputs import Engine, publish_segments
from waterz_spool.stages.prepare.looking import Looking
from waterz_spool.stages.prepare.overlays import (
    PICTURES,
    FoundOverlay,
    Overlay,
    VideoOverlay,
    boxes_overlay,
    check_share,
    coded_box,
    hidden_by,
    picture_overlay,
    united,
)
from waterz_spool.stages.prepare.sheet import Looked, shown_tracks, write_sheet
from waterz_spool.stages.prepare.survey import Survey, survey

log = logging.getLogger(__name__)

Check = Callable[[], None]

_LEAST_RATE = 6.0
"""Frames per second; a frame that stays longer is a pause. A segment of the default length has then as many frames as
the default context on each side of it."""


def prepare(claim: PrepClaim, check: Check) -> bytes:
    """Work on a claimed prepare task until all segments are published.

    Args:
        claim: The claim; its job holds the request and the pinned source.
        check: Called between frames; raises to stop.

    Returns:
        A record for the outcome, JSON.

    Raises:
        InputError: The video or mask is unreadable, damaged or unsupported.
        NoOverlayError: Nothing was given and nothing was found.
    """
    job = claim.job
    request = decode_request(job.request())
    source = job.source()
    info = media.probe(source)
    known = job.plan()
    if known is None:
        review = job.layout.review_page if request.review else None
        if request.captions:
            check_reader()
        mask = mask_path(claim, request)
        with _as_named(request, mask):
            plan = make_plan(
                request,
                source,
                info,
                mask,
                check=check,
                spool=spool_of(claim),
                review=review,
                tell=lambda share: claim.progress(share, "looking"),
            )
        if review:
            job.pause("review")  # before the plan is there: whoever finds one goes on with it
        known = job.put_plan(msgspec.json.encode(plan), len(plan.segments))
        for note in plan.notes:
            log.info("%s", note)
        log.info("plan: %d frames, %d segments, %d tracks", plan.frame_count, len(plan.segments), len(plan.tracks))
        for track in plan.tracks:
            place = ",".join(map(str, Geometry.of(info).shown_box(track.box)))
            log.info("overlay in frames %d to %d at %s", track.start, track.stop - 1, place)
        if review:
            raise Stop(f"waits for review: look at {review}, then waterz-spool resume {job.id}")
    decided = plan_of(known, job.id)
    overlay = overlay_of(decided, request, mask_path(claim, request))
    engine = replace(_engine(request, job), growing=_growing(request, info))
    publish_segments(claim, decided, overlay, engine=engine, check=check)
    return msgspec.json.encode(
        {"segments": len(decided.segments), "frames": decided.frame_count, "notes": decided.notes}
    )


@contextmanager
def _as_named(request: JobRequest, mask: Path | None) -> Iterator[None]:
    """Errors about the mask name what the user gave, not the copy in the job."""
    try:
        yield
    except InputError as error:
        if mask is None or not request.mask_from or error.where != str(mask):
            raise
        todo = "run waterz-spool detect on this video" if request.mask_from.startswith("--tracks") else error.todo
        raise InputError(error.what, where=request.mask_from, todo=todo) from error


def engine_of(request: JobRequest) -> Engine:
    """The restorer of the whole job, decided once: segments of one video must not differ by who works on them.

    Raises:
        SetupError: It cannot be used here, for example because its weights are not here.
    """
    options = request.config.restore
    kind = restore.chosen(options)
    return Engine(kind.name, kind.pinned(options), kind.texture and options.texture == "auto")


def _growing(request: JobRequest, info: VideoInfo) -> tuple[Box, ...]:
    """Where masks may become larger: nowhere if the user gave them, else as far as the user allows."""
    if request.mask or request.exact_boxes:
        return ()
    allowed = [coded_box(box, info) for box in (*request.boxes, *request.limits)]
    return tuple(allowed) or ((0, 0, info.width, info.height),)


def _engine(request: JobRequest, job: Job) -> Engine:
    """The same, but what an earlier attempt has published is decided: ``auto`` might choose another one here."""
    ready = job.log.scan().ready
    published = job.segment(min(ready)) if ready else None
    if published is None:
        return engine_of(request)
    made = segment_job_of(published, job.id)
    texture = RESTORERS.load(made.engine).texture and request.config.restore.texture == "auto"
    return Engine(made.engine, made.engine_options, texture)


def mask_path(claim: PrepClaim, request: JobRequest) -> Path | None:
    """The pinned mask of the job, if the user gave one."""
    return claim.job.attachment(request.mask) if request.mask else None


def spool_of(claim: PrepClaim) -> Path:
    """The spool's folder: nothing in it is loaded as code."""
    return claim.job.path.parents[1]


def make_plan(
    request: JobRequest,
    source: Path,
    info: VideoInfo,
    mask: Path | None,
    *,
    check: Check = lambda: None,
    spool: Path | None = None,
    review: Path | None = None,
    tell: Callable[[float], None] = lambda share: None,
) -> Plan:
    """Look at the whole video once and decide everything.

    Args:
        request: What the user asked.
        source: The video.
        info: Its facts.
        mask: The pinned mask, if the user gave one.
        check: Called between frames; raises to stop.
        spool: Weights inside it are refused.
        review: Page to write with a contact sheet of what was found; None writes none.
        tell: Told how far the look is, 0..1.

    Raises:
        InputError: The video or mask is unreadable, damaged or unsupported, or the container cannot hold its times.
        NoOverlayError: Nothing was given and nothing was found.
        UsageError: A box outside the picture, or an empty time range.
        SetupError: The detector's library or weights are missing here.
    """
    config = request.config
    setting = detect.Setting(options=config.detect, info=info, sha256=request.weights_sha256, spool=spool)
    detector = None if _boxes(request) or mask else detect.create(setting)
    encode = encode_settings(info, request)
    looking = Looking(info, tell, check=check, again=not mask)
    seen = survey(
        source,
        info,
        scene_threshold=config.plan.scene_threshold,
        min_scene_frames=config.plan.min_segment_frames,
        samples=[detector] if detector is not None else [],
        check=looking.surveyed,
    )
    media.check_times(source, info, encode, seen.pts, drop=request.drop)
    encode = with_quality(source, info, encode, options=config.encode, check=check)
    cuts = tuple(sorted({*seen.cuts, *media.long_gaps(seen.pts, info, encode)}))
    overlay, found, notes = _overlays(request, source, info, mask, seen.pts, detector=detector, check=looking.again)
    tracks = _tracks_of(overlay, request, info, len(seen.pts), found=bool(found.patches))
    if review:
        _write_review(review, request, source, info, seen.pts, overlay=overlay, found=found, tracks=tracks)
    rules = rules_of(config, info, seen, restore.chosen(config.restore))
    kept = plan_copying(
        source, info, encode, seen.pts, tracks, options=config.encode, least=config.plan.merge_gap_frames
    )
    size = info.width, info.height
    return Plan(
        video=info,
        encode=kept.encode,
        pts=seen.pts,
        last_duration=seen.last_duration,
        cuts=cuts,
        tracks=tuple(tracks),
        segments=plan_segments(len(seen.pts), tracks, cuts, size=size, rules=rules, copies=kept.copies),
        overlay_source=overlay.source,
        patches=found.patches,
        notes=(*_which_film(info, request.drop), *dropped_hdr(info), *kept.notes, *notes),
    )


def _overlays(
    request: JobRequest,
    source: Path,
    info: VideoInfo,
    mask: Path | None,
    pts: tuple[int, ...],
    *,
    detector: Detector | None,
    check: Check,
) -> tuple[Overlay, Findings, tuple[str, ...]]:
    """The masks of all frames; what was found, if anything was looked for; and what to say about given boxes."""
    if _boxes(request):
        inside = boxed(request, source, info, pts, span=_frame_range(request, info, pts), check=check)
        return FoundOverlay(inside.patches, info, source="box"), Findings(inside.patches), inside.notes
    if (given := _given(request, info, mask, pts)) is not None:
        inside = tracked(request, source, info, pts, given, check=check)
        found = Findings(inside.patches)
        return united(given, inside.patches, info), found, inside.notes
    assert detector is not None  # neither boxes nor mask
    found = find(detector, source, info, pts, request, check=check)
    return FoundOverlay(found.patches, info, source=detector.name, limits=request.limits), found, ()


def _write_review(
    review: Path,
    request: JobRequest,
    source: Path,
    info: VideoInfo,
    pts: tuple[int, ...],
    *,
    overlay: Overlay,
    found: Findings,
    tracks: list[OverlayTrack],
) -> None:
    look = Looked(
        video=source,
        name=request.source_name,
        info=info,
        pts=pts,
        source=overlay.source,
        overlay=overlay,
        tracks=shown_tracks(tracks, found, info),
        found=found,
        sha256=request.weights_sha256,
        candidates=candidates_of(found.rejected, info, pts, video=request.source_given),
    )
    write_sheet(review, look)


def _which_film(info: VideoInfo, drop: Collection[int]) -> tuple[str, ...]:
    """Which of several videos in the file is cleaned."""
    others = [f"stream {s.index} ({s.codec})" for s in info.streams if s.film and s.index not in drop]
    others.remove(f"stream {info.stream_index} ({info.codec})")
    if not others:
        return ()
    return (f"the video is stream {info.stream_index} ({info.codec}); copied as they are: {', '.join(others)}",)


def _boxes(request: JobRequest) -> tuple[DisplayBox, ...]:
    return (*request.boxes, *request.exact_boxes)


def _tracks_of(
    overlay: Overlay, request: JobRequest, info: VideoInfo, frame_count: int, *, found: bool
) -> list[OverlayTrack]:
    hidden = hidden_by(overlay, frame_count)
    tracks = hidden.tracks
    check_share(hidden.most_px, info, yes=request.yes, where=request.mask_from)
    if not tracks and found:
        raise NoOverlayError("all overlays found lie outside the limits", todo="give other boxes with --limit")
    if not tracks:
        raise NoOverlayError("the given mask is empty in every frame", todo="give a mask that covers the overlay")
    return tracks


def rules_of(config: Config, info: VideoInfo, seen: Survey, restorer: type[Restorer]) -> PlanRules:
    """The plan's rules for this video and restorer: seconds become frames by the rate at which the video moves."""
    form = media.work_format(info.pix_fmt)
    options = config.plan
    least_px = max(options.margin_min_px, restorer.margin_px)
    return PlanRules(
        segment_frames=max(options.min_segment_frames, round(options.segment_s * _moving_rate(info, seen))),
        min_segment_frames=options.min_segment_frames,
        merge_gap_frames=options.merge_gap_frames,
        context_frames=max(options.context_frames, restorer.context_frames),
        margin_px=(least_px, max(least_px, options.margin_max_px)),
        crop_px=restorer.size_px,
        align_px=(1 << form.shift_x, 1 << form.shift_y),
        clip_bytes=options.clip_mib << 20,
        sample_bytes=min(3, form.plane_count) * (1 if form.bits == 8 else 2) + 1,
    )


def _moving_rate(info: VideoInfo, seen: Survey) -> float:
    """Frames per second while the picture moves, at least `_LEAST_RATE`.

    A segment costs its frames and those of its context, not its seconds: with pauses counted in, every segment of a
    video with pauses would be short, and most of its work that on its context.
    """
    tick_s = info.time_base[0] / info.time_base[1]
    lasts = [*(b - a for a, b in pairwise(seen.pts)), seen.last_duration]
    moving = [each for each in lasts if 0 < each * tick_s <= 1 / _LEAST_RATE]
    return max(_LEAST_RATE, len(moving) / (sum(moving) * tick_s)) if moving else _LEAST_RATE


def _given(request: JobRequest, info: VideoInfo, mask: Path | None, pts: tuple[int, ...]) -> Overlay | None:
    start, stop = _frame_range(request, info, pts)
    if mask is not None and mask.suffix.lower() in PICTURES:
        return picture_overlay(mask, info, start=start, stop=stop)
    if mask is not None:
        return VideoOverlay(mask, info, start=start, stop=stop)
    if boxes := _boxes(request):  # plans of earlier versions hold no patches for them
        return boxes_overlay(boxes, info, start=start, stop=stop)
    return None


def _frame_range(request: JobRequest, info: VideoInfo, pts: tuple[int, ...]) -> tuple[int, int]:
    """Frames shown in [from_s, to_s), counted from the first frame's time."""

    def frame_at(seconds: float) -> int:
        return bisect_left(pts, pts[0] + Fraction(str(seconds)) / Fraction(*info.time_base))

    start = frame_at(request.from_s) if request.from_s is not None else 0
    stop = frame_at(request.to_s) if request.to_s is not None else len(pts)
    if start >= stop:
        raise UsageError("no frame lies between --from and --to", todo="times count from the start of the video")
    return start, stop


def overlay_of(plan: Plan, request: JobRequest, mask: Path | None) -> Overlay:
    """The masks that a plan was made for.

    Raises:
        UsageError: The plan is not that of the request.
    """
    if plan.patches and request.tracks:
        given = VideoOverlay(mask, plan.video) if mask else None
        assert given is not None  # tracks come with masks
        return united(given, plan.patches, plan.video)
    if plan.patches:
        return FoundOverlay(plan.patches, plan.video, source=plan.overlay_source, limits=request.limits)
    found = _given(request, plan.video, mask, plan.pts)
    if found is None:
        raise UsageError("the plan and the request do not fit together", todo="submit the video again")
    return found
