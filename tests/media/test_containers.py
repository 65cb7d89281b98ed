"""Copied streams from one container to another: kept with every packet, or refused by number before any work."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import av
import pytest

from tests.media import make
from tests.media.make import Audio, Subtitle
from tests.media.roundtrip import Trip, roundtrip
from tests.media.test_verify import Copy
from waterz_spool import media
from waterz_spool.config import Config
from waterz_spool.errors import InputError, UsageError
from waterz_spool.records import Plan
from waterz_spool.stages.contract.request import JobRequest
from waterz_spool.stages.prepare.prepare import make_plan

FAST = {"preset": "ultrafast"}


def refusal(path: Path, container: str, **options: Any) -> InputError:
    """The error of the check for this output."""
    with pytest.raises(InputError) as caught:
        media.check_container(path, media.probe(path), container, **options)
    assert caught.value.exit_code == 4 and str(path) in caught.value.where
    return caught.value


class LastSound(Copy):
    """The last packet of the sound lasts shorter or longer than it holds, as MP4 may say."""

    def __init__(self, ticks: int, last: int) -> None:
        self._ticks, self._last = ticks, last

    def packet(self, packet: Any, index: int, number: int) -> Any:
        if (index, number) == (1, self._last):
            packet.duration = self._ticks
        return packet


@pytest.mark.parametrize("ticks", [300, 768, 4096])
@pytest.mark.parametrize("kinds", ["mp4 mkv", "mov mkv", "mp4 mov", "m4v mkv"])
def test_how_long_the_last_sound_packet_is_said_to_last_does_not_matter(kinds: str, ticks: int, tmp_path: Path) -> None:
    given, wanted = kinds.split()
    plain = make.video(tmp_path / "a.mp4", frames=20, audio=[Audio()])
    count = packets(plain, 1)
    source = LastSound(ticks, len(count) - 1).write(plain, tmp_path / f"b.{given}")
    assert packets(source, 1)[-1][1] == ticks
    assert [data for data, _ in packets(roundtrip(source, tmp_path / "work", wanted).out, 1)] == [d for d, _ in count]


def test_how_long_a_still_picture_is_said_to_last_does_not_matter(tmp_path: Path) -> None:
    """A slide beside the film: no container but MP4 says how long it lasts."""
    film = make.video(tmp_path / "a.mp4", frames=20)
    source = beside(film, make.video(tmp_path / "b.mkv", frames=1, codec="mjpeg", pix_fmt="yuvj420p"), tmp_path)
    for container in ("mkv", "mp4"):
        assert "1 video stream(s) copied" in str(roundtrip(source, tmp_path / container, container).checks)


def packets(path: Path, index: int) -> list[tuple[bytes, int]]:
    """Bytes and duration of the packets of one stream."""
    with av.open(str(path)) as container:
        return [(bytes(p), p.duration) for p in container.demux(container.streams[index]) if p.size]


def beside(first: Path, second: Path, folder: Path, name: str = "both.mkv") -> Path:
    """The streams of two files in one, packet by packet; those of the second are no default."""
    out = folder / name
    with av.open(str(first)) as a, av.open(str(second)) as b, av.open(str(out), "w") as made:
        waiting = []
        for container in (a, b):
            copies = {s.index: made.add_stream_from_template(s, opaque=True) for s in container.streams}
            for stream in container.streams:
                copies[stream.index].time_base = stream.time_base
                copies[stream.index].disposition = 1 if container is a else 0
            waiting += [(p, copies[p.stream_index]) for p in container.demux() if p.size]
        for packet, copy in sorted(waiting, key=lambda w: (w[0].dts or 0) * w[0].time_base):
            packet.stream = copy
            packet.dts = packet.pts if packet.dts is None else packet.dts
            made.mux(packet)
    return out


def data_tracks(folder: Path, code: str, count: int = 1, name: str = "a.mp4") -> Path:
    """An MP4/MOV with tracks of data under a four-character code, after sound."""
    path = folder / name
    sound = make.video(folder / "sound.mp4", frames=20, audio=[Audio()])
    with av.open(str(sound)) as given, av.open(str(path), "w", format="mp4") as made:
        copies = {s.index: made.add_stream_from_template(s, opaque=True) for s in given.streams}
        for stream in given.streams:
            copies[stream.index].time_base = stream.time_base
        tracks = [made.add_data_stream("bin_data") for _ in range(count)]
        for track in tracks:
            track.time_base = Fraction(1, 1000)
        for at in range(0, 800, 100):
            for number, track in enumerate(tracks):
                packet = av.Packet(bytes([65 + number]) * (60 + at // 100))
                packet.pts = packet.dts = at
                packet.duration, packet.time_base, packet.stream = 100, Fraction(1, 1000), track
                made.mux(packet)
        for packet in given.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                made.mux(packet)
    path.write_bytes(path.read_bytes().replace(b"gpmd", code.encode()))
    return path


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("code", ["mebx", "rtmd", "djmd", "camm", "fdsc", "mett"])
def test_a_track_of_unknown_data_is_refused_by_number_and_code(code: str, container: str, tmp_path: Path) -> None:
    """Cameras write them; libav's muxers leave out what their packets mean, or the packets."""
    source = data_tracks(tmp_path, code, 2, f"a.{'mov' if container == 'mov' else 'mp4'}")
    error = refusal(source, container)
    assert f"stream 2 data {code}" in error.what and f"stream 3 data {code}" in error.what
    assert "stream 1" not in error.what
    assert "--drop 2 --drop 3" in error.todo
    media.check_container(source, media.probe(source), container, drop=[2, 3])


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_the_data_of_an_action_camera_is_kept(container: str, tmp_path: Path) -> None:
    source = data_tracks(tmp_path, "gpmd", 2)
    out = roundtrip(source, tmp_path / "work", container).out
    assert [packets(out, n) for n in (2, 3)] == [packets(source, n) for n in (2, 3)]


