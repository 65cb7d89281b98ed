"""Submitting: pin the source, build the job under a temporary name, let it appear whole.

Guarantee: a job is there completely or not at all; submitting twice under one explicit id leaves one job. Limit: a
submit that dies leaves a temporary folder, removed by `clean` after a day, or a job without its entry in active/,
which workers find at their slower look into jobs/.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from pathlib import Path
from typing import Literal

import msgspec

from waterz_spool.errors import InputError, UsageError
from waterz_spool.spool.disk.atomic import PAYLOAD_CAP_BYTES, settle_folder
from waterz_spool.spool.disk.failpoints import hit
from waterz_spool.spool.disk.world import World
from waterz_spool.spool.log.formats import JOB_SCHEMA, Budget, JobFile, SourceRef, decode
from waterz_spool.spool.log.layout import JobLayout, SpoolLayout, check_file_name, check_job_id

_RANK = 5  # one for all: entries are sorted by their time


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """What a user asks for."""

    request: bytes  # JSON
    source: Path
    name: str
    job_id: str
    budget: Budget
    on_dead: Literal["fail", "passthrough"]
    attachments: dict[str, Path]


class Submitter:
    """Creates jobs in one spool."""

    def __init__(self, layout: SpoolLayout, world: World) -> None:
        self._layout = layout
        self._world = world
        self._ops = world.ops

    def submit(self, asked: Submission) -> str:
        """The id of the job that now exists, new or there before."""
        _check(asked)
        job_id = check_job_id(asked.job_id)
        if self._taken(job_id):
            return job_id
        nonce = self._world.tokens()
        built = self._layout.building(job_id, nonce)
        try:
            self._build(JobLayout(built), job_id, nonce, asked)
            hit("submit_built")
            self._appear(built, job_id, nonce)
        finally:
            self._remove(built)
        hit("submit_renamed")
        self._index(job_id)
        return job_id

    def _index(self, job_id: str) -> None:
        """Add the entry in active/ by which workers find the job at once, oldest first."""
        utc = time.strftime("%Y%m%dT%H%M%S", time.gmtime(self._world.clock.wall()))
        with contextlib.suppress(FileExistsError):
            self._ops.write_new(self._layout.active / f"{_RANK}-{utc}-{job_id}", b"")

    def _taken(self, job_id: str) -> bool:
        return job_id in self._ops.listdir(self._layout.jobs)

    def _build(self, job: JobLayout, job_id: str, nonce: str, asked: Submission) -> None:
        for folder in job.folders:
            self._ops.mkdir(folder)
        record = JobFile(
            schema=JOB_SCHEMA,
            id=job_id,
            name=asked.name,
            submitted=self._world.clock.wall(),
            uid=os.getuid(),
            nonce=nonce,
            source=self._pin(asked.source, job.source / pinned_name(asked.source.name)),
            attachments=tuple(self._pin(path, job.source / name) for name, path in asked.attachments.items()),
            request=msgspec.Raw(asked.request),
            budget=asked.budget,
            on_dead=asked.on_dead,
        )
        text = msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"
        self._ops.write_new(job.job_file, text)
        for folder in reversed(job.folders):
            settle_folder(self._ops, folder)

    def _pin(self, source: Path, target: Path) -> SourceRef:
        try:
            self._ops.pin(source, target)
            before = self._ops.facts(target)
            size, sha256 = self._ops.digest(target)
            after = self._ops.facts(target)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.EINVAL, errno.ENXIO):
                raise
            raise InputError(f"cannot read the source: {error.strerror}", where=str(source)) from error
        if before != after or size != after.bytes:
            raise InputError(
                "the source changed while it was read", where=str(source), todo="wait until it is complete"
            )
        return SourceRef(file=target.name, bytes=size, sha256=sha256, mtime_ns=after.mtime_ns)

    def _appear(self, built: Path, job_id: str, nonce: str) -> None:
        target = self._layout.jobs / job_id
        try:
            self._ops.rename(built, target)  # onto a job, which is a folder with content, it fails
        except OSError:
            data = self._world.read(target / "job.json", PAYLOAD_CAP_BYTES * 2)
            if data is None:
                raise
            if decode(data, JobFile, target / "job.json").nonce != nonce:
                return  # somebody else submitted this id first: theirs counts
        settle_folder(self._ops, self._layout.jobs)

    def _remove(self, built: Path) -> None:
        with contextlib.suppress(OSError):
            self._ops.remove_tree(built)


def _check(asked: Submission) -> None:
    if asked.on_dead not in ("fail", "passthrough"):
        raise UsageError(f"a dead segment can fail or passthrough, not {asked.on_dead!r}")
    for name in asked.attachments:
        if check_file_name(name) == pinned_name(asked.source.name):
            raise UsageError(f"an attachment has the name of the source: {name}")
    if len(asked.request) > PAYLOAD_CAP_BYTES:
        raise UsageError(f"request of {len(asked.request)} bytes, at most {PAYLOAD_CAP_BYTES}")
    try:
        msgspec.json.decode(asked.request)
    except msgspec.DecodeError as error:
        raise UsageError(f"the request is not JSON: {error}") from error


def pinned_name(name: str) -> str:
    """A name for the pinned source that records may hold; the extension survives, strange characters do not."""
    path = Path(name)
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-")[:80] or "source"
    suffix = re.sub(r"[^A-Za-z0-9]", "", path.suffix)[:16]
    return f"{stem}.{suffix}" if suffix else stem
