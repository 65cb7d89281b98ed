"""The weights that a job's detectors look with, and what they find."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from waterz_spool import media
from waterz_spool.config import Config
from waterz_spool.detect import chosen
from waterz_spool.detect.model.weights import weights_sha256
from waterz_spool.errors import NoOverlayError, SetupError
from waterz_spool.geometry import Geometry
from waterz_spool.records import MaskPatch, VideoInfo
from waterz_spool.stages.contract.request import JobRequest
from waterz_spool.stages.prepare.candidates import advice, candidates_of, give_place

if TYPE_CHECKING:
    from waterz_spool.detect.base import Detector, Findings

log = logging.getLogger(__name__)

PAUSE = 5  # frames that a detector's box may have in which nothing of the overlay shows: fades, a short pause
MAX_SHARE = 0.25  # of the picture; an overlay that hides more of it is rarer than a mistake


def pinned_weights(config: Config, *, used: bool, spool: Path | None) -> tuple[Config, str]:
    """The configuration with the weights' absolute path, and their sha256; empty where they are not used.

    Raises:
        SetupError: A detector that needs them is asked for and they are missing, or lie in the spool.
    """
    needing = [kind.name for kind in chosen(config.detect) if kind.needs_weights] if used else []
    if not needing:
        return config, ""
    if not config.detect.weights:
        raise SetupError(f"the {needing[0]} detector needs your weights", todo="name them with --weights FILE")
    path = Path(config.detect.weights).expanduser().absolute()
    sha256 = weights_sha256(path, spool=spool)
    detect = msgspec.structs.replace(config.detect, weights=str(path))
    return msgspec.structs.replace(config, detect=detect), sha256


def findings_of(
    detector: Detector, source: Path, info: VideoInfo, pts: Sequence[int], *, check: Callable[[], None]
) -> Findings:
    """What a detector says after it has seen all frames; boxes become what stands in them."""

    def reread() -> Iterator[tuple[int, Any]]:
        for frame in media.decode(source, info):
            check()
            yield frame.index, media.planes(frame)[0]

    found = detector.finish(reread)
    letters = _letters(found.boxes, source, info, pts, check=check)
    found = replace(found, patches=(*found.patches, *letters), boxes=())
    for item in found.rejected:
        log.info("not taken at %s: %s", ",".join(map(str, Geometry.of(info).shown_box(item.box))), item.reason)
    return found


def _letters(
    boxes: Sequence[MaskPatch],
    source: Path,
    info: VideoInfo,
    pts: Sequence[int],
    *,
    check: Callable[[], None],
) -> tuple[MaskPatch, ...]:
    """The own pixels of what stands in some boxes; the boxes themselves in frames in which these do not show."""
    from waterz_spool.detect.patches import box_of, cut, decoded
    from waterz_spool.detect.refine import VideoCrops, refine

    crops, size = VideoCrops(source, info, pts, check=check), (info.width, info.height)
    found: list[MaskPatch] = []
    for one in boxes:
        refined = refine(crops, box_of(one), (one.start, one.stop), size=size, rotation=info.rotation)
        known = not decoded(one).all()
        own = refined.patches if refined.certain or not known else ()
        found += own
        found += [one] if known else [cut(one, a, b) for a, b in _empty(own, one) if b - a > PAUSE]
    return tuple(found)


def _empty(own: Sequence[MaskPatch], whole: MaskPatch) -> list[tuple[int, int]]:
    """The ranges of a patch's frames in which others mask nothing."""
    edges = sorted((each.start, each.stop) for each in own)
    done, at = [], whole.start
    for start, stop in [*edges, (whole.stop, whole.stop)]:
        if start > at:
            done.append((at, start))
        at = max(at, stop)
    return done


def find(
    detector: Detector,
    source: Path,
    info: VideoInfo,
    pts: Sequence[int],
    request: JobRequest,
    *,
    check: Callable[[], None],
) -> Findings:
    """What a detector found, its masks dilated and feathered.

    Raises:
        NoOverlayError: Nothing certain, or more than MAX_SHARE of the picture; the reason says why, and what may be an
            overlay is named with the command that takes it.
    """
    from waterz_spool.detect.patches import grown, most_px

    detect = request.config.detect
    found = findings_of(detector, source, info, pts, check=check)
    if not found.patches:
        likely = candidates_of(found.rejected, info, pts, video=request.source_given)
        todo = advice(likely, otherwise=give_place(request.source_given))
        raise NoOverlayError(f"no overlay found: {found.reason}", todo=todo)
    share = most_px(found.patches, len(pts), size=(info.width, info.height)) / (info.width * info.height)
    if share > MAX_SHARE and not request.yes:
        raise NoOverlayError(
            f"what was found covers {100 * share:.0f} % of the picture: too much to be taken without being asked",
            todo=f"look at it with waterz-spool detect, then add --yes, or {give_place(request.source_given)}",
        )
    return replace(found, patches=grown(found.patches, detect.dilation_px, feather=detect.feather_px))
