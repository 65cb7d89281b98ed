"""Where a job stands at a moment, for whoever waits: which step, how much of it, how fast, how long it will take.

Frames count when their segment is done, and as far as heartbeats say of those in hand. Limit: before there is a plan
nothing tells how much is to be done, so there is no ETA while a video is looked at.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import msgspec

from waterz_spool.errors import printable
from waterz_spool.plan.costs import Costs, costs_of
from waterz_spool.records import SegmentSpec
from waterz_spool.report.eta import Eta
from waterz_spool.report.living import Living, standing
from waterz_spool.report.words import clock
from waterz_spool.spool import FINAL, PREP, Job, JobState, Task

_WINDOW_S = 60.0
_LEAST_S = 2.0  # of restoring before its speed is believed
_GLANCE_S = 2.0
_TEXTURED = 64  # segments that are looked at for what texture is made from


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


class _Video(msgspec.Struct):
    width: int
    height: int


class _Plan(msgspec.Struct):
    video: _Video
    segments: list[SegmentSpec]
    cuts: list[int] = []


class _Given(msgspec.Struct):
    plates: msgspec.Raw = msgspec.Raw(b"null")


class Watch:
    """Looks at one job again and again; what it saw before tells the speed.

    Args:
        job: The job.
        now: Seconds, for tests.
    """

    def __init__(self, job: Job, now: Callable[[], float] = time.monotonic) -> None:
        self._job = job
        self._now = now
        self._begun = self._last = now()
        self._plan: _Plan | None = None
        self._eta: Eta | None = None
        self._textured: dict[int, bool] = {}
        self._samples: deque[tuple[float, float]] = deque()  # time, frames
        self._since: dict[str, float] = {}  # when a step was first seen
        self._looked = 0.0  # how much of the look had been done by then

    def glance(self, state: JobState) -> None:
        """Keep up with the job, however seldom somebody wants to be told: the ETA lives on what was seen."""
        if self._now() - self._last >= _GLANCE_S:
            self.look(state)

    def look(self, state: JobState) -> Moment:
        """Where the job stands now."""
        self._last = self._now()
        living = Living.around(self._job)
        step, share = self._step(state, living)
        now = self._now()
        if step == "looking" and step not in self._since:
            self._looked = share or 0.0
        self._since.setdefault(step, now)
        moment = Moment(
            name=self._job.name, job=self._job.id, step=step, share=share, elapsed_s=round(now - self._begun, 1)
        )
        self._read_plan(state)
        if step == "looking" or self._plan is None or self._eta is None:
            return moment
        if step == "cutting":
            self._prepared(now, share or 0.0)
            return msgspec.structs.replace(moment, eta_s=_rounded(self._eta.left_s(cut=share or 0.0)))
        shares = self._shares(state, living)
        frames = sum(part * _frames(self._plan.segments[index]) for index, part in shares.items())
        total = self._plan.segments[-1].stop
        if step != "restoring":
            left_s = self._left_s(step, share, now)
            return msgspec.structs.replace(moment, done=int(frames), total=total, eta_s=left_s)
        self._prepared(now, 1.0)
        done_share = self._eta.see(now, shares)
        rate, eta_s = self._rate(now, frames), _rounded(self._eta.left_s())
        return msgspec.structs.replace(
            moment, share=round(done_share, 4), done=int(frames), total=total, rate=rate, eta_s=eta_s
        )

    def _read_plan(self, state: JobState) -> None:
        """The plan as soon as there is one, and which of its segments are given what texture is made from."""
        if self._plan is None and state.segments is not None and (plan := self._job.plan()):
            self._plan = msgspec.json.decode(plan, type=_Plan)
            self._eta = Eta(self._costs(self._plan))
        if self._plan is None or self._eta is None or not self._learn(self._plan.segments):
            return
        self._eta.costs = self._costs(self._plan)

    def _costs(self, plan: _Plan) -> Costs:
        textured = [self._textured.get(index, False) for index in range(len(plan.segments))]
        return costs_of(plan.segments, plan.cuts, picture_px=plan.video.width * plan.video.height, textured=textured)

    def _learn(self, segments: list[SegmentSpec]) -> bool:
        """Look at segments that were published since; whether any news came of it."""
        if all(index in self._textured or not each.crops for index, each in enumerate(segments[:_TEXTURED])):
            return False
        news = False
        for index, segment in enumerate(segments[:_TEXTURED]):
            if index in self._textured or not segment.crops:
                continue
            data = self._job.segment(index)
            if data is None:
                break  # they are published in order
            self._textured[index] = msgspec.json.decode(data, type=_Given).plates != _NULL
            news = news or self._textured[index]
        return news

    def _prepared(self, now: float, cut: float) -> None:
        """What looking and cutting took, if they were seen."""
        if self._eta is None or "looking" not in self._since or "cutting" not in self._since:
            return
        end = self._since.get("restoring", now)
        self._eta.prepared(end - self._since["looking"], look=1.0 - self._looked, cut=cut)

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

    def _shares(self, state: JobState, living: Living) -> dict[int, float]:
        """How much of each segment is done, 0..1, of those that were begun."""
        count = len(self._plan.segments) if self._plan else 0
        return {
            task.task: 1.0 if task.kind == "done" else living.done_of(self._job, task)
            for task in state.tasks
            if isinstance(task.task, int) and task.task < count and task.kind in ("done", "running")
        }

    def _rate(self, now: float, frames: float) -> float | None:
        """Frames per second of late."""
        self._samples.append((now, frames))
        while len(self._samples) > 2 and now - self._samples[1][0] > _WINDOW_S:
            self._samples.popleft()
        begun, before = self._samples[0]
        return round((frames - before) / (now - begun), 2) if now - begun >= _LEAST_S and frames > before else None

    def _left_s(self, step: str, share: float | None, now: float) -> float | None:
        """Seconds until a step of the end is over, once it is well under way."""
        if step != "verifying" or not share or share < 0.1:
            return None
        return round((now - self._since[step]) / share * (1.0 - share), 1)


_NULL = msgspec.Raw(b"null")


def _frames(segment: SegmentSpec) -> int:
    return segment.stop - segment.start


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
