"""The encoders: which there are, how each spells quality and speed, and which options and values it takes.

libav and its libraries pass over a word that they do not know. Here it is an error, before any work.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fractions import Fraction
from typing import Any, Literal

import av
from av import logging as libav_log

from waterz_spool.errors import SetupError, UsageError
from waterz_spool.records import EncodeSettings, VideoInfo

Options = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """One encoder: its defaults and how quality, speed and losslessness are spelled."""

    codec: str  # libav's canonical name of what it writes
    options: Options = field(default_factory=dict)
    quality: str = ""  # option that --crf sets
    worst: float = 63  # its end; x264 and x265 take more, and do as if it were this
    speed: str = ""  # option that --preset sets
    lossless: Options | None = None  # None: it cannot; {}: it always is
    params: str = ""  # option that holds library parameters as a:b=c
    presets: tuple[str, ...] = ()  # words of speed, where libav does not list them


_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
# x264's macroblock tree gives other bytes on CPUs with AVX-512 than without (and, for small pictures, at random);
# without it, bytes are the same on every x86 CPU since SSSE3.
# Measured on clips that were x264 crf 20 already, 432x240 to 1280x720: RGB PSNR outside the mask is at least 42.9 dB.
_X264 = {"crf": "11", "preset": "medium", "x264-params": "open-gop=0:lookahead-threads=1:mbtree=0"}
_X265 = {
    "crf": "14",
    "preset": "fast",
    "x265-params": "open-gop=0:frame-threads=1:pools=2:lookahead-threads=0:log-level=none",
}
_VP9 = {"crf": "12", "b": "0", "deadline": "good", "cpu-used": "2", "row-mt": "0", "auto-alt-ref": "1", "g": "240"}
_AV1 = {"crf": "9", "preset": "6", "svtav1-params": "lp=2:scd=0:irefresh-type=2"}
_Q2 = {"flags": "+qscale+cgop", "global_quality": "236", "g": "12", "bf": "2", "sc_threshold": "1000000000"}

_H264 = Encoder(
    codec="h264",
    options=_X264,
    quality="crf",
    worst=51,
    speed="preset",
    lossless={"qp": "0"},
    params="x264-params",
    presets=_PRESETS,
)

ENCODERS = {
    "libx264": _H264,
    "libx264rgb": _H264,
    "libx265": Encoder(
        codec="hevc",
        options=_X265,
        quality="crf",
        worst=51,
        speed="preset",
        lossless={"lossless": "1"},
        params="x265-params",
        presets=_PRESETS,
    ),
    "libvpx-vp9": Encoder(codec="vp9", options=_VP9, quality="crf", speed="cpu-used", lossless={"lossless": "1"}),
    "libsvtav1": Encoder(codec="av1", options=_AV1, quality="crf", speed="preset", params="svtav1-params"),
    "prores_ks": Encoder(codec="prores", options={"vendor": "apl0"}),
    "dnxhd": Encoder(codec="dnxhd", options={"profile": "dnxhr_hq"}),
    "mpeg2video": Encoder(codec="mpeg2video", options=_Q2),
    "mjpeg": Encoder(codec="mjpeg", options={"flags": "+qscale", "global_quality": "236", "huffman": "default"}),
    "ffv1": Encoder(
        codec="ffv1",
        options={"level": "3", "coder": "1", "context": "0", "slices": "4", "slicecrc": "1", "g": "1"},
        lossless={},
    ),
}
_DECODERS = ("h264", "hevc", "vp9", "vp8", "av1", "prores", "dnxhd", "mpeg2video", "mpeg4", "mjpeg", "ffv1")
_OTHER_NAMES = {
    **dict.fromkeys(("x264", "avc", "h.264", "avc1", "h264"), "libx264"),
    **dict.fromkeys(("x265", "h265", "h.265", "hevc", "hvc1", "hev1"), "libx265"),
    **dict.fromkeys(("vp8", "vp9", "libvpx", "webm"), "libvpx-vp9"),
    **dict.fromkeys(("av1", "svtav1", "svt-av1", "libaom-av1", "aom", "libaom", "rav1e", "librav1e"), "libsvtav1"),
    **dict.fromkeys(("prores", "prores_aw"), "prores_ks"),
    **dict.fromkeys(("dnxhr", "vc3"), "dnxhd"),
    **dict.fromkeys(("mpeg2", "mpeg-2"), "mpeg2video"),
    **dict.fromkeys(("mjpg", "jpeg"), "mjpeg"),
}


def missing_codecs() -> dict[str, list[str]]:
    """What this build of libav lacks, ``encoders`` and ``decoders``, of those the program knows how to use."""
    return {
        "encoders": [name for name in ENCODERS if not _known(name, "w")],
        "decoders": [name for name in _DECODERS if not _known(name, "r")],
    }


def _known(name: str, mode: Literal["r", "w"]) -> bool:
    try:
        av.Codec(name, mode)
    except av.FFmpegError:
        return False
    return True


def hush() -> None:
    """Let encoders be silent that write their settings to the terminal: SVT-AV1 then tells errors alone."""
    os.environ.setdefault("SVT_LOG", "1")


def encoder_name(asked: str) -> str:
    """The encoder's own name for what the user called it.

    Raises:
        UsageError: libav has no encoder of this name, or it is none of pictures.
        SetupError: This build of libav lacks it.
    """
    known = ", ".join(name for name in ENCODERS if _known(name, "w"))
    try:
        found = av.Codec(asked, "w")
    except (ValueError, av.FFmpegError) as error:
        if asked in ENCODERS:
            raise SetupError(
                f"the encoder {asked} is not in this build of libav",
                where=asked,
                todo="install PyAV (pip install av), or choose another --codec",
            ) from error
        near = _OTHER_NAMES.get(asked.lower()) or " or ".join(get_close_matches(asked.lower(), ENCODERS, 2))
        raise UsageError(
            f"there is no encoder {asked}",
            where=f"--codec {asked}",
            todo=(f"did you mean {near}? " if near else "") + f"There are {known}",
        ) from error
    if found.type != "video":
        raise UsageError(f"{asked} encodes {found.type}", where=f"--codec {asked}", todo=f"choose one of {known}")
    return str(found.name)


def check_words(settings: EncodeSettings, info: VideoInfo, given: Mapping[str, str]) -> None:
    """Open the encoder once, with all its options, and listen to what it says of the user's.

    Args:
        settings: What a segment will be encoded with.
        info: The source's facts.
        given: Those of the options that the user named, by the names that the encoder has for them.

    Raises:
        UsageError: The encoder has no such option or takes no such value.
    """
    context: Any = av.CodecContext.create(settings.codec, "w")
    known = {o.name: o for o in _options(context)}
    encoder = ENCODERS.get(settings.codec)
    for name, value in given.items():
        if name not in known:
            near = ", ".join(get_close_matches(name, known, 3))
            todo = f"did you mean {near}?" if near else "leave it out"
            raise UsageError(f"{settings.codec} has no option {name}", where=f"{name}={value}", todo=todo)
        if encoder:
            _check_ends(settings.codec, encoder, name, value)
    params = encoder.params if encoder else ""
    if params in given:
        _pairs(given[params], params)
    said, error = _open(context, settings, info)
    checked = encoder.speed if encoder and encoder.presets else ""  # libav names it wherever the tuning is wrong
    for name, value in given.items():
        if name == checked:
            continue
        nested = _pairs(value, name) if name == params else [(name, value)]
        for key, text in nested:
            complaint = next((line for line in said if _names(line, key)), None)
            if complaint:
                choices = " ".join(c.name for c in known[name].choices) if name != params else ""
                raise _no_value(settings.codec, key, text, choices, complaint)
    if error:
        words = " ".join(f"{name}={value}" for name, value in given.items())
        raise UsageError(f"{settings.codec} does not take these options: {error}", where=words, todo="correct them")


def _pairs(value: str, name: str) -> list[tuple[str, str]]:
    """A library's parameters by name."""
    pairs = [pair.partition("=") for pair in value.split(":")]
    if wrong := [key for key, sign, _ in pairs if not sign]:
        todo = f"for example {wrong[0]}=1" if wrong[0] else "leave the empty one out"
        raise UsageError(f"{name} are pairs name=value, joined by colons", where=f"{name}={value}", todo=todo)
    return [(key, text) for key, _, text in pairs]


