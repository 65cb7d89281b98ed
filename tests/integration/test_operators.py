"""Who looks after many jobs: filters, workers, logs that go on, waits that end, spools that come later."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from tests.integration.conftest import box_option
from tests.integration.test_failing import Desk
from tests.integration.test_progress import drawn
from tests.integration.test_run import FAST
from waterz_spool.__main__ import main
from waterz_spool.spool import Session, Spool


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    found = Desk(tmp_path, spool={"failed_budget": 2})
    monkeypatch.setenv("WATERZ_SPOOL_DIR", str(found.spool.root))
    return found


@pytest.fixture
def says(capfd):
    def say(*arguments, code=0):
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([*map(str, arguments)])
        out, err = capfd.readouterr()
        assert end.value.code == code, err
        return out + err

    return say


def started(*arguments, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "waterz_spool", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more,
    )  # fmt: skip


def broken(desk):
    """Segment 1 has failed once, the others are done."""
    desk.prepare()
    with Session(desk.spool, threads=False, tasks={"segment"}) as session:
        while (claim := session.next()) is not None:
            claim.failed("FileNotFoundError: frames") if claim.task == 1 else claim.done()


def test_filters_and_order(desk, says):
    broken(desk)
    other = desk.spool.submit(b"{}", source=desk.video, name="b", job_id="20260101-b-00000000")
    other.cancel()
    ids = [other.id, desk.job.id]
    assert [line.split()[0] for line in says("status").splitlines()[1:]] == ids
    assert desk.job.id not in says("status", "--state", "cancelled") and other.id in says(
        "status", "--state", "cancelled"
    )
    assert other.id not in says("status", "--state", "waiting", "--state", "stopped", "--state", "running")
    assert other.id not in (failed := says("status", "--failed")) and desk.job.id in failed
    assert says("status", "--sort", "newest").splitlines()[1].split()[0] == max(
        ids, key=lambda name: desk.spool.by_id(name).file.submitted
    )
    assert len(says("status", "--first", "1").splitlines()) == 2
    assert "no job is like that" in says("status", "--state", "done")
    rows = says("status", desk.job.id, "--segments", "--failed").splitlines()
    assert len(rows) == 3 and rows[2].split()[0] == "1", "the id, the heading, and the segment that failed"
    assert re.search(r" 67%  +2 done  1 ready  +1 ", says("status", desk.job.id))


def test_the_slowest_and_the_least_certain(desk, says):
    desk.work()
    (job,) = json.loads(says("--json", "status", "last", "--slowest", "2"))["jobs"]
    times = [task["seconds"] for task in job["tasks"]]
    assert len(times) == 2 and times == sorted(times, reverse=True)
    (job,) = json.loads(says("--json", "status", "last", "--low", "3"))["jobs"]
    assert [task["weight"] for task in job["tasks"]] == [0.0] * 3


def test_idle_and_busy_workers_are_shown(desk, says):
    assert "no worker is running" in says("workers")
    desk.prepare()
    with Session(desk.spool, threads=False, tasks={"segment"}) as session:
        assert re.search(r"idle +- +- +- +segment", says("workers"))
        claim = session.next()
        session.heart.note(job=desk.job.id, task=str(claim.task), k=1)
        session.heart.beat()
        assert f"{desk.job.id}/{claim.task}" in says("workers")
        claim.released("later")


def test_a_watched_status_fits_the_terminal_and_ends_with_ctrl_c(desk):
    import fcntl
    import pty
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-m", "waterz_spool", "status", "--watch"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
    )
    os.close(slave)
    text = b""
    while b"waiting" not in text:
        text += os.read(master, 65536)
    process.send_signal(signal.SIGINT)
    try:
        while block := os.read(master, 65536):
            text += block
    except OSError:  # the other end is closed
        pass
    os.close(master)
    assert process.wait(timeout=60) == 130
    lines = drawn(text.decode())
    assert any(line.startswith("JOB") for line in lines) and max(map(len, lines)) <= 60
    assert text.count(b"\x1b[?1049h") == text.count(b"\x1b[?1049l") == 1, "the screen is given back"


def test_logs_go_on_until_the_job_ends(desk, says):
    process = started("logs", "last", "--follow")
    worker = started("worker", "--drain")
    out, err = process.communicate(timeout=60)
    worker.communicate(timeout=60)
    assert process.returncode == 0, err
    lines = out.splitlines()
    assert sum("attempt 1 of" in line for line in lines) == 5 and len(lines) > 5
    assert lines == sorted(lines, key=lambda line: line[6:29]), "as they were written"
    assert sorted(lines) == sorted(says("logs", "last").splitlines()), "each line once"
    each = [json.loads(line) for line in says("--json", "logs", "last/1", "-f").splitlines()]
    assert len(each) > 1 and {line["task"] for line in each} == {"00001"}


NOTE = """-c 'import sys; print(*sys.argv[2:], sep=";", file=open(sys.argv[1], "a"))'"""


def test_a_wait_ends_when_the_jobs_have_and_runs_a_command(desk, says, tmp_path):
    other = desk.spool.submit(b"{}", source=desk.video, name="b", job_id="20260101-b-00000000")
    other.cancel()
    note = tmp_path / "note with blanks"
    command = f"{sys.executable} {NOTE} '{note}' {{job}} {{state}} {{output}}"
    process = started("wait", desk.job.id, other.id, desk.job.id, "--on-done", command)
    desk.work()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "1 of 2 jobs failed" in err and "was cancelled" in err
    assert out.splitlines() == [str(desk.out)] and "confidence" in err
    rows = {f"{desk.job.id};done;{desk.out}", f"{other.id};cancelled;"}
    assert set(note.read_text().splitlines()) == rows
    assert says("wait", "all") == "", "all that are open: none"


def test_a_wait_says_that_nobody_works_and_gives_up(desk, says):
    text = says("wait", "last", "--timeout", "4s", code=75)
    assert (
        text.count("no worker is running") == 1
        and "worker --drain --spool" in text
        and "did not end within 4 s" in text
    )


@pytest.mark.parametrize("command", ["'", "/nowhere/program {job}", "false"])
def test_a_command_that_cannot_be_run_is_said(command, desk, says):
    desk.work()
    text = says("wait", "last", "--on-done", command, code=2 if command == "'" else 0)
    assert "--on-done" in text and ("not a command" in text or "warning: " in text)


def test_workers_wait_for_a_spool_that_somebody_makes(tmp_path):
    root = tmp_path / "later"
    for more, code, words in [
        ((), 6, "waterz-spool init"),
        (("--wait-for-spool", "--idle-timeout", "0.5"), 75, "no spool here yet"),
    ]:
        process = started("worker", "--drain", "--spool", root, *more)
        _, err = process.communicate(timeout=60)
        assert process.returncode == code and words in err and not root.exists(), err
    process = started("worker", "--drain", "--spool", root, "--wait-for-spool")
    line = process.stderr.readline()
    assert "waiting until there is" in line
    assert subprocess.run([sys.executable, "-m", "waterz_spool", "init", root], check=True, timeout=60)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "nothing was there to do" in err


def test_a_spool_is_not_scattered_among_other_files(tmp_path, says, video):
    (tmp_path / "holidays").mkdir()
    (tmp_path / "holidays" / "beach.mp4").write_bytes(b"")
    before = os.listdir(tmp_path / "holidays")
    asked = ["submit", video, *box_option(), "--spool", tmp_path / "holidays"]
    for command in (["init", tmp_path / "holidays"], asked):
        text = says(*command, code=2)
        assert "holds other things" in text and "beach.mp4" in text and f"{tmp_path}/holidays/" in text
    assert os.listdir(tmp_path / "holidays") == before
    (tmp_path / "empty" / "lost+found").mkdir(parents=True)
    (tmp_path / "empty" / "doctor").mkdir()  # what doctor leaves where it looked
    says("init", tmp_path / "empty")
    says("init", tmp_path / "empty")
    assert Spool.open(tmp_path / "empty").job_ids() == []


def test_submit_says_which_spool_where_none_was_named(video, cli):
    done = cli("submit", video, *box_option(), *FAST)
    assert "in your private spool" in done.stderr and "state/waterz-spool" in done.stderr
    assert not cli("-q", "submit", video, *box_option(), *FAST).stderr


def test_quiet_says_results_and_errors_only(desk, says, capfd, monkeypatch):
    monkeypatch.delenv("WATERZ_SPOOL_DIR")
    order = ("run", desk.video, "--box", "18,8,24,16", "--engine", "membrane", "--preset", "ultrafast")
    assert says("-q", *order).splitlines() == [str(desk.video.with_name("clip.clean.mkv"))]
    assert says(*order, "-q", code=2).startswith("error: the output exists")


def test_pause_names_what_it_holds(desk, says):
    text = says("pause")
    assert str(desk.spool.root) in text and "everybody" in text
    assert desk.job.id in says("resume", "all") and "the whole spool" in says("resume")
