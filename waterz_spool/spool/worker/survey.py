"""A worker's looks at the jobs of a spool: oldest first, skipping what can never be work again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

from waterz_spool.errors import UsageError
from waterz_spool.spool.disk.clock import Clock
from waterz_spool.spool.job.jobs import Job
from waterz_spool.spool.log.formats import DamagedRecordError
from waterz_spool.spool.log.layout import JOB_ID
from waterz_spool.spool.log.snapshot import Snapshot
from waterz_spool.spool.root import Spool

_ALL_JOBS_EVERY_S = 60.0


class Survey:
    """What this worker knows of all jobs.

    active/ is listed at every look; jobs/, which is the truth, once a minute, for jobs whose entry is missing.

    Args:
        spool: The spool.
        only: Ids of the only jobs to look at; None is all.
        clock: Where time comes from.
        refused: Told what cannot be read.
        over: Told of each job that can never be work again, and of each that is in the spool no more: nothing of it
            needs to be kept. False when that must wait.
        skip: Whether a job is to be left alone; asked once of each.

    Attributes:
        snapshots: The jobs of the last look, as far as it went.
    """

    def __init__(
        self,
        spool: Spool,
        only: Iterable[str] | None,
        clock: Clock,
        *,
        refused: Callable[[OSError], None],
        over: Callable[[str], bool],
        skip: Callable[[Job], bool] = lambda job: False,
    ) -> None:
        self.snapshots: dict[str, tuple[Job, Snapshot]] = {}
        self._spool = spool
        self._only = None if only is None else sorted(set(only))
        self._clock = clock
        self._refused = refused
        self._tell_over = over
        self._skip = skip
        self._ours: set[str] = set()
        self._over: set[str] = set()  # published or cancelled: never work again
        self._failed: dict[str, list[int]] = {}  # grants seen when it had failed
        self._entries: dict[str, list[str]] = {}  # in active/, by job
        self._seen: dict[str, set[str]] = {}  # entries that jobs had when they were over or had failed
        self._all: set[str] = set()
        self._all_at = float("-inf")
        self._unsure = False
        self._whole_at = float("-inf")  # when the last look over all jobs began

    def look(self, *, repair: bool = False) -> Iterator[tuple[Job, Snapshot]]:
        """Snapshots of jobs that may hold work, one by one; a job that cannot be read now is left out."""
        self.snapshots = {}
        self._unsure = False
        self._whole_at = float("-inf")
        now = self._clock.monotonic()
        for job_id in self._ids():
            if job_id in self._over:
                continue
            snapshot = self._snapshot(job_id, repair)
            if snapshot is not None:
                yield self.snapshots[job_id]
        self._whole_at = now

    def outdate(self) -> None:
        """This worker changed something itself: the last look does not count any more."""
        self._whole_at = float("-inf")

    def _recent(self) -> list[tuple[Job, Snapshot]]:
        """The last look if it went over all jobs less than a poll ago, else a new one."""
        if self._clock.monotonic() - self._whole_at > self._spool.settings.poll_s:
            return list(self.look())
        return list(self.snapshots.values())

    def finished(self, *, final: bool) -> bool:
        """Whether, after a look at all jobs, none can ever be work for a worker that does or does not do final."""
        for _, snapshot in self._recent():
            state = snapshot.state()
            if state in ("done", "cancelled", "failed") or (state == "finalizing" and not final):
                continue
            return False
        return not self._unsure

    def unpublished(self) -> list[Job]:
        """Jobs that are to be published and, as far as can be seen, are not."""
        return [job for job, snapshot in self._recent() if snapshot.state() == "done" and not snapshot.view.published]

    def _snapshot(self, job_id: str, repair: bool) -> Snapshot | None:
        job = self._spool.by_id(job_id)
        try:
            if self._still_failed(job) or self._left_alone(job):
                return None
            snapshot = job.snapshot(repair=repair)
            state = snapshot.state()
        except (DamagedRecordError, UsageError):
            return None  # not work, as long as it is damaged
        except FileNotFoundError:  # cleaned away
            self._spool.forget(job_id)
            return None
        except OSError as error:
            self._refused(error)
            self._unsure = True
            return None
        self.snapshots[job_id] = (job, snapshot)
        if state == "cancelled" or (state == "done" and snapshot.view.published):
            self._over.add(job_id)
            self._see(job_id)
            self._retire(job_id)
            self._tell_over(job_id)
        if state == "failed":
            self._failed[job_id] = snapshot.control.grants
            self._see(job_id)
        return snapshot

    def _see(self, job_id: str) -> None:
        self._seen[job_id] = set(self._entries.get(job_id, ()))

    def _left_alone(self, job: Job) -> bool:
        if job.id not in self._ours:
            if self._skip(job):
                self._over.add(job.id)
                self._see(job.id)
                return True
            self._ours.add(job.id)
        return False

    def _forget_cleaned(self) -> None:
        """Jobs that were cleaned away: a worker that lives for months must not remember that they were."""
        for job_id in (self._ours | self._over).difference(self._all, self._entries):
            self._forget(job_id)

    def _forget_replaced(self) -> None:
        """A new entry of a job that had ended: the old one was cleaned away, and the same video submitted again."""
        for job_id in self._seen.keys() & self._entries.keys():
            if not self._seen[job_id].issuperset(self._entries[job_id]):
                self._forget(job_id)

    def _forget(self, job_id: str) -> None:
        if self._tell_over(job_id):
            self._ours.discard(job_id)
            self._over.discard(job_id)
            self._failed.pop(job_id, None)
            self._seen.pop(job_id, None)

    def _still_failed(self, job: Job) -> bool:
        """A failed job lives on only by a new grant (or ends by cancel): one small listing tells."""
        if job.id not in self._failed:
            return False
        control = job.control.scan()
        if control.cancel or sorted(control.grants) != sorted(self._failed[job.id]):
            del self._failed[job.id]
            return False
        return True

    def _retire(self, job_id: str) -> None:
        """A published or cancelled job needs no entry in active/ any more: there is no way back."""
        for name in self._entries.pop(job_id, ()):
            with contextlib.suppress(OSError):
                self._spool.world.ops.unlink(self._spool.layout.active / name)

    def _ids(self) -> list[str]:
        if self._only is not None:
            return self._only
        try:
            names = sorted(self._spool.world.ops.listdir(self._spool.layout.active))
            now = self._clock.monotonic()
            again = now - self._all_at >= _ALL_JOBS_EVERY_S
            if again:
                self._all, self._all_at = set(self._spool.job_ids()), now
        except OSError as error:
            self._refused(error)
            self._unsure = True
            return []
        self._entries = {}
        for name in names:
            job_id = name.split("-", 2)[-1]
            if name.count("-") >= 2 and JOB_ID.fullmatch(job_id):
                self._entries.setdefault(job_id, []).append(name)
        self._forget_replaced()
        if again:
            self._forget_cleaned()
        return list(dict.fromkeys([*self._entries, *sorted(self._all)]))
