"""How a source is encoded again: its own codec family, depth and chroma, visually lossless, same bytes everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import av

from waterz_spool.errors import InputError, SetupError, UsageError
from waterz_spool.media.container import check_codec
from waterz_spool.media.crops import ffv1_slices
from waterz_spool.media.pixels import WorkFormat, work_format
from waterz_spool.records import EncodeSettings, VideoInfo

Options = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class _Encoder:
    """One encoder: its defaults and how quality, speed and losslessness are spelled."""

    codec: str  # libav's canonical name of what it writes
    options: Options = field(default_factory=dict)
    quality: str = ""  # option that --crf sets
    speed: str = ""  # option that --preset sets
    lossless: Options | None = None  # None: it cannot; {}: it always is
    params: str = ""  # option that holds library parameters as a:b=c


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

_ENCODERS = {
    "libx264": _Encoder(
        codec="h264", options=_X264, quality="crf", speed="preset", lossless={"qp": "0"}, params="x264-params"
    ),
    "libx264rgb": _Encoder(
        codec="h264", options=_X264, quality="crf", speed="preset", lossless={"qp": "0"}, params="x264-params"
    ),
    "libx265": _Encoder(
        codec="hevc", options=_X265, quality="crf", speed="preset", lossless={"lossless": "1"}, params="x265-params"
    ),
    "libvpx-vp9": _Encoder(codec="vp9", options=_VP9, quality="crf", speed="cpu-used", lossless={"lossless": "1"}),
    "libsvtav1": _Encoder(codec="av1", options=_AV1, quality="crf", speed="preset", params="svtav1-params"),
    "prores_ks": _Encoder(codec="prores", options={"vendor": "apl0"}),
    "dnxhd": _Encoder(codec="dnxhd", options={"profile": "dnxhr_hq"}),
    "mpeg2video": _Encoder(codec="mpeg2video", options=_Q2),
    "mjpeg": _Encoder(codec="mjpeg", options={"flags": "+qscale", "global_quality": "236", "huffman": "default"}),
    "ffv1": _Encoder(
        codec="ffv1",
        options={"level": "3", "coder": "1", "context": "0", "slices": "4", "slicecrc": "1", "g": "1"},
        lossless={},
    ),
}
_FAMILY = {
    "h264": ("libx264", "libx264rgb"),
    "hevc": ("libx265",),
    "vp9": ("libvpx-vp9",),
    "vp8": ("libvpx-vp9",),
    "av1": ("libsvtav1",),
    "prores": ("prores_ks",),
    "dnxhd": ("dnxhd",),
    "mpeg2video": ("mpeg2video",),
    "mjpeg": ("mjpeg",),
    **dict.fromkeys(("ffv1", "ffvhuff", "huffyuv", "utvideo", "magicyuv"), ("ffv1",)),
}
_DECODERS = ("h264", "hevc", "vp9", "vp8", "av1", "prores", "dnxhd", "mpeg2video", "mpeg4", "mjpeg", "ffv1")
_OTHERS = ("libx264", "libx264rgb", "libx265", "libvpx-vp9")  # the last one for odd sizes, which the others refuse
_WHOLE_CHROMA = ("libx264", "libx264rgb", "libx265")
_PRORES = {
    "Proxy": ("0", "apco"),
    "LT": ("1", "apcs"),
    "Standard": ("2", "apcn"),
    "HQ": ("3", "apch"),
    "4444": ("4", "ap4h"),
    "XQ": ("5", "ap4x"),
}
_HDR_WORDS = {
    "libx264": ("mastering-display", "cll"),
    "libx265": ("master-display", "max-cll"),
    "libsvtav1": ("mastering-display", "content-light"),
}
_DNXHR = {8: "dnxhr_hq", 10: "dnxhr_hqx"}


def missing_codecs() -> dict[str, list[str]]:
    """What this build of libav lacks, ``encoders`` and ``decoders``, of those the program knows how to use."""
    return {
        "encoders": [name for name in _ENCODERS if not _known(name, "w")],
        "decoders": [name for name in _DECODERS if not _known(name, "r")],
    }


def _known(name: str, mode: Literal["r", "w"]) -> bool:
    try:
        av.Codec(name, mode)
    except av.FFmpegError:
        return False
    return True


def encode_settings(
    info: VideoInfo,
    *,
    container: str,
    crf: float | None = None,
    preset: str | None = None,
    codec: str | None = None,
    lossless: bool = False,
    options: Mapping[str, str] | None = None,
    threads: int = 2,
) -> EncodeSettings:
    """Encode settings of a job, resolved once.

    Args:
        info: The source.
        container: Extension of the output without dot.
        crf: Quality in the encoder's own unit; smaller is better.
        preset: Speed in the encoder's own word.
        codec: libav encoder to use instead of the one that matches the source.
        lossless: Every decoded sample equals the sample that was encoded.
        options: Further options of the encoder, stronger than all defaults.
        threads: Encoder threads, fixed because some encoders' output depends on their number.

    Raises:
        UsageError: An option this encoder does not have.
        InputError: No encoder holds the source's depth, chroma or alpha, or the container cannot hold the codec.
        SetupError: The encoder is not in this build of libav.
    """
    work = work_format(info.pix_fmt)
    name, pix_fmt = _choose(info, work, codec, lossless)
    encoder = _ENCODERS.get(name, _Encoder(codec=_canonical(name)))
    chosen = {**encoder.options, "threads": str(threads), **_matched(name, info, work)}
    _set_quality(chosen, name, encoder, crf=crf, preset=preset)
    if lossless:
        _set_lossless(chosen, name, encoder)
    _set_hdr(chosen, name, encoder, info)
    _override(chosen, encoder, options or {})
    check_codec(container, encoder.codec, info)
    return EncodeSettings(codec=name, pix_fmt=pix_fmt, options=chosen, container=container)


def _choose(info: VideoInfo, work: WorkFormat, codec: str | None, lossless: bool) -> tuple[str, str]:
    """(encoder, its pixel format): the asked one, else the first of the family, else of the others, that fits."""
    if codec is not None:
        found = _pix_fmt(codec, info, work)
        if found is None:
            raise _no_format(info, codec)
        return codec, found
    family = _FAMILY.get(info.codec, _OTHERS)
    if lossless and all(_ENCODERS[name].lossless is None for name in family):
        raise UsageError(
            f"{info.codec} cannot be lossless", where="--lossless", todo="add --codec ffv1 and an output in .mkv"
        )
    for name in (*family, *_OTHERS):
        found = _pix_fmt(name, info, work)
        if found is not None and not (lossless and _ENCODERS[name].lossless is None):
            return name, found
    raise _no_format(info, "a matching encoder")


def _pix_fmt(name: str, info: VideoInfo, work: WorkFormat) -> str | None:
    """The encoder's format for these samples, at the same depth or else the next deeper one; None if it has none."""
    try:
        encoder = av.Codec(name, "w")
    except (ValueError, av.FFmpegError) as error:
        raise SetupError(
            f"the encoder {name} is not in this build of libav",
            where=name,
            todo="install PyAV (pip install av), or choose another --codec",
        ) from error
    if name in _WHOLE_CHROMA and (info.width % (1 << work.shift_x) or info.height % (1 << work.shift_y)):
        return None
    offered = [f.name for f in encoder.video_formats or ()]
    if name == "libx264":  # its gray is decoded as 4:2:0
        offered = [f for f in offered if not f.startswith("gray")]
    if info.pix_fmt.startswith("yuvj") and info.pix_fmt in offered:
        return info.pix_fmt
    if work.pix_fmt in offered:
        return "yuvj" + work.pix_fmt[3:] if _needs_yuvj(name, info, work) else work.pix_fmt
    if work.pix_fmt == "gbrp":
        return next((f for f in ("rgb24", "bgr24", "bgr0") if f in offered), None)
    if work.pix_fmt == "gbrap":
        return next((f for f in ("rgba", "bgra") if f in offered), None)
    return _deeper(offered, work)


