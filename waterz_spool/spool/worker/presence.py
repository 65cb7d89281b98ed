"""A worker's files in workers/: its lock, its heartbeat, and who it is."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Any

from waterz_spool.spool.disk.machine import Identity, take_lock
from waterz_spool.spool.log.formats import WorkerRecord, encode
from waterz_spool.spool.root import Spool
from waterz_spool.spool.worker.heartbeat import Heart
from waterz_spool.spool.worker.trouble import Trouble

if TYPE_CHECKING:
    from filelock import BaseFileLock

_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR)  # time does not heal it


class Presence:
    """One worker's.

    Args:
        spool: The spool.
        me: Who it is.
        heart: Its heartbeat.
        trouble: Told what storage refuses.
        tasks: The stages it takes.
        info: What others may want to know of it.
    """

    def __init__(
        self,
        spool: Spool,
        me: Identity,
        heart: Heart,
        trouble: Trouble,
        *,
        tasks: frozenset[str],
        info: dict[str, Any],
    ) -> None:
        self._spool, self._me, self._heart, self._trouble = spool, me, heart, trouble
        self._tasks, self._info = tasks, info
        self._lock: BaseFileLock | None = None
        self._introduced = False

    def begin(self, *, threads: bool) -> None:
        """Take the lock for life, say who this is (as soon as there is room for it), begin to beat.

        Raises:
            OSError: The spool cannot be written by this user, or is not there.
        """
        if self._spool.settings.locks != "off":
            self._lock = take_lock(self._spool.layout.lock(self._me.wid))
        self._heart.beat()
        try:
            self.introduce()
        except OSError as error:
            if error.errno in _REFUSED:
                raise
            self._trouble.note(error)
        if threads:
            self._heart.start()

    def renew_lock(self) -> None:
        """Take the lock anew: who was taken for dead may have lost it unnoticed, in an outage of the server."""
        if self._lock is not None:
            self._lock.release()
            self._lock = take_lock(self._spool.layout.lock(self._me.wid)) or self._lock

    def introduce(self) -> None:
        """Say who this is, once.

        Raises:
            OSError: It cannot be written now.
        """
        if self._introduced:
            return
        record = WorkerRecord(
            w=self._me.wid,
            host=self._me.host,
            pid=self._me.pid,
            boot=self._me.boot,
            uid=os.getuid(),
            tasks=tuple(sorted(self._tasks)),
            locked=self._lock is not None,
            started=self._spool.world.clock.wall(),
            info=self._info,
        )
        self._spool.world.put(self._spool.layout.worker_record(self._me.wid), encode(record))
        self._introduced = True

    def end(self, *, clean: bool) -> None:
        """Stop beating and let the lock go; leave no heartbeat behind if nothing is undecided."""
        self._heart.stop()
        if self._lock is not None:
            self._lock.release()
        if not clean:
            return
        for path in (self._spool.layout.heartbeat(self._me.wid), self._spool.layout.lock(self._me.wid)):
            with contextlib.suppress(OSError):
                self._spool.world.ops.unlink(path)
