"""What a video weighs: bytes of its frames and of everything else, from the container alone; nothing is decoded."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from waterz_spool.media.source import open_source, read_packets
from waterz_spool.records import VideoInfo


@dataclass(frozen=True)
class Weights:
    """Where a file's bytes are.

    Attributes:
        frames: Bytes of each frame, in the order in which they are shown.
        keys: Indexes of the frames that a decoder can begin with, rising.
        others: Bytes of everything else that a result carries on: sound, texts, the container itself.
    """

    frames: tuple[int, ...]
    keys: tuple[int, ...]
    others: int


def weigh(path: Path, info: VideoInfo, *, drop: Collection[int] = ()) -> Weights:
    """Weigh a video.

    Args:
        path: The file.
        info: Its facts.
        drop: Indexes of streams that will be left out.

    Raises:
        InputError: Unreadable.
    """
    with open_source(path) as container:
        film = container.streams[info.stream_index]
        wanted = [film, *(container.streams[index] for index in drop if 0 <= index < len(container.streams))]
        shown, dropped = list[tuple[int, int, bool]](), 0
        for number, packet in enumerate(read_packets(container, wanted)):
            if packet.stream_index != info.stream_index:
                dropped += packet.size
            elif packet.size and not packet.is_discard:
                when = number if info.counted_pts or packet.pts is None else packet.pts
                shown.append((when, packet.size, packet.is_keyframe))
    shown.sort()
    sizes = tuple(size for _, size, _ in shown)
    keys = tuple(index for index, (_, _, key) in enumerate(shown) if key)
    return Weights(sizes, keys or (0,), max(0, path.stat().st_size - sum(sizes) - dropped))
