"""Single frames of a video, without decoding all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from waterz_spool.media.decoding import Frame, decode
from waterz_spool.media.source import open_source, read_packets
from waterz_spool.records import VideoInfo


def frame_times(path: Path, info: VideoInfo) -> tuple[int, ...]:
    """When each frame is shown, from the container alone, in ``info.time_base``; nothing is decoded.

    Guarantee: for a file that decodes without error these are the pts of its frames. Limit: nothing tells whether it
    does.

    Raises:
        InputError: Unreadable.
    """
    with open_source(path) as container:
        stream = container.streams[info.stream_index]
        shown = [packet for packet in read_packets(container, stream) if packet.size and not packet.is_discard]
        if info.counted_pts:
            return tuple(range(len(shown)))
        return tuple(sorted(packet.pts for packet in shown if packet.pts is not None))


def stills(path: Path, info: VideoInfo, pts: Sequence[int], indexes: Sequence[int]) -> Iterator[Frame]:
    """Some frames of a video, in rising order of their indexes.

    Args:
        path: The source.
        info: What ``probe`` said about it.
        pts: Of all its frames.
        indexes: The wanted frames, rising.

    Raises:
        InputError: Damaged, or not the video that ``pts`` is of.
    """
    if info.counted_pts:  # cannot seek: one pass up to the last
        wanted = set(indexes)
        yield from (each for each in decode(path, info, stop=max(indexes) + 1) if each.index in wanted)
        return
    for index in indexes:
        yield from decode(path, info, start=index, stop=index + 1, pts=pts)
