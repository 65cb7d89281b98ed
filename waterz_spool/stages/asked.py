"""What can be said about a request as soon as the video's facts are known, long before anything is decoded."""

from __future__ import annotations

from pathlib import Path

from waterz_spool import media
from waterz_spool.records import EncodeSettings, VideoInfo
from waterz_spool.stages.overlays import PICTURES, boxes_overlay, picture_overlay
from waterz_spool.stages.request import JobRequest


def encode_settings(info: VideoInfo, request: JobRequest) -> EncodeSettings:
    """How all segments will be encoded.

    Raises:
        UsageError: Options that contradict each other.
        InputError: The encoder or container cannot hold this video.
        SetupError: The encoder is absent.
    """
    options = request.config.encode
    return media.encode_settings(
        info,
        container=request.container,
        crf=options.crf,
        preset=options.preset or None,
        codec=options.codec or None,
        lossless=options.lossless,
        options=options.options,
        threads=options.threads,
    )


def check_request(request: JobRequest, video: Path, mask: Path | None) -> None:
    """Refuse at once what prepare would refuse later, as far as one look at the headers tells.

    Raises:
        InputError: Unreadable or unsupported video, a mask of another size, a container that cannot hold a stream.
        UsageError: A box outside the picture, or contradicting options.
        SetupError: The encoder is absent or refuses its options.
    """
    info = media.probe(video)
    media.check_container(video, info, encode_settings(info, request), drop=request.drop)
    for boxes in (request.boxes, request.exact_boxes, request.limits):
        boxes_overlay(boxes, info)
    if mask is not None and mask.suffix.lower() in PICTURES:
        picture_overlay(mask, info)
