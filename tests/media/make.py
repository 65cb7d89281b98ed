"""Maker of all test videos: small, deterministic, with known content. Needs nothing but PyAV and numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

WIDTH, HEIGHT = 96, 64
PGS_BLANK = bytes.fromhex("16000b0060004010000080000000" + "800000")  # a display set that shows nothing
HDR10 = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
BT2020_PQ = {"color_range": 1, "color_primaries": 9, "color_trc": 16, "colorspace": 9}


@dataclass
class Audio:
    """One audio track: a tone of its own pitch."""

    codec: str = "aac"
    language: str = ""
    title: str = ""
    default: bool = False
    disposition: int = 0
    seconds: float | None = None
    pitch: int = 9
    start: int = 0
    rate: int = 48_000
    bit_rate: int = 0


@dataclass
class Subtitle:
    """One text track."""

    codec: str = "subrip"
    language: str = ""
    forced: bool = False
    lines: Sequence[tuple[float, float, str]] = ((0.2, 0.3, "first"), (0.7, 0.2, "second"))


@dataclass
class Spec:
    """What ``video`` writes; every field has a plain default."""

    codec: str = "libx264"
    frames: int = 30
    size: tuple[int, int] = (WIDTH, HEIGHT)
    pix_fmt: str = "yuv420p"
    rate: Fraction = Fraction(25)
    options: dict[str, str] = field(default_factory=dict)
    pts: Sequence[int] | None = None
    time_base: Fraction | None = None
    start: int = 0
    context: dict[str, Any] = field(default_factory=dict)
    rotation: int | None = None
    matrix: Sequence[int] | None = None
    audio: Sequence[Audio] = ()
    subtitles: Sequence[Subtitle] = ()
    chapters: Sequence[tuple[float, float, str]] = ()
    chapter_tags: dict[str, str] = field(default_factory=dict)
    data: str = ""
    attachments: Sequence[tuple[str, str, bytes]] = ()
    cover: bytes = b""
    tags: dict[str, str] = field(default_factory=dict)
    video_tags: dict[str, str] = field(default_factory=dict)
    muxer: dict[str, str] = field(default_factory=dict)
    format: str | None = None
    bitstream: str = ""


def picture(index: int, *, size: tuple[int, int] = (WIDTH, HEIGHT), bits: int = 8) -> np.ndarray:
    """Frame ``index`` of a textured scene that pans and carries a moving bright square; [H, W], 0..2**bits - 1."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    x = x + 2 * index
    scene = 0.5 + 0.2 * np.sin(x / 5) * np.cos(y / 7) + 0.12 * np.sin((x + 2 * y) / 3) + 0.05 * np.sin(x * y / 97)
    left = (3 * index) % max(1, width - 8)
    scene[height // 3 : height // 3 + 8, left : left + 8] = 0.9
    top = 2**bits - 1
    return np.clip(np.rint(scene * 0.85 * top + 0.07 * top), 0, top).astype(np.uint8 if bits == 8 else np.uint16)


def frame(index: int, *, size: tuple[int, int] = (WIDTH, HEIGHT), pix_fmt: str = "yuv420p") -> av.VideoFrame:
    """The scene in a planar format; every plane differs from every other."""
    made = av.VideoFrame(*size, pix_fmt)
    bits = made.format.components[0].bits
    if bits > 16 or (not made.format.is_planar and made.format.name != "gray"):
        return _packed(made, index)
    for number, plane in enumerate(made.planes):
        shape = (plane.width, plane.height)
        data = picture(index + 5 * number, size=shape, bits=bits)
        view = np.frombuffer(plane, data.dtype).reshape(plane.height, -1)
        view[:, : plane.width] = data
    return made


def _packed(made: av.VideoFrame, index: int) -> av.VideoFrame:
    """Any other format, filled with bytes that vary."""
    for plane in made.planes:
        plane.update((np.arange(plane.buffer_size) * 7 + index * 11).astype(np.uint8).tobytes())
    return made


def video(path: Path, **kwargs: Any) -> Path:
    """Write a video; keywords are the fields of ``Spec``."""
    spec = Spec(**kwargs)
    with av.open(str(path), "w", format=spec.format, container_options=spec.muxer) as out:
        stream = _video_stream(out, spec)
        tracks = [_audio_stream(out, a) for a in spec.audio]
        texts = [_subtitle_stream(out, s) for s in spec.subtitles]
        for name, kind, data in spec.attachments:
            out.add_attachment(name, kind, data)
        cover = _cover_stream(out) if spec.cover else None
        data = out.add_data_stream(spec.data) if spec.data else None
        out.metadata.update(spec.tags)
        out.set_chapters(
            [
                {
                    "id": n + 1,
                    "start": round(a * 1000),
                    "end": round(b * 1000),
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": title, **spec.chapter_tags},
                }
                for n, (a, b, title) in enumerate(spec.chapters)
            ]
        )
        out.start_encoding()
        if cover is not None:
            _mux_cover(out, cover, spec.cover)
        if data is not None:
            _mux_data(out, data)
        _mux_texts(out, texts, spec.subtitles)
        _mux_tones(out, tracks, spec)
        _mux_frames(out, stream, spec)
    return path


def _video_stream(out: Any, spec: Spec) -> Any:
    stream = out.add_stream(spec.codec, rate=spec.rate, options=dict(spec.options))
    stream.width, stream.height = spec.size
    stream.pix_fmt = spec.pix_fmt
    context = stream.codec_context
    context.thread_count = 1
    if spec.time_base:
        stream.time_base = spec.time_base
        context.time_base = spec.time_base
    for name, value in spec.context.items():
        setattr(context, name, value)
    if spec.rotation is not None:
        stream.set_display_rotation(spec.rotation)
    if spec.matrix is not None:
        stream.set_display_matrix(spec.matrix)
    stream.metadata.update(spec.video_tags)
    return stream


def _mux_frames(out: Any, stream: Any, spec: Spec) -> None:
    base = spec.time_base or 1 / spec.rate
    for index in range(spec.frames):
        made = frame(index, size=spec.size, pix_fmt=spec.pix_fmt)
        made.pts = spec.pts[index] if spec.pts is not None else index + spec.start
        made.time_base = base
        out.mux(stream.encode(made))
    if spec.frames:
        out.mux(stream.encode(None))


def _audio_stream(out: Any, audio: Audio) -> Any:
    stream = out.add_stream(audio.codec, rate=audio.rate)
    if audio.bit_rate:
        stream.codec_context.bit_rate = audio.bit_rate
    if audio.language:
        stream.metadata["language"] = audio.language
    if audio.title:
        stream.metadata["title"] = audio.title
    stream.disposition = 1 if audio.default else audio.disposition
    return stream


def _mux_tones(out: Any, tracks: Sequence[Any], spec: Spec) -> None:
    for stream, audio in zip(tracks, spec.audio, strict=True):
        seconds = audio.seconds if audio.seconds is not None else spec.frames / float(spec.rate)
        context = stream.codec_context
        count = context.frame_size or 1024
        for number in range(int(seconds * audio.rate / count)):
            tone = av.AudioFrame(context.format.name, "stereo", count)
            tone.sample_rate, tone.pts, tone.time_base = (
                audio.rate,
                audio.start + number * count,
                Fraction(1, audio.rate),
            )
            wave = np.sin((np.arange(count) + number * count) / audio.pitch) * 0.3
            for plane in tone.planes:
                plane.update(_samples(wave, context.format.name, plane.buffer_size))
            out.mux(stream.encode(tone))
        out.mux(stream.encode(None))


def _samples(wave: np.ndarray, kind: str, size: int) -> bytes:
    if kind.startswith("flt"):
        data = wave.astype(np.float32)
    else:
        data = (wave * 30_000).astype(np.int16) if kind.startswith("s16") else (wave * 2**30).astype(np.int32)
    return np.resize(data if kind.endswith("p") else np.repeat(data, 2), size // data.itemsize).tobytes()


def _subtitle_stream(out: Any, subtitle: Subtitle) -> Any:
    stream = out.add_mux_stream(subtitle.codec)
    stream.time_base = Fraction(1, 1000)
    if subtitle.language:
        stream.metadata["language"] = subtitle.language
    stream.disposition = 64 if subtitle.forced else 0
    return stream


def _mux_texts(out: Any, streams: Sequence[Any], subtitles: Sequence[Subtitle]) -> None:
    for stream, subtitle in zip(streams, subtitles, strict=True):
        for begin, length, text in subtitle.lines:
            data = PGS_BLANK if subtitle.codec == "hdmv_pgs_subtitle" else text.encode()
            if subtitle.codec == "mov_text":
                data = len(data).to_bytes(2, "big") + data
            packet = av.Packet(data)
            packet.time_base = Fraction(1, 1000)
            packet.pts = packet.dts = round(begin * 1000)
            packet.duration = round(length * 1000)
            packet.stream = stream
            out.mux(packet)


def _cover_stream(out: Any) -> Any:
    stream = out.add_mux_stream("mjpeg", width=16, height=16)
    stream.disposition = 1024
    stream.time_base = Fraction(1, 90_000)
    return stream


def _mux_cover(out: Any, stream: Any, data: bytes) -> None:
    packet = av.Packet(data)
    packet.pts = packet.dts = 0
    packet.time_base = Fraction(1, 90_000)
    packet.stream = stream
    out.mux(packet)


def _mux_data(out: Any, stream: Any) -> None:
    packet = av.Packet(b"\x06\x0e\x2b\x34" * 8)
    packet.pts = packet.dts = 9000
    packet.time_base = Fraction(1, 90_000)
    packet.stream = stream
    out.mux(packet)


def jpeg() -> bytes:
    """A 16 x 16 picture file."""
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = 16, 16, "yuvj420p"
    context.time_base = Fraction(1, 25)
    context.color_range = 2
    return bytes(context.encode(frame(0, size=(16, 16), pix_fmt="yuvj420p"))[0])


def truncate(path: Path, source: Path, share: float) -> Path:
    """The first part of a file."""
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def sound(path: Path) -> Path:
    """A file with sound only."""
    spec = Spec(audio=[Audio(seconds=0.3)])
    with av.open(str(path), "w", format="mp4") as out:
        _mux_tones(out, [_audio_stream(out, spec.audio[0])], spec)
    return path


def add_hdr_boxes(path: Path, *, tag: bytes) -> Path:
    """Give an MP4/MOV whose index is at its end HDR10 metadata in its sample entry ``tag`` and nowhere else."""
    units = [13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450]
    mastering = b"".join(u.to_bytes(2, "big") for u in units) + (10_000_000).to_bytes(4, "big") + (1).to_bytes(4, "big")
    boxes = _box(b"mdcv", mastering) + _box(b"clli", (1000).to_bytes(2, "big") + (400).to_bytes(2, "big"))
    data = bytearray(path.read_bytes())
    entry = data.index(tag, data.index(b"stsd")) - 4
    end = entry + int.from_bytes(data[entry : entry + 4], "big")
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        _grow(data, data.rindex(name, 0, entry) - 4, len(boxes))
    _grow(data, entry, len(boxes))
    data[end:end] = boxes
    path.write_bytes(data)
    return path


def _box(name: bytes, payload: bytes) -> bytes:
    return (len(payload) + 8).to_bytes(4, "big") + name + payload


def _grow(data: bytearray, at: int, more: int) -> None:
    size = int.from_bytes(data[at : at + 4], "big") + more
    data[at : at + 4] = size.to_bytes(4, "big")


def add_captions(path: Path) -> Path:
    """Give every picture of a raw H.264 stream its own closed-caption message."""
    units = path.read_bytes().replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]
    out = bytearray()
    for number, unit in enumerate(units):
        if unit[0] & 31 in (1, 5):
            pair = bytes([0xFC, 0x21 + number, 0x41])
            body = b"\xb5\x00\x31GA94\x03\x41\xff" + pair + b"\xff"
            out += b"\0\0\0\1\x06\x04" + bytes([len(body)]) + body + b"\x80"
        out += b"\0\0\0\1" + unit
    path.write_bytes(out)
    return path


def add_hdr10_plus(path: Path, *, start: int = 0) -> Path:
    """Give the pictures of a raw HEVC stream from ``start`` on (in coding order) HDR10+ metadata (SMPTE ST 2094-40)."""
    fields = [(1, 2), (400, 27), (0, 1), *[(5000, 17)] * 3, (2000, 17), (0, 4), (100, 10), (0, 1), (0, 1), (0, 1)]
    bits = "".join(f"{value:0{size}b}" for value, size in fields)
    body = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    payload = b"\xb5\x00\x3c\x00\x01\x04\x01" + body
    message = b"\x4e\x01\x04" + bytes([len(payload)]) + payload + b"\x80"
    for low in (0, 1, 2, 3):
        message = message.replace(bytes([0, 0, low]), bytes([0, 0, 3, low]))
    out, count = bytearray(), 0
    for unit in path.read_bytes().replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]:
        if (unit[0] >> 1) & 63 < 32:
            out += b"\0\0\0\1" + message if count >= start else b""
            count += 1
        out += b"\0\0\0\1" + unit
    path.write_bytes(out)
    return path