def test_a_container_that_holds_the_data_is_proposed(tmp_path: Path) -> None:
    source = data_tracks(tmp_path, "gpmd")
    assert "output in .mp4" in refusal(source, "mkv").todo


def test_only_the_timecode_of_the_video_is_written_anew(tmp_path: Path) -> None:
    source = make.video(tmp_path / "a.mov", frames=10, video_tags={"timecode": "01:02:03:04"}, audio=[Audio()])
    with av.open(str(roundtrip(source, tmp_path / "work").out)) as made:
        assert [s.metadata.get("timecode") for s in made.streams if s.type == "data"] == ["01:02:03:04"]


@pytest.mark.parametrize("container", ["mov", "mkv", "mp4"])
def test_the_reel_of_a_timecode_is_kept_or_refused_by_name(container: str, tmp_path: Path) -> None:
    tags = {"timecode": "01:02:03:04", "reel_name": "A001C002"}
    source = make.video(tmp_path / "a.mov", frames=10, video_tags=tags, audio=[Audio()])
    with av.open(str(source)) as given:
        assert [s.metadata.get("reel_name") for s in given.streams] == [None, None, "A001C002"]
    if container == "mp4":
        assert "reel_name" in refusal(source, container).what
        return
    out = roundtrip(source, tmp_path / "work", container).out
    with av.open(str(out)) as made:
        names = [{k.lower(): v for k, v in s.metadata.items()}.get("reel_name") for s in made.streams]
    assert [name for name in names if name] == ["A001C002"]


