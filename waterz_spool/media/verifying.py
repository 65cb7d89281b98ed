"""Verification of a finished result against its source, before it is published under its final name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.container import InputContainer

from waterz_spool.errors import InputError, VerificationError
from waterz_spool.media.copies import copied_packets, copied_streams
from waterz_spool.media.decoding import Frame, decode
from waterz_spool.media.inventory import differences, inventory
from waterz_spool.media.originals import Originals, Range, UnequalError
from waterz_spool.media.probing import place_in_result, probe
from waterz_spool.media.source import is_picture, open_source
from waterz_spool.media.tracks import Track, difference, pairs, tracks
from waterz_spool.records import VideoInfo


def verify(
    out: Path,
    *,
    source: Path,
    info: VideoInfo,
    plan_pts: Sequence[int],
    last_duration: int,
    drop: Collection[int] = (),
    copied: Sequence[Range] = (),
    threads: int = 0,
    tell: Callable[[int], None] = lambda frames: None,
) -> list[str]:
    """Compare a result with its source.

    Every frame of the result is decoded, and those of copied packets are compared with the source's bit by bit. A
    time must be equal as an exact fraction, or, where the result's container has no tick at it, be the nearest tick:
    errors never add up.

    Args:
        out: The result, under whatever name.
        source: The source.
        info: The source's facts.
        plan_pts: True pts of all frames in ``info.time_base``.
        last_duration: Duration of the last frame in ``info.time_base``.
        drop: Stream indices of the source that were left out on purpose.
        copied: Ranges of frames whose packets are the source's.
        threads: Decoder threads; 0 is as many as there are cores.
        tell: Told how many frames were decoded; may raise to stop.

    Returns:
        What was checked, in words.

    Raises:
        VerificationError: Naming the first thing that is not as it must be.
    """
    try:
        got = probe(out, place=place_in_result(info, drop))
        originals = Originals(source, info, plan_pts, copied, threads=threads)
        done = [_check_frames(out, got, info, plan_pts, originals, threads=threads, tell=tell)]
        done += originals.check_seams(out, got)
    except (InputError, UnequalError) as error:
        raise _failed(out, error.what) from error
    done.append(_check_end(out, got, info, plan_pts[-1] + last_duration))
    lost = differences(inventory(source, info, drop), inventory(out, got))
    if lost:
        raise _failed(out, f"not kept: {lost[0]}")
    done += _check_packets(out, got, source=source, info=info, drop=drop)
    return [*done, f"{info.chapters} chapters, tags, dispositions, rotation, aspect, colours and HDR data are equal"]


def _check_frames(
    out: Path,
    got: VideoInfo,
    info: VideoInfo,
    pts: Sequence[int],
    originals: Originals,
    *,
    threads: int,
    tell: Callable[[int], None],
) -> str:
    """Decode all frames and compare their times, and the copied ones with their originals."""
    here, there = Fraction(*got.time_base), Fraction(*info.time_base)
    count = 0
    exact = True
    for frame in decode(out, got, threads=threads):
        if count == len(pts):
            raise _failed(out, f"it has more than the {len(pts)} frames of the source")
        wrong = _off(frame.pts * here, pts[count] * there, here)
        if wrong is None:
            raise _failed(out, _late(frame, frame.pts * here, pts[count] * there))
        exact = exact and not wrong
        originals.add(frame)
        count += 1
        tell(count)
    if count != len(pts):
        raise _failed(out, f"it has {count} frames, the source {len(pts)}")
    return f"{count}/{len(pts)} frames decoded, pts {'equal' if exact else f'equal to the tick of {here} s'}"


def _off(a: Fraction, b: Fraction, tick: Fraction) -> bool | None:
    """False: equal; True: ``a`` is the nearest tick to ``b``; None: neither."""
    if a == b:
        return False
    return True if abs(a - b) <= tick / 2 else None


def _late(frame: Frame, a: Fraction, b: Fraction) -> str:
    return f"frame {frame.index} is shown at {float(a):.6f} s instead of {float(b):.6f} s"


def _check_end(out: Path, got: VideoInfo, info: VideoInfo, end: int) -> str:
    """The end of the last frame, as the container says it."""
    expected = end * Fraction(*info.time_base)
    with open_source(out) as container:
        stream: Any = container.streams[got.stream_index]
        says = _stated_end(stream)
    tick = Fraction(*got.time_base)
    if says is not None and abs(says - expected) > tick:
        raise _failed(out, f"the video ends at {float(says):.6f} s instead of {float(expected):.6f} s")
    return f"the video ends at {float(expected):.3f} s"


def _stated_end(stream: Any) -> Fraction | None:
    """End of a stream as its container states it: a Matroska DURATION tag, an MP4 track's duration.

    Matroska has no other: libav fills in the duration and start of the whole file where it has not seen the stream's.
    """
    stated = stream.metadata.get("DURATION")
    if stated:
        hours, minutes, seconds = stated.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    if stream.duration:
        return ((stream.start_time or 0) + int(stream.duration)) * Fraction(stream.time_base)
    return None


def _check_packets(out: Path, got: VideoInfo, *, source: Path, info: VideoInfo, drop: Collection[int]) -> list[str]:
    """Packets of every copied stream: how many, their bytes, their times."""
    with open_source(source) as original, open_source(out) as result:
        a = _tracks(original, info, drop)
        b = _tracks(result, got, ())
        for x, y in pairs(a, b):
            if wrong := difference(x, y):
                raise _failed(out, wrong)
        kinds = [x.stream.type for x in a]
    return [f"{kinds.count(k)} {k} stream(s) copied: packets, bytes and times equal" for k in dict.fromkeys(kinds)]


def _tracks(container: InputContainer, info: VideoInfo, drop: Collection[int]) -> list[Track]:
    streams = [s for s in copied_streams(container, info, drop) if s.type != "attachment" and not is_picture(s)]
    return tracks(streams, copied_packets(container, info.stream_index, streams))


def _failed(out: Path, what: str) -> VerificationError:
    return VerificationError(
        f"the result is not right: {what}",
        where=str(out),
        todo="nothing was published; report this with the source's details (waterz-spool doctor)",
    )
