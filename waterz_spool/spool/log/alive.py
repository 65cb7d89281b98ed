"""Whether another worker is alive, as far as its heartbeat, its lock and its process show.

A worker that wants another one's task watches (`Suspicion`). Guarantee: it compares no clocks of two machines; a
heartbeat is stale when its content did not change for a whole lease on the observer's own monotonic clock, at three
reads or more. Limit: that is a suspicion, never a proof. A wrong one costs the work done in vain; correctness rests on
the one outcome of each attempt alone.

Who looks once, to show or to clean, goes by the age of the heartbeat (`silence_s`). Limit: that is by this machine's
clock, so a worker that lost its power seems to live for as long as the look allows for clocks that disagree.
"""

from __future__ import annotations

import contextlib
import errno
import time
from dataclasses import dataclass

from waterz_spool.spool.disk.fileops import NO_FILE
from waterz_spool.spool.disk.machine import Identity, take_lock
from waterz_spool.spool.disk.world import World
from waterz_spool.spool.log.formats import DamagedRecordError, SpoolSettings, WorkerRecord, decode
from waterz_spool.spool.log.layout import SpoolLayout

_READS = 3
_NO_HEARTBEAT = (*NO_FILE, errno.EFBIG)  # something else has its name
_CONFIRM_S = 1.0  # a lock that can be had is looked at again after so long


def silence_s(world: World, layout: SpoolLayout, wid: str) -> float:
    """Age of a worker's last heartbeat in seconds; infinite when it has none.

    Raises:
        OSError: It cannot be looked at: that says nothing about who is alive.
    """
    try:
        written_ns = world.ops.facts(layout.heartbeat(wid)).mtime_ns
    except OSError as error:
        if error.errno in (errno.ENOENT, *_NO_HEARTBEAT):
            return float("inf")
        raise
    return max(0.0, time.time() - written_ns / 1e9)


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

    def __init__(self, layout: SpoolLayout, world: World, settings: SpoolSettings, me: Identity) -> None:
        self._layout = layout
        self._world = world
        self._settings = settings
        self._me = me
        self._seen: dict[str, _Seen] = {}

    def stale(self, wid: str, boot: str, wait_s: float) -> bool:
        """Look at a worker's heartbeat once more: is it stale by now?

        Args:
            wid: The worker.
            boot: Its boot id, from its claim.
            wait_s: How long the caller meant to wait since its last look; after twice that it trusts nothing it saw.
        """
        now = self._world.clock.monotonic()  # before the read: the silence is at least as long as it seems
        try:
            data = self._world.read(self._layout.heartbeat(wid)) or b""
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
        lease_s, now = self._settings.lease_s, self._world.clock.monotonic()
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
                data = self._world.read(path)
                seen.locked = None if data is None else decode(data, WorkerRecord, path).locked
        return bool(seen.locked)
