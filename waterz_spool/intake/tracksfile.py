"""tracks.json: what `detect` found, one track per line, for people to correct, and back into masks.

A track masks what masks.mkv shows inside its box; in frames where masks.mkv shows nothing there (a track that was
moved, prolonged or added by hand), or where there is no masks.mkv, the overlay's own pixels inside its box are looked
for when the job is prepared. What lies outside all tracks is not masked.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from waterz_spool import media
from waterz_spool.detect.masks import Mask
from waterz_spool.errors import InputError
from waterz_spool.geometry import Geometry
from waterz_spool.records import DisplayBox
from waterz_spool.stages.contract.request import GivenTrack

SCHEMA = 1
_CAP_BYTES = 16 << 20
_BETWEEN = re.compile(r"[ \t\r\n,]*")
TRACKS, MASKS = "tracks.json", "masks.mkv"


class TrackLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One track as people see it."""

    start: int  # first frame
    stop: int  # one past the last
    box: DisplayBox  # x, y, width, height in px of the displayed picture
    score: float | None = None  # the model's confidence; null where a detector has none
    label: str = ""
    exact: bool = False  # where masks.mkv shows nothing in its box, it masks the whole box


class TracksFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All tracks of a video."""

    schema: int
    video: str
    frames: int
    size: tuple[int, int]  # width and height of the displayed picture
    detector: str
    tracks: tuple[TrackLine, ...]


def tracks_text(found: TracksFile) -> str:
    """The file's text: a short head, then one line per track."""
    plain = msgspec.to_builtins(found)
    head = [f'  "{key}": {json.dumps(plain[key])},' for key in ("schema", "video", "frames", "size", "detector")]
    lines = [f"    {json.dumps(track)}" for track in plain["tracks"]]
    return "\n".join(["{", *head, '  "tracks": [', ",\n".join(lines), "  ]", "}", ""])


def read_tracks(path: Path) -> TracksFile:
    """The tracks of a file that may have been edited.

    Raises:
        InputError: Not what `detect` writes; the error names the line.
    """
    try:
        if path.stat().st_size > _CAP_BYTES:
            raise InputError("the tracks are larger than 16 MiB", where=str(path), todo="run waterz-spool detect again")
        text = path.read_text(encoding="utf-8")
        tree = json.loads(text)
    except OSError as error:
        raise InputError(f"cannot read the tracks: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError("the tracks are no text", where=str(path)) from error
    except json.JSONDecodeError as error:
        raise _bad(path, error.lineno, error.msg) from error
    except (ValueError, RecursionError) as error:
        raise _bad(path, 1, str(error)) from error
    raw = tree.get("tracks") if isinstance(tree, dict) else None
    for number, each in enumerate(raw if isinstance(raw, list) else []):
        try:
            track = msgspec.convert(each, TrackLine)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:  # half a surrogate pair is no text
            raise _bad(path, _line_of(text, number), str(error)) from error
        if why := _impossible(track, tree):
            raise _bad(path, _line_of(text, number), why)
    try:
        found = msgspec.convert(tree, TracksFile)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:  # half a surrogate pair is no text
        raise _bad(path, 1, str(error)) from error
    if found.schema != SCHEMA:
        raise _bad(path, 1, f"schema {found.schema}, not {SCHEMA}")
    return found


def _bad(path: Path, line: int, why: str) -> InputError:
    return InputError(f"tracks, line {line}: {why}", where=f"{path}:{line}", todo="correct that line")


def _line_of(text: str, number: int) -> int:
    """The line on which a track begins; 1 where that cannot be told."""
    at = text.find("[", text.find('"tracks"')) + 1
    decoder = json.JSONDecoder()
    with contextlib.suppress(ValueError, RecursionError):
        for _ in range(number):
            _, at = decoder.raw_decode(text, _BETWEEN.match(text, at).end())  # type: ignore[union-attr]
        return text.count("\n", 0, _BETWEEN.match(text, at).end()) + 1  # type: ignore[union-attr]
    return 1


def _impossible(track: TrackLine, tree: dict[str, Any]) -> str:
    """Why a track cannot be in its video, or ""."""
    frames, size = tree.get("frames"), tree.get("size")
    x, y, w, h = track.box
    if w < 1 or h < 1 or x < 0 or y < 0:
        return f"the box {x},{y},{w},{h} is empty or outside the picture"
    whole = isinstance(size, list) and len(size) == 2 and all(isinstance(each, int) for each in size)
    if isinstance(size, list) and whole and (x + w > size[0] or y + h > size[1]):
        return f"the box ends at {x + w},{y + h} but the picture is {size[0]}x{size[1]}"
    if not 0 <= track.start < track.stop:
        return f"no frame lies in [{track.start}, {track.stop})"
    if isinstance(frames, int) and track.stop > frames:
        return f"stop {track.stop} is beyond the last of {frames} frames"
    return ""


def tracks_files(given: Path) -> list[Path]:
    """The tracks, and the masks where there are any: of a folder, or a file of tracks alone."""
    if not given.is_dir():
        return [given]
    return [given / TRACKS, *(path for path in [given / MASKS] if path.is_file())]


def given_tracks(given: Path) -> tuple[GivenTrack, ...]:
    """The tracks of a folder or file as a job's request holds them.

    Raises:
        InputError: Unreadable or impossible.
    """
    found = read_tracks(tracks_files(given)[0])
    return tuple(GivenTrack(start=t.start, stop=t.stop, box=t.box, exact=t.exact) for t in found.tracks)


def check_tracks(given: Path, video: Path) -> None:
    """Refuse tracks that are not of this video.

    Raises:
        InputError: Unreadable, impossible, or of another picture size.
    """
    path = tracks_files(given)[0]
    found, shown = read_tracks(path), Geometry.of(media.probe(video)).shown
    if shown != found.size:
        raise InputError(
            f"the tracks are for {found.size[0]}x{found.size[1]}, the video shows {shown[0]}x{shown[1]}",
            where=str(path),
            todo="run waterz-spool detect on this video",
        )


def combined(given: Path, out: Path) -> Path:
    """The masks inside the tracks as a video; without masks it is empty.

    Raises:
        InputError: The mask video does not fit the tracks.
    """
    tracks, *masks = tracks_files(given)
    found = read_tracks(tracks)
    count = 0
    with media.MaskWriter(out, crops=[found.size]) as writer:
        for index, mask in enumerate(_masks(masks[0], found.size) if masks else _nothing(found)):
            writer.write_mask(0, _cut(mask, [track for track in found.tracks if track.start <= index < track.stop]))
            count += 1
    if count != found.frames:
        raise InputError(f"the masks have {count} frames, the tracks say {found.frames}", where=str(masks[0]))
    return out


def _nothing(found: TracksFile) -> Iterator[Mask]:
    mask = np.zeros(found.size[::-1], np.uint8)
    return (mask for _ in range(found.frames))


def _masks(path: Path, size: tuple[int, int]) -> Iterator[Mask]:
    info = media.probe(path)
    if (info.width, info.height) != size:
        raise InputError("the masks have another size than the tracks say", where=str(path))
    for frame in media.decode(path, info):
        yield np.where(media.planes(frame)[0] > 127, np.uint8(255), np.uint8(0))


def _cut(mask: Mask, tracks: Sequence[TrackLine]) -> Mask:
    kept = np.zeros_like(mask)
    for track in tracks:
        x, y, w, h = track.box
        kept[y : y + h, x : x + w] |= mask[y : y + h, x : x + w]
    return kept
