"""A worker's life in a spool: find work, claim it, outlive or succeed others, hand back at the end.

Guarantee: whatever workers do or suffer, an attempt has one owner and one outcome, and a task one output that counts.
Limit: work may be done in vain, when a slow worker is taken for a dead one.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any

from waterz_spool.errors import UsageError
from waterz_spool.spool.atomic import NO_SPACE, RECORD_CAP_BYTES, UndecidedError, put_if_absent
from waterz_spool.spool.candidates import Accept, Candidate, Candidates
from waterz_spool.spool.claims import Claim
from waterz_spool.spool.clock import Clock
from waterz_spool.spool.formats import (
    DamagedRecordError,
    EndRecord,
    WorkerRecord,
    encode,
)
from waterz_spool.spool.jobs import Job
from waterz_spool.spool.layout import FINAL, PREP, SEGMENT, Task, stage_of
from waterz_spool.spool.liveness import Heart, Identity, Suspicion, take_lock
from waterz_spool.spool.recovery import Recovery
from waterz_spool.spool.root import Spool
from waterz_spool.spool.survey import Survey
from waterz_spool.spool.tokens import TokenSet

if TYPE_CHECKING:
    from filelock import BaseFileLock

Key = tuple[str, Task, int]
STAGES = frozenset({PREP, SEGMENT, FINAL})


class Session:
    """A worker. Use it as a context manager, from one thread; a second thread of its own beats.

    Args:
        spool: The spool.
        tasks: Which stages it takes: ``prep``, ``segment``, ``final``.
        jobs: Only these job ids; all by default.
        accept: Asked before each claim with job, task and attempt; False leaves it to others.
        host: Its name for its machine; the host's by default.
        slurm: Its job and how often Slurm restarted that, ``cluster/job.restarts``; empty outside Slurm.
        info: What others may want to know of it (GPU, versions, Slurm ids): small JSON.
        clock: Instead of the spool's.
        threads: False leaves beating to the caller (`heart.beat`), for tests.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        tasks: Iterable[str] = STAGES,
        jobs: Iterable[str] | None = None,
        accept: Accept | None = None,
        host: str | None = None,
        slurm: str = "",
        info: dict[str, Any] | None = None,
        clock: Clock | None = None,
        threads: bool = True,
    ) -> None:
        self.spool = spool
        self.clock = clock or spool.clock
        self.me = Identity.of_this_process(spool.tokens(), host, slurm)
        self.tasks = frozenset(tasks)
        if not self.tasks <= STAGES:
            raise UsageError(f"unknown stages: {', '.join(sorted(self.tasks - STAGES))}")
        self.heart = Heart(spool.layout.heartbeat(self.wid), spool.ops, spool.settings, self.clock)
        self._random = Random(self.wid)
        self._accept = accept or _anything
        self._info = info or {}
        self._threads = threads
        self._lock: BaseFileLock | None = None
        self._candidates = Candidates(self.tasks, self.me.host, spool.settings, self._random)
        self._survey = Survey(spool, None if jobs is None else frozenset(jobs), self.clock)
        suspicion = Suspicion(spool.layout, spool.ops, spool.settings, self.clock, self.me)
        self._recovery = Recovery(spool, suspicion, self.me, self.clock)
        self._tokens: dict[str, TokenSet] = {}
        self._working: dict[Key, Claim] = {}
        self._pending: dict[Key, tuple[Claim, EndRecord]] = {}
        self._ended: set[Key] = set()
        self._executions: dict[Key, int] = {}
        self._idle_s = 0.0
        self._hold_until = float("-inf")
        self._doubtful: set[Key] = set()  # linked without a definite answer: may be ours
        self._paused = False
        self._paused_at = float("-inf")

    @property
    def wid(self) -> str:
        """This worker's id."""
        return self.me.wid

    @property
    def title(self) -> str:
        """This worker for people: where it runs, and as which Slurm job."""
        return f"{self.me.host} pid {self.me.pid}" + (f" slurm {self.me.slurm}" if self.me.slurm else "")

    # ---- life

    def __enter__(self) -> Session:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Say who this is, take the worker's lock for life, begin to beat.

        Raises:
            OSError: The spool cannot be written.
        """
        if self.spool.settings.locks != "off":
            self._lock = take_lock(self.spool.layout.lock(self.wid))
        self.heart.beat()
        record = WorkerRecord(
            w=self.wid,
            host=self.me.host,
            pid=self.me.pid,
            boot=self.me.boot,
            uid=os.getuid(),
            tasks=tuple(sorted(self.tasks)),
            locked=self._lock is not None,
            started=self.clock.wall(),
            info=self._info,
        )
        path = self.spool.layout.worker_record(self.wid)
        put_if_absent(self.spool.ops, path, encode(record), self.spool.tokens())
        if self._threads:
            self.heart.start()

    def close(self) -> None:
        """Hand back what is held, stop beating, leave no heartbeat behind unless something is still undecided."""
        try:
            for claim in list(self._working.values()):
                if claim.key not in self._pending:
                    claim.released("the worker ended")
            self._settle()
        finally:
            self.heart.stop()
            if self._lock is not None:
                self._lock.release()
            if not self._working:
                self._leave()

    def _leave(self) -> None:
        for path in (self.spool.layout.heartbeat(self.wid), self.spool.layout.lock(self.wid)):
            with contextlib.suppress(OSError):
                self.spool.ops.unlink(path)

    # ---- finding work

    def next(self) -> Claim | None:
        """The next attempt to work on, claimed, or None when there is nothing right now.

        Order: this worker's own leftovers, candidates known from the last look, a fresh look, claims of its own that
        it does not know of (their link was done, its answer lost), claims of workers that are dead by all signs.
        """
        self._settle()
        if self._holding():
            self._wait_longer()
            return None
        claim = self._claim_one()
        rounds = 3
        while claim is None and rounds:
            rounds -= 1
            self._look()
            freed = self._recovery.revoke_predecessors(self._survey.snapshots)
            claim = self._claim_one() or self._adopt()
            again = freed or self._candidates.contested
            if claim is None and not again and not self._recovery.revoke_stale(self._survey.snapshots, self._idle_s):
                break
        if claim is None:
            self._wait_longer()
        else:
            self._idle_s = 0.0
        return claim

    def idle_s(self) -> float:
        """How long to wait before the next `next`.

        It doubles while there is nothing, with jitter, but stays short of what is due or needed to notice a dead
        worker.
        """
        wait_s = max(self._idle_s, self.spool.settings.poll_s)
        due_s = self._candidates.next_due_s(self.clock.monotonic())
        if due_s is not None:
            wait_s = min(wait_s, max(due_s, 0.01))
        return wait_s

    def drained(self) -> bool:
        """Whether nothing is left that this worker could ever do: all its jobs done, failed or cancelled.

        Limit: a paused job may be resumed, so it counts as work; a failed one may be granted more, and does not.
        """
        if self._working or self._pending:
            return False
        return self._survey.finished(final=FINAL in self.tasks)

    def unpublished(self) -> list[Job]:
        """Jobs that are decided to be published but are not yet: `Job.publish` is due, by anyone."""
        return self._survey.unpublished()

    def _wait_longer(self) -> None:
        poll_s, most_s = self.spool.settings.poll_s, self.spool.settings.idle_s
        base_s = min(max(self._idle_s * 2, poll_s), max(most_s, poll_s))
        notice_s = self._recovery.notice_s()
        if notice_s is not None:
            base_s = min(base_s, notice_s)
        self._idle_s = base_s * (0.75 + self._random.random() / 2)

    def _holding(self) -> bool:
        """Whether to claim nothing: for want of space, or because the spool is paused (asked at most once a poll)."""
        now = self.clock.monotonic()
        if now < self._hold_until:
            return True
        if self._paused or now - self._paused_at >= self.spool.settings.poll_s:
            try:
                self._paused, self._paused_at = self.spool.paused, now
            except OSError:
                return True
        return self._paused

    def _look(self) -> None:
        """A fresh look at the jobs in order, until one has something for us."""
        self._candidates.refill()
        now = self.clock.monotonic()
        for job, snapshot in self._survey.look(repair=True):
            self._help(job, snapshot.control.cancel, snapshot.task(FINAL).done, snapshot.commit is not None)
            self._candidates.add(job, snapshot, now, self._accept)
            if self._candidates.ready:
                return

    def _help(self, job: Job, cancel: bool, final: int, committed: bool) -> None:
        """Decide the end of a job whose final or cancel died before it could."""
        if committed or not (final or cancel):
            return
        with contextlib.suppress(OSError, DamagedRecordError):
            job.decide("publish" if final else "cancelled", attempt=final)

    def _claim_one(self) -> Claim | None:
        for candidate in self._candidates:
            claim = self._try(candidate)
            if claim is not None:
                return claim
        return None

    def _try(self, candidate: Candidate) -> Claim | None:
        key = (candidate.job.id, candidate.task, candidate.attempt)
        if (
            key in self._working
            or key in self._ended
            or not self._accept(candidate.job, candidate.task, candidate.attempt)
        ):
            return None
        try:
            won = self._token_set(candidate.job).claim(candidate.task, candidate.attempt)
        except OSError as error:
            self._doubtful.add(key)
            if error.errno in NO_SPACE:
                self._hold()
            won = False
        if not won:
            self._candidates.missed(candidate)
            return None
        return self._begin(candidate.job, candidate.task, candidate.attempt)

    def _hold(self) -> None:
        """No space: claim nothing for a while."""
        self._hold_until = self.clock.monotonic() + max(self.spool.settings.backoff_s, self.spool.settings.poll_s)

    def _adopt(self) -> Claim | None:
        """Work on a claim that bears our name and that we do not know of."""
        for job, task, attempt in self._recovery.own_open(self._survey.snapshots, self._doubtful):
            key = (job.id, task, attempt)
            if key not in self._working and key not in self._ended and stage_of(task) in self.tasks:
                return self._begin(job, task, attempt)
        return None

    def _begin(self, job: Job, task: Task, attempt: int) -> Claim:
        key = (job.id, task, attempt)
        self._survey.outdate()
        number = self._executions[key] = self._executions.get(key, 0) + 1
        tag = f"{attempt}.{self.wid}" if number == 1 else f"{attempt}.{self.wid}-{number}"
        self.heart.note(job=job.id, task=str(task), k=attempt, fraction=0.0)
        claim = self._working[key] = Claim(self, job, task, attempt, tag)
        return claim

    def _token_set(self, job: Job) -> TokenSet:
        if job.id not in self._tokens:
            self._tokens[job.id] = TokenSet(job.layout.log, self.spool.ops, self.me, self.spool.tokens)
        return self._tokens[job.id]

    # ---- for claims

    def asked_to_stop(self, job: Job) -> str | None:
        """Whether people asked for it: ``cancelled`` (also when the job is gone), ``paused``, or None."""
        answer = self._asked(job)
        if answer is not None:
            self._candidates.forget(job)
        return answer

    def _asked(self, job: Job) -> str | None:
        try:
            control = job.control.scan()
            if control.cancel:
                return "cancelled"
            return "paused" if control.paused or self.spool.paused else None
        except FileNotFoundError:
            return "cancelled"
        except OSError:
            return None

    def commit(self, job: Job, attempt: int) -> None:
        """Final is done: compete for the end of the job; whoever looks next does it when this fails."""
        with contextlib.suppress(OSError, DamagedRecordError):
            job.decide("publish", attempt=attempt)

    def conclude(self, claim: Claim, record: EndRecord) -> bool:
        """Record the outcome of a claim, now or as soon as it can be.

        Returns:
            True when this outcome holds; False when another does, or when it is not known yet.
        """
        if claim.ended:
            raise UsageError(f"{claim} has ended already", where=claim.job.id)
        if len(encode(record)) > RECORD_CAP_BYTES:
            raise UsageError(f"an outcome of more than {RECORD_CAP_BYTES} bytes", where=claim.job.id)
        claim.ended = True
        self._pending[claim.key] = (claim, record)
        return self._record(claim, record)

    def _settle(self) -> None:
        """Try again to record what could not be recorded before."""
        for claim, record in list(self._pending.values()):
            self._record(claim, record)

    def _record(self, claim: Claim, record: EndRecord) -> bool:
        try:
            won = claim.job.log.put_end(claim.task, claim.attempt, record)
        except OSError as error:
            if isinstance(error, UndecidedError) or not self._fall_back(claim, record, error):
                self._give_up_if_gone(claim, error)
                return False
            won = record.kind != "done"
        self._finish(claim.key)
        return won

    def _fall_back(self, claim: Claim, record: EndRecord, error: OSError) -> bool:
        """Where nothing can be written, link an outcome that was written before; True when the attempt has ended."""
        full = error.errno in NO_SPACE
        if full:
            self._hold()
        name = {"released": "released", "done": "nospace" if full else "", "failed": "failed" if full else ""}
        written = self._token_set(claim.job).outcome(name.get(record.kind, ""))
        if written is None:
            return False
        with contextlib.suppress(OSError):
            claim.job.log.link_end(written.path, written.data, claim.task, claim.attempt, written.kind)
            return True
        return False

    def _give_up_if_gone(self, claim: Claim, error: OSError) -> None:
        """A job that was cleaned away needs no outcome; everything else is tried again later."""
        if error.errno == errno.ENOENT and claim.job.id not in self.spool.job_ids():
            self._finish(claim.key)

    def _finish(self, key: Key) -> None:
        self._working.pop(key, None)
        self._pending.pop(key, None)
        self._ended.add(key)
        self._survey.outdate()
        if not self._working:
            self.heart.note(job="", task="", k=0, fraction=0.0)


def _anything(job: Job, task: Task, attempt: int) -> bool:
    return True
