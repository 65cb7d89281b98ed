"""What one worker records in the jobs: the claims it links, and the outcomes of its attempts.

A claim is a hard link of a token that was written into the job before, so claiming writes no data. Outcomes are written
when they are known, now or as soon as they can be; some were written before they were needed and can still be linked on
a full disk: such a one does not name its attempt, the name it is linked to does.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from waterz_spool.spool.disk.atomic import UndecidedError, link_if_absent, settle_folder
from waterz_spool.spool.disk.failpoints import hit
from waterz_spool.spool.disk.fileops import NO_SPACE
from waterz_spool.spool.disk.machine import Identity
from waterz_spool.spool.disk.world import World
from waterz_spool.spool.job.attempt import Attempt
from waterz_spool.spool.job.jobs import Job
from waterz_spool.spool.log.formats import FORMAT_VERSION, EndRecord, Token, encode
from waterz_spool.spool.log.layout import Outcome, Task, claim_name, label
from waterz_spool.spool.root import Spool
from waterz_spool.spool.worker.trouble import Trouble

_TRIES = 20
PREWRITTEN: dict[str, tuple[Outcome, str]] = {
    "released": ("released", "handed back"),
    "nospace": ("released", "no space left"),
    "failed": ("failed", "failed, and the reason could not be written"),
}


@dataclass(frozen=True)
class Written:
    """A durable file and its content."""

    path: Path
    data: bytes


class TokenSet:
    """One worker's files in one log/; written on first use."""

    def __init__(self, folder: Path, world: World, me: Identity) -> None:
        self._folder = folder
        self._world = world
        self._ops = world.ops
        self._me = me
        self._claim: Written | None = None
        self._outcomes: dict[str, Written] = {}

    def claim(self, task: Task, attempt: int) -> bool:
        """Try to claim an attempt.

        Returns:
            False when somebody has it. That may be this worker itself, when the answer to its link was lost and the
            link sent again; reading each name that is taken would cost more than finding that out later.

        Raises:
            OSError: The token could not be written; UndecidedError: the claim may be ours all the same.
        """
        token = self._ready()
        target = self._folder / claim_name(task, attempt)
        won = self._link(token, target)
        if won is None:
            won = link_if_absent(self._ops, self._ready().path, target, token.data)
        if won:
            hit("after_claim", label(task))
        return won

    def _link(self, token: Written, target: Path) -> bool | None:
        """Whether the name is ours; None when that is not known."""
        try:
            self._ops.link(token.path, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno == errno.EMLINK:
                self._claim = None  # as many names as a file can have: go on with a new one
            return None
        return True

    def outcome(self, name: str) -> Written | None:
        """An outcome written before: ``released``, ``nospace`` or ``failed``; None if there was no room even then."""
        return self._outcomes.get(name)

    def _ready(self) -> Written:
        if self._claim is None:
            for name in PREWRITTEN.keys() - self._outcomes.keys():
                self._outcomes[name] = self._write(f".e.{self._me.wid}", f".{name}", self._outcome(name))
            self._claim = self._write(f".w.{self._me.wid}", "", self._token())
            settle_folder(self._ops, self._folder)
            hit("after_token")
        return self._claim

    def _token(self) -> Written:
        me = self._me
        record = Token(v=FORMAT_VERSION, w=me.wid, n=me.wid, host=me.host, pid=me.pid, boot=me.boot, slurm=me.slurm)
        return Written(Path(), encode(record))

    def _outcome(self, name: str) -> Written:
        kind, why = PREWRITTEN[name]
        record = EndRecord(kind=kind, w=self._me.wid, n=self._world.tokens(), host=self._me.host, why=why)
        return Written(Path(), encode(record))

    def _write(self, first: str, last: str, what: Written) -> Written:
        """Write under the first free number: a half-written file, or one whose creation was answered twice, stays."""
        for number in range(_TRIES):
            path = self._folder / (f"{first}{last}" if number == 0 else f"{first}.{number}{last}")
            try:
                self._ops.write_new(path, what.data)
            except FileExistsError:
                continue
            return Written(path, what.data)
        raise FileExistsError(errno.EEXIST, "no free name for a token", str(self._folder / first))


class Ended(NamedTuple):
    """An attempt of this worker that has an outcome: of this kind, or, empty, somebody else's."""

    what: Attempt
    job: Job
    kind: Outcome | Literal[""]


class Ledger:
    """One worker's records in all jobs.

    Args:
        spool: The spool.
        me: Who the worker is.
        trouble: Told what storage refuses.

    Attributes:
        pending: Attempts whose outcome could not be recorded yet, or is not known to be.
    """

    def __init__(self, spool: Spool, me: Identity, trouble: Trouble) -> None:
        self.pending: dict[Attempt, tuple[Job, EndRecord]] = {}
        self._spool = spool
        self._me = me
        self._trouble = trouble
        self._sets: dict[str, TokenSet] = {}

    def claim(self, job: Job, what: Attempt) -> bool:
        """Try to claim an attempt; see `TokenSet.claim`."""
        return self._tokens_in(job).claim(what.task, what.number)

    def conclude(self, job: Job, what: Attempt, record: EndRecord) -> Ended | None:
        """Record an outcome, now or as soon as it can be.

        Returns:
            None when that is not known yet: `settle` tries again.
        """
        self.pending[what] = job, record
        return self._record(what)

    def settle(self) -> Iterator[Ended]:
        """Try again to record what could not be recorded before."""
        for what in list(self.pending):
            ended = self._record(what)
            if ended is not None:
                yield ended

    def forget(self, job_id: str) -> None:
        """Nothing will be recorded in this job any more."""
        self._sets.pop(job_id, None)

    def _tokens_in(self, job: Job) -> TokenSet:
        if job.id not in self._sets:
            self._sets[job.id] = TokenSet(job.layout.log, self._spool.world, self._me)
        return self._sets[job.id]

    def _record(self, what: Attempt) -> Ended | None:
        job, record = self.pending[what]
        kind: Outcome | Literal[""] = record.kind
        try:
            won = job.log.put_end(what.task, what.number, record)
        except OSError as error:
            self._trouble.note(error)
            kind = "" if isinstance(error, UndecidedError) else self._fall_back(job, what, record.kind, error)
            if not kind and not self._is_gone(job, error):
                return None
            won = record.kind != "done"
        del self.pending[what]
        return Ended(what, job, kind if won else "")

    def _fall_back(self, job: Job, what: Attempt, kind: Outcome, error: OSError) -> Outcome | Literal[""]:
        """Where nothing can be written, link an outcome written before; its kind when the attempt has ended."""
        full = error.errno in NO_SPACE
        names = {"released": "released", "done": "nospace" if full else "", "failed": "failed" if full else ""}
        name = names.get(kind, "")
        written = self._tokens_in(job).outcome(name)
        if written is not None:
            with contextlib.suppress(OSError):
                job.log.link_end(written.path, written.data, what.task, what.number, PREWRITTEN[name][0])
                return PREWRITTEN[name][0]
        return ""

    def _is_gone(self, job: Job, error: OSError) -> bool:
        """Whether the job was cleaned away and needs no outcome; everything else is tried again later."""
        with contextlib.suppress(OSError):
            return error.errno == errno.ENOENT and job.id not in self._spool.job_ids()
        return False
