"""How far the first look at a video is: a share that never falls, for progress."""

from __future__ import annotations

from collections.abc import Callable

from waterz_spool.records import VideoInfo

_UNKNOWN = 1500  # frames expected where a container tells nothing


class Looking:
    """Counts frames on their way through survey and detection.

    How often a detector reads the video again is not known before, so its passes take half of what is left each.

    Args:
        info: Facts of the video.
        tell: Told the share, 0..1.
        check: Called for each frame; raises to stop.
        again: Whether something reads the video again after the survey.
    """

    def __init__(
        self, info: VideoInfo, tell: Callable[[float], None], *, check: Callable[[], None], again: bool
    ) -> None:
        self._expected = frames_expected(info)
        self._tell, self._check = tell, check
        self._survey = 0.5 if again else 1.0
        self._reread = 0

    def surveyed(self, index: int) -> None:
        """A frame of the survey has passed."""
        self._check()
        self._tell(self._survey * min(0.99, (index + 1) / self._expected))

    def again(self) -> None:
        """A frame was read once more."""
        self._check()
        self._reread += 1
        self._tell(1.0 - (1.0 - self._survey) * 0.5 ** (self._reread / self._expected))


def frames_expected(info: VideoInfo) -> int:
    """About how many frames a video has, as its container says."""
    if info.frames_hint:
        return max(1, info.frames_hint)
    if info.duration_s and info.average_rate:
        return max(1, round(info.duration_s * info.average_rate[0] / info.average_rate[1]))
    return _UNKNOWN
