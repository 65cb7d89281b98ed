"""The request of a job: what the user asked, resolved once, so that every stage on every machine agrees."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from waterz_spool import media
from waterz_spool.config import Config
from waterz_spool.errors import UsageError
from waterz_spool.records import SCHEMA, DisplayBox

MUX = "mux"
"""Captions become a subtitle track of the result."""


class GivenTrack(msgspec.Struct, frozen=True, kw_only=True):
    """A box that holds an overlay in some frames."""

    start: int  # first frame
    stop: int  # one past the last
    box: DisplayBox
    exact: bool = False  # masked as it is


class JobRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that shapes a job's result, beside the pinned source itself."""

    source_name: str
    source_from: str = ""  # absolute path that the user gave, for messages
    output: str  # absolute path of the result
    boxes: tuple[DisplayBox, ...] = ()  # an overlay lies in each; its own pixels are masked
    exact_boxes: tuple[DisplayBox, ...] = ()  # masked as they are
    tracks: tuple[GivenTrack, ...] = ()  # in frames in which the mask shows nothing inside, what lies in each is masked
    mask: str = ""  # name of the pinned mask in the job's source folder; empty when there is none
    mask_from: str = ""  # how the user named it, for messages: --mask FILE or --tracks DIR
    limits: tuple[DisplayBox, ...] = ()  # what a detector finds outside is dropped; empty is no limit
    weights_sha256: str = ""  # of the weights that config.detect.weights names, when the job looks with them
    review: bool = False  # stop before segments are published, until somebody resumes the job
    from_s: float | None = None  # overlays given by box or mask picture exist in [from_s, to_s)
    to_s: float | None = None
    captions: str = ""  # what is removed is kept as text: mux, or the absolute path of a .srt; empty keeps nothing
    language: str = "und"  # of the captions, ISO 639-2
    drop: tuple[int, ...] = ()  # streams of the source that the user wants left out
    yes: bool = False  # more of the picture may be replaced than an overlay usually hides
    config: Config
    schema: int = SCHEMA

    @property
    def source_given(self) -> str:
        """The video for a command: its absolute path, or its name in requests that hold none."""
        return self.source_from or self.source_name

    @property
    def container(self) -> str:
        """Extension of the output, without dot, in lower case."""
        return Path(self.output).suffix.removeprefix(".").lower()


def encode_request(request: JobRequest) -> bytes:
    """The request as JSON.

    Raises:
        UsageError: A name that the user gave is not UTF-8, which no record can hold.
    """
    try:
        return msgspec.json.encode(request)
    except UnicodeEncodeError as error:
        raise UsageError("this name is not UTF-8", where=repr(error.object), todo="rename the file or folder") from None


def decode_request(data: bytes) -> JobRequest:
    """The request from JSON.

    Raises:
        UsageError: The request was written by another version, or damaged.
    """
    try:
        request = msgspec.json.decode(data, type=JobRequest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError(f"job request cannot be read: {error}", todo="submit the video again") from error
    if request.schema != SCHEMA:
        raise UsageError(f"job request has schema {request.schema}, not {SCHEMA}", todo="submit the video again")
    return request


_BOX_EXAMPLE = "for example --box 1600,40,280,90"


def parse_box(text: str, *, option: str = "--box") -> DisplayBox:
    """A box from ``x,y,w,h`` in px.

    Raises:
        UsageError: Not four integers, or an empty box.
    """
    match = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*", text)
    if not match:
        raise UsageError("a box is x,y,w,h in whole px", where=f"{option} {text}", todo=_BOX_EXAMPLE)
    x, y, w, h = (int(group) for group in match.groups())
    if w == 0 or h == 0:
        raise UsageError("a box needs a width and a height", where=f"{option} {text}", todo=_BOX_EXAMPLE)
    return x, y, w, h


def output_path(
    source: Path, template: str, *, base: Path | None = None, extension: Callable[[], str] | None = None
) -> Path:
    """Where the result goes.

    Args:
        source: The user's file.
        template: A file, an existing folder (or a name ending in /), or a template with ``{stem}`` and ``{ext}``.
        base: Folder that a relative template starts from; the source's own by default.
        extension: Asked for ``{ext}``, without dot; by default the source's own, or mkv where results are not
            written as such.

    Raises:
        UsageError: An unknown placeholder, a name that is too long, or the result would be the input itself.
    """
    base = base or source.absolute().parent  # beside a link, not in the store that it leads to
    text = template or "{stem}.clean.{ext}"
    if len(os.fsencode(Path(text).name)) > 255:
        raise UsageError("the output's name is too long", where=template, todo="choose a shorter one with -o")
    if text.endswith("/") or (base / text).is_dir():
        text = str(Path(text) / "{stem}.clean.{ext}")
    unknown = set(re.findall(r"\{([^{}]*)\}", text)) - {"stem", "ext"}
    if unknown:
        raise UsageError(f"unknown placeholder {{{min(unknown)}}}", where=template, todo="use {stem} and {ext}")
    if not Path(text.replace("{ext}", "ext").replace("{stem}", "stem")).suffix:
        text += ".{ext}"
    ext = (extension or partial(_own_extension, source))() if "{ext}" in text else ""
    path = base / re.sub(r"\{(stem|ext)\}", lambda found: {"stem": source.stem, "ext": ext}[found[1]], text)
    if path.exists() and source.exists() and path.samefile(source):
        raise UsageError("the output would replace the input", where=str(path), todo="choose another name with -o")
    return path.absolute()


def _own_extension(source: Path) -> str:
    return source.suffix.removeprefix(".") if media.is_container(source) else "mkv"


def fingerprint(request: JobRequest, source: Path, *more: Path | None) -> str:
    """Eight hex digits that name this work: same files and same settings give the same job again."""
    digest = hashlib.sha256(encode_request(request))
    for path in (source, *(path for path in more if path)):
        facts = path.stat()
        digest.update(f"{path.resolve()}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:8]
