"""Detectors: find overlays in a video, behind one base class; several look together and their findings are joined."""

from __future__ import annotations

from waterz_spool.backends import DETECTORS
from waterz_spool.config import DetectConfig
from waterz_spool.detect.base import Detection, Detector, Findings, Luma, Rejected, Reread, Setting
from waterz_spool.errors import NoOverlayError

__all__ = ["Detection", "Detector", "Findings", "Luma", "Rejected", "Reread", "Setting", "chosen", "create"]


def chosen(options: DetectConfig) -> tuple[type[Detector], ...]:
    """The detectors that a configuration asks for, those that look together in order; empty when detection is off.

    Raises:
        SetupError: One cannot be loaded here.
    """
    if options.detector == "auto":
        kinds: list[type[Detector]] = [DETECTORS.load(name) for name in DETECTORS.own]
        return tuple(kind for kind in kinds if kind.automatic(options))
    return tuple(DETECTORS.load(name) for name in options.named)


def create(setting: Setting) -> Detector:
    """The detector that a setting's options ask for, one that joins what several find where they name several.

    Raises:
        NoOverlayError: Detection is off.
        SetupError: A library or weights are missing here, or not those pinned.
    """
    kinds = chosen(setting.options)
    if not kinds:
        raise NoOverlayError("no overlay given and detection is off", todo="give --box x,y,w,h or --mask FILE")
    if len(kinds) == 1:
        return kinds[0].made_for(setting)
    from waterz_spool.detect.joined import JoinedDetector

    return JoinedDetector.made_for(setting)
