"""What is left when workers die: their claims, revoked; and claims whose own worker does not know of them."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping

from waterz_spool.spool.failpoints import hit
from waterz_spool.spool.formats import DamagedRecordError, EndRecord, Token
from waterz_spool.spool.jobs import Job
from waterz_spool.spool.layout import Task, label
from waterz_spool.spool.liveness import Identity, Suspicion, succeeds
from waterz_spool.spool.root import Spool
from waterz_spool.spool.snapshot import Snapshot

Snapshots = Mapping[str, tuple[Job, Snapshot]]
Claimed = tuple[Job, Task, int, Token]


class Recovery:
    """Looks at claims without outcome, only when there is nothing else to do.

    Attributes:
        watching: Whether other workers' claims were seen at the last look: then looks must not become rare.
    """

    def __init__(self, spool: Spool, suspicion: Suspicion, me: Identity) -> None:
        self.watching = False
        self._spool = spool
        self._suspicion = suspicion
        self._me = me

    def own_open(self, snapshots: Snapshots) -> Iterator[tuple[Job, Task, int]]:
        """Attempts claimed in this worker's name and without outcome."""
        for job, task, attempt, owner in _claimed(snapshots):
            if owner.w == self._me.wid:
                yield job, task, attempt

    def revoke_predecessors(self, snapshots: Snapshots) -> bool:
        """End, as lost, what this worker's own predecessor held: Slurm restarted the job, so it is gone for certain.

        Costs nothing for a worker whose job was not restarted. A wrong hint is safe, as every suspicion.

        Returns:
            Whether anything ended: then a fresh look is worth it.
        """
        ended = False
        if succeeds(self._me.slurm, f"{self._me.slurm.rpartition('.')[0]}.0"):
            for claimed in _claimed(snapshots):
                if succeeds(self._me.slurm, claimed[3].slurm):
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
        for claimed in _claimed(snapshots):
            if claimed[3].w != self._me.wid:
                claims[claimed[3].w].append(claimed)
        self.watching = bool(claims)
        self._suspicion.forget(set(claims))
        ended = False
        for wid, held in claims.items():
            if self._suspicion.stale(wid, held[0][3].boot, wait_s):
                for claimed in held:
                    ended |= self._revoke(*claimed)
        return ended

    def _revoke(self, job: Job, task: Task, attempt: int, owner: Token) -> bool:
        hit("before_revoke", label(task))
        record = EndRecord(
            kind="lost",
            w=self._me.wid,
            n=self._spool.tokens(),
            task=label(task),
            k=attempt,
            host=owner.host,
            why=f"no sign of life from {owner.w} (pid {owner.pid} on {owner.host})",
        )
        with contextlib.suppress(OSError):
            job.log.put_end(task, attempt, record)
            hit("after_revoke", label(task))
            return True
        return False


def _claimed(snapshots: Snapshots) -> Iterator[Claimed]:
    for job, snapshot in snapshots.values():
        if snapshot.commit is not None:
            continue
        for task, attempt in snapshot.running():
            with contextlib.suppress(OSError, DamagedRecordError):
                owner = job.log.owner(task, attempt)
                if owner is not None:
                    yield job, task, attempt, owner
