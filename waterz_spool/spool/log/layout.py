"""Every name in a spool, spelled once: where files lie, what a name in log/ says, which names are acceptable.

```
SPOOL/
  spool.json  inbox/  outbox/  hosts/  trash/
  doctor.<n>.json  doctor/          what two hosts measured of the file system; where they meet for it
  fetched/<key>/                    downloads: a hidden part while it grows, then the file
  workers/<wid>.json .hb .lock      who works; heartbeat; the FileLock held for life (a hint)
  ctl/<n>.ctl <n>.<verb>            spool-wide pause and resume
  hosts/<host>.<n>.quarantine       a host that stopped claiming; .resume lifts it
  active/5-<utc>-<job>              empty index entries (a hint; jobs/ is the truth)
  jobs/<job>/
    job.json  source/  plan.json (derived: a link for people)  plan.<nonce>.json
    segments/00017/                 job.json  frames.<tag>.mkv  masks.<tag>.mkv  out.<tag>.mkv
    log/                            THE TRUTH, append-only
    control/                        <n>.ctl <n>.pause <n>.resume <n>.cancel grant.<n>
    result/  logs/  review/
```

In ``log/``: ``plan.0`` (how many segments, which plan), ``00017.0`` (ready, holds the segment's job), ``00017.1``
(claim of attempt 1), ``00017.1.end`` (its one outcome), ``00017.1.lost`` (readable marker: a link of the outcome),
``00017.1.void`` (its output was found broken), ``prep.1``, ``final.1``, ``commit.end`` (published or cancelled),
``published.0`` (where to). Names that begin with a dot are tokens and temporary files.

Control records lie in ``control/``, not in ``log/``: a worker looks at them between windows, and a listing of a
handful of names costs nothing where a listing of 40,000 would not.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal, get_args

from waterz_spool.errors import UsageError

Stage = Literal["prep", "segment", "final"]
Task = int | Literal["prep", "final"]  # 17, "prep", "final"
Outcome = Literal["done", "failed", "lost", "released", "dead"]  # of an attempt
Verb = Literal["pause", "resume", "cancel"]

PREP: Final = "prep"
FINAL: Final = "final"
SEGMENT: Final = "segment"

JOB_ID = re.compile(r"[a-z0-9-]{1,64}")
FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
WORKER_ID = re.compile(r"[0-9a-f]{24}")
_VERDICT = re.compile(r"doctor\.([1-9][0-9]{0,8})\.json")

PLAN_NAME = "plan.0"
COMMIT_NAME = "commit.end"
PUBLISHED_NAME = "published.0"
KINDS: tuple[Outcome, ...] = get_args(Outcome)
VERBS: tuple[Verb, ...] = get_args(Verb)
HOST_VERBS = ("quarantine", "resume")
CONTROL_RECORD = "{}.ctl"  # the n-th thing asked; what it is stands in it and in the marker beside it
MAX_SEGMENTS = 100_000


def label(task: Task) -> str:
    """How a task is spelled in names: ``00017``, ``prep``, ``final``."""
    return task if isinstance(task, str) else f"{task:05d}"


def task_of(text: str) -> Task | None:
    """The task a label spells, or None when it spells none."""
    match text:
        case "prep" | "final":
            return text
    return int(text) if len(text) == 5 and text.isascii() and text.isdigit() else None


def stage_of(task: Task) -> Stage:
    """The stage that works on a task: ``prep``, ``segment`` or ``final``."""
    return task if isinstance(task, str) else SEGMENT


def ready_name(index: int) -> str:
    """The record in log/ that makes a segment ready."""
    return f"{label(index)}.0"


def claim_name(task: Task, attempt: int) -> str:
    """The record in log/ that says who works on an attempt."""
    return f"{label(task)}.{attempt}"


def end_name(task: Task, attempt: int) -> str:
    """The record in log/ that holds the one outcome of an attempt: the fence."""
    return f"{label(task)}.{attempt}.end"


def marker_name(task: Task, attempt: int, kind: Outcome | Literal["void"]) -> str:
    """The readable marker of an outcome, or the ``void`` record of a done attempt."""
    return f"{label(task)}.{attempt}.{kind}"


def grant_name(number: int | str) -> str:
    """The n-th grant of more budget."""
    return f"grant.{number}"


def host_record(host: str, number: int, verb: str) -> str:
    """The record in hosts/ that a host stopped for the n-th time, or that this was lifted."""
    return f"{host}.{number}.{verb}"


def parse_host_record(name: str) -> tuple[str, int, str] | None:
    """Host, number and verb of a name in hosts/, or None when it is none."""
    host, _, rest = name.rpartition(".")
    host, _, digits = host.rpartition(".")
    if FILE_NAME.fullmatch(host) is None or rest not in HOST_VERBS:
        return None
    return (host, int(digits), rest) if digits.isascii() and digits.isdigit() and len(digits) <= 6 else None


def check_file_name(name: str) -> str:
    """The same name if a record may name a file so.

    Raises:
        ValueError: It is empty, too long, hidden, or holds anything but letters, digits, dot, dash, underscore.
    """
    if FILE_NAME.fullmatch(name) is None or name.endswith("."):
        raise ValueError(f"not an acceptable file name: {name!r}")
    return name


def check_job_id(job_id: str) -> str:
    """The same id if it is one.

    Raises:
        UsageError: It is not ``[a-z0-9-]{1,64}``.
    """
    if JOB_ID.fullmatch(job_id) is None:
        raise UsageError(f"not a job id: {job_id!r}", todo="use 1 to 64 of a-z, 0-9 and dash")
    return job_id


def verdict_number(name: str) -> int:
    """The n of ``doctor.<n>.json``, 0 for other names."""
    match = _VERDICT.fullmatch(name)
    return int(match[1]) if match else 0


class SpoolLayout:
    """Paths of a spool."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.spool_file = root / "spool.json"
        self.inbox = root / "inbox"
        self.outbox = root / "outbox"
        self.workers = root / "workers"
        self.ctl = root / "ctl"
        self.hosts = root / "hosts"
        self.active = root / "active"
        self.jobs = root / "jobs"
        self.trash = root / "trash"
        self.doctor = root / "doctor"  # only while a doctor measures
        self.fetched = root / "fetched"  # made by the first download

    @property
    def folders(self) -> tuple[Path, ...]:
        """All folders of a spool, parents first."""
        return (
            self.root,
            *(self.inbox, self.outbox, self.workers, self.ctl, self.hosts, self.active, self.jobs, self.trash),
        )

    def job(self, job_id: str) -> JobLayout:
        """Paths of one job."""
        return JobLayout(self.jobs / job_id)

    def building(self, job_id: str, nonce: str) -> Path:
        """Where a job is built before it appears under its id."""
        return self.jobs / f".{job_id}.{nonce}.tmp"

    def verdict(self, number: int) -> Path:
        """What two hosts measured."""
        return self.root / f"doctor.{number}.json"

    def worker_record(self, wid: str) -> Path:
        """Who a worker is."""
        return self.workers / f"{wid}.json"

    def heartbeat(self, wid: str) -> Path:
        """A worker's counter, rewritten in place by it alone."""
        return self.workers / f"{wid}.hb"

    def lock(self, wid: str) -> Path:
        """The file a worker keeps locked for life."""
        return self.workers / f"{wid}.lock"


