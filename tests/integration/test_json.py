"""docs/json.md is the golden example: what each verb prints has its keys and kinds of values, and perhaps new keys."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from pathlib import Path

import click
import pytest

from tests.integration.conftest import scene_frames, write_video
from tests.integration.test_failing import BOX, Desk
from waterz_spool.__main__ import main
from waterz_spool.cli import commands
from waterz_spool.spool import Session

DOCUMENT = (Path(__file__).parents[2] / "docs/json.md").read_text()
GOLDEN = {
    verb.strip("`"): json.loads(block)
    for verb, block in re.findall(r"^### (`[a-z -]+`).*?^```json\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
}
SQUEUE = '#!/bin/sh\necho "77|0|PENDING||1:00:00|waterz-{uuid}|BeginTime"\n'


def verbs(command=commands, words=()):
    if isinstance(command, click.Group):
        for name in command.list_commands(None):
            yield from verbs(command.get_command(None, name), (*words, name))
    else:
        yield " ".join(words)


def fits(found, golden, at="document"):
    """All the keys, and the same kinds; null fits everything, and so does an empty list."""
    if found is None or golden is None:
        return
    if isinstance(golden, dict):
        assert isinstance(found, dict) and set(golden) <= set(found), (at, list(found), list(golden))
        for key in golden:
            fits(found[key], golden[key], f"{at}.{key}")
    elif isinstance(golden, list):
        assert isinstance(found, list), at
        for each in found if golden else ():
            fits(each, golden[0], f"{at}[]")
    else:
        kinds = (int, float) if isinstance(golden, int | float) and not isinstance(golden, bool) else type(golden)
        assert isinstance(found, kinds) and isinstance(found, bool) == isinstance(golden, bool), (at, found, golden)


@pytest.fixture
def says(capfd):
    """What a command prints with --json, which is one document."""

    def say(*arguments, code=0):
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["--json", *map(str, arguments)])
        out, err = capfd.readouterr()
        assert end.value.code == code, err
        document = json.loads(out)
        assert next(iter(document)) == "schema" and document["schema"] == 1
        assert ("error" in document) == bool(code)
        return document

    return say


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    found = Desk(tmp_path, spool={"failed_budget": 1})
    monkeypatch.setenv("WATERZ_SPOOL_DIR", str(found.spool.root))
    return found


def check(says, verb, *arguments, code=0):
    document = says(*verb.split(), *arguments, code=code)
    document.pop("error", None)
    golden = GOLDEN[verb]
    fits(document, {**golden, "jobs": GOLDEN["status"]["jobs"]} if golden.get("jobs") == [None] else golden)
    return document


def test_every_verb_has_an_example():
    assert set(GOLDEN) - {"error", "tasks"} == set(verbs())


def test_a_job_from_its_submission_to_its_end(desk, says, tmp_path):
    box = ",".join(map(str, BOX))
    (job,) = check(says, "submit", desk.video, "--box", box, "-o", "b.mkv")["jobs"]
    assert job["state"] == "waiting" and job["fraction"] == 0.0
    desk.spool.by_id(job["job"]).cancel()
    desk.prepare()
    with Session(desk.spool, threads=False, tasks={"segment"}) as session:
        claim = session.next()
        (row,) = check(says, "status", desk.job.id)["jobs"]
        assert row["workers"][0]["task"] == claim.task and isinstance(claim.task, int)
        (worker,) = check(says, "workers")["workers"]
        assert worker["pid"] == os.getpid()
        claim.released("later")
    assert check(says, "explain", desk.job.id)["task"] is None
    check(says, "worker", "--drain")
    (row,) = check(says, "wait", desk.job.id)["jobs"]
    assert row["state"] == "done" and row["fraction"] == 1.0 and row["result"]["frames"] == 30
    (row,) = says("status", desk.job.id, "--segments")["jobs"]
    for task in row["tasks"]:
        fits(task, GOLDEN["tasks"])
    assert [task["task"] for task in row["tasks"]] == ["prep", 0, 1, 2, "final"]
    assert len(check(says, "logs", f"{desk.job.id}/1")["lines"]) > 1
    check(says, "report", desk.job.id, "-o", "r.html")
    check(says, "verify", desk.job.id)
    check(says, "finalize", desk.job.id)
    assert check(says, "clean", "--older", "0")["dry_run"]


def test_control(desk, says):
    check(says, "pause", "last")
    assert check(says, "pause")["whole_spool"]
    check(says, "resume")
    check(says, "resume", "last")
    desk.prepare()
    for frames in desk.job.layout.segment(1).glob("frames.*"):
        frames.unlink()
    says("worker", "--drain")
    (row,) = check(says, "status")["jobs"]
    assert row["state"] == "failed" and row["reasons"][0]["task"] == 1
    assert check(says, "retry", "last/1")["jobs"] == [{"job": desk.job.id, "task": 1}]
    check(says, "cancel", "last")
    assert check(says, "cancel", "all")["jobs"] == []


def test_nothing_has_the_same_shape(tmp_path, says, monkeypatch):
    monkeypatch.setenv("WATERZ_SPOOL_DIR", str(tmp_path / "spool"))
    check(says, "init", tmp_path / "spool")
    assert check(says, "status")["jobs"] == check(says, "workers")["workers"] == check(says, "clean")["items"] == []
    assert check(says, "verify", "all")["jobs"] == []
    assert check(says, "worker", "--drain") == {"schema": 1, "finished": 0, "published": []}


def test_videos(desk, says, tmp_path):
    (row,) = check(says, "run", desk.video, "--box", ",".join(map(str, BOX)), "--preset", "ultrafast")["jobs"]
    assert row["output"].endswith("clip.clean.mkv")
    check(says, "pick", desk.video, "--detector", "none")
    check(says, "detect", desk.video, "--detector", "static", code=3)
    short = write_video(tmp_path / "short.mp4", scene_frames(30), audio=False)  # shorter than what is measured
    for verb in ("plan", "preview"):
        check(says, verb, short, "--box", "18,8,24,16", "--preset", "ultrafast")


def test_the_machine(tmp_path, says, monkeypatch):
    monkeypatch.setenv("WATERZ_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.chdir(tmp_path)
    check(says, "init", tmp_path / "spool")
    check(says, "config show")
    check(says, "config init")
    check(says, "config check", "waterz.yaml")
    check(says, "models list")
    check(says, "models path")
    check(says, "completion", "bash")
    check(says, "doctor")


def test_slurm(desk, says, tmp_path, monkeypatch):
    squeue = tmp_path / "bin" / "squeue"
    squeue.parent.mkdir()
    squeue.write_text(SQUEUE.format(uuid=desk.spool.uuid[:8]))
    squeue.chmod(squeue.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{squeue.parent}:{Path(sys.executable).parent}:/usr/bin:/bin")
    (worker,) = check(says, "slurm status")["workers"]
    assert worker["left_s"] == 3600 and worker["reason"] == "BeginTime"
    check(says, "slurm script", "2")
    check(says, "slurm scale", "--dry-run")


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (["run", "no.mp4"], 4, "no such video file"),
        (["run", "no.mp4", "--nonsense"], 2, "no such option: --nonsense"),
        (["stauts"], 2, "no such command: stauts"),
        (["run"], 2, "missing argument"),
        (["--spool", "/nowhere", "status"], 6, "not a spool"),
        (["explain", "last/x"], 2, "a task is a segment number"),
    ],
)
def test_an_error_is_data_too(arguments, code, what, says, desk):
    error = says(*arguments, code=code)["error"]
    fits(error, GOLDEN["error"]["error"])
    assert error["exit_code"] == code and error["what"].startswith(what)


def test_what_was_done_stands_beside_the_error(desk, says):
    document = says("run", desk.video, "no.mp4", "--box", ",".join(map(str, BOX)), "--preset", "ultrafast", code=1)
    assert document["jobs"][0]["state"] == "done" and document["error"]["what"] == "1 of 2 videos failed"
