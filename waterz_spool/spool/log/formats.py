"""What the records in a spool hold, and how strictly they are read.

A record appears under its name only after it was written and flushed as a whole, so one that does not parse cannot
come from this protocol: it is an error with a clear message, never "absent".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from waterz_spool.errors import SetupError, WaterzError
from waterz_spool.records import FileRef
from waterz_spool.spool.log.layout import JOB_ID, MAX_SEGMENTS, WORKER_ID, Outcome, Verb, check_file_name

FORMAT_VERSION = 1
JOB_SCHEMA = 1

T = TypeVar("T")


class DamagedRecordError(WaterzError):
    """A record in the spool is not what the protocol writes: bit rot, a hand edit, or a foreign program."""

    exit_code = 5


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """How often a task may end without being done before it is a dead letter; released attempts are free."""

    failed: int = 3
    lost_hosts: int = 3  # distinct hosts
    lost: int = 6  # in all


class SpoolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What all workers of a spool must agree on, stored in ``spool.json``. Defaults are for one machine.

    On NFS or Lustre: beat_s 30, lease_s 180, poll_s 2, idle_s 30, backoff_s 5, locks "off" until measured.
    """

    beat_s: float = 0.5  # between heartbeats
    lease_s: float = 15.0  # a heartbeat unchanged for so long is stale
    poll_s: float = 0.3  # between looks while idle, at first
    idle_s: float = 3.0  # between looks while idle, at most
    backoff_s: float = 5.0  # before a second attempt, doubling, with jitter
    backoff_max_s: float = 300.0
    locks: Literal["off", "host", "shared"] = "host"  # whose worker locks are believed: "host" is of this boot


class SpoolFile(msgspec.Struct, frozen=True, kw_only=True):
    """``spool.json``."""

    version: int
    uuid: str
    settings: SpoolSettings


class SourceRef(msgspec.Struct, frozen=True, kw_only=True):
    """The pinned source as it was at submit."""

    file: str
    bytes: int
    sha256: str
    mtime_ns: int


class JobFile(msgspec.Struct, frozen=True, kw_only=True):
    """``job.json``: what was asked, immutable."""

    schema: int
    id: str
    name: str  # the source's own name, for people
    submitted: float  # seconds since the epoch on the submitting host; display only
    uid: int
    nonce: str
    source: SourceRef
    attachments: tuple[SourceRef, ...] = ()  # further pinned files, such as a mask
    request: msgspec.Raw  # opaque to the spool
    budget: Budget = Budget()
    on_dead: Literal["fail", "passthrough"] = "fail"  # of a segment whose budget is spent


class PlanRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``log/plan.0``: how many segments, and which file is the plan."""

    segments: int
    plan: FileRef
    n: str


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """``.w.<wid>``, the content of every claim of a worker."""

    v: int
    w: str
    n: str
    host: str
    pid: int
    boot: str
    slurm: str = ""


class EndRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of an attempt.

    ``task`` and ``k`` are empty in outcomes written before they were needed (the name they are linked to says it).
    ``host`` is that of the attempt's owner, also where somebody else recorded the loss.
    """

    kind: Outcome
    w: str  # who recorded it
    n: str
    v: int = FORMAT_VERSION
    task: str = ""
    k: int = 0
    t: float = 0.0  # server time, seconds since the epoch; display only
    host: str = ""
    why: str = ""
    rc: int = 0
    seconds: float = 0.0
    peak_mib: float = 0.0
    outs: tuple[FileRef, ...] = ()
    passed: bool = False  # done with the source's own pixels, because the budget was spent
    info: msgspec.Raw = msgspec.Raw(b"null")


class VoidRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``00017.1.void``: the output of a done attempt does not hold what its outcome says."""

    w: str
    n: str
    why: str


class CommitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``commit.end``: the job ends published or cancelled, never both."""

    kind: Literal["publish", "cancelled"]
    n: str
    attempt: int = 0  # of final, when published
    why: str = ""


class PublishedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``published.0``: where the result was first published."""

    target: str  # as asked
    path: str  # as taken: another number when the name was taken by a different file
    bytes: int
    sha256: str
    n: str


class GrantRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``control/grant.<n>``: more budget for one task, or for all."""

    task: str | None
    extra: Budget
    n: str


class ControlRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``<n>.pause`` and its like; the name decides, the content tells who."""

    verb: Verb
    host: str
    uid: int
    t: float
    n: str
    why: str = ""


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``workers/<wid>.json``: who a worker is, immutable."""

    w: str
    host: str
    pid: int
    boot: str
    uid: int
    tasks: tuple[str, ...]
    locked: bool  # whether it holds its lock
    started: float  # seconds since the epoch on its host; display only
    info: dict[str, Any] = {}


class HostRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``hosts/<host>.<n>.quarantine``, and ``.resume`` which lifts it; the name decides, the content tells why."""

    host: str
    why: str
    uid: int
    t: float  # server time, or the host's; display only
    n: str


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """The one line of a heartbeat; any change of it is a sign of life."""

    beat: int
    progress: int = 0  # counts every report of progress: stands still in a hung worker
    job: str = ""
    task: str = ""
    k: int = 0
    fraction: float = 0.0
    step: str = ""  # what it does of the task: looking, cutting, restoring, encoding, joining, verifying
    next: str = ""  # of an idle worker: the task, job/task, that it waits with after failures
    next_s: float = 0.0  # in how long it tries that again
    trouble: str = ""  # name of the system's error that keeps the worker from its work, such as ENOSPC
    trouble_s: float = 0.0  # for how long, on the worker's own clock
    host: str = ""  # its own, while it has trouble: it may not have been able to write who it is


def encode(record: msgspec.Struct) -> bytes:
    """One line of JSON."""
    return msgspec.json.encode(record) + b"\n"


def decode(data: bytes, kind: type[T], path: Path) -> T:
    """The record in ``data``.

    Raises:
        DamagedRecordError: It is not one.
    """
    try:
        record = msgspec.json.decode(data, type=kind)
        _check(record)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DamagedRecordError(
            f"damaged {kind.__name__}: {str(error)[:200]}",
            where=str(path),
            todo="run `waterz-spool verify`; restore the file or cancel the job",
        ) from error
    return record


def decode_spool_file(data: bytes, path: Path) -> SpoolFile:
    """``spool.json``.

    Raises:
        SetupError: It is damaged or of another format version.
    """
    try:
        version = msgspec.json.decode(data, type=_Versioned).version
        if version == FORMAT_VERSION:
            found = msgspec.json.decode(data, type=SpoolFile)
            _check_settings(found.settings)
            return found
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise SetupError(f"damaged spool.json: {str(error)[:200]}", where=str(path)) from error
    raise SetupError(
        f"spool format {version}, this program knows {FORMAT_VERSION}",
        where=str(path),
        todo="use the same version of waterz-spool on all machines, or a new spool folder",
    )


class _Versioned(msgspec.Struct):
    version: int


def _check(record: object) -> None:
    """What of a record becomes part of a path, a loop or a decision, beyond its types."""
    refs: tuple[FileRef | SourceRef, ...] = ()
    if isinstance(record, EndRecord):
        refs = record.outs
        _expect(record.v == FORMAT_VERSION, "format version", record.v)
    elif isinstance(record, Token | WorkerRecord):
        _expect(WORKER_ID.fullmatch(record.w) is not None, "worker", record.w)
        _expect(isinstance(record, WorkerRecord) or record.v == FORMAT_VERSION, "format version", record)
    elif isinstance(record, PlanRecord):
        refs = (record.plan,)
        _expect(0 < record.segments <= MAX_SEGMENTS, "number of segments", record.segments)
    elif isinstance(record, JobFile):
        refs = (record.source, *record.attachments)
        _expect(record.schema == JOB_SCHEMA, "schema", record.schema)
        _expect(JOB_ID.fullmatch(record.id) is not None, "job id", record.id)
    for ref in refs:
        check_file_name(ref.file)


def _expect(holds: bool, what: str, found: object) -> None:
    if not holds:
        raise ValueError(f"unknown {what}: {found!r:.80}")


def _check_settings(settings: SpoolSettings) -> None:
    """Times that would make a worker spin or sleep for ever."""
    for name in ("beat_s", "lease_s", "poll_s", "idle_s", "backoff_s", "backoff_max_s"):
        _expect(0.001 <= getattr(settings, name) <= 86400, name, getattr(settings, name))
