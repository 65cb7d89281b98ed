"""Submitting a video: check what can be checked at once, pin the source, write the job.

Nothing is decoded here, so a login node stays idle; prepare is a task that any worker can take.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from waterz_spool import media
from waterz_spool.config import Config, IngestConfig, SlurmConfig
from waterz_spool.errors import InputError, UsageError
from waterz_spool.intake.tracksfile import check_tracks, combined, given_tracks, tracks_files
from waterz_spool.records import DisplayBox
from waterz_spool.spool import Budget, Job, Spool
from waterz_spool.stages.contract.request import (
    MUX,
    JobRequest,
    decode_request,
    encode_request,
    fingerprint,
    output_path,
)
from waterz_spool.stages.finalize import publish
from waterz_spool.stages.prepare.asked import check_request, output_extension
from waterz_spool.stages.prepare.detectors import pinned_weights
from waterz_spool.stages.prepare.overlays import PICTURES, read_picture, reading_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the user asked for one video.

    Attributes:
        boxes: Boxes around overlays as x, y, width, height in px of the displayed picture; their own pixels are masked.
        exact_boxes: Boxes that are masked as they are.
        mask: Picture, folder of pictures (one per frame) or video, white where the overlay is.
        tracks: Folder written by `detect`; its tracks.json may have been edited.
        review: Stop before segments are published until the job is resumed.
        limits: What a detector finds outside these boxes is left alone; empty is no limit.
        from_s: Boxes and mask pictures hold from this time on, seconds from the start.
        to_s: Up to this time.
        drop: Indices of streams of the source to leave out.
        yes: More of the picture may be replaced than an overlay usually hides.
        captions: Keep what removed captions say: ``mux`` as a subtitle track, else the name or template of a .srt.
        language: Of the captions, ISO 639-2; empty is unknown.
        output: File, folder or template; empty is the configured one, relative to the video's folder.
    """

    boxes: tuple[DisplayBox, ...] = ()
    exact_boxes: tuple[DisplayBox, ...] = ()
    mask: Path | None = None
    tracks: Path | None = None
    review: bool = False
    limits: tuple[DisplayBox, ...] = ()
    from_s: float | None = None
    to_s: float | None = None
    drop: tuple[int, ...] = ()
    yes: bool = False
    captions: str = ""
    language: str = ""
    output: str = ""


def submit(
    spool: Spool, video: Path, order: Order, config: Config, *, base: Path | None = None, may_exist: bool = False
) -> Job:
    """The job of this video with these settings; the same order again gives the same job.

    Args:
        spool: Where to.
        video: The user's file; it is pinned, never changed.
        order: What to remove, where the result goes.
        config: Resolved configuration, stored in the job.
        base: Folder that a relative output starts from; the video's own by default.
        may_exist: Whether the output may exist; a different file there makes publishing take another number.

    Raises:
        UsageError: Contradicting options, or the output exists.
        InputError: The video or mask is unreadable or unsupported, or the output's container cannot hold it.
    """
    request = _request(video, order, config, base, spool.root)
    mark = fingerprint(request, video, order.mask, *(tracks_files(order.tracks) if order.tracks else ()))
    if known := find(spool, mark):
        _bring_back(known, may_exist=may_exist)
        return known
    output = Path(request.output)
    _check_folder(output)
    if output.exists() and not (may_exist or config.output.overwrite):
        raise exists_already(output)
    if request.captions not in ("", MUX) and Path(request.captions).exists() and not config.output.overwrite:
        raise exists_already(Path(request.captions))
    check_request(request, video, order.mask)
    budget = Budget(
        failed=config.spool.failed_budget, lost=config.spool.lost_budget, lost_hosts=config.spool.lost_hosts
    )
    job_id = new_job_id(spool, video.stem, mark)
    with tempfile.TemporaryDirectory(prefix="waterz-") as folder:
        attachments = {}
        if order.mask:
            attachments[request.mask] = _pinnable(order.mask, Path(folder))
        if order.tracks:
            attachments[request.mask] = combined(order.tracks, Path(folder) / "mask.mkv")
        return spool.submit(
            encode_request(request),
            source=video,
            name=video.name,
            job_id=job_id,
            budget=budget,
            on_dead=config.spool.on_dead,
            attachments=attachments,
        )


