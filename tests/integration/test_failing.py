"""What becomes of errors in a task's work: memory, storage, segments that cannot be restored, hosts that cannot."""

from __future__ import annotations

import errno
import json
import logging
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tests.integration.test_video_is_the_users import BOX, planes_of
from tests.media import make
from waterz_spool import config, restore
from waterz_spool.errors import InputError, PassedThroughError
from waterz_spool.intake.spools import open_or_create
from waterz_spool.intake.submit import Order, submit
from waterz_spool.report.ending import raise_if_passed
from waterz_spool.restore.membrane import MembraneRestorer
from waterz_spool.spool import Session
from waterz_spool.stages.loop.failing import Failing, is_memory
from waterz_spool.stages.loop.tasklog import task_log
from waterz_spool.stages.loop.worker import Limits, StopFlag, Worker

OPTIONS = {"restore": {"engine": "membrane"}, "plan": {"segment_s": 0.4, "min_segment_frames": 4}}


class Desk:
    """A job of three segments and whoever works on it."""

    def __init__(self, folder, **options):
        resolved = config.load(overrides={**OPTIONS, **options})
        self.out = folder / "out.mkv"
        self.video = make.video(folder / "clip.mkv", frames=30)
        self.spool = open_or_create(folder / "spool", resolved)
        self.job = submit(self.spool, self.video, Order(boxes=(BOX,), output=str(self.out)), resolved)

    def work(self, *, threads=1, host="here", **limits):
        with Session(self.spool, host=host, tasks=limits.pop("tasks", ("prep", "segment", "final"))) as session:
            worker = Worker(session, StopFlag(), Limits(drain=True, **limits), threads=threads)
            worker.run()
        return worker

    def prepare(self):
        with Session(self.spool, tasks=["prep"]) as session:
            Worker(session, StopFlag(), Limits()).work_off()

    def command(self, *arguments):
        line = [sys.executable, "-m", "waterz_spool", "--spool", str(self.spool.root), *arguments]
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)

    def counts(self):
        return [(task.failed, task.lost, task.released) for task in self.job.state().tasks[1:-1]]


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def test_segments_that_cannot_be_restored_pass_through_loudly(tmp_path):
    desk = Desk(tmp_path, spool={"on_dead": "passthrough", "failed_budget": 1}, encode={"lossless": True})
    desk.prepare()
    (masks,) = (desk.job.layout.segment(1)).glob("masks.*")
    masks.write_bytes(b"rotten")
    desk.work()
    state = desk.job.state()
    assert (state.state, state.published, state.passed) == ("done", True, (1,))
    assert desk.job.verify() == []
    segment = json.loads(desk.job.segment(1))["segment"]
    (_, before), (_, after) = planes_of(desk.video), planes_of(desk.out)
    same = [all(map(np.array_equal, one[1], other[1])) for one, other in zip(before, after, strict=True)]
    assert [index for index, is_same in enumerate(same) if is_same] == list(range(segment["start"], segment["stop"]))

    assert "done (1 passed through)" in desk.command("status").stdout
    assert "PASSED THROUGH: 1 segment could not be restored" in desk.command("explain", "last").stdout
    assert "still shows the overlay" in desk.command("explain", "last/1").stdout
    assert "1        passed" in desk.command("status", "--segments").stdout
    assert json.loads(desk.command("--json", "status").stdout)["jobs"][0]["passed"] == [1]
    ended = desk.command("finalize", "last")
    assert ended.returncode == 7
    assert "PASSED THROUGH" in ended.stderr


def test_run_ends_with_a_code_of_its_own_when_segments_passed(capsys):
    raise_if_passed({"job": ()})
    with pytest.raises(PassedThroughError, match="not all of it could be restored") as caught:
        raise_if_passed({"job": (3, 4), "other": ()})
    assert caught.value.exit_code == 7
    assert "job: PASSED THROUGH: 2 segments" in caught.value.where
    assert "other" not in caught.value.where


class Hungry(MembraneRestorer):
    """Has memory for so many threads."""

    def __init__(self, threads, enough):
        super().__init__()
        self.threads, self.enough = threads, enough

    def restore(self, clip, **options):
        if self.threads > self.enough:
            raise MemoryError
        return super().restore(clip, **options)


@pytest.fixture
def made(monkeypatch):
    """Threads of the restorers that were made."""
    threads = Made()

    def create(name, options):
        threads.append(options["threads"])
        return Hungry(options["threads"], threads.enough)

    monkeypatch.setattr(restore, "create", create)
    return threads


