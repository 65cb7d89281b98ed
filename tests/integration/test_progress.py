"""Progress: one line that fits any width, steps with names, an ETA that moves, JSON lines for programs."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios

import pytest

from tests.integration.conftest import as_json, box_option
from tests.integration.test_failing import Desk
from tests.integration.test_run import FAST, spool_of, wait_for
from waterz_spool.report.progress import Moment, Watch, text_of
from waterz_spool.report.terminal import Progress
from waterz_spool.spool import Session

LONG = "my-summer-holiday-2026-in-the-mountains-with-[bold]brackets[/bold].mp4"


def in_terminal(columns, code, **environment):
    """What a program writes to a terminal of so many columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=slave, stdout=slave, stderr=slave,
        env={**kept, "TERM": "xterm-256color", **environment},
    )  # fmt: skip
    os.close(slave)
    data = b""
    while True:
        try:
            block = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not block:
            break
        data += block
    os.close(master)
    assert process.wait(timeout=60) == 0, data.decode()
    return data.decode()


SHOWN = f"""
from waterz_spool.report import terminal as progress
from waterz_spool.report.progress import Moment
progress.POLL_S = 0.0
shown = progress.Progress(terminal=True)
name = {LONG!r}
moments = [
    Moment(name=name, step="waiting for a worker"),
    Moment(name=name, step="looking", share=0.31, elapsed_s=7),
    Moment(name=name, step="restoring", share=0.456, done=123456, total=234567, rate=1234.5, eta_s=3599999),
    Moment(name=name, step="fetching", share=None, done=123456, unit="MiB", rate=12.5),
    Moment(name=name, step="verifying", share=1.0, done=1, total=1, eta_s=0.0),
]
for moment in moments:
    shown.tell(lambda elapsed_s: moment)
shown.line("no space left in /spool since 00:00:10: free space; work resumes by itself")
shown.tell(lambda elapsed_s: moments[2])
shown.end()
"""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def drawn(text):
    """The lines as the terminal got them, control sequences taken out; the cursor's way home begins another one."""
    text = _CONTROL.sub("", text.replace("\x1b[H", "\n"))
    return [line for line in re.split(r"[\r\n]+", text) if line.strip()]


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_bar_fits_its_terminal(columns):
    lines = drawn(in_terminal(columns, SHOWN))
    bars = [line for line in lines if "no space left" not in line and "free space" not in line]
    assert bars and max(map(len, bars)) <= columns, bars
    restoring = next(line for line in bars if "restoring" in line)
    assert "46%" in restoring and "ETA 999:59:59" in restoring
    assert ("123456/234567 frames" in restoring) is (columns >= 80)
    assert any("my-summer-holiday" in line for line in bars) is (columns >= 120)
    assert any("no space left in /spool" in line for line in lines)


def test_a_run_in_a_narrow_terminal_wraps_nothing(video, tmp_path):
    code = f"""
import os, sys
os.chdir({str(tmp_path)!r})
from waterz_spool.__main__ import main
try: main(["run", {str(video)!r}, "--box", {box_option()[1]!r}, "--segment-s", "1", "--preset", "ultrafast"])
except SystemExit as end: sys.exit(end.code)
"""
    text = in_terminal(40, code, XDG_STATE_HOME=str(tmp_path / "state"))
    bars = [line for line in drawn(text) if re.match(r"(looking|cutting|restoring|joining|verifying|waiting)", line)]
    assert bars and max(map(len, bars)) <= 40
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") >= 1, "the cursor comes back"


def test_no_color_means_none():
    text = in_terminal(80, SHOWN, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9](;[0-9;]*)?m", text)
    assert re.search(r"\x1b\[[0-9;]*3[0-9](;[0-9;]*)?m", in_terminal(80, SHOWN))


def test_elsewhere_it_is_a_line_in_a_while(capfd):
    progress = Progress(terminal=False)
    for _ in range(50):
        progress.tell(lambda elapsed_s: Moment(name="a\x1b[2J.mp4", step="looking", share=0.5, elapsed_s=7))
    progress.end()
    assert capfd.readouterr().err == "a\\x1b[2J.mp4  looking 50%  00:00:07\n"


