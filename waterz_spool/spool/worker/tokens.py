"""What a worker writes into a job before it needs it: its claim token, and outcomes for when nothing can be written.

A claim is a hard link of the token, so claiming writes no data. An outcome written beforehand can still be linked on
a full disk; it does not name its attempt, the name it is linked to does.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from waterz_spool.spool.disk.atomic import link_if_absent, settle_folder
from waterz_spool.spool.disk.clock import Tokens
from waterz_spool.spool.disk.failpoints import hit
from waterz_spool.spool.disk.fileops import FileOps
from waterz_spool.spool.disk.machine import Identity
from waterz_spool.spool.log.formats import FORMAT_VERSION, EndRecord, Token, encode
from waterz_spool.spool.log.layout import Task, claim_name, label

_TRIES = 20
PREWRITTEN = {
    "released": ("released", "handed back"),
    "nospace": ("released", "no space left"),
    "failed": ("failed", "failed, and the reason could not be written"),
}


@dataclass(frozen=True)
class Written:
    """A durable file and its content."""

    path: Path
    data: bytes
    kind: str = ""


class TokenSet:
    """One worker's files in one log/; written on first use."""

    def __init__(self, folder: Path, ops: FileOps, me: Identity, tokens: Tokens) -> None:
        self._folder = folder
        self._ops = ops
        self._me = me
        self._tokens = tokens
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
        record = EndRecord(kind=kind, w=self._me.wid, n=self._tokens(), host=self._me.host, why=why)
        return Written(Path(), encode(record), kind)

    def _write(self, first: str, last: str, what: Written) -> Written:
        """Write under the first free number: a half-written file, or one whose creation was answered twice, stays."""
        for number in range(_TRIES):
            path = self._folder / (f"{first}{last}" if number == 0 else f"{first}.{number}{last}")
            try:
                self._ops.write_new(path, what.data)
            except FileExistsError:
                continue
            return Written(path, what.data, what.kind)
        raise FileExistsError(errno.EEXIST, "no free name for a token", str(self._folder / first))
