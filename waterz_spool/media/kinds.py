"""What a file is that is no video, for the error that says so: its first bytes, never its name."""

from __future__ import annotations

import re
from pathlib import Path

from waterz_spool.errors import InputError

_HEAD = 4096
_BEGINNINGS = (
    (rb"\xff\xd8\xff|\x89PNG|BM.{4}\0\0\0\0|II\*\0|MM\0\*|8BPS|P[1-7]\s|gimp xcf|\x76\x2f\x31\x01", "a picture"),
    (rb"RIFF.{4}WEBP|.{4}ftyp(heic|heix|heif|mif1|msf1|avif|avis)|\0\0\x01\0[\1-\x20]\0", "a picture"),
    (rb"ID3|\xff[\xe2-\xe7\xf2-\xf7\xfa-\xfb]|RIFF.{4}WAVE|RF64|fLaC|FORM.{4}AIF|\.snd|MThd|#!AMR|caff", "sound"),
    (rb"PK\x03\x04|Rar!|7z\xbc\xaf|\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|.{257}ustar", "an archive"),
    (rb"%PDF|\xd0\xcf\x11\xe0", "a document"),
)
_TODO = {
    "a picture": "give the video; a picture of where the overlay is goes to --mask",
    "sound": "give a file with pictures",
    "an archive": "unpack it, and give the video that is in it",
    "text": "give the video itself, not a list or subtitles",
}


def not_a_video(path: Path) -> InputError:
    """The error for what no demuxer accepts."""
    if path.is_dir():
        names = sorted(p.suffix for p in path.iterdir() if p.suffix.lower() in (".mp4", ".mov", ".mkv", ".webm"))
        videos = path / f"*{names[0] if names else '.mp4'}"
        return InputError("this is a folder, not a video", where=str(path), todo=f"name the videos in it: {videos}")
    kind = _kind(path)
    if kind:
        todo = _TODO.get(kind, "give a video")
        return InputError(f"this is {kind}, not a video", where=str(path), todo=todo)
    return InputError(
        "this is not a video that can be read, or it is damaged",
        where=str(path),
        todo="play it with another program; if it plays, convert it to .mkv or .mp4 and try again",
    )


def _kind(path: Path) -> str:
    """What the file is, in words; "" when it is nothing known, or cannot be read."""
    if not path.is_file():  # opening a pipe could wait for ever
        return ""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return ""
    if not head:
        return "an empty file"
    kind = next((name for beginning, name in _BEGINNINGS if re.match(beginning, head, re.DOTALL)), "")
    return kind or ("text" if _is_text(head) else "")


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode(errors="strict" if len(head) < _HEAD else "ignore")
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char in "\t\r\n\f\ufeff" for char in text)
