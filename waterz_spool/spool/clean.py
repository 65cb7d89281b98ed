"""Making room: jobs that have ended are renamed into trash/ first and deleted from there.

Guarantee: only jobs whose records say that they have ended go, whole, by one rename; nothing outside the spool is
touched, no symlink followed. Limit: their age is the time since log/ last changed by this machine's clock; a worker
that still runs in such a job finds its folder gone and drops the work.
"""

from __future__ import annotations

import contextlib
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from waterz_spool.errors import UsageError, WaterzError
from waterz_spool.spool.jobs import Job
from waterz_spool.spool.layout import JOB_ID, JobLayout, SpoolLayout
from waterz_spool.spool.snapshot import Snapshot

if TYPE_CHECKING:
    from waterz_spool.spool.root import Spool

ENDED = ("done", "cancelled", "failed")
_LEFTOVER_S = 24 * 3600.0
_SILENT_S = 600.0  # a heartbeat younger than this, by wall clocks that may disagree, is taken for life


class Cleaned(msgspec.Struct, frozen=True):
    """Something that goes, or went."""

    what: str  # job, submit, trash, worker, part, download
    name: str
    state: str
    age_s: float


class Cleaner:
    """One run of `Spool.clean`."""

    def __init__(
        self, spool: Spool, older_than_s: float, states: Iterable[str], jobs: Iterable[str] | None = None
    ) -> None:
        self._only = None if jobs is None else frozenset(jobs)
        self._spool = spool
        self._layout: SpoolLayout = spool.layout
        self._older_than_s = older_than_s
        self._states = frozenset(states)
        if not self._states <= set(ENDED):
            raise UsageError(
                f"only ended jobs can be cleaned: {', '.join(ENDED)}, not {sorted(self._states - set(ENDED))}"
            )

    def run(self, *, dry_run: bool) -> list[Cleaned]:
        """Find what may go and, unless it is a dry run, make it go."""
        found = []
        for item, path in self._find():
            if not dry_run and not self._remove(item, path):
                continue
            found.append(item)
        return found

    def _find(self) -> Iterator[tuple[Cleaned, Path]]:
        yield from self._jobs()
        if self._only is not None:
            return
        day_s = max(_LEFTOVER_S, self._older_than_s)
        yield from _old(self._layout.jobs, "submit", ".tmp", day_s)
        yield from _old(self._layout.outbox, "part", ".part", day_s)
        yield from _old(self._layout.workers, "worker", "", day_s)
        yield from _old(self._layout.trash, "trash", "", 0.0)
        if self._layout.fetched.is_dir():
            yield from _old(self._layout.fetched, "download", "", day_s)

    def _jobs(self) -> Iterator[tuple[Cleaned, Path]]:
        for path in sorted(self._layout.jobs.iterdir()):
            if JOB_ID.fullmatch(path.name) is None or not _is_folder(path):
                continue
            if self._only is not None and path.name not in self._only:
                continue
            age_s = _age_s(path / "log")
            state = self._ended(
                Job(self._layout.job(path.name), self._spool.ops, self._spool.clock, self._spool.tokens)
            )
            if age_s is not None and age_s >= self._older_than_s and state in self._states:
                yield Cleaned("job", path.name, state, age_s), path

    def _ended(self, job: Job) -> str:
        """The state when the job has ended and nobody is at work in it, else ""."""
        try:
            snapshot = job.snapshot()
            state = snapshot.state()
            if state == "done" and not snapshot.view.published:
                return ""
            if state not in ENDED or self._at_work(job, snapshot):
                return ""
        except (WaterzError, OSError):
            return ""  # what cannot be read is not known to have ended
        return state

    def _at_work(self, job: Job, snapshot: Snapshot) -> bool:
        for task, attempt in snapshot.running():
            owner = job.log.owner(task, attempt)
            age_s = None if owner is None else _age_s(self._layout.heartbeat(owner.w))
            if age_s is not None and age_s < max(_SILENT_S, 10 * self._spool.settings.lease_s):
                return True
        return False

    def _remove(self, item: Cleaned, path: Path) -> bool:
        if item.what in ("trash", "submit", "download"):
            return _delete(path)
        if item.what != "job":
            with contextlib.suppress(OSError):
                path.unlink()
            return True
        return self._remove_job(path)

    def _remove_job(self, path: Path) -> bool:
        aside = self._layout.trash / f"{path.name}.{self._spool.tokens()}"
        try:
            path.rename(aside)
        except OSError:
            return False  # another cleaner has it
        # RACE: the job may have been granted more between the look and the rename; nobody can do so any more now.
        moved = Job(JobLayout(aside, job_id=path.name), self._spool.ops, self._spool.clock, self._spool.tokens)
        if self._ended(moved) not in self._states:
            aside.rename(path)
            return False
        for entry in self._layout.active.iterdir():
            if entry.name.split("-", 2)[-1] == path.name:
                with contextlib.suppress(OSError):
                    entry.unlink()
        _delete(aside)
        return True


def _old(folder: Path, what: str, ending: str, at_least_s: float) -> Iterator[tuple[Cleaned, Path]]:
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".")
        age_s = _age_s(path)
        if age_s is None or age_s < at_least_s or not path.name.endswith(ending) or hidden != bool(ending):
            continue
        yield Cleaned(what, path.name, "", age_s), path


def _age_s(path: Path) -> float | None:
    try:
        return max(0.0, time.time() - path.lstat().st_mtime)
    except OSError:
        return None


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def _delete(path: Path) -> bool:
    """Delete a folder in trash/; where something in it is still open elsewhere (``.nfs...``), later."""
    if path.is_symlink() or not _is_folder(path):
        with contextlib.suppress(OSError):
            path.unlink()
        return True
    shutil.rmtree(path, ignore_errors=True)
    return True
