"""A worker's sign of life.

Guarantee: a heartbeat is one line that its one writer rewrites in place, and any change of it is a sign of life. Limit:
a beating heart proves only that the process lives: progress stands in the line beside it.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import msgspec

from waterz_spool.spool.disk.fileops import BeatFile
from waterz_spool.spool.disk.world import World
from waterz_spool.spool.log.formats import Beat, SpoolSettings

_LINE_BYTES = 512


class Heart:
    """A worker's heartbeat and its own judgement of it.

    Self-fencing: when the last successful beat is older than the lease less two beats, others may have taken the
    work; `silent` says so, and `epoch` has moved on after a gap even when beating has resumed (a stopped process).
    """

    def __init__(self, path: Path, world: World, settings: SpoolSettings) -> None:
        self._path = path
        self._world = world
        self._clock = world.clock
        self._beat_s = settings.beat_s
        self._limit_s = max(settings.lease_s - 2 * settings.beat_s, settings.beat_s)
        self._file: BeatFile | None = None
        self._last = self._clock.monotonic()
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
                self._file = self._world.ops.beat_file(self._path)
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