def _deeper(offered: list[str], work: WorkFormat) -> str | None:
    """An offered format of the same planes with more bits (9 bit goes into 10)."""
    fits = [f for f in map(work_format, offered) if _same_planes(f, work) and f.bits > work.bits > 8]
    return min(fits, key=lambda f: f.bits).pix_fmt if fits else None


def _same_planes(a: WorkFormat, b: WorkFormat) -> bool:
    return (a.family, a.plane_count, a.shift_x, a.shift_y) == (b.family, b.plane_count, b.shift_x, b.shift_y)


def _needs_yuvj(name: str, info: VideoInfo, work: WorkFormat) -> bool:
    """MJPEG takes full range under the yuvj names; limited range it does not hold."""
    return name == "mjpeg" and info.color_range == 2 and work.bits == 8


def _matched(name: str, info: VideoInfo, work: WorkFormat) -> Options:
    """Options that copy the source's own profile, or follow from its size."""
    if name == "ffv1":
        return {"slices": ffv1_slices(info.width, info.height, work)}
    if name == "prores_ks":
        default = "4444" if work.shift_x == 0 else "HQ"
        profile = info.profile if info.codec == "prores" and info.profile in _PRORES else default
        alpha = {"alpha_bits": "16"} if work.alpha else {}
        return {"profile": _PRORES[profile][0], **alpha}
    if name == "dnxhd":
        return {"profile": "dnxhr_444" if work.shift_x == 0 else _DNXHR.get(work.bits, "dnxhr_hqx")}
    return {}