class Made(list):
    enough = 1


def test_out_of_memory_steps_down_and_costs_nothing(desk, made, caplog):
    desk.work(threads=4)
    assert made == [4, 1]
    assert sorted(desk.counts()) == [(0, 0, 0), (0, 0, 0), (0, 0, 1)]
    assert desk.job.state().state == "done"
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        f"out of memory in {record.args[0]}: this worker continues with less at a time"
        for record in caplog.records
        if record.levelno == logging.WARNING
    ]


def test_out_of_memory_counts_when_there_is_nothing_left_to_give_up(tmp_path, made):
    made.enough = 0
    desk = Desk(tmp_path, spool={"failed_budget": 1})
    desk.work(threads=4)
    state = desk.job.state()
    assert state.state == "failed"
    assert state.reasons[-1].why.startswith("MemoryError")


def test_a_task_whose_owner_vanished_is_worked_on_carefully(desk, made):
    desk.prepare()
    with Session(desk.spool, host="killed", tasks=["segment"]) as session:
        claim = session.next()
        desk.job.log.put_end(claim.task, 1, _lost(desk.spool))  # the kernel took it
    made.enough = 4
    desk.work(threads=4)
    assert set(made) == {1, 4}
    assert sorted(desk.counts()) == [(0, 0, 0), (0, 0, 0), (0, 1, 0)]
    assert desk.job.state().state == "done"


def _lost(spool):
    from waterz_spool.spool import EndRecord

    return EndRecord(kind="lost", w="0" * 24, n=spool.world.tokens(), host="killed", why="no sign of life")


class OutOfMemoryError(RuntimeError):
    """As torch calls its own."""


def _cv2_error():
    error = cv2.error("Failed to allocate 1 bytes")
    error.code = -4
    return error


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (MemoryError(), True),
        (np._core._exceptions._ArrayMemoryError((1,), np.dtype("u1")), True),
        (OutOfMemoryError("CUDA out of memory"), True),
        (OSError(errno.ENOMEM, "x"), True),
        (_cv2_error(), True),
        (OSError(errno.EIO, "x"), False),
        (RuntimeError("x"), False),
    ],
    ids=["python", "numpy", "torch", "system", "opencv", "io", "other"],
)
def test_what_is_a_want_of_memory(error, memory):
    assert is_memory(error) is memory


def test_an_error_of_storage_behind_an_input_error_costs_nothing_at_first(desk):
    desk.prepare()
    with Session(desk.spool, tasks=["segment"], accept=lambda job, task, attempt: task == 0) as session:
        failing, kinds = Failing(session), []
        for _ in range(3):
            session.trouble.over(proven=True)
            claim = session.next()
            error = InputError("the source cannot be read")
            error.__cause__ = OSError(errno.EIO, "Input/output error")
            failing.settle(claim, error)
            kinds.append(desk.job.log.end(0, claim.attempt).kind)
    assert kinds == ["released", "released", "dead"]


def test_an_error_after_the_outcome_changes_nothing(desk, caplog):
    with Session(desk.spool) as session:
        claim = session.next()
        claim.released("done with it")
        Failing(session).settle(claim, ValueError("late"))
        assert desk.job.log.end("prep", 1).why == "done with it"
    assert "late" in caplog.text


def test_a_task_log_that_cannot_be_written_does_not_matter(desk):
    with Session(desk.spool) as session:
        claim = session.next()
        desk.job.layout.logs.rmdir()
        with task_log(claim):
            logging.getLogger("waterz_spool.stages").warning("lost words")
        claim.released()


def test_a_host_that_stopped_says_so_once_and_resume_lets_it_work(desk, caplog):
    desk.spool.hosts.stop("here", "3 failures in a row of what works elsewhere: a/1, a/2, a/3")
    desk.work(idle_timeout_s=1.0)
    assert caplog.text.count("here keeps failing tasks that succeed on other hosts; it stopped") == 1
    assert desk.job.state().state == "preparing"
    assert "here takes no work: 3 failures in a row" in desk.command("status").stdout
    assert "waterz-spool resume --host here" in desk.command("explain").stdout
    assert desk.command("resume", "--host", "here").stdout == "here: takes work again\n"
    again = desk.command("resume", "--host", "here")
    assert (again.returncode, "stopped hosts: none" in again.stderr) == (2, True)
    assert desk.command("resume", "last", "--host", "here").returncode == 2
    assert desk.command("status").stdout.count("takes no work") == 0
    desk.work()
    assert desk.job.state().state == "done"
