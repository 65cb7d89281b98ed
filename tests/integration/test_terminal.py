"""Names and records may hold anything: what is printed never steers a terminal, what is logged goes into the job."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import pytest

from waterz_spool.__main__ import main
from waterz_spool.errors import InputError
from waterz_spool.report.logs import merged
from waterz_spool.spool import EndRecord, Spool
from waterz_spool.spool.log.formats import Token, encode
from waterz_spool.stages.loop.tasklog import LogFile, LogFormatter

EVIL = "\x1b]0;owned\x07\x1b[2Jx\x9b31my\r\u202egpj"
WID = "0" * 24


def printed(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit):
        main(arguments)
    out, err = capfd.readouterr()
    return out + err


def steers(text: str) -> bool:
    return any(not char.isprintable() for char in text.replace("\n", ""))


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """A job whose every text is hostile: name of the source, host, Slurm job, reasons, logs."""
    source = tmp_path / f"talk{EVIL}.mp4"
    source.write_bytes(b"video")
    root = tmp_path / "spool"
    job = Spool.create(root).submit(b"{}", source=source, name=source.name, job_id="job")
    token = Token(v=1, w=WID, n="n", host=EVIL, pid=1, boot=EVIL, slurm=f"c/{EVIL}.1")
    (job.layout.log / "prep.1").write_bytes(encode(token))
    end = EndRecord(kind="released", w=WID, n="n", host=EVIL, why=f"no{EVIL}", task="prep", k=1)
    (job.layout.log / "prep.1.end").write_bytes(encode(end))
    (job.layout.log / "prep.2").write_bytes(encode(token))
    (job.layout.log / f"strange{EVIL}").write_bytes(b"")
    (job.layout.logs / "prep.1.x.txt").write_text(f"2026-01-01 00:00:00,000 INFO hello {EVIL}\n")
    (job.layout.logs / f"evil{EVIL}.txt").write_text("by name")
    return root


@pytest.mark.parametrize("json_too", [False, True], ids=["text", "json"])
@pytest.mark.parametrize(
    "command",
    ["status", "status job --segments", "explain job", "explain job/prep", "logs job", "verify job", "cancel job"],
)
def test_no_command_lets_a_name_steer_the_terminal(
    spool: Path, command: str, json_too: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    text = printed(capfd, "--spool", str(spool), *(["--json"] if json_too else []), *command.split())
    assert text and not steers(text)
    if json_too and command != "verify job":
        json.loads(text)


def test_an_error_shows_what_it_is_about_and_no_more(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = printed(capfd, "run", str(tmp_path / EVIL), "--box", "1,1,8,8")
    assert "no such video file" in text and "owned" in text and not steers(text)
    assert not steers(str(InputError(f"a{EVIL}", where=f"b{EVIL}\n", todo=f"c{EVIL}")))


def test_logs_escape_names_and_keep_lines() -> None:
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "inbox: %s", (EVIL,), None)
    try:
        raise ValueError(EVIL)
    except ValueError:
        record.exc_info = sys.exc_info()
    text = LogFormatter().format(record)
    assert not steers(text) and len(text.splitlines()) > 3


@pytest.mark.parametrize("what", ["symlink", "hard link", "fifo"])
def test_a_log_is_not_written_into_what_somebody_put_there(what: str, tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "log.txt"
    victim.write_bytes(b"precious")
    if what == "symlink":
        path.symlink_to(victim)
    elif what == "hard link":
        path.hardlink_to(victim)
    else:
        os.mkfifo(path)
    handler = LogFile(path)
    handler.emit(logging.LogRecord("x", logging.ERROR, "f", 1, "hello", (), None))
    handler.close()
    assert victim.read_bytes() == b"precious"


def test_a_log_that_is_continued_can_be_read_by_the_group(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        for _ in range(2):
            handler = LogFile(tmp_path / "log.txt")
            handler.emit(logging.LogRecord("x", logging.ERROR, "f", 1, "hello", (), None))
            handler.close()
    finally:
        os.umask(before)
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 2
    assert (tmp_path / "log.txt").stat().st_mode & 0o777 == 0o660


@pytest.mark.timeout(20)
def test_things_that_are_no_logs_are_named_and_not_read(spool: Path, tmp_path: Path) -> None:
    job = Spool.open(spool).by_id("job")
    os.mkfifo(job.layout.logs / "a.txt")
    (job.layout.logs / "b.txt").symlink_to("/etc/passwd")
    with (job.layout.logs / "c.txt").open("wb") as file:
        file.truncate(1 << 30)
    lines = [str(line) for line in merged(job)]
    assert sum("not a log" in line for line in lines) == 3
    assert not any("root:" in line for line in lines)
