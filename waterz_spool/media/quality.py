"""Quality like the source's: the noise of the new encoding lies under what the source's own coding left.

How much that is, a decoder of H.264 tells by its quantisers. Measured on five clips of known originals, x264 crf 20 to
32 (benchmarks/README.md): at a mean quantiser of 26 the source lost 36.6 dB or less, at 37 about 32 dB, as PSNR over
all samples. Ours is to lie 6 dB under it, and need not lie under 46 dB. Which setting of the encoder that takes is
found by encoding a few short pieces of the video with two settings.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import log10
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np

from waterz_spool.media.decoding import Frame
from waterz_spool.media.encode import SegmentEncoder
from waterz_spool.media.encoders import ENCODERS
from waterz_spool.media.pixels import Planes, planes, work_format
from waterz_spool.media.source import open_file, read_pictures
from waterz_spool.records import EncodeSettings, VideoInfo

_MOST_DB, _LEAST_DB = 46.0, 34.0
_UNKNOWN_DB = 43.0  # where no quantiser is known
_QUANTISER, _AT_QUANTISER_DB, _DB_PER_STEP = 26.0, 43.0, 0.4
_PLACES, _PIECE_FRAMES, _MOST_PASSED = 3, 7, 60
_STEP, _FAR = 0.5, 2.0
_PROBES = {"libvpx-vp9": (12.0, 36.0), "libsvtav1": (12.0, 36.0)}
_X26X_PROBES = (3.0, 11.0)  # above the encoder's best
_SPEEDS = {"libx264": "faster", "libx264rgb": "faster"}  # files at most 10 % larger at equal PSNR, in 0.7 of the time
_STEERING = {"crf", "qp", "b", "bitrate", "global_quality", "lossless"}

Noise = tuple[float, int]


def like_source(
    source: Path,
    info: VideoInfo,
    settings: EncodeSettings,
    *,
    preset: str | None = None,
    given: Mapping[str, str] | None = None,
    check: Callable[[], None] = lambda: None,
) -> EncodeSettings:
    """The same settings with the quality that the source deserves, and the fastest preset that costs little.

    Args:
        source: The video.
        info: Its facts.
        settings: With the best quality that is taken.
        preset: That the user asked for.
        given: Options of the encoder that the user gave: if they steer its quality, it is left to them.
        check: Called between pieces; raises to stop.

    Returns:
        The settings as they are where the encoder has no scale of quality, or other samples than the source.
    """
    encoder = ENCODERS.get(settings.codec)
    if encoder is None or encoder.quality not in settings.options or _steers(given or {}):
        return settings
    if settings.codec in _SPEEDS and not preset and encoder.speed not in (given or {}):
        settings = _with(settings, encoder.speed, _SPEEDS[settings.codec])
    if work_format(settings.pix_fmt).pix_fmt != work_format(info.pix_fmt).pix_fmt:
        return settings
    best = float(settings.options[encoder.quality])
    values = [best + step for step in _PROBES.get(settings.codec, _X26X_PROBES)]

    def measured(values: Sequence[float]) -> tuple[list[float], list[float]]:
        tried = [_with(settings, encoder.quality, f"{value:g}") for value in values]
        return _measured(source, info, tried, check)

    psnr, quantisers = measured(values)
    if not psnr:
        return settings
    wanted = wanted_db(float(np.mean(quantisers)) if quantisers else None)
    found = _solved(wanted, values, psnr)
    if found > values[-1] + _FAR:  # the line is a curve: look there, too
        values, psnr = [values[-1], found], [psnr[-1], *measured([found])[0]]
        found = _solved(wanted, values, psnr)
    return _with(settings, encoder.quality, f"{max(best, min(found, encoder.worst)):g}")


def wanted_db(quantiser: float | None) -> float:
    """PSNR over all samples that the result must have against a source of this mean quantiser (H.264's, 0 to 51)."""
    if quantiser is None:
        return _UNKNOWN_DB
    return max(_LEAST_DB, min(_MOST_DB, _AT_QUANTISER_DB - _DB_PER_STEP * (quantiser - _QUANTISER)))


def mean_quantiser(source: Path, info: VideoInfo) -> float | None:
    """Of the blocks of some frames, as libav's decoder of H.264 exports them; None where it does not."""
    found: list[float] = []
    for _ in _pieces(source, info, found):
        pass
    return float(np.mean(found)) if found else None


def _pieces(source: Path, info: VideoInfo, quantisers: list[float]) -> Iterator[list[av.VideoFrame]]:
    """A few frames from the middles of equal parts of the video, or from shortly behind the keyframes before them.

    Args:
        source: The video.
        info: Its facts.
        quantisers: The mean of each frame that was decoded on the way is appended.
    """
    seen = set()
    for place in range(_PLACES):
        piece = _piece(source, info, (2 * place + 1) / (2 * _PLACES), quantisers)
        if piece and piece[0].pts not in seen:
            seen.add(piece[0].pts)
            yield piece
    if not seen:  # behind a gap in the times a seek may end at the end
        piece = _piece(source, info, None, quantisers)
        if piece:
            yield piece


def _piece(source: Path, info: VideoInfo, share: float | None, quantisers: list[float]) -> list[av.VideoFrame]:
    """A few frames from a share of the video's time on, 0..1; None: its first ones."""
    piece: list[av.VideoFrame] = []
    with open_file(source) as container:
        begin = container.start_time or 0
        wanted = begin if share is None else begin + int((container.duration or 0) * share)
        if wanted > begin:  # a raw stream has no duration, and a seek that fails would leave it at its end
            with suppress(av.FFmpegError):  # where one cannot seek, from the beginning
                container.seek(wanted)
        with suppress(av.FFmpegError):
            for number, picture in enumerate(_read(container, info)):
                quantisers += _quantisers(picture)
                if share is None or number >= _MOST_PASSED or (picture.time or 0) * av.time_base >= wanted:
                    piece.append(picture)
                if len(piece) == _PIECE_FRAMES:
                    break
    return piece


def _read(container: Any, info: VideoInfo) -> Iterator[av.VideoFrame]:
    stream = container.streams[info.stream_index]
    if info.codec == "h264" and info.bits == 8:
        stream.codec_context.options = {**stream.codec_context.options, "export_side_data": "venc_params"}
    return read_pictures(container, stream)


def _quantisers(picture: av.VideoFrame) -> list[float]:
    """The mean of a picture, in a list; an empty one where the decoder does not tell."""
    found: Any = picture.side_data
    for entry in found:
        if entry.type.name == "VIDEO_ENC_PARAMS":
            try:
                return [float(entry.qp_map().mean())]
            except RuntimeError:  # not one value for each block
                return []
    return []


def _steers(given: Mapping[str, str]) -> bool:
    nested = (pair.partition("=")[0] for value in given.values() for pair in value.split(":"))
    return not _STEERING.isdisjoint([*given, *nested])


def _with(settings: EncodeSettings, key: str, value: str) -> EncodeSettings:
    return msgspec.structs.replace(settings, options={**settings.options, key: value})


def _measured(
    source: Path, info: VideoInfo, tried: Sequence[EncodeSettings], check: Callable[[], None]
) -> tuple[list[float], list[float]]:
    """PSNR of all pieces together with each of some settings, none without a piece; the source's own quantisers."""
    total, quantisers = [(0.0, 0) for _ in tried], list[float]()
    for piece in _pieces(source, info, quantisers):
        check()
        frames = [Frame(number, number, picture) for number, picture in enumerate(piece)]
        total = [_sum(was, _noise(frames, info, each)) for was, each in zip(total, tried, strict=True)]
    return [_db(noise, info) for noise in total if noise[1]], quantisers


def _noise(piece: Sequence[Frame], info: VideoInfo, settings: EncodeSettings) -> Noise:
    """Sum of the squared errors of an encoded piece, and of how many samples.

    Its first frame does not count unless it is alone: encoders give it more than all others.
    """
    with tempfile.TemporaryDirectory(prefix="waterz-quality-") as folder:
        path = Path(folder) / "piece"
        with SegmentEncoder(path, settings, info) as encoder:
            for frame in piece:
                encoder.write(frame)
        pairs = list(zip(piece, _decoded(path), strict=True))
        total = (0.0, 0)
        for frame, got in pairs[1:] or pairs:
            for a, b in zip(planes(frame), got, strict=True):
                error = np.subtract(a, b, dtype=np.float32)
                total = _sum(total, (float(np.vdot(error, error)), error.size))
        return total


def _decoded(path: Path) -> Iterator[Planes]:
    with open_file(path) as container:
        for picture in read_pictures(container, container.streams.video[0]):
            yield planes(picture)


def _sum(a: Noise, b: Noise) -> Noise:
    return a[0] + b[0], a[1] + b[1]


def _db(noise: Noise, info: VideoInfo) -> float:
    top = (1 << info.bits) - 1
    return 10 * log10(top * top / max(noise[0] / noise[1], 1e-3))


def _solved(wanted: float, values: Sequence[float], psnr: Sequence[float]) -> float:
    """The setting of that PSNR on the line through two probes, rounded to the better side."""
    (a, b), (high, low) = values, psnr
    slope = max((high - low) / (b - a), 0.1)  # dB lost by each step
    return (a + (high - wanted) / slope) // _STEP * _STEP
