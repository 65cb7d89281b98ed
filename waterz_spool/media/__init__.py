"""Video files: facts, frames, segments, joining, verification. PyAV is imported only when one of these is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from waterz_spool.media.captions import TRACK_CONTAINERS, srt_text
    from waterz_spool.media.check import check_container, check_times, fitting_container
    from waterz_spool.media.container import container_of, is_container
    from waterz_spool.media.crops import CropReader, CropWriter, MaskReader, MaskWriter
    from waterz_spool.media.decoding import Frame, decode, last_duration
    from waterz_spool.media.encode import SegmentEncoder
    from waterz_spool.media.encoders import missing_codecs
    from waterz_spool.media.fitting import check_kind, fit
    from waterz_spool.media.groups import Groups, NoCopyError, read_groups
    from waterz_spool.media.joining import join
    from waterz_spool.media.kinds import not_a_video
    from waterz_spool.media.pixels import Plane, Planes, WorkFormat, planes, to_frame, work_format
    from waterz_spool.media.probing import probe
    from waterz_spool.media.quality import like_source
    from waterz_spool.media.settings import encode_settings
    from waterz_spool.media.single import frame_times, stills
    from waterz_spool.media.timing import long_gaps
    from waterz_spool.media.verifying import verify
    from waterz_spool.media.weighing import Weights, weigh

_HOME = {
    "CropReader": "crops",
    "CropWriter": "crops",
    "Frame": "decoding",
    "Groups": "groups",
    "MaskReader": "crops",
    "MaskWriter": "crops",
    "NoCopyError": "groups",
    "Plane": "pixels",
    "Planes": "pixels",
    "SegmentEncoder": "encode",
    "Weights": "weighing",
    "WorkFormat": "pixels",
    "check_container": "check",
    "check_kind": "fitting",
    "check_times": "check",
    "container_of": "container",
    "decode": "decoding",
    "encode_settings": "settings",
    "frame_times": "single",
    "fit": "fitting",
    "fitting_container": "check",
    "is_container": "container",
    "TRACK_CONTAINERS": "captions",
    "srt_text": "captions",
    "join": "joining",
    "last_duration": "decoding",
    "like_source": "quality",
    "long_gaps": "timing",
    "missing_codecs": "encoders",
    "not_a_video": "kinds",
    "planes": "pixels",
    "probe": "probing",
    "read_groups": "groups",
    "stills": "single",
    "to_frame": "pixels",
    "verify": "verifying",
    "weigh": "weighing",
    "work_format": "pixels",
}

__all__ = [
    "TRACK_CONTAINERS",
    "CropReader",
    "CropWriter",
    "Frame",
    "Groups",
    "MaskReader",
    "MaskWriter",
    "NoCopyError",
    "Plane",
    "Planes",
    "SegmentEncoder",
    "Weights",
    "WorkFormat",
    "check_container",
    "check_kind",
    "check_times",
    "container_of",
    "decode",
    "encode_settings",
    "fit",
    "fitting_container",
    "frame_times",
    "is_container",
    "join",
    "last_duration",
    "like_source",
    "long_gaps",
    "missing_codecs",
    "not_a_video",
    "planes",
    "probe",
    "read_groups",
    "srt_text",
    "stills",
    "to_frame",
    "verify",
    "weigh",
    "work_format",
]


def __getattr__(name: str) -> Any:
    """Import a public name's module when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