class Times(Copy):
    """The sound's packets get other times."""

    def __init__(self, change: Callable[[int, int], int]) -> None:
        self._change = change

    def packet(self, packet: Any, index: int, number: int) -> Any:
        if index == 1:
            packet.pts = packet.dts = self._change(number, packet.pts)
        return packet


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_sound_whose_packets_share_a_time_is_refused_before_any_work(container: str, tmp_path: Path) -> None:
    """In the middle of the file, where no sample of its beginning shows it; Matroska holds it."""
    plain = make.video(tmp_path / "a.mkv", frames=200, options=FAST, audio=[Audio()])
    with av.open(str(plain)) as given:
        times = [p.pts for p in given.demux(given.streams[1]) if p.size]
    source = Times(lambda number, pts: times[130] if 130 < number < 220 else pts).write(plain, tmp_path / "b.mkv")
    error = refusal(source, container)
    assert "stream 1 audio aac: its times do not rise" in error.what
    assert "output in .mkv" in error.todo and "--drop 1" in error.todo
    roundtrip(source, tmp_path / "work", "mkv")


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
def test_sound_whose_times_fall_is_refused_before_any_work(container: str, tmp_path: Path) -> None:
    plain = make.video(tmp_path / "a.mkv", frames=200, options=FAST, audio=[Audio()])
    data = bytearray(plain.read_bytes())
    at = data.index(packets(plain, 1)[180][0])
    assert data[at - 4] == 0x82  # a block of track 2; its time follows
    data[at - 3 : at - 1] = (int.from_bytes(data[at - 3 : at - 1], "big", signed=True) - 60).to_bytes(
        2, "big", signed=True
    )
    source = tmp_path / "b.mkv"
    source.write_bytes(data)
    error = refusal(source, container)
    assert "stream 1 audio aac" in error.what and "do not rise" in error.what
    assert "--drop 1" in error.todo and "ffmpeg -i" in error.todo
    media.check_container(source, media.probe(source), container, drop=[1])


class Coarse(Copy):
    """Times in ticks of 16.777215 ms, which Matroska's clock may have: packets of 10.7 ms share some of them."""

    def packet(self, packet: Any, index: int, number: int) -> Any:
        packet.pts = packet.dts = round(packet.pts * packet.time_base * 1000 / TICK_MS)
        packet.time_base = Fraction(1, 1000)
        packet.duration = 0
        return packet

    def write(self, source: Path, out: Path) -> Path:
        data = super().write(source, out).read_bytes()
        scale = b"\x2a\xd7\xb1\x83"
        assert data.count(scale + (1_000_000).to_bytes(3, "big")) == 1
        out.write_bytes(data.replace(scale + (1_000_000).to_bytes(3, "big"), scale + b"\xff\xff\xff"))
        return out


TICK_MS = Fraction(0xFFFFFF, 10**6)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_sound_whose_packets_share_a_tick_is_kept(container: str, tmp_path: Path) -> None:
    spec = {"frames": 20, "options": {"bf": "0"}, "audio": [Audio(rate=96_000, start=1920)]}
    source = Coarse().write(make.video(tmp_path / "a.mp4", **spec), tmp_path / "a.mkv")
    with av.open(str(source)) as given:
        times = [p.dts for p in given.demux(given.streams[1]) if p.size]
    assert len(set(times)) < len(times)
    out = roundtrip(source, tmp_path / "work", container).out
    assert [data for data, _ in packets(out, 1)] == [data for data, _ in packets(source, 1)]


WMA = Audio("wmav2", bit_rate=64_000)
OLD_SOUND = {
    "wma in wmv": ("a.wmv", {"codec": "wmv2", "audio": [WMA]}),
    "wma 1 in asf": ("a.asf", {"codec": "msmpeg4", "audio": [Audio("wmav1", bit_rate=64_000)]}),
    "adpcm of avi": ("a.avi", {"codec": "mpeg4", "audio": [Audio("adpcm_ms")]}),
    "ima adpcm of avi": ("a.avi", {"codec": "mpeg4", "audio": [Audio("adpcm_ima_wav")]}),
    "wma in mkv": (
        "a.wmv",
        {"codec": "wmv2", "audio": [WMA, Audio("wmav2", bit_rate=64_000, pitch=21)]},
    ),
}


