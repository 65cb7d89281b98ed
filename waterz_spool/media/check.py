"""Whether a container can hold a result, found out before any work.

A miniature of the result is written by the real muxer and read back: one encoded frame, and of every copied stream
the packets of its first and last seconds and those with odd times. It is compared as the result will be.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import msgspec

from waterz_spool.errors import InputError
from waterz_spool.media.container import check_codec, is_mov
from waterz_spool.media.copies import check_drop, copied_packets, copied_streams, describe, four_characters
from waterz_spool.media.decoding import decode
from waterz_spool.media.encode import SegmentEncoder
from waterz_spool.media.inventory import differences, inventory
from waterz_spool.media.mux import HoldError
from waterz_spool.media.packets import Recipe, write
from waterz_spool.media.picking import Ends, Pick, pick
from waterz_spool.media.probing import place_in_result, probe
from waterz_spool.media.rising import TimesError
from waterz_spool.media.settings import encode_settings
from waterz_spool.media.source import codec_name, open_source, repair_command
from waterz_spool.media.timing import Timing, shared_tick
from waterz_spool.media.tracks import difference, pairs, tracks
from waterz_spool.records import EncodeSettings, VideoInfo

_PROPOSED = ("mkv", "mp4", "mov")
_PRIMING_S = Fraction(1, 10)  # of a decoder, hidden by the edit list of nearly every MP4 with sound
_PRIMING_PACKETS = 3


def check_container(
    source: Path, info: VideoInfo, settings: EncodeSettings | str, *, drop: Collection[int] = ()
) -> None:
    """Make sure that the output container can hold everything of the source, and that the encoder works.

    All packets of the streams that are copied are read, and some are written to a temporary file; see above.

    Args:
        source: The source.
        info: Its facts.
        settings: The encode settings of the job, or only a container's extension for the default ones.
        drop: Stream indices of the source that the user wants left out.

    Raises:
        UsageError: ``drop`` names a stream that is not there, or the video.
        InputError: The container cannot hold something; the error names it, and a container that can if there is one.
        SetupError: The encoder is absent or refuses its options.
    """
    check_drop(source, info, drop)
    if isinstance(settings, str):
        settings = encode_settings(info, container=settings)
    with _Trials(source, info, drop) as trials:
        if trials.losses(settings, drop):
            raise trials.refusal(settings)


def check_times(
    source: Path, info: VideoInfo, settings: EncodeSettings, pts: Sequence[int], *, drop: Collection[int] = ()
) -> None:
    """Make sure that all frames can have times of their own in the output container.

    Args:
        source: The source.
        info: Its facts.
        settings: The encode settings of the job.
        pts: Of all frames, in ``info.time_base``.
        drop: Stream indices of the source that the user wants left out.

    Raises:
        InputError: Two frames would share a time; the error names a container that can hold them if there is one.
    """
    frame = None if is_mov(settings.container) else shared_tick(pts, Fraction(*info.time_base))
    if frame is None:
        return
    time_s = float(pts[frame] * Fraction(*info.time_base))
    with _Trials(source, info, drop) as trials:
        fits = [f".{name}" for name in trials.fitting(settings) if is_mov(name)]
    raise InputError(
        f".{settings.container} cannot hold frames nearer than 1 ms: frame {frame} follows at {time_s:.6f} s",
        where=str(source),
        todo=f"give an output in {fits[0]}, which can" if fits else "lower the frame rate first",
    )


def fitting_container(
    source: Path, info: VideoInfo, settings: EncodeSettings, containers: Sequence[str], *, drop: Collection[int] = ()
) -> str:
    """The first of these containers that can hold everything of the source; just the first where none can."""
    with _Trials(source, info, drop) as trials:
        return next(iter(trials.fitting(settings, containers)), containers[0])


def needs_all_tags(source: Path, info: VideoInfo, settings: EncodeSettings) -> bool:
    """Whether an MP4/MOV must write tags under their own names, because the usual ones would lose some."""
    if not is_mov(settings.container):
        return False
    with _Trials(source, info, ()) as trials:
        return trials.needs_all_tags(settings)


class _Trials:
    """Miniatures of a result, in one container and another, with all streams or some."""

    def __init__(self, source: Path, info: VideoInfo, drop: Collection[int]) -> None:
        self._source, self._info, self._drop = source, info, drop
        self._stack = ExitStack()
        self._all_tags: dict[str, bool] = {}
        self._times_fall = False

    def __enter__(self) -> Self:
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="waterz-check-")))
        self._container = self._stack.enter_context(open_source(self._source))
        self._streams = copied_streams(self._container, self._info, self._drop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @cached_property
    def _ends(self) -> dict[int, Ends]:
        """What was kept of every stream that has packets."""
        streams = [s for s in self._streams if s.type != "attachment"]
        try:
            return pick(self._container, self._info.stream_index, streams)
        except av.FFmpegError as error:
            raise InputError(
                f"the file is damaged: its streams cannot be read to the end ({error})",
                where=str(self._source),
                todo="copy or download it again",
            ) from error

    def losses(self, settings: EncodeSettings, drop: Collection[int]) -> list[str]:
        """What a miniature without the streams ``drop`` lacks, in words; empty when everything survives."""
        streams = [s for s in self._streams if s.index not in drop]
        found = [word for s in streams if (word := self._unfit(s, settings))]
        return found or self._lost(settings, streams, all_tags=self.needs_all_tags(settings))

    def needs_all_tags(self, settings: EncodeSettings) -> bool:
        """See the function of this name."""
        key = settings.container
        if is_mov(key) and key not in self._all_tags:
            usual = self._lost(settings, [], all_tags=False)
            self._all_tags[key] = bool(usual) and len(self._lost(settings, [], all_tags=True)) < len(usual)
        return self._all_tags.get(key, False)

    def _unfit(self, stream: Any, settings: EncodeSettings) -> str:
        """Why a stream cannot be copied though the muxer would take it; empty when it can."""
        name, ends = describe(stream), self._ends.get(stream.index)
        if ends is None:
            return ""
        if not ends.count and stream.type in ("audio", "video"):
            return f"{name}: nothing of it can be read, its header is damaged"
        if fault := ends.headers.fault:
            return f"{name}: {fault}"
        allowed = max(_PRIMING_S, _PRIMING_PACKETS * ends.longest_s) if stream.type == "audio" else 0
        if not is_mov(settings.container) and ends.hidden_s > allowed:
            return f"{name}: {float(ends.hidden_s):.3f} s of it are cut away by an edit list, and would come back"
        if _noise(stream, settings.container):
            return f"{name}: many players would play it as noise"
        return ""

    def _lost(self, settings: EncodeSettings, streams: Sequence[Any], *, all_tags: bool) -> list[str]:
        drop = {s.index for s in self._container.streams} - {s.index for s in streams}
        result = self._folder / "result"
        recipe = Recipe(source=self._source, info=self._info, settings=settings, drop=drop, all_tags=all_tags)
        picked = self._picked(streams)
        timing = Timing((0,), 1, delay=0, tail=0)
        try:
            write(result, [self._segment(settings)], [1], timing, recipe=recipe, picked=picked)
        except HoldError as error:
            return [error.lost]
        except InputError as error:
            self._times_fall |= isinstance(error, TimesError)
            return [error.what]
        except (av.FFmpegError, ValueError) as error:
            return [f"a stream of this video ({error})"]
        try:
            got = probe(result, place=place_in_result(self._info, drop))
        except InputError as error:
            return [f"this {self._info.codec} video ({error.what})"]
        lost = differences(inventory(self._source, self._info, drop), inventory(result, got))
        return lost or self._wrong(result, got, streams, picked)

    def _picked(self, streams: Sequence[Any]) -> list[Pick]:
        if not streams:
            return []
        kept = [p for s in streams if s.index in self._ends for p in self._ends[s.index].picks()]
        return sorted(kept, key=lambda p: p.number)

    def _wrong(self, result: Path, got: VideoInfo, streams: Sequence[Any], picked: Sequence[Pick]) -> list[str]:
        """Packets that are not equal in the miniature."""
        if not picked:
            return []
        wanted = tracks(streams, (p.fresh() for p in picked))
        with open_source(result) as made:
            copies = copied_streams(made, got)
            found = tracks(
                copies, copied_packets(made, got.stream_index, [s for s in copies if s.type != "attachment"])
            )
            return [word for a, b in pairs(wanted, found) if (word := difference(a, b))]

    def _segment(self, settings: EncodeSettings) -> Path:
        """One encoded frame; the container does not matter to it."""
        segment = self._folder / "segment"
        if not segment.exists():
            with SegmentEncoder(segment, settings, self._info) as encoder:
                for frame in islice(decode(self._source, self._info, threads=1), 1):
                    encoder.write(frame)
        return segment

    def fitting(self, settings: EncodeSettings, containers: Sequence[str] = _PROPOSED) -> list[str]:
        """Those containers that can hold everything."""
        codec = str(av.Codec(settings.codec, "w").canonical_name)
        likely = [msgspec.structs.replace(settings, container=n) for n in containers if _takes(n, codec, self._info)]
        return [each.container for each in likely if not self.losses(each, ())]

    def refusal(self, settings: EncodeSettings) -> InputError:
        """The error for a container that cannot hold everything, with what can be done instead."""
        general, guilty = self._blame(settings)
        words = [*general, *(word for words in guilty.values() for word in words)]
        fits = self.fitting(settings)
        todo = [f"give an output in .{fits[0]} with -o, which holds everything"] if fits else []
        if guilty and not self.losses(settings, guilty):
            todo.append(" ".join(["leave out what it cannot hold:", *(f"--drop {index}" for index in guilty)]))
        if not fits:
            todo.append("no output in " + ", ".join(f".{name}" for name in _PROPOSED) + " holds everything")
        if self._times_fall and not fits:
            todo.insert(0, "repair the file first: " + repair_command(self._source))
        return InputError(
            f".{settings.container} with {settings.codec} video cannot hold " + "; ".join(words),
            where=f"{self._source}, output .{settings.container}",
            todo="; ".join(todo),
        )

    def _blame(self, settings: EncodeSettings) -> tuple[list[str], dict[int, list[str]]]:
        """What is lost: of the video and the file as a whole, and by index of the stream that each loss concerns."""
        everything = {s.index for s in self._streams}
        general = self.losses(settings, everything)
        guilty = {}
        for stream in self._streams:
            words = [w for w in self.losses(settings, everything - {stream.index}) if w not in general]
            if words:
                guilty[stream.index] = words
        if not general and not guilty:
            general = self.losses(settings, ())
        return general, guilty


def _noise(stream: Any, container: str) -> bool:
    """Whether MP4 would store sound as ``ipcm`` or ``fpcm`` in a form that older players take for another.

    ISO/IEC 23003-5 keeps the size of a sample in a box that they do not read; 16 bits is what they assume.
    """
    codec = codec_name(stream)
    if container not in ("mp4", "m4v") or not codec.startswith("pcm_") or codec in ("pcm_s16le", "pcm_s16be"):
        return False
    return four_characters(stream) not in ("ipcm", "fpcm")


def _takes(container: str, codec: str, info: VideoInfo) -> bool:
    try:
        check_codec(container, codec, info)
    except InputError:
        return False
    return True