def new_job_id(spool: Spool, name: str, mark: str) -> str:
    """An id that people can read and that ends with the work's fingerprint: 20261122-talk-7f3a91c2.

    After a cancelled job of the same fingerprint it gets a number: what is cancelled never comes back.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "video"
    earlier = len(_same(spool, mark))
    return f"{time.strftime('%Y%m%d', time.gmtime())}-{slug}-{mark}" + (f"-{earlier + 1}" if earlier else "")


def find(spool: Spool, mark: str) -> Job | None:
    """The job whose id ends with this fingerprint, unless it was cancelled."""
    return next((job for job in reversed(_same(spool, mark)) if job.state().state != "cancelled"), None)


def _same(spool: Spool, mark: str) -> list[Job]:
    return [job for job in spool.jobs() if re.search(rf"-{mark}(-\d+)?$", job.id)]


def _bring_back(job: Job, *, may_exist: bool) -> None:
    """What submitting the same work again means: a failed job gets another round, a lost result is published again.

    Raises:
        UsageError: Another file lies where the result was.
    """
    state = job.state()
    if state.state == "failed":
        job.retry(None)
    record = job.published() if state.state == "done" else None
    if record is None:
        return
    path = Path(record.path)
    if not path.exists():
        publish(job)
    elif not may_exist and _sha256(path) != record.sha256:
        if not decode_request(job.request()).config.output.overwrite:
            raise exists_already(path)
        publish(job)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def exists_already(path: Path) -> UsageError:
    """The error for a result whose place is taken."""
    return UsageError("the output exists already", where=str(path), todo="choose another name with -o, or --overwrite")


def _check_folder(output: Path) -> None:
    """Make the folder of the result, and refuse at once a place that it can never take.

    Raises:
        UsageError: The folder cannot be made or written.
    """
    refusal = UsageError(
        "the output's folder cannot be written", where=str(output.parent), todo="choose another with -o"
    )
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refusal from error
    if not os.access(output.parent, os.W_OK | os.X_OK):
        raise refusal


def _request(video: Path, order: Order, config: Config, base: Path | None, root: Path) -> JobRequest:
    _check_files(video, order)
    given = bool(order.boxes or order.exact_boxes or order.mask or order.tracks)
    if order.limits and given:
        raise UsageError("--limit is for detectors", todo="leave it out where --box or --mask gives the place")
    if sum(map(bool, (order.boxes or order.exact_boxes, order.mask, order.tracks))) > 1:
        raise UsageError("give boxes, a mask or tracks, not several", todo="paint the boxes into the mask")
    if (order.from_s is not None or order.to_s is not None) and not given:
        raise UsageError("--from and --to belong to --box or --mask", todo="give the overlay's place, too")
    config, sha256 = pinned_weights(config, used=not given, spool=root)
    output = settled_output(video, order, config, base=base)
    return JobRequest(
        source_name=video.name,
        source_from=str(video.absolute()),
        output=str(output),
        captions=_captions(video, order, output, base),
        language=order.language or "und",
        boxes=order.boxes,
        exact_boxes=order.exact_boxes,
        tracks=given_tracks(order.tracks) if order.tracks else (),
        mask="mask.mkv" if order.tracks else _mask_name(order.mask),
        mask_from=_mask_from(order),
        review=order.review,
        limits=order.limits,
        weights_sha256=sha256,
        from_s=order.from_s,
        to_s=order.to_s,
        drop=order.drop,
        yes=order.yes,
        # How workers are launched and videos fetched is not what is made: the same work is the same job.
        config=msgspec.structs.replace(config, slurm=SlurmConfig(), ingest=IngestConfig()),
    )


def _captions(video: Path, order: Order, output: Path, base: Path | None) -> str:
    """How the captions are kept: ``mux``, an absolute path, or empty.

    Raises:
        UsageError: They cannot be read, or not be kept there.
    """
    if order.language and not order.captions:
        raise UsageError("a language without captions", where="--captions-language", todo="add --captions FILE.srt")
    if not re.fullmatch("([a-z]{3})?", order.language):
        raise UsageError(
            "a language is three letters", where=f"--captions-language {order.language}", todo="for example eng or und"
        )
    if not order.captions:
        return ""
    if order.mask or order.tracks:
        raise UsageError(
            "--captions reads what is found or lies in a box", where="--captions", todo="give --box instead of a mask"
        )
    if order.captions == MUX:
        if output.suffix.lower().removeprefix(".") not in media.TRACK_CONTAINERS:
            raise UsageError(
                f"{output.suffix} gets no subtitle track", where="--captions mux", todo="-o NAME.mkv, or FILE.srt"
            )
        return MUX
    if Path(order.captions).suffix.lower() != ".srt":
        raise UsageError(
            "captions are kept as .srt or mux", where=f"--captions {order.captions}", todo="--captions {stem}.srt"
        )
    return str(output_path(video, order.captions, base=base))


def settled_output(video: Path, order: Order, config: Config, *, base: Path | None = None) -> Path:
    """Where the result goes; says so where it is written in another container than the video's.

    Raises:
        UsageError: Results cannot be written there.
        InputError: The video cannot be read or is unsupported.
    """

    def extension() -> str:
        _check_files(video, order)
        chosen = output_extension(video, config, order.drop)
        if video.suffix and chosen != video.suffix.removeprefix("."):
            log.warning("results are not written as %s: that of %s is in .%s", video.suffix, video.name, chosen)
        return chosen

    named, base = order.output or config.output.template, base if order.output else None
    path = output_path(video, named, base=base, extension=extension)
    media.container_of(path)
    return path


def require_file(video: Path) -> None:
    """Make sure that there is a file of a name that can be written down.

    Raises:
        InputError: There is none, it is something else, or its name is not UTF-8.
    """
    if not video.exists():
        raise InputError("no such video file", where=str(video), todo="check the path")
    if not video.is_file():
        raise media.not_a_video(video)
    try:
        str(video.resolve()).encode()
    except UnicodeEncodeError as error:
        raise InputError("the file's name is not UTF-8", where=repr(str(video)), todo="rename it") from error


def _check_files(video: Path, order: Order) -> None:
    require_file(video)
    if not all(_is_box(box) for box in (*order.boxes, *order.exact_boxes, *order.limits)):
        raise UsageError("a box is four whole numbers x, y, width, height, none negative", where=str(order.boxes))
    if not all(time is None or 0 <= time < float("inf") for time in (order.from_s, order.to_s)):
        raise UsageError("times are seconds from the start", where=f"from {order.from_s} to {order.to_s}")
    if order.from_s is not None and order.to_s is not None and order.from_s >= order.to_s:
        where = f"--from {order.from_s:g} --to {order.to_s:g}"
        raise UsageError("no time lies between --from and --to", where=where, todo="--from must come before --to")
    if order.tracks is not None:
        check_tracks(order.tracks, video)
    if order.mask is not None and not order.mask.exists():
        raise InputError("no such mask", where=str(order.mask), todo="check the path")


def _is_box(box: Any) -> bool:
    numbers = isinstance(box, tuple | list) and len(box) == 4 and all(isinstance(value, int) for value in box)
    return numbers and min(box) >= 0 and box[2] > 0 and box[3] > 0


def _mask_from(order: Order) -> str:
    if order.tracks:
        return f"--tracks {order.tracks.absolute()}"
    return f"--mask {order.mask.absolute()}" if order.mask else ""


def _mask_name(mask: Path | None) -> str:
    if mask is None:
        return ""
    if mask.is_dir():
        return "mask.mkv"
    suffix = mask.suffix.lower()
    return f"mask{suffix}" if suffix in PICTURES or suffix.removeprefix(".").isalnum() else "mask.mkv"


def _pinnable(mask: Path, folder: Path) -> Path:
    """One file that holds the mask: the file itself, or a lossless video of a folder's pictures."""
    if mask.is_file():
        return mask
    if not mask.is_dir():
        raise InputError("the mask is neither a file nor a folder", where=str(mask), todo="give a PNG or a mask video")
    pictures = sorted((path for path in mask.iterdir() if path.suffix.lower() in PICTURES), key=_by_number)
    if not pictures:
        raise InputError("the mask folder holds no pictures", where=str(mask), todo="give PNG files, one per frame")
    out = folder / "mask.mkv"
    _write_masks(pictures, out)
    return out


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Names in the order people count: 2.png before 10.png."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _write_masks(pictures: Sequence[Path], out: Path) -> None:
    height, width = read_picture(pictures[0], may_be_empty=True).shape
    reading = reading_of(pictures)
    with media.MaskWriter(out, crops=[(width, height)]) as writer:
        for path in pictures:
            mask = read_picture(path, may_be_empty=True, reading=reading)
            if mask.shape != (height, width):
                raise InputError("mask pictures differ in size", where=str(path), todo="give pictures of one size")
            writer.write_mask(0, mask)