def prores_tag(settings: EncodeSettings) -> str:
    """The four-character code of a ProRes profile, which decides how players read it; "" for other codecs."""
    if settings.codec != "prores_ks":
        return ""
    return next((tag for number, tag in _PRORES.values() if number == settings.options.get("profile")), "")


def _set_quality(chosen: Options, name: str, encoder: _Encoder, *, crf: float | None, preset: str | None) -> None:
    for option, key, value in (("--crf", encoder.quality, crf), ("--preset", encoder.speed, preset)):
        if value is None:
            continue
        if not key:
            raise UsageError(
                f"{name} has no setting for {option}", where=option, todo="use --encoder-opt, or another --codec"
            )
        chosen[key] = f"{value:g}" if isinstance(value, (int, float)) else value


def _set_lossless(chosen: Options, name: str, encoder: _Encoder) -> None:
    if encoder.lossless is None:
        raise UsageError(
            f"{name} cannot be lossless", where="--lossless", todo="add --codec ffv1 and an output in .mkv"
        )
    if not encoder.lossless:
        return
    chosen.pop(encoder.quality, None)
    if name == "libx265":
        chosen["x265-params"] += ":lossless=1"
    else:
        chosen.update(encoder.lossless)


def _set_hdr(chosen: Options, name: str, encoder: _Encoder, info: VideoInfo) -> None:
    """Static HDR metadata (ST 2086, CTA-861.3) into the bitstream, so that it survives any container."""
    if name not in _HDR_WORDS:
        return
    display, light = _HDR_WORDS[name]
    extra = []
    if info.mastering_display:
        units = name != "libsvtav1"
        extra.append(f"{display}={_display(info.mastering_display, units=units)}")
    if info.content_light:
        extra.append(f"{light}={info.content_light[0]},{info.content_light[1]}")
    if extra:
        chosen[encoder.params] = ":".join([chosen[encoder.params], *extra])


def _display(values: tuple[tuple[int, int], ...], *, units: bool) -> str:
    """Order G, B, R, white, luminance; x264 and x265 count in 0.00002 and 0.0001 cd/m2, SVT-AV1 in plain numbers."""
    numbers = [
        str(round(n * scale / d)) if units else f"{n / d:.7f}"
        for (n, d), scale in zip(values, [50_000] * 8 + [10_000] * 2, strict=True)
    ]
    rx, ry, gx, gy, bx, by, wx, wy, low, high = numbers
    return f"G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({high},{low})"


def _override(chosen: Options, encoder: _Encoder, options: Mapping[str, str]) -> None:
    """Put the user's options over the defaults; library parameters are added, and the last of each counts."""
    for key, value in options.items():
        chosen[key] = f"{chosen[key]}:{value}" if key == encoder.params and key in chosen else value


def _canonical(name: str) -> str:
    return str(av.Codec(name, "w").canonical_name)


def _no_format(info: VideoInfo, encoder: str) -> InputError:
    return InputError(
        f"{encoder} cannot hold {info.pix_fmt} pictures of {info.width}x{info.height} ({info.codec}) without loss",
        where=info.pix_fmt,
        todo="use --codec ffv1 and an output in .mkv, which hold it losslessly",
    )
