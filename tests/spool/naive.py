"""The spool everybody writes first: a FileLock per segment, a marker file, one output name, a lease by mtime.

It is here to be broken: a storm that this survives proves nothing. Each worker locks ``seg.lock``, keeps its mtime
fresh, writes ``seg.out``, touches ``seg.done``. Who finds a lock that has not been touched for a lease takes its owner
for dead, unlinks it and locks anew. Whoever sees all markers concatenates.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout
from spooltoy import payload_of, segment_bytes

LEASE_S = 1.0


class NaiveSpool:
    def __init__(self, root: Path, segments: int) -> None:
        self.root = root
        self.segments = segments

    def name(self, index: int, ending: str) -> Path:
        return self.root / f"{index:05d}.{ending}"

    def run(self, write: Callable[[Path, bytes], None], committed: Callable[[str], None]) -> None:
        """Work until the result is there."""
        while not (self.root / "result.done").exists():
            open_ones = [i for i in range(self.segments) if not self.name(i, "done").exists()]
            if not open_ones:
                self.break_stale(self.root / "result.lock")
                self.guarded("result", lambda: self.finalize(write), committed)
            for index in open_ones:
                self.break_stale(self.name(index, "lock"))
            for index in open_ones:
                if self.guarded(f"{index:05d}", lambda i=index: write(self.name(i, "out"), self.content(i)), committed):
                    break
            time.sleep(0.02)

    def content(self, index: int) -> bytes:
        return segment_bytes(index, payload_of(index))

    def finalize(self, write: Callable[[Path, bytes], None]) -> None:
        write(self.root / "result.out", b"".join(self.name(i, "out").read_bytes() for i in range(self.segments)))

    def guarded(self, name: str, job: Callable[[], None], committed: Callable[[str], None]) -> bool:
        path, done = self.root / f"{name}.lock", self.root / f"{name}.done"
        if done.exists():
            return False
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            return False
        stop = threading.Event()
        thread = threading.Thread(target=self.keep_fresh, args=(path, stop))
        try:
            if done.exists():
                return False
            os.utime(path)
            thread.start()
            job()
            done.touch()
            committed(name)
            return True
        finally:
            stop.set()
            if thread.ident:
                thread.join()
            lock.release()

    def keep_fresh(self, path: Path, stop: threading.Event) -> None:
        while not stop.wait(LEASE_S / 5):
            with contextlib.suppress(OSError):
                os.utime(path)

    def break_stale(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > LEASE_S:
                path.unlink()