@pytest.mark.parametrize("name", OLD_SOUND)
def test_matroska_holds_the_sound_of_old_windows_files(name: str, tmp_path: Path) -> None:
    file, spec = OLD_SOUND[name]
    trip = roundtrip(make.video(tmp_path / file, frames=20, **spec), tmp_path / "work", "mkv")
    assert sound(trip.out) == sound(trip.source)
    again = roundtrip(trip.out, tmp_path / "again", "mkv")
    assert sound(again.out) == sound(trip.source)


def sound(path: Path) -> bytes:
    """All samples of the first sound stream."""
    with av.open(str(path)) as container:
        return b"".join(f.to_ndarray().tobytes() for f in container.decode(container.streams.audio[0]))


class Trimmed(Copy):
    """Shifted to before zero: the muxer hides what comes earlier by an edit list."""

    def __init__(self, seconds: Fraction) -> None:
        self._seconds = seconds

    def packet(self, packet: Any, index: int, number: int) -> Any:
        ticks = round(self._seconds / packet.time_base)
        packet.pts, packet.dts = packet.pts - ticks, packet.dts - ticks
        return packet


@pytest.mark.parametrize("kind", ["mp4", "mov"])
@pytest.mark.parametrize("codec", ["aac", "ac3", "pcm_s16le"])
def test_sound_that_was_cut_away_does_not_come_back(codec: str, kind: str, tmp_path: Path) -> None:
    if (codec, kind) == ("pcm_s16le", "mp4"):
        codec = "alac"
    spec = {"frames": 50, "options": {"g": "50", **FAST}, "audio": [Audio(codec)]}
    plain = make.video(tmp_path / f"plain.{kind}", **spec)
    source = Trimmed(Fraction(7, 10)).write(plain, tmp_path / f"a.{kind}")
    error = refusal(source, "mkv")
    assert f"stream 1 audio {codec}" in error.what and "edit list" in error.what
    assert f"output in .{'mp4' if kind == 'mp4' else 'mov'}" in error.todo or "output in .mp4" in error.todo
    trip = roundtrip(source, tmp_path / "work", kind)
    assert sound(trip.out) == sound(source)


@pytest.mark.parametrize(
    "codec", ["libx264", pytest.param("libx265", id="hevc"), pytest.param("mpeg2video", id="mpeg2")]
)
@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_two_programmes_of_a_transport_stream_are_kept(codec: str, container: str, tmp_path: Path) -> None:
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    first = make.video(tmp_path / "a.ts", frames=20, codec=codec, options=quiet, audio=[Audio()])
    second = make.video(tmp_path / "b.ts", frames=25, codec=codec, options=quiet)
    source = beside(first, second, tmp_path, "both.ts")
    trip = roundtrip(source, tmp_path / "work", container)
    assert pictures(trip.out, 2) == pictures(source, 2) and len(pictures(source, 2)) == 25


def pictures(path: Path, index: int) -> list[bytes]:
    """Samples of a video stream."""
    with av.open(str(path)) as container:
        return [bytes(f.planes[0]) for f in container.decode(container.streams[index])]


def test_a_changed_byte_of_the_second_programme_is_noticed(tmp_path: Path) -> None:
    """Also where both containers frame the codec in different ways."""
    source = beside(
        make.video(tmp_path / "a.ts", frames=20), make.video(tmp_path / "b.ts", frames=20), tmp_path, "c.ts"
    )
    trip: Trip = roundtrip(source, tmp_path / "work", "mkv")
    data = trip.out.read_bytes()
    packet = packets(trip.out, 1)[7][0]
    assert data.count(packet) == 1
    (tmp_path / "d.mkv").write_bytes(data.replace(packet, packet[:-3] + bytes([packet[-3] ^ 1]) + packet[-2:]))
    with pytest.raises(Exception, match="data of stream 1 video h264"):
        trip.verify(tmp_path / "d.mkv")