def test_programs_get_one_object_a_line(video, cli):
    done = cli("--json", "run", video, *box_option(), *FAST, "--json-progress")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    moments = [line for line in lines if "step" in line]
    assert moments and {"name", "job", "share", "done", "total", "rate", "eta_s", "elapsed_s"} <= set(moments[0])
    assert as_json(done)["jobs"][0]["result"]["seen"] > 0.9


class Time:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_an_eta_is_there_however_seldom_it_is_told(tmp_path):
    desk = Desk(tmp_path)
    now = Time()
    watch = Watch(desk.job, now)
    desk.prepare()
    with Session(desk.spool, tasks={"segment"}, threads=False) as session:
        claim = session.next()
        for share in (0.1, 0.2, 0.3, 0.4):
            claim.progress(share, "restoring")
            session.heart.beat()
            now.now += 5.0
            watch.glance(desk.job.state())
        assert watch.look(desk.job.state()).eta_s > 0
        claim.released("enough")


def test_steps_have_names_and_the_eta_moves(tmp_path):
    desk = Desk(tmp_path)
    now = Time()
    watch = Watch(desk.job, now)
    assert watch.look(desk.job.state()).step == "waiting"
    desk.prepare()
    with Session(desk.spool, tasks={"segment"}, threads=False) as session:
        claim = session.next()
        found = []
        for share in (0.0, 0.25, 0.5, 0.75):
            claim.progress(share, "restoring")
            session.heart.beat()
            found.append(watch.look(desk.job.state()))
            now.now += 5.0
        assert {moment.step for moment in found} == {"restoring"}
        etas = [moment.eta_s for moment in found]
        assert etas[0] is None and etas[1] > etas[2] > etas[3] > 0
        done = found[1].share  # in 5 s: the rest takes as much longer, and some more for the end
        assert etas[1] == pytest.approx((1 - done) / done * 5, rel=0.1)
        frames = json.loads(desk.job.segment(claim.task))["segment"]
        assert found[2].done == (frames["stop"] - frames["start"]) // 2 and found[2].total == 30
        assert re.fullmatch(
            r"clip.mkv  restoring \d+%  \d+/30 frames  [\d.]+ frames/s  ETA 00:00:.*", text_of(found[2])
        )
        claim.released("enough")


@pytest.mark.parametrize("step", ["looking", "cutting", "joining", "verifying"])
def test_the_first_and_the_last_steps_tell_how_far_they_are(tmp_path, step):
    desk = Desk(tmp_path)
    stage = "prep" if step in ("looking", "cutting") else "final"
    if stage == "final":
        desk.work(tasks={"prep", "segment"}, idle_timeout_s=0.1)
    with Session(desk.spool, tasks={stage}, threads=False) as session:
        claim = session.next()
        claim.progress(0.4, step)
        session.heart.beat()
        moment = Watch(desk.job).look(desk.job.state())
        assert (moment.step, moment.share) == (step, 0.4)


def test_every_stage_reports_its_step(tmp_path, monkeypatch):
    from waterz_spool.spool import Claim

    said = {}
    report = Claim.progress

    def heard(self, fraction, step=""):
        said.setdefault(step, []).append(fraction)
        report(self, fraction, step)

    monkeypatch.setattr(Claim, "progress", heard)
    Desk(tmp_path).work()
    assert set(said) == {"looking", "cutting", "restoring", "encoding", "joining", "verifying"}
    assert all(0 <= share <= 1 for shares in said.values() for share in shares)
    assert said["looking"] == sorted(said["looking"]) and said["verifying"][-1] == 1.0
    assert max(said["restoring"]) < 1.0 == max(said["encoding"])


def test_ctrl_c_says_what_is_kept(video, cli, tmp_path):
    process = cli("--spool", "spool", "run", video, *box_option(), *FAST, background=True, start_new_session=True)
    assert wait_for(lambda: spool_of(tmp_path).jobs()[0].state().counts.get("done", 0) >= 1, process)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    state = spool_of(tmp_path).jobs()[0].state()
    done = state.counts["done"]
    assert (
        f"stopped; {done} of 4 segments {'is' if done == 1 else 'are'} kept; run the same command again to continue"
        in err
    )
