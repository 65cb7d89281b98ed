"""Which containers a result can have, and what each can hold."""

from __future__ import annotations

from pathlib import Path

import av

from waterz_spool.errors import InputError, UsageError
from waterz_spool.records import VideoInfo

FORMATS = {"mp4": "mp4", "m4v": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm"}
"""Extension of an output, to libav's muxer. Others cannot give every frame its exact time and every stream back."""


def default_container(source: Path) -> str:
    """Extension of the default output: the source's own.

    Raises:
        UsageError: Results cannot be written in that container.
    """
    return container_of(source)


def container_of(path: Path) -> str:
    """The container that a file name asks for, as an extension in lower case without dot.

    Raises:
        UsageError: Results cannot be written in it.
    """
    extension = Path(path).suffix.lower().removeprefix(".")
    if extension not in FORMATS:
        raise UsageError(
            f"results cannot be written as {'.' + extension if extension else 'a file without extension'}: only "
            + ", ".join("." + name for name in FORMATS),
            where=str(path),
            todo=f"give an output in .mkv, e.g. -o {Path(path).with_suffix('.clean.mkv').name}",
        )
    return extension


def is_mov(container: str) -> bool:
    """Whether it is of the MP4/QuickTime kind."""
    return FORMATS[container] in ("mp4", "mov")


def check_codec(container: str, codec: str, info: VideoInfo) -> None:
    """Refuse a video codec that the container has no name for.

    Raises:
        UsageError: The container is unknown.
        InputError: It cannot hold the codec; Matroska can.
    """
    if container not in FORMATS:
        container_of(Path(f"output.{container}"))
    with av.open("/dev/null", "w", format=FORMATS[container]) as output:
        held = {av.Codec(name, "r").canonical_name for name in output.supported_codecs & _decoders()}
    if codec not in held:
        raise InputError(
            f".{container} cannot hold {codec} video",
            where=f"{info.codec} {info.pix_fmt}",
            todo="give an output in .mkv, which can",
        )


def _decoders() -> set[str]:
    """Names that are decoders (every held codec has one here)."""
    return {name for name in av.codecs_available if _is_decoder(name)}


def _is_decoder(name: str) -> bool:
    try:
        av.Codec(name, "r")
    except (ValueError, av.FFmpegError):
        return False
    return True
