"""Where a job stands at a moment, for whoever waits: which step, how much of it, how fast, how long it will take.

Frames count when their segment is done, and as far as heartbeats say of those in hand. Limit: before the first frame
is restored nothing tells what a frame costs, so there is no ETA while a video is looked at and cut.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import msgspec

from waterz_spool.errors import printable
from waterz_spool.report.living import Living, standing
from waterz_spool.report.words import clock
from waterz_spool.spool import FINAL, PREP, Job, JobState, Task

_WINDOW_S = 60.0
_LEAST_S = 2.0  # of restoring before its speed is believed
_COPIED = 0.1  # cost of a frame in a segment without overlay, where a restored one costs 1
_TAIL = 0.03  # of the time of restoring: joining and verifying, before they were seen


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One look at something that is waited for.

    ``share`` is how much of the step is done, 0..1, None where that is not known; ``rate`` units per second;
    ``eta_s`` seconds until all of it is done.
    """

    name: str
    step: str
    job: str = ""
    share: float | None = None
    done: int = 0
    total: int | None = None
    unit: str = "frames"
    rate: float | None = None
    eta_s: float | None = None
    elapsed_s: float = 0.0


def text_of(moment: Moment) -> str:
    """The moment as one plain line."""
    share = f" {moment.share:.0%}" if moment.share is not None else ""
    parts = [printable(moment.name), f"{moment.step}{share}", amount_of(moment)]
    parts += [f"{moment.rate:.1f} {moment.unit}/s"] if moment.rate else []
    parts += [f"ETA {clock(moment.eta_s)}"] if moment.eta_s is not None else []
    return "  ".join([*filter(None, parts), clock(moment.elapsed_s)])


def amount_of(moment: Moment) -> str:
    """``340/755 frames``; empty where neither is known."""
    if moment.total:
        return f"{moment.done}/{moment.total} {moment.unit}"
    return f"{moment.done} {moment.unit}" if moment.done else ""


class _Segment(msgspec.Struct):
    start: int
    stop: int
    crops: list[msgspec.Raw] = []

    @property
    def frames(self) -> int:
        return self.stop - self.start

    @property
    def cost(self) -> float:
        return self.frames * (1.0 if self.crops else _COPIED)


class _Plan(msgspec.Struct):
    segments: list[_Segment]


class Watch:
    """Looks at one job again and again; what it saw before tells the speed.

    Args:
        job: The job.
        now: Seconds, for tests.
    """

    def __init__(self, job: Job, now: Callable[[], float] = time.monotonic) -> None:
        self._job = job
        self._now = now
        self._begun = now()
        self._segments: list[_Segment] = []
        self._samples: deque[tuple[float, float, float]] = deque()  # time, frames, cost
        self._since: dict[str, float] = {}  # when a step was first seen

    def look(self, state: JobState) -> Moment:
        """Where the job stands now."""
        living = Living.around(self._job)
        step, share = self._step(state, living)
        now = self._now()
        self._since.setdefault(step, now)
        moment = Moment(
            name=self._job.name, job=self._job.id, step=step, share=share, elapsed_s=round(now - self._begun, 1)
        )
        if step in ("looking", "cutting"):
            return moment
        frames, cost, total, all_ = self._work(state, living)
        if step != "restoring":
            left_s = self._left_s(step, share, now)
            return msgspec.structs.replace(moment, done=int(frames), total=total or None, eta_s=left_s)
        self._samples.append((now, frames, cost))
        while len(self._samples) > 2 and now - self._samples[1][0] > _WINDOW_S:
            self._samples.popleft()
        rate, eta_s = self._speed(all_ - cost, now)
        done_share = round(cost / all_, 4) if all_ else None
        return msgspec.structs.replace(
            moment, share=done_share, done=int(frames), total=total or None, rate=rate, eta_s=eta_s
        )

    def _step(self, state: JobState, living: Living) -> tuple[str, float | None]:
        """What is being done of the job, and how much of that."""
        word = standing(self._job, state, living)
        if word not in ("preparing", "running", "finalizing"):
            return word, None
        tasks = {task.task: task for task in state.tasks}
        at: Task = FINAL if word == "finalizing" else PREP
        begun = any(task.kind in ("running", "done") for task in state.tasks[1:-1])
        if at == FINAL or not begun:
            task = tasks.get(at)
            beat = living.beat_of(self._job, task) if task is not None and task.kind == "running" else None
            if beat is not None and beat.step:
                return beat.step, beat.fraction
            return ("joining", None) if at == FINAL else ("looking" if state.segments is None else "cutting", None)
        return "restoring", None

    def _work(self, state: JobState, living: Living) -> tuple[float, float, int, float]:
        """Frames done, their cost, frames in all, and their cost."""
        if not self._segments and state.segments is not None and (plan := self._job.plan()):
            self._segments = msgspec.json.decode(plan, type=_Plan).segments
        frames = cost = 0.0
        for task in state.tasks:
            if not isinstance(task.task, int) or task.task >= len(self._segments):
                continue
            share = 1.0 if task.kind == "done" else living.done_of(self._job, task) if task.kind == "running" else 0.0
            segment = self._segments[task.task]
            frames += share * segment.frames
            cost += share * segment.cost
        total = self._segments[-1].stop if self._segments else 0
        return frames, cost, total, sum(segment.cost for segment in self._segments)

    def _speed(self, left: float, now: float) -> tuple[float | None, float | None]:
        """Frames per second, and seconds until the result is there."""
        begun, frames, cost = self._samples[0]
        _, frames_now, cost_now = self._samples[-1]
        if now - begun < _LEAST_S or cost_now <= cost:
            return None, None
        restoring_s = left / (cost_now - cost) * (now - begun)
        tail_s = _TAIL * (now - self._since["restoring"] + restoring_s)
        return round((frames_now - frames) / (now - begun), 2), round(restoring_s + tail_s, 1)

    def _left_s(self, step: str, share: float | None, now: float) -> float | None:
        """Seconds until a step of the end is over, once it is well under way."""
        if step != "verifying" or not share or share < 0.1:
            return None
        return round((now - self._since[step]) / share * (1.0 - share), 1)
