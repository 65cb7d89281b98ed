"""A worker that is told to end hands back what it has, and the next one goes on at once."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.integration.conftest import box_option
from waterz_spool.spool import Spool


def wait_for(path, limit_s=60.0):
    end = time.monotonic() + limit_s
    while not path.exists():
        assert time.monotonic() < end, f"no {path.name}"
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR2, 75)], ids=["end", "preempt"])
def test_a_worker_told_to_end_hands_its_segment_back(video, cli, tmp_path, number, code):
    where = ("--spool", "spool")
    cli("submit", video, *box_option(), "--segment-s", "10", "-o", "out.mp4", *where)
    (job,) = Spool.open(tmp_path / "spool").jobs()
    log = job.layout.log
    worker = cli("worker", *where, background=True)
    wait_for(log / "00000.1")
    worker.send_signal(number)
    _, said = worker.communicate(timeout=60)
    assert worker.returncode == code, said
    assert json.loads((log / "00000.1.end").read_bytes())["kind"] == "released"
    assert not list((tmp_path / "spool" / "workers").glob("*.hb"))
    cli("worker", "--drain", *where)
    assert (tmp_path / "out.mp4").exists()
    assert not list(log.glob("*.lost"))
    assert (log / "00000.2.done").exists()
