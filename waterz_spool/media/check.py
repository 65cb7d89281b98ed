"""Whether a container can hold a result, found out before any work: a miniature of it is written and read back."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from itertools import islice
from pathlib import Path

from waterz_spool.errors import InputError
from waterz_spool.media.container import is_mov
from waterz_spool.media.decoding import decode
from waterz_spool.media.encode import SegmentEncoder
from waterz_spool.media.inventory import differences, inventory
from waterz_spool.media.mux import cannot_hold
from waterz_spool.media.packets import Recipe, write_sample
from waterz_spool.media.probing import probe
from waterz_spool.media.settings import encode_settings
from waterz_spool.records import EncodeSettings, VideoInfo


def check_container(
    source: Path, info: VideoInfo, settings: EncodeSettings | str, *, drop: Collection[int] = ()
) -> None:
    """Make sure that the output container can hold everything of the source, and that the encoder works.

    Writes one frame and the first packets of every other stream to a temporary file, reads it back and compares.

    Args:
        source: The source.
        info: Its facts.
        settings: The encode settings of the job, or only a container's extension for the default ones.
        drop: Stream indices of the source that the user wants left out.

    Raises:
        InputError: The container cannot hold something; the error names it and suggests .mkv.
        SetupError: The encoder is absent or refuses its options.
    """
    if isinstance(settings, str):
        settings = encode_settings(info, container=settings)
    lost = _lost(source, info, settings, drop, all_tags=False)
    if lost and is_mov(settings.container):
        lost = min(lost, _lost(source, info, settings, drop, all_tags=True), key=len)
    if lost:
        raise cannot_hold(f"{settings.container} with {settings.codec} video", "; ".join(lost))


def needs_all_tags(source: Path, info: VideoInfo, settings: EncodeSettings, *, drop: Collection[int] = ()) -> bool:
    """Whether an MP4/MOV must write tags under their own names, because the usual ones would lose some."""
    if not is_mov(settings.container):
        return False
    usual = _lost(source, info, settings, drop, all_tags=False)
    return bool(usual) and len(_lost(source, info, settings, drop, all_tags=True)) < len(usual)


def _lost(
    source: Path, info: VideoInfo, settings: EncodeSettings, drop: Collection[int], *, all_tags: bool
) -> list[str]:
    """What a miniature of the result lacks."""
    with tempfile.TemporaryDirectory(prefix="waterz-check-") as folder:
        segment, result = Path(folder) / "segment", Path(folder) / "result"
        _encode_one(segment, source, info, settings)
        recipe = Recipe(source=source, info=info, settings=settings, drop=drop, all_tags=all_tags)
        write_sample(result, segment, recipe)
        try:
            got = inventory(result, probe(result))
        except InputError as error:
            raise cannot_hold(settings.container, f"this {info.codec} video ({error.what})") from error
        return differences(inventory(source, info, drop), got)


def _encode_one(segment: Path, source: Path, info: VideoInfo, settings: EncodeSettings) -> None:
    with SegmentEncoder(segment, settings, info) as encoder:
        for frame in islice(decode(source, info, threads=1), 1):
            encoder.write(frame)
