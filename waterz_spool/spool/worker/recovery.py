"""What is left when workers die: their claims, revoked; and claims whose own worker does not know of them."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from waterz_spool.spool.disk.clock import Clock
from waterz_spool.spool.disk.failpoints import hit
from waterz_spool.spool.disk.machine import Identity, succeeds
from waterz_spool.spool.job.attempt import Attempt
from waterz_spool.spool.job.jobs import Job
from waterz_spool.spool.log.alive import Suspicion
from waterz_spool.spool.log.formats import DamagedRecordError, EndRecord, Token
from waterz_spool.spool.log.layout import label
from waterz_spool.spool.log.snapshot import Snapshot
from waterz_spool.spool.root import Spool

Snapshots = Mapping[str, tuple[Job, Snapshot]]
Claimed = tuple[Job, Attempt, Token]

_NOTICE_S = 1.0  # where locks tell of a death, it is noticed so soon
_CROWD = 8  # more than so many idle workers share the looking
_CROWD_MAX = 8


class Recovery:
    """Looks at claims without outcome, only when there is nothing else to do, and only at those that last.

    While many workers end a job together, most claims end before anybody has to know whose they are.
    """

    def __init__(self, spool: Spool, suspicion: Suspicion, me: Identity, clock: Clock) -> None:
        self._spool = spool
        self._suspicion = suspicion
        self._me = me
        self._clock = clock
        self._since: dict[Attempt, float] = {}  # when a claim without outcome was first seen
        self._doubts: dict[Attempt, float] = {}  # by when to know whose it is
        self._owners = self._idle = 0

    def doubt(self, what: Attempt, *, answered: bool) -> None:
        """A claim was not won: it is somebody else's, or this worker's own, if the answer to its link was lost.

        After an answer (the name is taken) that is rare enough to be looked at only if the attempt still runs after
        a lease; until then nobody is kept waiting longer than by a worker that died.
        """
        self._doubts[what] = self._clock.monotonic() + (self._spool.settings.lease_s if answered else 0.0)

    def forget(self, job_id: str) -> None:
        """Nothing of this job matters any more."""
        self._doubts = {what: due for what, due in self._doubts.items() if what.job != job_id}

    def own_open(self, snapshots: Snapshots) -> Iterator[tuple[Job, Attempt]]:
        """Attempts claimed in this worker's name and without outcome, among those where that is in doubt."""
        now = self._clock.monotonic()
        doubtful = {what for what, due in self._doubts.items() if due <= now}
        for job, what, owner in _claimed(snapshots, doubtful):
            if owner.w == self._me.wid:
                yield job, what

    def notice_s(self) -> float | None:
        """How long to wait at most, so that a death is noticed in time; None: there is nobody to watch.

        Where locks tell of a death at once, looks are frequent, but the rarer the more workers there are to look or to
        be looked at: all of them together see enough. A dead worker counts as idle, hence the limit.
        """
        if not self._since:
            return None
        settings = self._spool.settings
        if settings.locks == "off":
            notice_s = settings.lease_s / 4
        else:
            crowd = max(self._idle / _CROWD, self._owners / (2 * _CROWD), 1.0)
            notice_s = max(min(settings.beat_s, _NOTICE_S), settings.poll_s) * min(crowd, _CROWD_MAX)
        due_s = self._suspicion.due_s()
        return notice_s if due_s is None else min(notice_s, max(due_s, settings.poll_s))

    def revoke_predecessors(self, snapshots: Snapshots) -> bool:
        """End, as lost, what this worker's own predecessor held: Slurm restarted the job, so it is gone for certain.

        Costs nothing for a worker whose job was not restarted. A wrong hint is safe, as every suspicion.

        Returns:
            Whether anything ended: then a fresh look is worth it.
        """
        ended = False
        if succeeds(self._me.slurm, f"{self._me.slurm.rpartition('.')[0]}.0"):
            for claimed in _claimed(snapshots, None):
                if succeeds(self._me.slurm, claimed[2].slurm):
                    ended |= self._revoke(*claimed)
        return ended

    def revoke_stale(self, snapshots: Snapshots, wait_s: float) -> bool:
        """Look at the heartbeats of all owners; end the attempts of those that are stale, as lost.

        A wrong suspicion is safe: the outcome competes with the owner's own for one name.

        Args:
            snapshots: The last look at the jobs.
            wait_s: How long this worker meant to wait since its last look.

        Returns:
            Whether anything ended, by us or by somebody else: then a fresh look is worth it.
        """
        claims: dict[str, list[Claimed]] = defaultdict(list)
        for claimed in _claimed(snapshots, self._lasting(snapshots)):
            if claimed[2].w != self._me.wid:
                claims[claimed[2].w].append(claimed)
        self._owners = len(claims)
        self._idle = sum(snapshot.view.workers for _, snapshot in snapshots.values()) - len(claims)
        self._suspicion.forget(set(claims))
        ended = False
        for wid, held in claims.items():
            if self._suspicion.stale(wid, held[0][2].boot, wait_s):
                for claimed in held:
                    ended |= self._revoke(*claimed)
        return ended

    def _lasting(self, snapshots: Snapshots) -> set[Attempt]:
        """Claims without outcome that were there a poll ago."""
        now = self._clock.monotonic()
        self._since = {what: self._since.get(what, now) for _, what in _running(snapshots)}
        return {what for what, since in self._since.items() if now - since >= self._spool.settings.poll_s}

    def _revoke(self, job: Job, what: Attempt, owner: Token) -> bool:
        name = label(what.task)
        hit("before_revoke", name)
        record = EndRecord(
            kind="lost",
            w=self._me.wid,
            n=self._spool.world.tokens(),
            task=name,
            k=what.number,
            host=owner.host,
            why=f"no sign of life from {owner.w} (pid {owner.pid} on {owner.host})",
        )
        with contextlib.suppress(OSError):
            job.log.put_end(what.task, what.number, record)
            hit("after_revoke", name)
            return True
        return False


def _running(snapshots: Snapshots) -> Iterator[tuple[Job, Attempt]]:
    for job, snapshot in snapshots.values():
        if snapshot.commit is None:
            for task, attempt in snapshot.running():
                yield job, Attempt(job.id, task, attempt)


def _claimed(snapshots: Snapshots, only: Collection[Attempt] | None) -> Iterator[Claimed]:
    """Claims without outcome and whose they are: one read for each that was not read before."""
    for job, what in _running(snapshots):
        if only is None or what in only:
            with contextlib.suppress(OSError, DamagedRecordError):
                owner = job.log.owner(what.task, what.number)
                if owner is not None:
                    yield job, what, owner
