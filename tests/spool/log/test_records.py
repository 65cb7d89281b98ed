"""Hostile and damaged records: a clear error, nothing outside the job touched, no hang."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spoolscene import Scene

from waterz_spool.records import FileRef
from waterz_spool.spool import DamagedRecordError, EndRecord
from waterz_spool.spool.log import formats as f
from waterz_spool.spool.log.layout import check_file_name
from waterz_spool.spool.log.states import parse_control, parse_log

KINDS = [f.EndRecord, f.Token, f.JobFile, f.PlanRecord, f.CommitRecord, f.GrantRecord, f.ControlRecord, f.WorkerRecord]


@given(st.binary(max_size=200), st.sampled_from(KINDS))
def test_bytes_are_a_record_or_an_error(data: bytes, kind: type) -> None:
    with contextlib.suppress(DamagedRecordError):
        assert isinstance(f.decode(data, kind, Path("x")), kind)


@given(st.lists(st.text(max_size=12)))
def test_any_listing_can_be_parsed(names: list[str]) -> None:
    parse_log(names)
    parse_control(names)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", ".hidden", "", "a/b", "a\nb", "x" * 129, "a\0b", "é", "a."])
def test_a_record_names_files_not_paths(name: str) -> None:
    with pytest.raises(ValueError, match="file name"):
        check_file_name(name)
    record = EndRecord(kind="done", w="w", n="n", outs=(FileRef(file=name, bytes=1, sha256="0"),))
    with pytest.raises(DamagedRecordError):
        f.decode(f.encode(record), EndRecord, Path("x"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("what", ["symlink", "fifo", "huge", "types", "nesting", "folder"])
def test_a_hostile_outcome_stops_its_job_and_no_other(scene: Scene, what: str) -> None:
    job = scene.prepared(1, job_id="hostile")
    end = job.layout.log / "00000.1.end"
    (job.layout.log / "00000.1").write_bytes(b"{}")
    if what == "symlink":
        end.symlink_to("/etc/passwd")
    elif what == "fifo":
        os.mkfifo(end)
    elif what == "folder":
        end.mkdir()
    elif what == "huge":
        with end.open("wb") as file:
            file.truncate(1 << 30)
    else:
        end.write_bytes(json.dumps({"kind": 1, "w": []}).encode() if what == "types" else b"[" * 16000)
    scene.submit("other")
    session = scene.session()
    claim = session.next()
    assert claim is not None
    assert claim.job.id == "other"
    assert [found.code for found in job.verify()] == ["I7"]


def test_names_with_control_characters_are_counted_not_trusted(scene: Scene) -> None:
    job = scene.submit()
    (job.layout.log / "00000.1\n.end").write_bytes(b"")
    assert "unknown name" in job.verify()[0].what
    assert job.state().state == "preparing"
