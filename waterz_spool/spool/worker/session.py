"""A worker's life in a spool: find work, claim it, outlive or succeed others, hand back at the end.

Guarantee: whatever workers do or suffer, an attempt has one owner and one outcome, and a task one output that counts.
Limit: work may be done in vain, when a slow worker is taken for a dead one.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from functools import update_wrapper
from random import Random
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from waterz_spool.errors import UsageError
from waterz_spool.spool.disk.machine import Identity
from waterz_spool.spool.job.attempt import Attempt
from waterz_spool.spool.job.jobs import Job
from waterz_spool.spool.log.alive import Suspicion
from waterz_spool.spool.log.formats import DamagedRecordError, EndRecord
from waterz_spool.spool.log.layout import FINAL, PREP, SEGMENT
from waterz_spool.spool.root import Spool
from waterz_spool.spool.worker.candidates import Candidate, Candidates
from waterz_spool.spool.worker.claims import Claim
from waterz_spool.spool.worker.gates import Accept, Gates
from waterz_spool.spool.worker.heartbeat import Heart
from waterz_spool.spool.worker.ledger import Ended, Ledger
from waterz_spool.spool.worker.owners import Owners
from waterz_spool.spool.worker.presence import Presence
from waterz_spool.spool.worker.recovery import Recovery
from waterz_spool.spool.worker.roles import claim_of
from waterz_spool.spool.worker.survey import Survey
from waterz_spool.spool.worker.trouble import Trouble

STAGES = frozenset({PREP, SEGMENT, FINAL})

P = ParamSpec("P")
R = TypeVar("R")


def _alone(method: Callable[Concatenate[Session, P], R]) -> Callable[Concatenate[Session, P], R]:
    """Let one thread at a time into the session's methods: a worker may encode one segment beside the next."""

    def guarded(self: Session, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._guard:
            return method(self, *args, **kwargs)

    update_wrapper(guarded, method)
    return guarded


class Session:
    """A worker. Use it as a context manager; one thread at a time is inside of it, and one of its own beats.

    Args:
        spool: The spool.
        tasks: Which stages it takes: ``prep``, ``segment``, ``final``.
        jobs: Only these job ids; all by default.
        accept: Asked before each claim with job, task and attempt; False leaves it to others.
        host: Its name for its machine; the host's by default.
        slurm: Its job and how often Slurm restarted that, ``cluster/job.restarts``; empty outside Slurm.
        info: What others may want to know of it (GPU, versions, Slurm ids): small JSON.
        threads: False leaves beating to the caller (`heart.beat`), for tests.
        serve_group: Take jobs of other users, too.

    Attributes:
        owners: Whose jobs are whose.
        trouble: What storage refuses at present.
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
        threads: bool = True,
        serve_group: bool = False,
    ) -> None:
        self.spool = spool
        self.world = spool.world
        self.settings = spool.settings
        self.clock = self.world.clock
        self.me = Identity.of_this_process(spool.world.tokens(), host, slurm)
        self.tasks = frozenset(tasks)
        if not self.tasks <= STAGES:
            raise UsageError(f"unknown stages: {', '.join(sorted(self.tasks - STAGES))}")
        self.heart = Heart(spool.layout.heartbeat(self.wid), self.world, self.settings)
        self._random = Random(self.wid)
        self.trouble = Trouble(spool.layout, self.world, self.heart, host=self.me.host, random=self._random)
        self._threads = threads
        self._presence = Presence(spool, self.me, self.heart, self.trouble, tasks=self.tasks, info=info or {})
        self._candidates = Candidates(self.me.host, self.settings, self._random)
        self.owners = Owners(spool.layout.heartbeat(self.wid), serve_group=serve_group)
        self._gates = Gates(
            spool,
            self.trouble,
            self.owners,
            host=self.me.host,
            stages=self.tasks,
            accept=accept or (lambda job, task, attempt: True),
        )
        self._survey = Survey(
            spool, jobs, self.clock, refused=self.trouble.note, over=self._forget, skip=self._gates.left_alone
        )
        suspicion = Suspicion(spool.layout, self.world, self.settings, self.me)
        self._recovery = Recovery(spool, suspicion, self.me, self.clock)
        self._ledger = Ledger(spool, self.me, self.trouble)
        self._working: dict[Attempt, Claim] = {}
        self._ended: set[Attempt] = set()
        self._executions: dict[Attempt, int] = {}
        self._idle_s = 0.0
        self._guard = threading.RLock()

    @property
    def wid(self) -> str:
        """This worker's id."""
        return self.me.wid

    @property
    def stopped(self) -> bool:
        """Whether this host claims nothing, see `Hosts`."""
        return self._gates.stopped

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
        """Say who this is (as soon as there is room for it), take the worker's lock for life, begin to beat.

        Raises:
            OSError: The spool cannot be written by this user, or is not there.
        """
        self._presence.begin(threads=self._threads)

    @_alone
    def close(self) -> None:
        """Hand back what is held, stop beating, leave no heartbeat behind unless something is still undecided."""
        try:
            for claim in list(self._working.values()):
                if claim.what not in self._ledger.pending:
                    claim.released("the worker ended")
            self._settle()
        finally:
            self._presence.end(clean=not self._working)

    # ---- finding work

    @_alone
    def next(self) -> Claim | None:
        """The next attempt to work on, claimed, or None when there is nothing right now.

        Order: this worker's own leftovers, candidates known from the last look, a fresh look, claims of its own that
        it does not know of (their link was done, its answer lost), claims of workers that are dead by all signs.
        """
        self._settle()
        if self._gates.closed(self._presence.introduce):
            self._wait_longer()
            return None
        claim = self._claim_one()
        rounds = 3
        while claim is None and rounds:
            rounds -= 1
            self._look()
            freed = self._recovery.revoke_predecessors(self._survey.snapshots)
            claim = self._adopt() or self._claim_one()
            again = freed or self._candidates.contested
            if claim is None and not again and not self._recovery.revoke_stale(self._survey.snapshots, self._idle_s):
                break
        if claim is None:
            self.trouble.over()
            self._wait_longer()
        else:
            self._idle_s = 0.0
        late = self._candidates.next_late() if claim is None else None
        self.heart.expect(f"{late.job.id}/{late.what.task}" if late else "", late.not_before if late else 0.0)
        return claim

    @_alone
    def idle_s(self) -> float:
        """How long to wait before the next `next`.

        It doubles while there is nothing, with jitter, but stays short of what is due or needed to notice a dead
        worker.
        """
        if self.trouble.name:
            return max(self.trouble.due_s(), 0.01)
        wait_s = max(self._idle_s, self.settings.poll_s)
        due_s = self._candidates.next_due_s(self.clock.monotonic())
        if due_s is not None:
            wait_s = min(wait_s, max(due_s, 0.01))
        return wait_s

    @_alone
    def drained(self) -> bool:
        """Whether nothing is left that this worker could ever do: all its jobs done, failed or cancelled.

        Limit: a paused job may be resumed, so it counts as work; a failed one may be granted more, and does not.
        """
        if self._working or self._ledger.pending:
            return False
        return self._survey.finished(final=FINAL in self.tasks)

    @_alone
    def unpublished(self) -> list[Job]:
        """Jobs that are decided to be published but are not yet: `Job.publish` is due, by anyone."""
        return self._survey.unpublished()

    def _wait_longer(self) -> None:
        poll_s, most_s = self.settings.poll_s, self.settings.idle_s
        base_s = min(max(self._idle_s * 2, poll_s), max(most_s, poll_s))
        notice_s = self._recovery.notice_s()
        if notice_s is not None:
            base_s = min(base_s, notice_s)
        self._idle_s = base_s * (0.75 + self._random.random() / 4)

    def _look(self) -> None:
        """A fresh look at the jobs in order, until one has something for us."""
        self._candidates.refill()
        if self._gates.look_at_host():
            return
        now = self.clock.monotonic()
        for job, snapshot in self._survey.look(repair=True):
            self._help(job, snapshot.control.cancel, snapshot.task(FINAL).done, snapshot.commit is not None)
            self._candidates.add(job, snapshot, now, self._gates.lets_in)
            if self._candidates.ready:
                return

    def _forget(self, job_id: str) -> bool:
        """A job is over: a worker that lives for months must not remember all that it ever did."""
        if any(what.job == job_id for what in self._working):
            return False
        self._ledger.forget(job_id)
        self._candidates.over(job_id)
        self._ended = {what for what in self._ended if what.job != job_id}
        self._recovery.forget(job_id)
        self.owners.forget(job_id)
        self._executions = {what: number for what, number in self._executions.items() if what.job != job_id}
        self.spool.forget(job_id)
        return True

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
        job, what = candidate.job, candidate.what
        if what in self._working or what in self._ended or not self._gates.lets_in(job, what):
            return None
        won = answered = False
        try:
            won = self._ledger.claim(job, what)
            answered = True
        except OSError as error:
            self.trouble.note(error)
        if not won:
            self._recovery.doubt(what, answered=answered)
            self._candidates.missed(candidate)
            return None
        return self._begin(job, what)

    def _adopt(self) -> Claim | None:
        """Work on a claim that bears our name and that we do not know of."""
        for job, what in self._recovery.own_open(self._survey.snapshots):
            if what not in self._working and what not in self._ended and what.stage in self.tasks:
                return self._begin(job, what)
        return None

    def _begin(self, job: Job, what: Attempt) -> Claim:
        self._survey.outdate()
        number = self._executions[what] = self._executions.get(what, 0) + 1
        tag = f"{what.number}.{self.wid}" if number == 1 else f"{what.number}.{self.wid}-{number}"
        self.heart.note(job=job.id, task=str(what.task), k=what.number, fraction=0.0, step="")
        claim = self._working[what] = claim_of(self, job, what, tag)
        return claim

    # ---- for claims

    @_alone
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

    @_alone
    def commit(self, job: Job, attempt: int) -> None:
        """Final is done: compete for the end of the job; whoever looks next does it when this fails."""
        with contextlib.suppress(OSError, DamagedRecordError):
            job.decide("publish", attempt=attempt)

    @_alone
    def conclude(self, claim: Claim, record: EndRecord) -> bool:
        """Record the outcome of a claim, now or as soon as it can be.

        Returns:
            True when this outcome holds; False when another does, or when it is not known yet.
        """
        if claim.ended:
            raise UsageError(f"{claim} has ended already", where=claim.job.id)
        claim.ended = True
        ended = self._ledger.conclude(claim.job, claim.what, record)
        if ended is None:
            return False
        self._finished(ended)
        return bool(ended.kind)

    def _settle(self) -> None:
        for ended in self._ledger.settle():
            self._finished(ended)

    def _finished(self, ended: Ended) -> None:
        self._working.pop(ended.what, None)
        self._ended.add(ended.what)
        self._survey.outdate()
        if not ended.kind:
            self._presence.renew_lock()
        if ended.kind == "failed":
            self._gates.streak.failed(ended.job, ended.what.task)
        elif ended.kind == "done":
            self._gates.streak.broken()
            self.trouble.over(proven=True)
        if not self._working:
            self.heart.note(job="", task="", k=0, fraction=0.0, step="")
