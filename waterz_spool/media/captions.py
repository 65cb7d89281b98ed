"""Captions as a file of their own (SubRip), and as a soft subtitle track of a result."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from av.container import OutputContainer
from av.packet import Packet

from waterz_spool.media.container import is_mov
from waterz_spool.records import Cue

TRACK_CONTAINERS = ("mp4", "m4v", "mov", "mkv")
"""Extensions of containers that get a subtitle track."""

_STYLE = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""  # what an encoder of subtitles wants to know before it says how the track looks


def srt_text(cues: Sequence[Cue], pts: Sequence[int], last_duration: int, time_base: Fraction) -> str:
    """Captions as SubRip, times from the first frame on, rounded to the millisecond.

    Args:
        cues: In order of time.
        pts: Of all frames.
        last_duration: Of the last frame.
        time_base: Of both.
    """
    ends = (*pts, pts[-1] + last_duration)
    blocks = []
    for number, cue in enumerate(cues, 1):
        start, stop = ((ends[frame] - ends[0]) * time_base for frame in (cue.start, cue.stop))
        blocks.append(f"{number}\n{_clock(start)} --> {_clock(stop)}\n{cue.text}\n")
    return "\n".join(blocks)


def _clock(seconds: Fraction) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d},{ms % 1000:03d}"


class CaptionTrack:
    """The subtitle track of an output container, added before its header is written.

    Args:
        container: The output.
        kind: Its extension.
        language: ISO 639-2 code, or und.
        time_base: Of the packets to come.
    """

    def __init__(self, container: OutputContainer, kind: str, *, language: str, time_base: Fraction) -> None:
        self._mov = is_mov(kind)
        self.stream: Any = container.add_stream("mov_text" if self._mov else "subrip")
        self.stream.codec_context.subtitle_header = _STYLE
        self.stream.time_base = self._time_base = time_base
        self.stream.metadata["language"] = language

    def packets(self, cues: Sequence[Cue], pts: Sequence[int], last_duration: int) -> Iterator[Packet[Any]]:
        """One packet per caption, under its exact time.

        Args:
            cues: In order of time.
            pts: Of all frames, in the track's time base.
            last_duration: Of the last frame.
        """
        ends = (*pts, pts[-1] + last_duration)
        for cue in cues:
            text = cue.text.encode()
            packet = Packet((struct.pack(">H", len(text)) if self._mov else b"") + text)
            packet.stream, packet.time_base = self.stream, self._time_base
            packet.pts = packet.dts = ends[cue.start]
            packet.duration = ends[cue.stop] - ends[cue.start]
            yield packet