def _check_ends(codec: str, encoder: Encoder, name: str, value: str) -> None:
    """Refuse a speed or quality that a library would answer by itself on the terminal, or change in silence."""
    if name == "preset" and encoder.presets and value not in encoder.presets:
        raise _no_value(codec, name, value, " ".join(encoder.presets))
    with contextlib.suppress(ValueError):
        if name == encoder.quality and float(value) > encoder.worst:
            raise UsageError(
                f"{codec} takes no {name} above {encoder.worst:g}", where=f"{name}={value}", todo="give a smaller one"
            )


def _open(context: Any, settings: EncodeSettings, info: VideoInfo) -> tuple[list[str], str]:
    """Open the encoder: what it says, and the error that it ends with, or ""."""
    hush()
    before, skips = libav_log.get_level(), libav_log.get_skip_repeated()
    libav_log.set_level(libav_log.WARNING)
    libav_log.set_skip_repeated(False)  # what it said of another video's options counts again
    try:
        with libav_log.Capture() as lines:
            error = ""
            try:
                context.thread_count = int(settings.options.get("threads", "1"))
                context.width, context.height, context.pix_fmt = info.width, info.height, settings.pix_fmt
                context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
                context.options = dict(settings.options)
                context.open()
            except (av.FFmpegError, ValueError) as caught:
                error = getattr(caught, "strerror", None) or str(caught)
            return [text.strip() for _, _, text in lines], error
    finally:
        libav_log.set_level(before)
        libav_log.set_skip_repeated(skips)


def _options(context: Any) -> list[Any]:
    """Options that the encoder of a picture reads."""
    usable = [*context.supported_options.generic, *context.supported_options.private]
    return [o for o in usable if {"ENCODING_PARAM", "VIDEO_PARAM"} <= {flag.name for flag in o.flags}]


def _names(line: str, key: str) -> bool:
    """Whether a line of a log complains of this option."""
    complaint = re.search(r"error|unknown|invalid|out of range|unable|undefined", line, re.IGNORECASE)
    return bool(complaint) and bool(re.search(rf"(?<![\w-]){re.escape(key)}(?![\w-])", line))


def _no_value(encoder: str, name: str, value: str, choices: str, complaint: str = "") -> UsageError:
    what = f"{encoder} does not take {name}={value}" + (f": {complaint.rstrip('.')}" if complaint else "")
    return UsageError(what, where=f"{name}={value}", todo=f"one of {choices}" if choices else "correct or leave it out")
