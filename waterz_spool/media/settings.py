"""How a source is encoded again: its own codec family, depth and chroma, visually lossless, same bytes everywhere."""

from __future__ import annotations

from collections.abc import Mapping

import av

from waterz_spool.errors import InputError, UsageError
from waterz_spool.media.container import FORMATS, check_codec
from waterz_spool.media.crops import ffv1_slices
from waterz_spool.media.encoders import ENCODERS, Encoder, Options, check_words, encoder_name
from waterz_spool.media.pixels import WorkFormat, work_format
from waterz_spool.records import EncodeSettings, VideoInfo

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
# VP9 for odd sizes, which those before it refuse; FFV1 for alpha and depths that no other holds.
_OTHERS = ("libx264", "libx264rgb", "libx265", "libvpx-vp9", "ffv1")
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
        UsageError: No such encoder, or an option or value that it does not have.
        InputError: No encoder holds the source's depth, chroma or alpha, or the container cannot hold the codec.
        SetupError: The encoder is not in this build of libav.
    """
    work = work_format(info.pix_fmt)
    name, pix_fmt = _choose(info, work, codec, lossless)
    encoder = ENCODERS.get(name, Encoder(codec=str(av.Codec(name, "w").canonical_name)))
    chosen = {**encoder.options, "threads": str(threads), **_matched(name, info, work)}
    given = {**_quality(name, encoder, crf=crf, preset=preset), **(options or {})}
    chosen.update(_quality(name, encoder, crf=crf, preset=preset))
    if lossless:
        _set_lossless(chosen, name, encoder)
    _set_hdr(chosen, name, encoder, info)
    if info.chroma_location:
        chosen["chroma_sample_location"] = info.chroma_location
    _override(chosen, encoder, options or {})
    _check_container(container, encoder, info, work, asked=codec is not None)
    settings = EncodeSettings(codec=name, pix_fmt=pix_fmt, options=chosen, container=container)
    if given:
        check_words(settings, info, given)
    return settings


def _check_container(container: str, encoder: Encoder, info: VideoInfo, work: WorkFormat, *, asked: bool) -> None:
    """Refuse a container that has no name for the codec, with the encoders whose codec it has.

    FFV1 that nobody asked for goes into Matroska alone: elsewhere few players know it.
    """
    family = ENCODERS.get(_FAMILY.get(info.codec, ("",))[0])
    last_resort = encoder is ENCODERS["ffv1"] != family and not asked
    if last_resort and container in FORMATS and container != "mkv":
        pictures = f"{info.pix_fmt} pictures of {info.width}x{info.height}"
        raise InputError(
            f".{container} cannot hold {pictures} in a codec that players know",
            where=f"{info.codec} {info.pix_fmt}",
            todo="give an output in .mkv: there it is FFV1, without loss",
        )
    try:
        check_codec(container, encoder.codec, info)
    except InputError as error:
        others = [name for name in ENCODERS if _known_to(container, name, info, work)]
        todo = error.todo + (f"; or add --codec {' or '.join(others)}" if others else "")
        raise InputError(error.what, where=error.where, todo=todo) from error


def _known_to(container: str, name: str, info: VideoInfo, work: WorkFormat) -> bool:
    try:
        check_codec(container, ENCODERS[name].codec, info)
    except InputError:
        return False
    return _pix_fmt(name, info, work) is not None


def _choose(info: VideoInfo, work: WorkFormat, codec: str | None, lossless: bool) -> tuple[str, str]:
    """(encoder, its pixel format): the asked one, else the first of the family, else of the others, that fits."""
    if codec is not None:
        name = encoder_name(codec)
        found = _pix_fmt(name, info, work)
        if found is None:
            raise _no_format(info, work, name)
        return name, found
    family = _FAMILY.get(info.codec, _OTHERS)
    if lossless and all(ENCODERS[name].lossless is None for name in family):
        raise UsageError(
            f"{info.codec} cannot be lossless", where="--lossless", todo="add --codec ffv1 and an output in .mkv"
        )
    for name in (*family, *_OTHERS):
        found = _pix_fmt(name, info, work)
        if found is not None and not (lossless and ENCODERS[name].lossless is None):
            return name, found
    raise _no_format(info, work, "a matching encoder")


def _pix_fmt(name: str, info: VideoInfo, work: WorkFormat) -> str | None:
    """The encoder's format for these samples, at the same depth or else the next deeper one; None if it has none."""
    encoder = av.Codec(encoder_name(name), "w")
    if name in _WHOLE_CHROMA and (info.width % (1 << work.shift_x) or info.height % (1 << work.shift_y)):
        return None
    offered = [f.name for f in encoder.video_formats or ()]
    if name == "libx264":  # its gray is decoded as 4:2:0
        offered = [f for f in offered if not f.startswith("gray")]
    if name.startswith(("libvpx", "libx26")):  # alpha that decoders drop, or that they refuse in spite of their list
        offered = [f for f in offered if not work_format(f).alpha]
    if info.pix_fmt.startswith("yuvj") and info.pix_fmt in offered:
        return info.pix_fmt
    if work.pix_fmt in offered:
        return "yuvj" + work.pix_fmt[3:] if _needs_yuvj(name, info, work) else work.pix_fmt
    if work.pix_fmt == "gbrp":
        return next((f for f in ("rgb24", "bgr24", "bgr0") if f in offered), None)
    if work.pix_fmt == "gbrap":
        return next((f for f in ("rgba", "bgra") if f in offered), None)
    return _deeper(offered, work) or (_prores_10(offered, work) if name == "prores_ks" == f"{info.codec}_ks" else None)


def _prores_10(offered: list[str], work: WorkFormat) -> str | None:
    """What a ProRes encoder takes of ProRes pictures that its decoder yields at 12 bit: the upper 10."""
    return next((f.pix_fmt for f in map(work_format, offered) if _same_planes(f, work) and work.bits == 12), None)


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


def _quality(name: str, encoder: Encoder, *, crf: float | None, preset: str | None) -> Options:
    """--crf and --preset by the encoder's own names."""
    found = {}
    for option, key, value in (("--crf", encoder.quality, crf), ("--preset", encoder.speed, preset)):
        if value is None:
            continue
        if not key:
            raise UsageError(
                f"{name} has no setting for {option}", where=option, todo="use --encoder-opt, or another --codec"
            )
        found[key] = f"{value:g}" if isinstance(value, (int, float)) else value
    return found


def _set_lossless(chosen: Options, name: str, encoder: Encoder) -> None:
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


def _set_hdr(chosen: Options, name: str, encoder: Encoder, info: VideoInfo) -> None:
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


def _override(chosen: Options, encoder: Encoder, options: Mapping[str, str]) -> None:
    """Put the user's options over the defaults; library parameters are added, and the last of each counts."""
    for key, value in options.items():
        chosen[key] = f"{chosen[key]}:{value}" if key == encoder.params and key in chosen else value


def _no_format(info: VideoInfo, work: WorkFormat, encoder: str) -> InputError:
    kept = _pix_fmt("ffv1", info, work) is not None
    return InputError(
        f"{encoder} cannot hold {info.pix_fmt} pictures of {info.width}x{info.height} ({info.codec}) without loss",
        where=info.pix_fmt,
        todo="use --codec ffv1 and an output in .mkv, which hold it losslessly"
        if kept
        else "convert the video to a format of at most 12 bit first",
    )
