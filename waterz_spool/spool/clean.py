"""Making room: jobs that have ended are renamed into trash/ first and deleted from there.

Guarantee: only jobs whose records say that they have ended go, whole, by one rename; nothing outside the spool is
touched, no symlink followed. Limit: their age is the time since log/ last changed by this machine's clock; a worker
that still runs in such a job finds its folder gone and drops the work.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from waterz_spool.errors import SetupError, UsageError, WaterzError
from waterz_spool.spool.disk.world import World
from waterz_spool.spool.job.jobs import Job
from waterz_spool.spool.log.alive import silence_s
from waterz_spool.spool.log.formats import SpoolSettings
from waterz_spool.spool.log.layout import JOB_ID, JobLayout, SpoolLayout
from waterz_spool.spool.log.snapshot import Snapshot

ENDED = ("done", "cancelled", "failed")
_LEFTOVER_S = 24 * 3600.0
_ASIDE_S = 3600.0
_SILENT_S = 600.0  # a heartbeat younger than this, by wall clocks that may disagree, is taken for life


class Cleaned(msgspec.Struct, frozen=True):
    """Something that goes, or went."""

    what: str  # job, submit, trash, aside (a job set aside by a cleaner that died), worker, part, download
    name: str
    state: str
    age_s: float


class Cleaner:
    """One run of `Spool.clean`."""

    def __init__(
        self,
        layout: SpoolLayout,
        world: World,
        settings: SpoolSettings,
        *,
        older_than_s: float,
        states: Iterable[str],
        jobs: Iterable[str] | None,
    ) -> None:
        self._only = None if jobs is None else frozenset(jobs)
        self._layout = layout
        self._world = world
        self._ops = world.ops
        self._settings = settings
        self._older_than_s = older_than_s
        self._states = frozenset(states)
        if not self._states <= set(ENDED):
            raise UsageError(
                f"only ended jobs can be cleaned: {', '.join(ENDED)}, not {sorted(self._states - set(ENDED))}"
            )

    def run(self, *, dry_run: bool) -> list[Cleaned]:
        """Find what may go and, unless it is a dry run, make it go.

        Raises:
            SetupError: trash/ or jobs/ is no folder of the spool.
        """
        for folder in (self._layout.trash, self._layout.jobs):
            if not self._ops.look(folder).folder:
                raise SetupError("not a folder of the spool", where=str(folder), todo="put a real folder there")
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
        yield from self._old(self._layout.jobs, "submit", ".tmp", day_s)
        yield from self._old(self._layout.outbox, "part", ".part", day_s)
        yield from self._workers(day_s)
        yield from self._old(self._layout.trash, "trash", "", 0.0)
        yield from self._forgotten()
        yield from self._old(self._layout.fetched, "download", "", day_s)

    def _jobs(self) -> Iterator[tuple[Cleaned, Path]]:
        for path in self._entries(self._layout.jobs):
            if JOB_ID.fullmatch(path.name) is None or not self._ops.look(path).folder:
                continue
            if self._only is not None and path.name not in self._only:
                continue
            state = self._ended(self._job(path, path.name))
            age_s = self._age_s(path / "log") if state in self._states else None
            if age_s is not None and age_s >= self._older_than_s:
                yield Cleaned("job", path.name, state, age_s), path

    def _workers(self, at_least_s: float) -> Iterator[tuple[Cleaned, Path]]:
        """Records, locks and heartbeats of workers whose heartbeat is gone or old: a live one's record may be older."""
        for item, path in self._old(self._layout.workers, "worker", "", at_least_s):
            if silence_s(self._world, self._layout, path.name.partition(".")[0]) >= at_least_s:
                yield item, path

    def _forgotten(self) -> Iterator[tuple[Cleaned, Path]]:
        """Jobs that a cleaner had set aside when it died, before it knew that they may go."""
        for path in self._entries(self._layout.trash):
            age_s = self._age_s(path, changed=True)
            if path.name.startswith(".") and age_s is not None and age_s >= _ASIDE_S and self._ops.look(path).folder:
                yield Cleaned("aside", path.name, "", age_s), path

    def _job(self, path: Path, job_id: str) -> Job:
        return Job(JobLayout(path, job_id=job_id), self._world)

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
            silent_s = float("inf") if owner is None else silence_s(self._world, self._layout, owner.w)
            if silent_s < max(_SILENT_S, 10 * self._settings.lease_s):
                return True
        return False

    def _remove(self, item: Cleaned, path: Path) -> bool:
        if item.what == "job":
            return self._remove_job(path)
        if item.what == "aside":
            return self._decide(path, path.name[1:].rpartition(".")[0], ENDED)
        if item.what == "trash":
            return self._delete(path)
        if item.what in ("submit", "download"):
            aside = self._layout.trash / f"{path.name.lstrip('.')}.{self._world.tokens()}"
            return self._renamed(path, aside) and self._delete(aside)
        with contextlib.suppress(OSError):
            self._ops.unlink(path)
            return True
        return False

    def _remove_job(self, path: Path) -> bool:
        """Set a job aside under a hidden name, which other cleaners leave alone, and look at it once more there."""
        aside = self._layout.trash / f".{path.name}.{self._world.tokens()}"
        return self._renamed(path, aside) and self._decide(aside, path.name, self._states)

    def _decide(self, aside: Path, job_id: str, states: Iterable[str]) -> bool:
        """Delete a job that was set aside, or bring it back."""
        # RACE: the job may have been granted more between the look and the rename; nobody can do so any more now.
        if self._ended(self._job(aside, job_id)) not in states:
            self._renamed(aside, self._layout.jobs / job_id)
            return False
        for entry in self._entries(self._layout.active):
            if entry.name.split("-", 2)[-1] == job_id:
                with contextlib.suppress(OSError):
                    self._ops.unlink(entry)
        trash = aside.with_name(aside.name[1:])
        if self._renamed(aside, trash):
            self._delete(trash)
        return True

    # ---- the folders

    def _entries(self, folder: Path) -> list[Path]:
        """What lies in a folder of the spool; nothing where a symlink stands in its place and leads elsewhere."""
        try:
            return sorted(map(folder.joinpath, self._ops.listdir(folder))) if self._ops.look(folder).folder else []
        except FileNotFoundError:
            return []

    def _old(self, folder: Path, what: str, ending: str, at_least_s: float) -> Iterator[tuple[Cleaned, Path]]:
        for path in self._entries(folder):
            hidden = path.name.startswith(".")
            age_s = self._age_s(path)
            if age_s is None or age_s < at_least_s or not path.name.endswith(ending) or hidden != bool(ending):
                continue
            yield Cleaned(what, path.name, "", age_s), path

    def _age_s(self, path: Path, *, changed: bool = False) -> float | None:
        """Since it was written to, or (``changed``) since anything about it changed, its name too; None: it is gone.

        Raises:
            OSError: It cannot be looked at: that says nothing about who is alive.
        """
        try:
            found = self._ops.look(path)
        except FileNotFoundError:
            return None
        return max(0.0, time.time() - (found.changed_s if changed else found.mtime_s))

    def _renamed(self, path: Path, target: Path) -> bool:
        """Whether a folder has its new name; never onto anything that exists (a folder with content is refused)."""
        try:
            if self._there(target):
                return False
            self._ops.rename(path, target)
        except OSError:
            return False  # another cleaner has it
        return True

    def _delete(self, path: Path) -> bool:
        """Delete something in trash/; what is still open elsewhere (``.nfs...``) stays there for the next time."""
        try:
            if self._ops.look(path).folder:
                self._ops.remove_tree(path)
            else:
                self._ops.unlink(path)
            return not self._there(path)
        except OSError:
            return False

    def _there(self, path: Path) -> bool:
        try:
            self._ops.look(path)
        except FileNotFoundError:
            return False
        return True
