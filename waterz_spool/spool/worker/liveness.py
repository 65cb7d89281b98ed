"""Signs of life: a worker's heartbeat, and what others conclude from its absence.

Guarantee: clocks of two machines are never compared; a heartbeat is stale when its content did not change for a whole
lease on the observer's own monotonic clock, at three reads or more. Limit: that is a suspicion, never a proof. A
wrong one costs the work done in vain; correctness rests on the one outcome of each attempt alone. A beating heart
proves only that the process lives: progress stands in the line beside it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from waterz_spool.spool.disk.atomic import NO_FILE, BeatFile, FileOps, read_settled
from waterz_spool.spool.disk.clock import Clock
from waterz_spool.spool.log.formats import Beat, DamagedRecordError, SpoolSettings, WorkerRecord, decode
from waterz_spool.spool.log.layout import SpoolLayout

if TYPE_CHECKING:
    from filelock import BaseFileLock

_LINE_BYTES = 512
_READS = 3
_NO_HEARTBEAT = (*NO_FILE, errno.EFBIG)  # something else has its name
_CONFIRM_S = 1.0  # a lock that can be had is looked at again after so long
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Identity:
    """Who this worker is. The id is 96 random bits, so nobody else ever has it."""

    wid: str
    host: str
    pid: int
    boot: str
    slurm: str = ""

    @classmethod
    def of_this_process(cls, wid: str, host: str | None = None, slurm: str = "") -> Identity:
        """The running process, under a name of its host that a test or a scheduler may choose."""
        boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
        return cls(wid, host or socket.gethostname(), os.getpid(), boot, slurm)


def succeeds(mine: str, theirs: str) -> bool:
    """Whether Slurm started the worker named ``mine`` again in place of ``theirs``.

    Both are ``cluster/job.restarts``: the same job or array task, started more often. Slurm starts a job again only
    after its earlier run has ended, so the claims of that run are nobody's.
    """
    (job, _, count), (their_job, _, their_count) = mine.rpartition("."), theirs.rpartition(".")
    if not job or job != their_job or not (count + their_count).isdecimal():
        return False
    return int(count) > int(their_count)


class Heart:
    """A worker's heartbeat and its own judgement of it.

    Self-fencing: when the last successful beat is older than the lease less two beats, others may have taken the
    work; `silent` says so, and `epoch` has moved on after a gap even when beating has resumed (a stopped process).
    """

    def __init__(self, path: Path, ops: FileOps, settings: SpoolSettings, clock: Clock) -> None:
        self._path = path
        self._ops = ops
        self._clock = clock
        self._beat_s = settings.beat_s
        self._limit_s = max(settings.lease_s - 2 * settings.beat_s, settings.beat_s)
        self._file: BeatFile | None = None
        self._last = clock.monotonic()
        self._line = Beat(beat=0)
        self._since = 0.0
        self._next_at = 0.0
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.epoch = 0
        self.server_time = 0.0

    def note(self, **changes: object) -> None:
        """Say what the next beats report (job, task, k, fraction); counts as progress."""
        with self._guard:
            self._line = msgspec.structs.replace(self._line, progress=self._line.progress + 1, **changes)

    def complain(self, trouble: str, since: float, host: str) -> None:
        """Say what keeps this worker, on this host, from its work since a time of its clock; nothing: it is over."""
        with self._guard:
            self._line = msgspec.structs.replace(self._line, trouble=trouble, host=host if trouble else "")
            self._since = since

    def expect(self, task: str, at: float) -> None:
        """Say which task this worker waits with after failures, and when by its clock it tries again; "" is none."""
        with self._guard:
            self._line = msgspec.structs.replace(self._line, next=task)
            self._next_at = at

    def silent(self) -> bool:
        """Whether others may believe this worker dead."""
        return self._clock.monotonic() - self._last > self._limit_s

    def beat(self) -> bool:
        """One heartbeat; False when it did not reach the file."""
        before = self._clock.monotonic()
        if before - self._last > self._limit_s:
            self.epoch += 1
        with self._guard:
            lasted_s = round(before - self._since, 1) if self._line.trouble else 0.0
            next_s = round(max(0.0, self._next_at - before), 1) if self._line.next else 0.0
            self._line = msgspec.structs.replace(
                self._line, beat=self._line.beat + 1, trouble_s=lasted_s, next_s=next_s
            )
            data = msgspec.json.encode(self._line).ljust(_LINE_BYTES - 1) + b"\n"
        try:
            if self._file is None:
                self._file = self._ops.beat_file(self._path)
            self.server_time = self._file.write(data)
        except OSError:
            self._forget()
            return False
        self._last = before
        return True

    def start(self) -> None:
        """Beat from now on, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="waterz-heart", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Beat no more; returns when the thread is gone."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._forget()

    def _run(self) -> None:
        while not self._stop.wait(self._beat_s):
            self.beat()

    def _forget(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


@dataclass
class _Seen:
    data: bytes
    since: float
    looked: float
    reads: int = 1
    free: bool = False  # its lock could be had at the last look
    locked: bool | None = None  # whether it ever had one; None: not asked yet


class Suspicion:
    """What this process thinks of other workers; it forgets what it saw before a pause of its own."""

    def __init__(self, layout: SpoolLayout, ops: FileOps, settings: SpoolSettings, clock: Clock, me: Identity) -> None:
        self._layout = layout
        self._ops = ops
        self._settings = settings
        self._clock = clock
        self._me = me
        self._seen: dict[str, _Seen] = {}

    def stale(self, wid: str, boot: str, wait_s: float) -> bool:
        """Look at a worker's heartbeat once more: is it stale by now?

        Args:
            wid: The worker.
            boot: Its boot id, from its claim.
            wait_s: How long the caller meant to wait since its last look; after twice that it trusts nothing it saw.
        """
        now = self._clock.monotonic()  # before the read: the silence is at least as long as it seems
        try:
            data = read_settled(self._ops, self._layout.heartbeat(wid)) or b""
        except OSError as error:
            if error.errno not in _NO_HEARTBEAT:
                return False
            data = b""
        seen = self._seen.get(wid)
        if seen is None or seen.data != data or now - seen.looked > self._gap(wait_s):
            seen = self._seen[wid] = _Seen(data, now, now, reads=0)
        seen.looked = now
        seen.reads += 1
        silence = now - seen.since
        if silence >= self._settings.lease_s and seen.reads >= _READS:
            return True
        seen.free = self._lock_is_free(wid, boot)
        return seen.free and silence >= self._confirm_s

    @property
    def _confirm_s(self) -> float:
        return min(2 * self._settings.beat_s, _CONFIRM_S)

    def due_s(self) -> float | None:
        """In how long the first of those looked at can become stale."""
        lease_s, now = self._settings.lease_s, self._clock.monotonic()
        times = [seen.since + (self._confirm_s if seen.free else lease_s) for seen in self._seen.values()]
        return min(times) - now if times else None

    def forget(self, wids: set[str]) -> None:
        """Keep only what is known of these workers."""
        self._seen = {wid: seen for wid, seen in self._seen.items() if wid in wids}

    def _gap(self, wait_s: float) -> float:
        return max(2 * wait_s, wait_s + self._settings.beat_s) + 0.5

    def _lock_is_free(self, wid: str, boot: str) -> bool:
        """Whether the lock that the worker holds for life can be had, where that is believed to mean something."""
        trust = self._settings.locks
        if trust not in ("host", "shared") or (trust == "host" and boot != self._me.boot):
            return False
        path = self._layout.lock(wid)
        lock = take_lock(path) if path.exists() and self._has_lock(wid) else None
        if lock is None:
            return False
        lock.release()
        return True

    def _has_lock(self, wid: str) -> bool:
        """Whether it said that it holds one: some cannot where others can."""
        seen, path = self._seen[wid], self._layout.worker_record(wid)
        if seen.locked is None:
            with contextlib.suppress(OSError, DamagedRecordError):
                data = read_settled(self._ops, path)
                seen.locked = None if data is None else decode(data, WorkerRecord, path).locked
        return bool(seen.locked)


def take_lock(path: Path) -> BaseFileLock | None:
    """The lock, taken, or None when another process holds it or this file system has no locks."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, mode=0o660, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError, NotImplementedError):
        return None
    return lock