@pytest.mark.parametrize("number", [7, 5])
def test_to_leave_out_what_is_not_there_is_a_usage_error(number: int, tmp_path: Path) -> None:
    source = make.video(tmp_path / "a.mkv", frames=5, audio=[Audio(language="deu")], subtitles=[Subtitle()])
    for container in ("mkv", "mp4"):
        with pytest.raises(UsageError, match=f"--drop {number}: there is no such stream") as caught:
            media.check_container(source, media.probe(source), container, drop=[1, number])
        assert caught.value.exit_code == 2 and caught.value.where == str(source)
        assert "stream 1 audio aac (deu); stream 2 subtitle subrip" in caught.value.todo


def test_what_cannot_be_left_out_is_a_usage_error(tmp_path: Path) -> None:
    spec = {"frames": 50, "video_tags": {"timecode": "01:02:03:04"}, "chapters": [(0, 1, "One"), (1, 2, "Two")]}
    source = make.video(tmp_path / "a.mov", audio=[Audio()], **spec)
    with av.open(str(source)) as given:
        kinds = [s.type for s in given.streams]
    assert kinds == ["video", "audio", "data", "data"]
    reasons = {0: "the video itself", 2: "the list of chapters", 3: "the timecode of the video"}
    for number, reason in reasons.items():
        with pytest.raises(UsageError, match=reason) as caught:
            media.check_container(source, media.probe(source), "mov", drop=[number])
        assert "that can be left out: stream 1 audio aac" in caught.value.todo


@pytest.mark.parametrize("rate", [1200, 1500, 3000])
def test_frames_nearer_than_the_ticks_of_matroska_are_refused(rate: int, tmp_path: Path) -> None:
    source = make.video(tmp_path / "a.mp4", frames=40, rate=Fraction(rate))
    info = media.probe(source)
    pts = [f.pts for f in media.decode(source, info)]
    for container in ("mkv", "webm"):
        codec = "libvpx-vp9" if container == "webm" else None
        settings = media.encode_settings(info, container=container, codec=codec)
        with pytest.raises(
            InputError, match=rf"\.{container} cannot hold frames nearer than 1 ms: frame \d+"
        ) as caught:
            media.check_times(source, info, settings, pts)
        assert caught.value.where == str(source) and "output in .mp4" in caught.value.todo
    media.check_times(source, info, media.encode_settings(info, container="mp4"), pts)
    roundtrip(source, tmp_path / "work", "mp4")


@pytest.mark.parametrize("rate", [25, 240, 1000])
def test_frames_of_usual_rates_fit_the_ticks_of_matroska(rate: int, tmp_path: Path) -> None:
    source = make.video(tmp_path / "a.mp4", frames=10, rate=Fraction(rate))
    info = media.probe(source)
    settings = media.encode_settings(info, container="mkv")
    media.check_times(source, info, settings, [f.pts for f in media.decode(source, info)])


HOUR = 90_000 * 3600


@pytest.mark.parametrize("gaps", [[15], [1], [29], [28], [2, 15], [10, 11], [15, 16, 17, 18]])
@pytest.mark.parametrize("bframes", ["0", "3"])
def test_no_frame_is_decoded_long_before_it_is_shown(bframes: str, gaps: list[int], tmp_path: Path) -> None:
    """Older players take a composition offset of more than 2**28 ticks for damage, and forget all of them."""
    pts = [index * 3600 + sum(HOUR * (index >= gap) for gap in gaps) for index in range(30)]
    spec = {"frames": 30, "pts": pts, "time_base": Fraction(1, 90_000), "options": {"bf": bframes}}
    source = make.video(tmp_path / "a.mp4", muxer={"video_track_timescale": "90000"}, **spec)
    info = media.probe(source)
    settings = media.encode_settings(info, container="mp4")
    assert media.long_gaps(pts, info, settings) == tuple(gaps)
    trip = roundtrip(source, tmp_path / "work", cuts=[gap / 30 for gap in gaps])
    with av.open(str(trip.out)) as made:
        offsets = [p.pts - p.dts for p in made.demux(made.streams.video[0]) if p.size]
        assert len(offsets) == 30 and all(0 <= offset < 1 << 28 for offset in offsets)
        assert made.streams.video[0].duration == pts[-1] + 3600


