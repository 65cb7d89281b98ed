"""Which containers a result can have, and what each can hold."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import av

from waterz_spool.errors import InputError, UsageError
from waterz_spool.records import VideoInfo

FORMATS = {"mp4": "mp4", "m4v": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm"}
"""Extension of an output, to libav's muxer. Others cannot give every frame its exact time and every stream back."""


def is_container(path: Path) -> bool:
    """Whether results can be written under this file's extension."""
    return path.suffix.lower().removeprefix(".") in FORMATS


def container_of(path: Path) -> str:
    """The container that a file name asks for, as an extension in lower case without dot.

    Raises:
        UsageError: Results cannot be written in it.
    """
    extension = path.suffix.lower().removeprefix(".")
    if not is_container(path):
        raise UsageError(
            f"results cannot be written as {'.' + extension if extension else 'a file without extension'}: only "
            + ", ".join("." + name for name in FORMATS),
            where=str(path),
            todo=f"give an output in .mkv, e.g. -o {path.with_suffix('.mkv').name}",
        )
    return extension


def is_mov(container: str) -> bool:
    """Whether it is of the MP4/QuickTime kind."""
    return FORMATS[container] in ("mp4", "mov")


def check_codec(container: str, codec: str, info: VideoInfo) -> None:
    """Refuse a video codec that the container has no name for.

    Raises:
        UsageError: The container is unknown.
        InputError: It cannot hold the codec; the error names one that can.
    """
    if container not in FORMATS:
        container_of(Path(f"output.{container}"))
    if codec not in _held(container):
        others = [f".{name}" for name in ("mkv", "mp4", "mov") if codec in _held(name)]
        raise InputError(
            f".{container} cannot hold {codec} video",
            where=f"{info.codec} {info.pix_fmt}",
            todo=f"give an output in {others[0]}, which can" if others else "choose another --codec",
        )


@cache
def _held(container: str) -> frozenset[str]:
    """Canonical names of the codecs that it has a name for."""
    with av.open("/dev/null", "w", format=FORMATS[container]) as output:
        return frozenset(av.Codec(name, "r").canonical_name for name in output.supported_codecs & _decoders())


def _decoders() -> set[str]:
    """Names that are decoders (every held codec has one here)."""
    return {name for name in av.codecs_available if _is_decoder(name)}


def _is_decoder(name: str) -> bool:
    try:
        av.Codec(name, "r")
    except (ValueError, av.FFmpegError):
        return False
    return True
