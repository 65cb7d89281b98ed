"""What can be said about a request as soon as the video's facts are known, long before anything is decoded."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from waterz_spool import media
from waterz_spool.config import Config, EncodeConfig
from waterz_spool.errors import InputError, UsageError
from waterz_spool.records import EncodeSettings, VideoInfo
from waterz_spool.stages.contract.request import JobRequest
from waterz_spool.stages.prepare.overlays import (
    PICTURES,
    boxes_mask,
    check_mask_size,
    check_share,
    coded_mask,
    hidden_by,
    picture_overlay,
    read_picture,
)

_MOV_FIRST, _MKV_FIRST = ("mp4", "mov", "mkv"), ("mkv", "mp4", "mov")
_UNSPECIFIED = 2  # AVCOL_TRC_UNSPECIFIED


def encode_settings(info: VideoInfo, request: JobRequest) -> EncodeSettings:
    """How all segments will be encoded.

    Raises:
        UsageError: Options that contradict each other.
        InputError: The encoder or container cannot hold this video.
        SetupError: The encoder is absent.
    """
    _check_dynamic_hdr(info, drop=request.config.encode.drop_dynamic_hdr)
    return _settings(info, request.config.encode, request.container)


def _settings(info: VideoInfo, options: EncodeConfig, container: str) -> EncodeSettings:
    return media.encode_settings(
        info,
        container=container,
        crf=options.crf,
        preset=options.preset or None,
        codec=options.codec or None,
        lossless=options.lossless,
        options=options.options,
        threads=options.threads,
    )


def with_quality(
    video: Path,
    info: VideoInfo,
    encode: EncodeSettings,
    *,
    options: EncodeConfig,
    check: Callable[[], None] = lambda: None,
) -> EncodeSettings:
    """The same settings with a quality like the source's, where the user did not ask for another one.

    Args:
        video: The source.
        info: Its facts.
        encode: The encode settings of the job.
        options: What the user asked.
        check: Called now and then; raises to stop.
    """
    if options.quality == "archive" or options.crf is not None or options.lossless:
        return encode
    return media.like_source(video, info, encode, preset=options.preset or None, given=options.options, check=check)


def output_extension(video: Path, config: Config, drop: Collection[int]) -> str:
    """Extension of a result whose name the user left open: the video's own, else that of a container that fits.

    Raises:
        InputError: The video cannot be read or is unsupported.
    """
    if media.is_container(video):
        return video.suffix.removeprefix(".")
    info = media.probe(video)
    names = _MOV_FIRST if "mp4" in info.container.split(",") else _MKV_FIRST
    for name in names:
        with suppress(InputError):  # that container has no name for the codec
            return media.fitting_container(video, info, _settings(info, config.encode, name), names, drop=drop)
    return names[0]


def _check_dynamic_hdr(info: VideoInfo, *, drop: bool) -> None:
    """Refuse metadata of every frame that no encoder here writes, unless it may go and leaves a picture to be seen."""
    if not info.dynamic_hdr:
        return
    kept = {16: "HDR10", 18: "HLG"}.get(info.color_trc, "the standard picture")
    alone = info.color_trc == _UNSPECIFIED  # Dolby Vision profile 5: colours of its own
    if alone or not drop:
        raise InputError(
            f"the video carries {info.dynamic_hdr} metadata for every frame, which cannot be kept",
            where=f"{info.codec} {info.pix_fmt}",
            todo="convert it to HDR10, HLG or SDR first: without it, its colours cannot be shown"
            if alone
            else f"--drop-dynamic-hdr goes on without it; {kept} remains",
        )


def dropped_hdr(info: VideoInfo) -> tuple[str, ...]:
    """What is left out of the result, in words."""
    return (f"left out, as asked: the {info.dynamic_hdr} metadata of every frame",) if info.dynamic_hdr else ()


def check_request(request: JobRequest, video: Path, mask: Path | None) -> None:
    """Refuse at once what prepare would refuse later, as far as one look at the headers tells.

    Raises:
        InputError: Unreadable or unsupported video, a mask of another size, a container that cannot hold a stream.
        UsageError: A box outside the picture, or contradicting options.
        SetupError: The encoder is absent or refuses its options.
    """
    info = media.probe(video)
    _check_times(request, info.duration_s)
    media.check_container(video, info, encode_settings(info, request), drop=request.drop)
    given = boxes_mask((*request.boxes, *request.exact_boxes), info)
    check_share(int((given > 0).sum()), info, yes=request.yes, where="--box")
    boxes_mask(request.limits, info, option="--limit")
    if mask is not None:
        _check_mask(mask, request, video, info)


def _check_mask(mask: Path, request: JobRequest, video: Path, info: VideoInfo) -> None:
    """A mask picture wholly; of a folder or video of masks their size and number."""
    if mask.suffix.lower() in PICTURES:
        hidden = hidden_by(picture_overlay(mask, info), 1)
        check_share(hidden.most_px, info, yes=request.yes, where=request.mask_from)
        return
    if mask.is_dir():
        pictures = [path for path in sorted(mask.iterdir()) if path.suffix.lower() in PICTURES]
        for path in pictures[:1]:
            coded_mask(read_picture(path, may_be_empty=True), info, path)
        count = len(pictures)
    else:
        try:
            masks = media.probe(mask)
        except InputError as error:
            todo = "give a PNG, a folder of pictures or a mask video"
            raise InputError(f"the mask cannot be used: {error.what}", where=str(mask), todo=todo) from error
        check_mask_size((masks.width, masks.height), info, mask)
        count = len(media.frame_times(mask, masks))
    frames = len(media.frame_times(video, info))
    if count and count != frames:
        raise InputError(
            f"there are {count} masks, the video has {frames} frames",
            where=request.mask_from or str(mask),
            todo="give one mask per frame, or one picture for all frames",
        )


_SLACK_S = 1.0  # what containers say of a duration is about right


def _check_times(request: JobRequest, duration_s: float | None) -> None:
    if duration_s is None or request.from_s is None or request.from_s < duration_s + _SLACK_S:
        return
    raise UsageError(
        f"--from lies behind the end: the video lasts {duration_s:.1f} s",
        where=f"--from {request.from_s:g}",
        todo="times count from the start of the video",
    )
