"""How long a job's segments take at present: the one answer that status, ETA, scaling and walltime decisions share.

The newest outcomes by their time of end count, whatever their index: workers take segments in no order. What passes
between two outcomes of one worker is what a segment costs it, looking for work included. Limit: of more than
MOST_LOOKED outcomes only an even share is looked at.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from statistics import fmean, median

import msgspec

from waterz_spool.records import SegmentResult
from waterz_spool.spool import EndRecord, Job, JobState, TaskState

MOST_LOOKED = 2048
_LEAST, _PER_WORKER, _MOST = 32, 3, 96  # outcomes that are read: a status must not open a file per segment
_PAUSE_S = 30.0  # a longer gap than twice the work and this was no work on the job


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Means over the newest outcomes.

    ``segment_s`` is what a segment costs one worker, from outcome to outcome; ``work_s`` the median from claim to
    outcome, longer where two segments are in hand at a time; ``frames`` the frames of a segment.
    """

    segment_s: float
    work_s: float
    frames: float


def pace(job: Job, state: JobState) -> Pace | None:
    """What the newest finished segments took; None before the first.

    Args:
        job: The job.
        state: Where it stands.
    """
    newest, share = _newest(job, state)
    found = [(at, end) for at, task in newest if (end := job.log.end(task.task, task.attempt))]
    ends = [(at, end) for at, end in found if not ((result := segment_result(end)) and result.copied)]
    if not ends:
        return None
    gaps = list(_gaps(ends, share))
    worked = [end.seconds for _, end in ends]
    results = [result for _, end in ends if (result := segment_result(end))]
    return Pace(
        segment_s=max(1e-3, fmean(gaps or worked)),
        work_s=max(1e-3, median(worked)),
        frames=fmean([result.frames for result in results] or [0]),
    )


def _newest(job: Job, state: JobState) -> tuple[list[tuple[float, TaskState]], int]:
    """Time of end and task of the newest outcomes, oldest first; and of how many outcomes one was looked at."""
    done = [task for task in state.tasks if task.kind == "done" and isinstance(task.task, int)]
    share = -(-len(done) // MOST_LOOKED) or 1
    timed = [(at, task) for task in done[::share] if (at := job.log.ended_at(task.task, task.attempt)) is not None]
    timed.sort(key=lambda item: item[0])
    running = sum(task.kind == "running" for task in state.tasks)
    return timed[-min(max(_LEAST, _PER_WORKER * running), _MOST) :], share


def _gaps(ends: list[tuple[float, EndRecord]], share: int) -> list[float]:
    """Seconds between neighbouring outcomes of each worker, without its pauses."""
    by_worker: dict[str, list[tuple[float, EndRecord]]] = defaultdict(list)
    for at, end in ends:
        by_worker[end.w].append((at, end))
    found = []
    for row in by_worker.values():
        for (before, _), (after, end) in pairwise(row):
            gap_s = (after - before) / share
            if gap_s <= 2 * end.seconds + _PAUSE_S:
                found.append(gap_s)
    return found


def segment_result(end: EndRecord | None) -> SegmentResult | None:
    """What the worker of a finished segment reported; None when that cannot be read."""
    if end is None:
        return None
    try:
        return msgspec.json.decode(end.info, type=SegmentResult)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
