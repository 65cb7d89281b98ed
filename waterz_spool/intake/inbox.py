"""The watched folder: a video dropped into the spool's inbox becomes a job, its result appears in the outbox.

Guarantee: a file is taken once, when it has stopped changing, whoever watches and however often; it is never deleted,
and moved to ``inbox/done/`` only after its result is published. Beside one that cannot be taken, or whose job failed,
``NAME.error.txt`` says why; it goes when that is over. Limit: a writer that stalls for longer than the
settling time looks finished; write ``x.mp4.part`` and rename it to be certain.

Looking is polling: change notifications never report what another machine writes. Where the inbox lies on a local
disk they only make the first look at a new file come sooner.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from waterz_spool.config import Config
from waterz_spool.errors import WaterzError
from waterz_spool.intake.spools import is_local
from waterz_spool.intake.submit import Order, submit
from waterz_spool.report.ending import raise_if_failed
from waterz_spool.spool import Job, JobState, Session, Spool
from waterz_spool.stages.loop.worker import Limits, StopFlag, Worker

log = logging.getLogger(__name__)

_UNFINISHED = (".part", ".crdownload", ".filepart", ".tmp", ".download", ".partial")
_SIGN = ".error.txt"
_LOOKS = 3
_SLICE_S = 0.2


@dataclass(frozen=True)
class _Look:
    size: int
    mtime_ns: int
    since: float
    looks: int


class Watcher:
    """Takes videos from the inbox, finalizes and publishes what is complete.

    Args:
        spool: The spool.
        config: Configuration for new jobs, and the timing of the inbox.
        stop: Asks it to end.
        inbox: Whether to take videos.
        also: Called at each look, for example to launch workers.
    """

    def __init__(
        self,
        spool: Spool,
        config: Config,
        stop: StopFlag,
        *,
        inbox: bool = True,
        also: Callable[[], None] = lambda: None,
    ) -> None:
        self._spool = spool
        self._config = config
        self._stop = stop
        self._inbox = inbox
        self._also = also
        self._seen: dict[str, _Look] = {}
        self._refused: dict[str, tuple[int, int]] = {}
        self._taken: dict[str, str] = {}
        self._signs: set[str] = set()
        self._changed = threading.Event()

    def run(self, *, once: bool = False) -> None:
        """Look at inbox and jobs until told to stop; with ``once`` until the inbox has settled."""
        with Session(self._spool, tasks={"final"}) as session, _notified(self._spool.inbox, self._changed):
            worker = Worker(session, self._stop, Limits())
            while not self._stop:
                taken = self.look() if self._inbox else []
                worker.work_off()
                self._put_away()
                self._also()
                if once and (taken or not self._seen):
                    return
                self._rest()

    def _rest(self) -> None:
        """Sleep until the next look is due, or sooner when the inbox changed on this machine, or when told to stop."""
        due = time.monotonic() + self._config.inbox.poll_s
        while not self._stop and not self._changed.is_set() and (left := due - time.monotonic()) > 0:
            self._stop.wait(min(left, _SLICE_S))
        self._changed.clear()

    def look(self) -> list[str]:
        """One look at the inbox; returns the ids of new jobs."""
        found = {}
        names = sorted(path.name for path in self._spool.inbox.iterdir())
        for name in names:
            facts = None if name in self._taken else self._facts(name)
            if facts is not None:
                found[name] = self._compare(name, facts)
        for name in self._signs.difference(names):
            self._unsign(name)
        self._seen = found
        return [job for name, look in found.items() if self._settled(look) and (job := self._take(name))]

    def _facts(self, name: str) -> tuple[int, int] | None:
        """Size and time of a finished-looking file, from an opened descriptor: a plain stat may be a minute old."""
        if name.startswith(".") or name.lower().endswith((*_UNFINISHED, _SIGN)):
            return None
        try:
            descriptor = os.open(self._spool.inbox / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            facts = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        key = (facts.st_size, facts.st_mtime_ns)
        if not stat.S_ISREG(facts.st_mode) or self._refused.get(name) == key:
            return None
        return key

    def _compare(self, name: str, facts: tuple[int, int]) -> _Look:
        before = self._seen.get(name)
        if before is None or (before.size, before.mtime_ns) != facts:
            return _Look(*facts, time.monotonic(), 1)
        return _Look(*facts, before.since, before.looks + 1)

    def _settled(self, look: _Look) -> bool:
        return look.looks >= _LOOKS and time.monotonic() - look.since >= self._config.inbox.settle_s

    def _take(self, name: str) -> str | None:
        path = self._spool.inbox / name
        look = self._seen[name]
        try:
            order = Order(output=f"{self._spool.outbox}/")
            job = submit(self._spool, path, order, self._config, may_exist=True)
        except (WaterzError, OSError, ValueError) as error:
            log.error("inbox: %s: %s", name, error)
            self._refused[name] = (look.size, look.mtime_ns)
            self._sign(name, f"{name} is not taken. It will be tried again when it has changed.\n\n{error}\n")
            return None
        self._unsign(name)
        log.info("inbox: %s is job %s", name, job.id)
        self._taken[name] = job.id
        return job.id

    def _put_away(self) -> None:
        """Move videos whose result is published to ``inbox/done/``; a failed one stays, with the reason beside it."""
        for name, job_id in list(self._taken.items()):
            job = self._spool.job(job_id)
            state = job.state()
            if not state.published:
                self._sign_if_failed(name, job, state)
                continue
            self._unsign(name)
            done = self._spool.inbox / "done"
            done.mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                (self._spool.inbox / name).rename(done / f"{job_id}-{name}")
            del self._taken[name]

    def _sign_if_failed(self, name: str, job: Job, state: JobState) -> None:
        try:
            raise_if_failed(job, state)
        except WaterzError as error:
            if name not in self._signs:
                self._sign(name, f"{name} has no result: job {job.id} failed.\n\n{error}\n")
        else:
            self._unsign(name)

    def _sign(self, name: str, text: str) -> None:
        """Say beside a video what is wrong with it, never through a link that somebody has put there."""
        self._signs.add(name)
        hidden = self._spool.inbox / f".{secrets.token_hex(8)}{_SIGN}"
        try:
            with hidden.open("x", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            hidden.replace(self._spool.inbox / f"{name}{_SIGN}")
        except OSError as error:  # a long name, a full disk: the log has it
            log.error("inbox: %s%s cannot be written: %s", name, _SIGN, error)
            hidden.unlink(missing_ok=True)

    def _unsign(self, name: str) -> None:
        self._signs.discard(name)
        with contextlib.suppress(OSError):
            (self._spool.inbox / f"{name}{_SIGN}").unlink(missing_ok=True)


@contextmanager
def _notified(folder: Path, changed: threading.Event) -> Iterator[None]:
    """Set ``changed`` when something happens in a folder, where this machine's kernel can tell."""
    if not is_local(folder):
        yield
        return
    from watchdog.events import FileSystemEvent, FileSystemEventHandler
    from watchdog.observers import Observer

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            if event.event_type in ("created", "moved", "closed"):
                changed.set()

    observer = Observer()
    observer.schedule(Handler(), str(folder), recursive=False)
    observer.start()
    try:
        yield
    finally:
        observer.stop()
        observer.join()


def finalize_jobs(spool: Spool, jobs: list[str]) -> None:
    """Finalize and publish these jobs in this process."""
    with Session(spool, tasks={"final"}, jobs=jobs) as session:
        Worker(session, StopFlag(), Limits(drain=True)).run()