class JobLayout:
    """Paths of a job."""

    def __init__(self, root: Path, job_id: str = "") -> None:
        self.root = root
        self.job_id = job_id or root.name
        self.job_file = root / "job.json"
        self.source = root / "source"
        self.plan_link = root / "plan.json"
        self.segments = root / "segments"
        self.log = root / "log"
        self.control = root / "control"
        self.result = root / "result"
        self.logs = root / "logs"
        self.review_page = root / "review" / "contact.html"  # made by prepare when somebody wants to look first

    @property
    def folders(self) -> tuple[Path, ...]:
        """All folders of a new job, parents first."""
        return (
            self.root,
            *(self.source, self.segments, self.log, self.control, self.result, self.logs),
        )

    def segment(self, index: int) -> Path:
        """The folder of one segment: its job file, inputs and outputs."""
        return self.segments / label(index)

    def segment_job(self, index: int) -> Path:
        """The segment's job file for people; the same bytes as its ready record."""
        return self.segment(index) / "job.json"

    def segment_file(self, index: int, name: str) -> Path:
        """A file that a record names, in the folder of a segment.

        Raises:
            ValueError: The name is not acceptable (a path, hidden, strange characters).
        """
        return self.segment(index) / check_file_name(name)

    def plan_file(self, name: str) -> Path:
        """The plan that the plan record names.

        Raises:
            ValueError: The name is not acceptable.
        """
        return self.root / check_file_name(name)

    def outputs(self, task: Task) -> Path:
        """Where a task's outputs lie: the segment's folder, ``result/`` for the others."""
        return self.segment(task) if isinstance(task, int) else self.result

    def output_file(self, task: Task, name: str) -> Path:
        """A file that an outcome names.

        Raises:
            ValueError: The name is not acceptable.
        """
        return self.outputs(task) / check_file_name(name)

    def worker_log(self, wid: str) -> Path:
        """What a worker says about itself: when it came, and why it left."""
        return self.logs / f"worker.{wid}.txt"

    def log_file(self, task: Task, tag: str) -> Path:
        """What one execution of an attempt printed."""
        return self.logs / f"{label(task)}.{tag}.txt"
