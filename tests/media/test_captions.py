"""A subtitle track that was not in the source: exact times beside everything that was."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.media import make
from tests.media.roundtrip import join, roundtrip
from waterz_spool.records import Cue

CUES = (Cue(start=3, stop=9, text="Grüße,\nWelt"), Cue(start=12, stop=20, text="the end"))


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv"])
def test_captions_become_a_track_with_the_frames_times(extension: str, tmp_path: Path) -> None:
    trip = roundtrip(make.video(tmp_path / f"a.{extension}", frames=20), tmp_path)
    join(trip, cues=CUES, language="eng")
    trip.verify()
    with av.open(str(trip.out)) as container:
        (track,) = container.streams.subtitles
        assert track.metadata["language"] == "eng"
        mov = extension != "mkv"
        assert track.codec_context.name == ("mov_text" if mov else "srt")
        packets = [packet for packet in container.demux(track) if packet.size > 2]
        assert [bytes(packet)[2 if mov else 0 :].decode() for packet in packets] == [cue.text for cue in CUES]
        tick = Fraction(1, 1000)
        clock, ends = Fraction(*trip.info.time_base), (*trip.pts, trip.pts[-1] + trip.last_duration)
        for packet, cue in zip(packets, CUES, strict=True):
            assert abs(packet.pts * packet.time_base - ends[cue.start] * clock) <= tick
            assert abs(packet.duration * packet.time_base - (ends[cue.stop] - ends[cue.start]) * clock) <= tick
