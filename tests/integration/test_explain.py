"""`explain` and `status` say what is true: who lives, who waits with what, what is queued, what has stopped."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys

import pytest

from tests.integration.conftest import box_option
from tests.integration.test_failing import Desk
from tests.integration.test_run import FAST, kill_tree, spool_of, wait_for
from waterz_spool.spool import Session

SQUEUE = """#!/bin/sh
echo "77|0|PENDING||0:00|waterz-{uuid}|BeginTime"
echo "77|1|PENDING||0:00|waterz-{uuid}|BeginTime"
echo "78|N/A|PENDING||0:00|somebody-elses|Priority"
"""


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path, spool={"lease_s": 30.0})


def said(desk, *arguments, **environment):
    line = [sys.executable, "-m", "waterz_spool", "--spool", str(desk.spool.root), *arguments]
    done = subprocess.run(
        line, capture_output=True, text=True, check=True, timeout=60, env={**os.environ, **environment}
    )
    return done.stdout


def idle_worker(desk, **options):
    """A worker that lives, has looked for work and found none."""
    session = Session(desk.spool, threads=False, **options)
    session.start()
    return session


@pytest.mark.parametrize("question", ["last", "last/1"])
def test_a_worker_in_its_pause_after_a_failure_is_not_nobody(desk, question):
    desk.prepare()
    worker = idle_worker(desk, tasks={"segment"})
    while (claim := worker.next()) is not None:
        claim.failed(f"FileNotFoundError: frames of {claim.task}") if claim.task == 1 else claim.done()
    worker.heart.beat()
    text = said(desk, "explain", question)
    assert "failed 1 of 3 times (FileNotFoundError: frames of 1), next try in " in text
    assert "1 worker (" in text and "no worker" not in text
    assert desk.command("status").stdout.splitlines()[1].split()[1] == "waiting"
    worker.close()
    assert "no worker is running" in said(desk, "explain", question)


def test_workers_in_the_queue_of_slurm_are_not_nobody(desk, tmp_path):
    squeue = tmp_path / "bin" / "squeue"
    squeue.parent.mkdir()
    squeue.write_text(SQUEUE.format(uuid=desk.spool.uuid[:8]))
    squeue.chmod(squeue.stat().st_mode | stat.S_IXUSR)
    path = f"{squeue.parent}{os.pathsep}{os.environ['PATH']}"
    text = said(desk, "explain", PATH=path)
    assert "2 Slurm workers are queued (BeginTime)" in text and "no worker" not in text
    squeue.write_text("#!/bin/sh\necho 'controller is down' >&2; exit 1\n")
    assert "no worker is running" in said(desk, "explain", PATH=path, XDG_STATE_HOME=str(tmp_path)), (
        "none was ever launched"
    )
    (tmp_path / "waterz-spool-slurm" / desk.spool.uuid[:8]).mkdir(parents=True)
    text = said(desk, "explain", PATH=path, XDG_STATE_HOME=str(tmp_path))
    assert "whether Slurm workers are queued is not known: Slurm refused: controller is down" in text


def test_a_run_that_was_stopped_is_not_running(video, cli):
    order = ("run", video, *box_option(), *FAST, "--workers", "1")
    process = cli(*order, background=True, start_new_session=True)
    home = video.parent / "state" / "waterz-spool"
    private = ("--spool", home)
    assert wait_for(lambda: "running" in cli(*private, "status").stdout, process)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    (row,) = json.loads(cli("--json", "--spool", home, "status").stdout)["jobs"]
    assert row["state"] == "stopped"
    lines = cli("explain", extra={}).stdout
    assert lines.startswith("stopped: no worker is running") and "run the same command again" in lines
    cli(*order)


def test_what_a_killed_worker_held_is_not_at_work(video, cli, tmp_path):
    cli("--spool", "spool", "submit", video, *box_option(), *FAST)
    assert json.loads(cli("--spool", "spool", "--json", "status").stdout)["jobs"][0]["state"] == "waiting"
    worker = cli("--spool", "spool", "worker", "--drain", background=True, start_new_session=True)
    assert wait_for(lambda: "running" in spool_of(tmp_path).jobs()[0].state().counts, worker)
    assert "working: 1 running" in cli("--spool", "spool", "explain").stdout
    kill_tree(worker.pid)  # and nobody has fetched its exit code: a zombie is no worker
    text = cli("--spool", "spool", "explain").stdout
    assert "no worker is running" in text and "1 task held by a worker that shows no sign of life" in text
    assert json.loads(cli("--spool", "spool", "--json", "status").stdout)["jobs"][0]["state"] == "stopped"
    worker.communicate()


def test_busy_and_unfit_workers_are_told_apart(desk):
    worker = idle_worker(desk, tasks={"segment"})
    worker.heart.beat()
    text = said(desk, "explain")
    assert (
        "1 task left and no running worker takes this job" in text
        and "lives but takes other jobs, stages or users only" in text
    )
    worker.close()
    worker = idle_worker(desk)
    worker.heart.note(job="20260101-other-00000000", task="3", k=1)
    worker.heart.beat()
    assert "the one worker is busy with 20260101-other-00000000" in said(desk, "explain", "last/prep")
    worker.close()
