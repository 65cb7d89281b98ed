"""What may be an overlay and was not taken: its place, time and confidence, and the command that takes it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from waterz_spool.detect.base import Rejected
from waterz_spool.geometry import Geometry
from waterz_spool.records import DisplayBox, VideoInfo

MIN_CONFIDENCE = 0.2  # below that, asking people would be a guess
LIKELY = 0.5  # from that on, several are offered together
MOST = 5


@dataclass(frozen=True)
class Candidate:
    """A likely overlay as people see it.

    Attributes:
        start: First frame.
        stop: One past the last.
        box: Where.
        confidence: 0 to 1.
        reason: Why it was not taken.
        command: Takes it.
    """

    start: int
    stop: int
    box: DisplayBox
    confidence: float
    reason: str
    command: str

    @property
    def words(self) -> str:
        """One line: frames, place, confidence, reason."""
        place = ",".join(map(str, self.box))
        return f"frames {self.start} to {self.stop - 1}  {place}  confidence {self.confidence:.2f}: {self.reason}"


def candidates_of(
    rejected: Sequence[Rejected], info: VideoInfo, pts: Sequence[int], *, video: str
) -> tuple[Candidate, ...]:
    """The likeliest overlays among what was not taken, the likeliest first.

    Args:
        rejected: What a detector did not take.
        info: Facts of the video.
        pts: Of all its frames.
        video: Its name in the command.
    """
    likely = [item for item in rejected if item.confidence >= MIN_CONFIDENCE]
    likely.sort(key=lambda item: -item.confidence)
    return tuple(_candidate(item, info, pts, video=video) for item in likely[:MOST])


def _candidate(item: Rejected, info: VideoInfo, pts: Sequence[int], *, video: str) -> Candidate:
    stop = len(pts) if item.stop is None else min(item.stop, len(pts))
    box = Geometry.of(info).shown_box(item.box)
    words = ["waterz-spool", "run", video, "--box", ",".join(map(str, box))]
    words += ["--from", _time(item.start, info, pts)] if item.start > 0 else []
    words += ["--to", _time(stop, info, pts)] if stop < len(pts) else []
    return Candidate(item.start, stop, box, round(item.confidence, 2), item.reason, shlex.join(words))


def _time(index: int, info: VideoInfo, pts: Sequence[int]) -> str:
    """The time of a frame as --from and --to take it: whole ms, never past the frame."""
    exact = (pts[index] - pts[0]) * Fraction(*info.time_base)
    return f"{int(exact * 1000) / 1000:.3f}"


def give_place(video: str) -> str:
    """What to do where no place is known."""
    command = shlex.join(["waterz-spool", "pick", video])
    return f"draw its place in the page that `{command}` makes, or give --box or --mask"


def advice(candidates: Sequence[Candidate], *, otherwise: str) -> str:
    """What to do when nothing certain was found.

    Args:
        candidates: Likely overlays.
        otherwise: What to do when none of them is the overlay.
    """
    if not candidates:
        return otherwise
    lines = [f"{each.words}\n      {each.command}" for each in candidates]
    lines += _together(candidates)
    return "\n    ".join(["look at these places; the command below takes one", *lines, f"otherwise {otherwise}"])


def _together(candidates: Sequence[Candidate]) -> list[str]:
    """The command that takes all of the likely ones that stay as long as the likeliest."""
    first = candidates[0]
    others = [each for each in candidates[1:] if (each.start, each.stop) == (first.start, first.stop)]
    boxes = [f"--box {','.join(map(str, each.box))}" for each in others if each.confidence >= LIKELY]
    return [" ".join(["all of them at once:\n     ", first.command, *boxes])] if boxes else []