def test_a_gap_that_every_player_takes_is_no_cut(tmp_path: Path) -> None:
    source = make.video(tmp_path / "a.mp4", frames=5)
    info = media.probe(source)
    pts = [0, 512, 512 * 25 * 60, 512 * 25 * 90]
    assert media.long_gaps(pts, info, media.encode_settings(info, container="mp4")) == ()
    assert media.long_gaps([0, HOUR * 10], info, media.encode_settings(info, container="mkv")) == ()


UNKNOWN = {
    "sound in mp4": ("a.mp4", {"audio": [Audio(), Audio("ac3")]}, b"ac-3", b"zc-3", "stream 2 audio zc-3", 2),
    "sound in mov": ("a.mov", {"audio": [Audio("pcm_s16le")]}, b"sowt", b"zowt", "stream 1 audio zowt", 1),
    "text in mp4": ("a.mp4", {"subtitles": [Subtitle("mov_text")]}, b"tx3g", b"zx3g", "stream 1 data zx3g", 1),
    "sound in mkv": ("a.mkv", {"audio": [Audio()]}, b"A_AAC", b"A_ZZZ", "stream 1 audio of unknown kind", 1),
    "text in mkv": ("a.mkv", {"subtitles": [Subtitle()]}, b"S_TEXT/UTF8", b"S_TEXT/ZZZZ", "stream 1 subtitle", 1),
    "sound in avi": (
        "a.avi",
        {"codec": "mpeg4", "audio": [Audio("adpcm_ms")]},
        b"strf\x32\0\0\0\2\0",
        b"strf\x32\0\0\0\x5a\x5a",
        "stream 1 audio",
        1,
    ),
}


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("name", UNKNOWN)
def test_a_stream_of_unknown_codec_is_refused_by_number(name: str, container: str, tmp_path: Path) -> None:
    file, spec, known, unknown, words, number = UNKNOWN[name]
    source = make.video(tmp_path / file, frames=10, **spec)
    data = source.read_bytes()
    assert known in data and len(known) == len(unknown)
    source.write_bytes(data.replace(known, unknown))
    error = refusal(source, container)
    assert words in error.what and f"--drop {number}" in error.todo
    media.check_container(source, media.probe(source), container, drop=[number])


def test_a_second_picture_of_unknown_codec_is_refused_by_number(tmp_path: Path) -> None:
    second = make.video(tmp_path / "b.mov", frames=10, codec="mjpeg", pix_fmt="yuvj420p")
    source = beside(make.video(tmp_path / "a.mp4", frames=10), second, tmp_path, "c.mov")
    data = source.read_bytes()
    assert data.count(b"jpeg") == 1
    source.write_bytes(data.replace(b"jpeg", b"zpeg"))
    for container in ("mp4", "mov", "mkv"):
        error = refusal(source, container)
        assert "stream 1 video zpeg" in error.what and "--drop 1" in error.todo


