"""Coordination through nothing but a shared folder: jobs, attempts, workers.

Safety rests on one primitive, put-if-absent by link(2). Locks, heartbeats, caches and clocks only make it faster, and
may lie. To the spool, what a job asks, its plan and its segments are opaque JSON.
"""

from waterz_spool.spool.clean import Cleaned
from waterz_spool.spool.disk.atomic import UndecidedError
from waterz_spool.spool.disk.clock import Clock, SystemClock
from waterz_spool.spool.disk.fileops import FILE_MODE, FileOps
from waterz_spool.spool.disk.machine import pid_space
from waterz_spool.spool.disk.world import World
from waterz_spool.spool.job.jobs import Job
from waterz_spool.spool.job.verify import Violation
from waterz_spool.spool.log.formats import (
    Beat,
    Budget,
    CommitRecord,
    DamagedRecordError,
    EndRecord,
    JobFile,
    PublishedRecord,
    SourceRef,
    SpoolSettings,
    WorkerRecord,
)
from waterz_spool.spool.log.layout import FINAL, PREP, SEGMENT, JobLayout, SpoolLayout, Task, check_file_name, label
from waterz_spool.spool.log.snapshot import JobState, Reason
from waterz_spool.spool.log.states import TaskState
from waterz_spool.spool.root import Spool
from waterz_spool.spool.worker.claims import Claim
from waterz_spool.spool.worker.gates import refusal
from waterz_spool.spool.worker.owners import Owners
from waterz_spool.spool.worker.roles import FinalClaim, PrepClaim, SegmentClaim
from waterz_spool.spool.worker.session import Session
from waterz_spool.spool.worker.trouble import storage_error

__all__ = [
    "FILE_MODE",
    "FINAL",
    "PREP",
    "SEGMENT",
    "Beat",
    "Budget",
    "Claim",
    "Cleaned",
    "Clock",
    "CommitRecord",
    "DamagedRecordError",
    "EndRecord",
    "FileOps",
    "FinalClaim",
    "Job",
    "JobFile",
    "JobLayout",
    "JobState",
    "Owners",
    "PrepClaim",
    "PublishedRecord",
    "Reason",
    "SegmentClaim",
    "Session",
    "SourceRef",
    "Spool",
    "SpoolLayout",
    "SpoolSettings",
    "SystemClock",
    "Task",
    "TaskState",
    "UndecidedError",
    "Violation",
    "WorkerRecord",
    "World",
    "check_file_name",
    "label",
    "pid_space",
    "refusal",
    "storage_error",
]
