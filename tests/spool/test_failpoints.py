"""Each crash point of the protocol: a real process dies or stops exactly there, and others finish the job."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from spooltoy import expected
from storm import Storm

from waterz_spool.errors import WaterzError
from waterz_spool.spool import Job, Spool, SpoolSettings
from waterz_spool.spool.disk.failpoints import POINTS

SEGMENTS = 3
SETTINGS = SpoolSettings(beat_s=0.1, lease_s=0.8, poll_s=0.05, idle_s=0.2, backoff_s=0.05)


class Scene:
    """A spool with one job, and processes that work on it."""

    def __init__(self, folder: Path, *, submit: bool = True) -> None:
        self.folder = folder
        (folder / "v.mp4").write_bytes(b"not looked at")
        self.spool = Spool.create(folder / "spool", SETTINGS)
        self.storm = Storm("spool", self.spool.root, SEGMENTS, seed=0, work_s=0.0)
        self.result = folder / "result.bin"
        if submit:
            self.job = self.spool.submit(b"{}", source=folder / "v.mp4", job_id="job")

    def start(self, kind: str = "spool", **environment: str) -> subprocess.Popen[bytes]:
        self.storm.kind = kind
        return self.storm.start({"RESULT": str(self.result), **environment}).process.popen

    def dies_at(self, point: str, kind: str = "spool", action: str = "kill") -> None:
        process = self.start(kind, WATERZ_FAILPOINT=f"{point}:{action}")
        assert process.wait(timeout=20) == -signal.SIGKILL, f"never passed {point}: {self.storm.errors()}"

    def finish(self, workers: int = 1) -> None:
        for process in [self.start() for _ in range(workers)]:
            assert process.wait(timeout=30) == 0, self.storm.errors()

    def check(self, job: Job | None = None) -> None:
        job = job or self.spool.job("job")
        assert self.result.read_bytes() == expected(SEGMENTS)
        assert job.verify() == []
        assert job.state().published
        assert self.storm.errors() == ""


@pytest.fixture
def scene(tmp_path: Path):
    scene = Scene(tmp_path)
    yield scene
    scene.storm.end()


WORK_POINTS = [
    *("after_token", "after_claim@prep", "after_claim@00001", "after_claim@final"),
    *("plan_decided", "segment_published", "segment_published@00002"),
    *("after_output@prep", "after_output@00001", "after_output@final"),
    *("before_end@prep", "before_end@00001", "before_end@final"),
    *("after_end@prep", "after_end@00001", "after_end@final", "after_marker@00001", "after_marker@final"),
    *("before_commit", "after_commit", "after_publish", "after_published"),
]


@pytest.mark.parametrize("point", WORK_POINTS)
def test_a_worker_that_dies_is_succeeded(scene: Scene, point: str) -> None:
    scene.dies_at(point)
    scene.finish()
    scene.check()


@pytest.mark.parametrize("where", ["00001/out", "result/final"])
def test_a_worker_that_dies_during_output_leaves_garbage_that_nothing_names(scene: Scene, where: str) -> None:
    assert scene.start(DIE_IN_OUTPUT=where).wait(timeout=20) == -signal.SIGKILL
    scene.finish()
    scene.check()


@pytest.mark.parametrize("point", ["before_revoke", "after_revoke"])
def test_a_janitor_that_dies_is_succeeded(scene: Scene, point: str) -> None:
    scene.dies_at("after_claim@00001")
    scene.dies_at(point)
    scene.finish()
    scene.check()
    assert scene.job.state().tasks[2].lost == 1


def test_of_several_janitors_one_revokes(scene: Scene) -> None:
    scene.dies_at("after_claim@00001")
    scene.finish(workers=3)
    scene.check()
    assert scene.job.state().tasks[2].lost == 1


@pytest.mark.parametrize("point", ["after_claim@00001", "after_output@00001", "before_end@00001", "before_end@final"])
def test_a_zombie_that_wakes_after_all_is_done_changes_nothing(scene: Scene, point: str) -> None:
    zombie = scene.start(WATERZ_FAILPOINT=f"{point}:stop")
    wait_until_stopped(zombie)
    scene.finish()
    scene.check()
    before = records(scene.job)
    os.kill(zombie.pid, signal.SIGCONT)
    assert zombie.wait(timeout=20) == 0, scene.storm.errors()
    assert records(scene.job) == before
    scene.check()


@pytest.mark.parametrize("point", ["submit_built", "submit_renamed"])
def test_a_submit_that_dies_leaves_a_whole_job_or_none(tmp_path: Path, point: str) -> None:
    scene = Scene(tmp_path, submit=False)
    scene.dies_at(point, "submit")
    assert len(scene.spool.jobs()) == (point == "submit_renamed")
    scene.spool.submit(b"{}", source=tmp_path / "v.mp4", job_id="job")
    scene.finish()
    scene.check()


def test_a_publisher_that_dies_between_copy_and_name_is_succeeded(scene: Scene, elsewhere: Path) -> None:
    scene.result = elsewhere / "result.bin"
    scene.dies_at("publish_copied")
    assert not scene.result.exists()
    assert len(list(elsewhere.iterdir())) == 1  # the copy that nobody will name
    scene.finish()
    scene.check()
    assert list(elsewhere.iterdir()) == [scene.result]


@pytest.fixture
def elsewhere(tmp_path: Path):
    shm = Path("/dev/shm")
    if not os.access(shm, os.W_OK) or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system to write to")
    folder = shm / f"waterz-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_cancel_and_publish_never_both_happen(scene: Scene) -> None:
    scene.dies_at("before_commit")
    assert scene.job.cancel()
    scene.finish()
    assert scene.job.state().state == "cancelled"
    assert not scene.result.exists()
    with pytest.raises(WaterzError, match="cancelled"):
        scene.job.publish(scene.result)
    assert scene.job.verify() == []


def test_every_failpoint_is_passed_by_a_test() -> None:
    here = Path(__file__).read_text()
    assert [point for point in POINTS if f'"{point}' not in here] == []


def records(job: Job) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in job.layout.log.iterdir() if not path.name.startswith(".")}


def wait_until_stopped(process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < until, "never stopped"
        time.sleep(0.02)
