"""Captions that come and go: what they never touched keeps its packets."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from unittest import mock

import av
import pytest

from tests.media import make
from waterz_spool.media import splicing
from waterz_spool.report.result import result_of
from waterz_spool.spool import Session, Spool
from waterz_spool.stages.loop.worker import Limits, StopFlag, Worker

GROUPS = {"x264-params": "keyint=25:min-keyint=25:scenecut=0"}
CAPTION = ("--box-exact", "16,16,60,24", "--from", "2.1", "--to", "3.2", "--engine", "membrane")


@pytest.fixture
def captioned(tmp_path):
    """Six groups of a second each; a caption over two of them."""
    return make.video(tmp_path / "clip.mp4", frames=150, size=(192, 128), options=GROUPS, audio=[make.Audio()])


def packets_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_result_holds_the_sources_packets_and_the_same_bytes_by_any_number_of_workers(captioned, cli, tmp_path):
    done = cli("run", captioned, *CAPTION, "--workers", "1", "-o", "one.mp4", "--report")
    summary = json.loads((tmp_path / "one.json").read_text())
    copied = summary["copied"]
    assert 100 <= copied <= 103  # two groups before it and two behind, and a few frames until it appears
    assert f"{copied} of 150 frames are the source's own, without loss" in done.stderr
    assert any(f"{copied} frames are copies" in check for check in summary["checks"])
    source, result = packets_of(captioned), packets_of(tmp_path / "one.mp4")
    assert len(result) == 150 and result[:50] == source[:50] and result[100:] == source[100:]
    assert sum(a == b for a, b in zip(source, result, strict=True)) == copied
    cli("--spool", "other", "run", captioned, *CAPTION, "--workers", "3", "-o", "three.mp4")
    assert sha256(tmp_path / "one.mp4") == sha256(tmp_path / "three.mp4")


def test_all_frames_are_encoded_again_when_asked(captioned, cli, tmp_path):
    done = cli("run", captioned, *CAPTION, "--recode", "all", "-o", "all.mp4", "--report")
    assert "the source's own" not in done.stderr
    assert json.loads((tmp_path / "all.json").read_text())["copied"] == 0
    assert not set(packets_of(tmp_path / "all.mp4")) & set(packets_of(captioned))


def test_whatever_is_wrong_with_a_copy_the_result_is_right_and_says_so(captioned, cli, tmp_path):
    """The packets of a copied group are damaged on their way: every frame is encoded."""
    cli("--spool", "spool", "submit", captioned, *CAPTION, "-o", "clean.mp4")
    spool = Spool.open(tmp_path / "spool")
    splice: Any = splicing.Splice
    with mock.patch.object(splice, "copied", lambda self, data, first: data[:-9] + bytes(9)), Session(spool) as session:
        Worker(session, StopFlag(), Limits()).work_off()
    (job,) = spool.jobs()
    assert job.state().published
    result = result_of(job)
    assert result is not None and result.copied == 0
    assert any(check.startswith("every frame is encoded again: ") for check in result.checks)
    assert not set(packets_of(tmp_path / "clean.mp4")) & set(packets_of(captioned))