@pytest.mark.parametrize("table", [b"stsz", b"stco", b"stsc", b"stts"])
def test_sound_whose_header_is_broken_is_told_before_any_work(table: bytes, tmp_path: Path) -> None:
    source = make.video(tmp_path / "a.mp4", frames=10, audio=[Audio()])
    data = bytearray(source.read_bytes())
    at = data.rindex(table)
    data[at : at + 4] = b"zzzz"
    source.write_bytes(data)
    for container in ("mp4", "mkv"):
        error = refusal(source, container)
        assert "stream 1 audio aac: nothing of it can be read" in error.what and "--drop 1" in error.todo
        media.check_container(source, media.probe(source), container, drop=[1])


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("place", [8, 17])
def test_sound_whose_decoder_configuration_is_lost_is_told_before_any_work(
    place: int, container: str, tmp_path: Path
) -> None:
    source = make.video(tmp_path / "a.mp4", frames=10, audio=[Audio()])
    data = bytearray(source.read_bytes())
    data[data.rindex(b"esds") + place] ^= 0xFF
    source.write_bytes(data)
    error = refusal(source, container)
    assert "stream 1 audio aac: how to decode it cannot be read" in error.what and "--drop 1" in error.todo
    media.check_container(source, media.probe(source), container, drop=[1])


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_sound_that_was_damaged_on_its_way_is_told_before_any_work(container: str, tmp_path: Path) -> None:
    source = make.video(tmp_path / "a.ts", frames=150, audio=[Audio(seconds=6)])
    data, noise = bytearray(source.read_bytes()), Random(3)
    sound = [at for at in range(0, len(data), 188) if int.from_bytes(data[at + 1 : at + 3], "big") & 0x1FFF == 0x101]
    middle = len(sound) // 2
    for at in sound[middle : middle + 6]:
        data[at + 20 : at + 188] = noise.randbytes(168)
    source.write_bytes(data)
    error = refusal(source, container)
    assert re.search(r"stream 1 audio aac: its packet at [2-6]\.\d+ s is damaged", error.what), error.what
    media.check_container(source, media.probe(source), container, drop=[1])


@pytest.mark.parametrize("codec", ["pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_f32le", "pcm_f64be"])
def test_sound_that_many_players_would_play_as_noise_does_not_go_into_mp4(codec: str, tmp_path: Path) -> None:
    source = make.video(tmp_path / "a.mov", frames=10, audio=[Audio(codec)])
    error = refusal(source, "mp4")
    assert f"stream 1 audio {codec}" in error.what and "noise" in error.what
    assert "output in .mkv" in error.todo or "output in .mov" in error.todo
    for container in ("mov", "mkv") if codec != "pcm_f64be" else ("mov",):
        assert sound(roundtrip(source, tmp_path / container, container).out) == sound(source)


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_s24le"])
def test_sound_that_mp4_has_already_stays(codec: str, tmp_path: Path) -> None:
    source = make.video(tmp_path / "a.mp4", frames=10, audio=[Audio(codec)])
    assert sound(roundtrip(source, tmp_path / "work").out) == sound(source)


def plan_of(source: Path, output: str) -> Plan:
    """The plan of a job with a box."""
    request = JobRequest(source_name=source.name, output=output, exact_boxes=((8, 8, 16, 16),), config=Config())
    return make_plan(request, source, media.probe(source), None)


def test_prepare_refuses_times_that_the_output_cannot_hold_before_any_segment(tmp_path: Path) -> None:
    source = make.video(tmp_path / "a.mp4", frames=40, rate=Fraction(1500))
    with pytest.raises(InputError, match=r"\.mkv cannot hold frames nearer than 1 ms"):
        plan_of(source, "/x/o.mkv")
    assert plan_of(source, "/x/o.mp4").frame_count == 40


def test_a_segment_begins_behind_a_long_gap(tmp_path: Path) -> None:
    pts = [index * 3600 + HOUR * (index >= 15) for index in range(30)]
    source = make.video(tmp_path / "a.ts", frames=30, pts=pts, time_base=Fraction(1, 90_000))
    for container in ("mp4", "mov", "mkv"):
        starts = [segment.start for segment in plan_of(source, f"/x/o.{container}").segments]
        assert (15 in starts) == (container != "mkv")


@pytest.mark.parametrize("file", ["a.ts", "a.mkv"])
def test_sound_that_begins_before_the_picture_does_not_move_its_end(file: str, tmp_path: Path) -> None:
    """Without B-frames libav knows the stream before it has seen a time of it, and takes that of the sound."""
    source = make.video(tmp_path / file, frames=5, start=2 * (file == "a.mkv"), audio=[Audio()])
    roundtrip(source, tmp_path / "work", "mkv", preset="ultrafast", cuts=())
