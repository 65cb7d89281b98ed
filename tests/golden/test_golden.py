"""Spools that version 0.1.0 wrote are read, continued and finished; new jobs have the same names and fields."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest

from tests.golden.make import submitted, work
from waterz_spool.spool import Spool
from waterz_spool.spool.log.formats import (
    CommitRecord,
    ControlRecord,
    EndRecord,
    JobFile,
    PlanRecord,
    PublishedRecord,
    SpoolFile,
    Token,
    WorkerRecord,
    decode,
    encode,
)

GOLDEN = Path(__file__).parent
GONE = b',\n "priority": 5'  # no longer written: nothing could set it
OPAQUE = ("request", "info")  # of the stages: not the spool's business
RECORDS = {  # by name; all that the spool itself writes
    r"spool\.json": SpoolFile,
    r"workers/.*\.json": WorkerRecord,
    r"jobs/[^/]*/job\.json": JobFile,
    r".*/log/plan\.0": PlanRecord,
    r".*/log/(\.w\..*|[^.]*\.[1-9])": Token,
    r".*/log/(\.e\..*|.*\.(done|failed|released)|[^.]*\.[1-9]\.end)": EndRecord,
    r".*/log/commit\.end": CommitRecord,
    r".*/log/published\.0": PublishedRecord,
    r".*/control/.*": ControlRecord,
}


def unpacked(name: str, folder: Path) -> Spool:
    """A golden spool, its paths leading to where it lies now."""
    with tarfile.open(GOLDEN / f"{name}.tar.xz") as tar:
        tar.extractall(folder, filter="fully_trusted")  # modes count
    for path in [*folder.glob("spool/jobs/*/job.json"), *folder.glob("spool/jobs/*/log/published.0")]:
        path.write_bytes(path.read_bytes().replace(b"/golden", str(folder).encode()))
    return Spool.open(folder / "spool")


def said(spool: Spool, *arguments: str) -> str:
    """What the program prints; it must end well."""
    command = [sys.executable, "-m", "waterz_spool", *arguments, "--spool", str(spool.root)]
    environment = {**os.environ, "XDG_STATE_HOME": str(spool.root.parent / "state"), "NO_COLOR": "1"}
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, env=environment).stdout


def pictures(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray() for frame in container.decode(video=0)]).astype(int)


def kind_of(name: str) -> Any:
    """The record that a file of a spool holds; None for others."""
    return next((kind for pattern, kind in RECORDS.items() if re.fullmatch(pattern, name)), None)


def files(root: Path) -> dict[str, Path]:
    return {str(path.relative_to(root)): path for path in sorted(root.rglob("*"))}


def neutral(name: str) -> str:
    """A name without what differs from one run to the next."""
    name = re.sub(r"\d{8}-clip-[0-9a-f]{4,8}", "JOB", name)
    return re.sub(r"\d{8}T\d{6}", "UTC", re.sub(r"[0-9a-f]{24}", "TOKEN", name))


def fields(value: Any) -> Any:
    """The shape of JSON: keys in order, and types."""
    if isinstance(value, dict):
        return {key: "opaque" if key in OPAQUE else fields(held) for key, held in value.items()}
    if isinstance(value, list):
        return [fields(held) for held in value]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def shape(root: Path) -> dict[str, str]:
    """All names in a spool, and what fields their records have."""
    found = {}
    for name, path in files(root).items():
        known = path.is_file() and kind_of(name)
        found[neutral(name)] = json.dumps(fields(json.loads(path.read_bytes()))) if known else str(path.is_file())
    return found


def test_a_finished_job_is_read(tmp_path: Path) -> None:
    spool = unpacked("finished", tmp_path)
    assert "done" in said(spool, "status")
    assert "3 done" in said(spool, "status", "last")
    assert "finished, the result is published" in said(spool, "explain", "last")
    said(spool, "verify", "last")
    (job,) = spool.jobs()
    assert job.verify() == []
    assert job.published().path == str(tmp_path / "clean.mp4")


def test_a_job_half_done_is_read_continued_and_finished(tmp_path: Path) -> None:
    spool = unpacked("begun", tmp_path)
    assert "1 done" in said(spool, "status", "last")
    assert "waiting for a worker" in said(spool, "explain", "last")
    said(spool, "verify", "last")
    before = {name: path.read_bytes() for name, path in files(spool.root / "jobs").items() if path.is_file()}
    work(spool)
    (job,) = Spool.open(spool.root).jobs()
    assert (job.state().state, job.state().published) == ("done", True)
    assert job.verify() == []
    assert {name: (spool.root / "jobs" / name).read_bytes() for name in before} == before
    unpacked("finished", tmp_path / "golden")
    difference = pictures(tmp_path / "clean.mp4") - pictures(tmp_path / "golden" / "clean.mp4")
    assert abs(difference).max() <= 1  # the box is filled by another version of the libraries, perhaps


@pytest.mark.parametrize("name", ["finished", "begun"])
def test_every_record_is_written_as_it_was_to_the_byte(name: str, tmp_path: Path) -> None:
    spool = unpacked(name, tmp_path)
    seen = set()
    for held, path in files(spool.root).items():
        kind = kind_of(held) if path.is_file() else None
        if kind is None:
            continue
        data = path.read_bytes()
        if kind is JobFile:
            data = data.replace(GONE, b"")
        record = decode(data, kind, path)
        again = msgspec.json.format(encode(record), indent=1) + b"\n" if kind is JobFile else encode(record)
        assert again == data, held
        seen.add(kind)
    assert seen >= {*RECORDS.values()} - ({CommitRecord, PublishedRecord} if name == "begun" else set())


def test_a_new_job_has_the_same_names_and_fields(tmp_path: Path) -> None:
    (tmp_path / "golden").mkdir()
    (tmp_path / "new").mkdir()
    golden = unpacked("finished", tmp_path / "golden")
    new = submitted(tmp_path / "new")
    work(new)
    was, now = shape(golden.root), shape(new.root)
    assert was.pop("jobs/JOB/events") == "False"  # a folder in which nothing ever was
    was["jobs/JOB/job.json"] = was["jobs/JOB/job.json"].replace(', "priority": "number"', "")
    assert now == was
