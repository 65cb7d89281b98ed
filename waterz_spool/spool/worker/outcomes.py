"""Outcomes on their way into the records: written now, as soon as they can be, or by a link of one written before."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from waterz_spool.errors import UsageError
from waterz_spool.spool.disk.atomic import RECORD_CAP_BYTES, UndecidedError
from waterz_spool.spool.disk.fileops import NO_SPACE
from waterz_spool.spool.job.jobs import Job
from waterz_spool.spool.log.formats import EndRecord, encode
from waterz_spool.spool.log.layout import Task
from waterz_spool.spool.root import Spool
from waterz_spool.spool.worker.tokens import TokenSet
from waterz_spool.spool.worker.trouble import Trouble

if TYPE_CHECKING:
    from waterz_spool.spool.worker.claims import Claim

Key = tuple[str, Task, int]


class Outcomes:
    """One worker's.

    Args:
        spool: The spool.
        trouble: Told what storage refuses.
        tokens_of: The worker's files in a job, with outcomes written beforehand.
        finished: Called when a claim has an outcome, with the kind if it is this worker's, else "".

    Attributes:
        pending: Claims whose outcome could not be recorded yet, or is not known to be.
    """

    def __init__(
        self,
        spool: Spool,
        trouble: Trouble,
        *,
        tokens_of: Callable[[Job], TokenSet],
        finished: Callable[[Claim, str], None],
    ) -> None:
        self.pending: dict[Key, tuple[Claim, EndRecord]] = {}
        self._spool = spool
        self._trouble = trouble
        self._tokens_of = tokens_of
        self._finished = finished

    def conclude(self, claim: Claim, record: EndRecord) -> bool:
        """Record an outcome, now or as soon as it can be; see `Session.conclude`."""
        if claim.ended:
            raise UsageError(f"{claim} has ended already", where=claim.job.id)
        if len(encode(record)) > RECORD_CAP_BYTES:
            raise UsageError(f"an outcome of more than {RECORD_CAP_BYTES} bytes", where=claim.job.id)
        claim.ended = True
        self.pending[claim.key] = (claim, record)
        return self._record(claim, record)

    def settle(self) -> None:
        """Try again to record what could not be recorded before."""
        for claim, record in list(self.pending.values()):
            self._record(claim, record)

    def _record(self, claim: Claim, record: EndRecord) -> bool:
        kind = record.kind
        try:
            won = claim.job.log.put_end(claim.task, claim.attempt, record)
        except OSError as error:
            self._trouble.note(error)
            kind = "" if isinstance(error, UndecidedError) else self._fall_back(claim, record, error)
            if not kind:
                self._give_up_if_gone(claim, error)
                return False
            won = record.kind != "done"
        self._finish(claim, kind if won else "")
        return won

    def _fall_back(self, claim: Claim, record: EndRecord, error: OSError) -> str:
        """Where nothing can be written, link an outcome written before; its kind when the attempt has ended."""
        full = error.errno in NO_SPACE
        name = {"released": "released", "done": "nospace" if full else "", "failed": "failed" if full else ""}
        written = self._tokens_of(claim.job).outcome(name.get(record.kind, ""))
        if written is None:
            return ""
        with contextlib.suppress(OSError):
            claim.job.log.link_end(written.path, written.data, claim.task, claim.attempt, written.kind)
            return written.kind
        return ""

    def _give_up_if_gone(self, claim: Claim, error: OSError) -> None:
        """A job that was cleaned away needs no outcome; everything else is tried again later."""
        with contextlib.suppress(OSError):
            if error.errno == errno.ENOENT and claim.job.id not in self._spool.job_ids():
                self._finish(claim, "")

    def _finish(self, claim: Claim, kind: str) -> None:
        self.pending.pop(claim.key, None)
        self._finished(claim, kind)
