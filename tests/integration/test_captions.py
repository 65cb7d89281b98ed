"""Captions that are removed are kept as text: their words, their lines, and the exact frames in which they stood."""

from __future__ import annotations

from dataclasses import dataclass

import av
import cv2
import numpy as np
import pytest

from tests.integration.conftest import as_json, scene_frames, write_video
from waterz_spool import media
from waterz_spool.detect.text import TextReader
from waterz_spool.stages.captions.strip import strip_of

CAPTIONS = ((10, 40, ("I told you", "to leave.")), (48, 86, ("Where is he?",)))
RATE, BOX = 24, "44,88,168,54"


def said(frame, lines, *, colour=(255, 255, 255)):
    for number, line in enumerate(lines):
        wide = cv2.getTextSize(line, cv2.FONT_HERSHEY_DUPLEX, 0.8, 2)[0][0]
        place = (frame.shape[1] - wide) // 2, frame.shape[0] - 16 - 26 * (len(lines) - 1 - number)
        cv2.putText(frame, line, place, cv2.FONT_HERSHEY_DUPLEX, 0.8, (0, 0, 0), 6, cv2.LINE_AA)
        cv2.putText(frame, line, place, cv2.FONT_HERSHEY_DUPLEX, 0.8, colour, 2, cv2.LINE_AA)


@pytest.fixture
def film(tmp_path):
    frames = scene_frames(96)
    for start, stop, lines in CAPTIONS:
        for frame in frames[start:stop]:
            said(frame, lines)
    return write_video(tmp_path / "film.mp4", frames)


def test_captions_become_a_file_beside_the_result_and_a_track_that_players_show(film, cli, tmp_path):
    order = ("--box", BOX, "--engine", "membrane", "--preset", "ultrafast")
    done = cli("--json", "run", film, *order, "--captions", "{stem}.srt")
    assert (tmp_path / "film.srt").read_bytes().decode() == (
        "1\r\n00:00:00,417 --> 00:00:01,667\r\nI told you\r\nto leave.\r\n\r\n"
        "2\r\n00:00:02,000 --> 00:00:03,583\r\nWhere is he?\r\n"
    )
    result = as_json(done)["jobs"][0]["result"]
    assert (result["captions"], result["captions_file"]) == (2, str(tmp_path / "film.srt"))

    done = cli("run", film, *order, "--captions", "mux", "--captions-language", "eng", "-o", "muxed.mp4")
    assert "2 captions kept in a subtitle track of the result" in done.stderr
    with av.open(str(tmp_path / "muxed.mp4")) as container:
        (track,) = container.streams.subtitles
        assert (track.codec_context.name, track.metadata["language"]) == ("mov_text", "eng")
        packets = [packet for packet in container.demux(track) if packet.size > 2]
        texts = [bytes(packet)[2:].decode() for packet in packets]
        times = [(packet.pts * packet.time_base, packet.duration * packet.time_base) for packet in packets]
    assert texts == ["\n".join(lines) for _, _, lines in CAPTIONS]
    assert [(round(at * RATE), round(lasts * RATE)) for at, lasts in times] == [(10, 30), (48, 38)]


def test_what_cannot_be_kept_is_refused_before_any_work(film, cli, tmp_path):
    mask = np.full((144, 256), 0, np.uint8)
    mask[100:130, 40:200] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    (tmp_path / "mine.srt").write_text("mine")
    for options, says in (
        (("--mask", "mask.png", "--captions", "mux"), "give --box instead of a mask"),
        (("--box", BOX, "--captions", "film.txt"), "captions are kept as .srt or mux"),
        (("--box", BOX, "--captions", "mux", "-o", "a.webm"), ".webm gets no subtitle track"),
        (("--box", BOX, "--captions-language", "eng"), "a language without captions"),
        (("--box", BOX, "--captions", "mux", "--captions-language", "en"), "a language is three letters"),
        (("--box", BOX, "--captions", "mine.srt"), "the output exists already"),
    ):
        done = cli("run", film, *options, check=False)
        assert done.returncode == 2 and says in done.stderr, done.stderr
    assert (tmp_path / "mine.srt").read_text() == "mine"


def test_lines_are_read():
    picture = np.full((60, 420, 3), 90, np.uint8)
    cv2.putText(picture, "Half past 9, then?", (20, 40), cv2.FONT_HERSHEY_DUPLEX, 1.0, (255, 255, 255), 2, cv2.LINE_AA)
    text, sure = TextReader()(picture)
    assert text == "Half past 9, then?" and sure > 0.9
    assert TextReader()(np.full((40, 80, 3), 90, np.uint8)) == ("", 0.0)


def test_times_are_those_of_the_frames_to_the_millisecond():
    from fractions import Fraction

    from waterz_spool.records import Cue

    pts = tuple(1000 + 1001 * frame for frame in range(400))
    cues = (Cue(start=0, stop=30, text="a"), Cue(start=100, stop=400, text="b\nc"))
    text = media.srt_text(cues, pts, 1001, Fraction(1, 30000))
    assert text == "1\n00:00:00,000 --> 00:00:01,001\na\n\n2\n00:00:03,337 --> 00:00:13,347\nb\nc\n"


@dataclass(frozen=True)
class SomePlan:
    video: object
    pts: tuple
    frame_count: int


@pytest.mark.parametrize("fade", [0, 4])
def test_a_caption_that_fades_is_there_before_and_after_its_mask(fade, tmp_path):
    frames = scene_frames(96).astype(np.float32)
    written = frames.astype(np.uint8)
    for frame in written:
        said(frame, ("Slowly",))
    for t in range(30, 60):
        seen = min(1.0, (t - 29) / (fade + 1), (60 - t) / (fade + 1))
        frames[t] += seen * (written[t] - frames[t])
    video = write_video(tmp_path / "a.mp4", np.rint(frames).astype(np.uint8), audio=False)
    info = media.probe(video)
    pts = tuple(media.frame_times(video, info))
    late = 30 + fade // 2, 60 - fade // 2
    strip = strip_of((60, 100, 140, 40), *late, SomePlan(info, pts, len(pts)), video)
    assert (strip.fades_in(), strip.fades_out()) == (fade // 2, fade // 2)
