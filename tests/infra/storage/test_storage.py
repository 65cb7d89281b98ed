"""Real disks that fill up, lose their inodes, turn read-only or forbidden; real workers that wait and go on.

Needs root (small disks in memory are mounted). Each test ends with the same bytes as an undisturbed run, and without
one attempt spent.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import with_plan
from tests.media import make
from waterz_spool import config
from waterz_spool.intake.spools import open_or_create
from waterz_spool.intake.submit import Order, submit
from waterz_spool.report.troubles import troubles
from waterz_spool.spool import Claim, FileOps, Job, Session, Spool, SpoolSettings

pytestmark = pytest.mark.slow

OPTIONS = {
    "restore": {"engine": "membrane"},
    "plan": {"segment_s": 0.4, "min_segment_frames": 4},
    "encode": {"preset": "ultrafast"},
}
NOBODY = 65534


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not within {timeout_s} s: {what}"
        time.sleep(0.2)


class Disk:
    """A small disk in memory."""

    def __init__(self, folder: Path, options: str) -> None:
        self.folder = folder
        folder.mkdir()
        line = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        made = subprocess.run(line, capture_output=True, check=False)
        if made.returncode:
            if os.environ.get("WATERZ_REQUIRE_ALL"):
                pytest.fail(f"cannot mount: {made.stderr.decode()}")
            pytest.skip("cannot mount a disk in memory")

    def fill(self) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def take_inodes(self) -> None:
        (self.folder / "many").mkdir()
        with contextlib.suppress(OSError):
            for number in range(10**6):
                (self.folder / "many" / str(number)).touch()

    def free(self) -> None:
        subprocess.run(["rm", "-rf", str(self.folder / "filler"), str(self.folder / "many")], check=True)

    def remount(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.folder)], check=True)

    def gone(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Disk]]:
    disks: list[Disk] = []

    def mounted(options: str) -> Disk:
        disks.append(Disk(tmp_path / "disk", options))
        return disks[-1]

    yield mounted
    for each in disks:
        each.gone()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make.video(tmp_path_factory.mktemp("video") / "clip.mp4", frames=48)


@pytest.fixture(scope="module")
def undisturbed(video: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return Run(tmp_path_factory.mktemp("plain"), video, "spool").finished()


class Run:
    """A job in a spool, and a worker process for it."""

    def __init__(self, folder: Path, video: Path, spool: str) -> None:
        resolved = config.load(overrides=OPTIONS)
        self.spool = open_or_create(folder / spool, resolved)
        self.out = folder / "result.mp4"
        self.job: Job = submit(self.spool, video, Order(boxes=((40, 8, 24, 16),), output=str(self.out)), resolved)
        self.errors = folder / "errors"
        self.worker: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        command = [sys.executable, "-m", "waterz_spool", "--spool", str(self.spool.root), "worker", "--drain"]
        with self.errors.open("wb") as errors:
            self.worker = subprocess.Popen(command, env={**os.environ, **environment}, stderr=errors)

    def stops_at(self, point: str) -> None:
        """Start a worker that stops in the middle of its work, as if the rest of this test happened at once."""
        self.start(WATERZ_FAILPOINT=f"{point}:stop")
        assert self.worker is not None
        stat = Path(f"/proc/{self.worker.pid}/stat")
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", f"{point} is passed")

    def goes_on(self) -> None:
        assert self.worker is not None
        self.worker.send_signal(signal.SIGCONT)

    def says(self, *words: str) -> None:
        """Wait until status would show these words."""

        def said() -> bool:
            assert self.worker is not None and self.worker.poll() is None, self.errors.read_text()
            return any(all(word in each.line for word in words) for each in troubles(self.spool))

        wait_until(said, str(words))

    def finished(self) -> bytes:
        """The result; the worker has ended by itself."""
        if self.worker is None:
            self.start()
        assert self.worker is not None
        assert self.worker.wait(timeout=90) == 0, self.errors.read_text()
        state = self.job.state()
        assert (state.state, state.published) == ("done", True)
        assert {(task.failed, task.lost) for task in state.tasks} == {(0, 0)}
        assert self.job.verify() == []
        assert troubles(self.spool) == []
        assert "Logging error" not in self.errors.read_text()
        return self.out.read_bytes()

    def end(self) -> None:
        if self.worker is not None and self.worker.poll() is None:
            self.worker.kill()
            self.worker.wait()


@contextlib.contextmanager
def run(folder: Path, video: Path, spool: str = "disk/spool") -> Iterator[Run]:
    made = Run(folder, video, spool)
    try:
        yield made
    finally:
        made.end()


def command(spool: Spool, *arguments: str) -> str:
    line = [sys.executable, "-m", "waterz_spool", "--spool", str(spool.root), *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("point", ["after_claim@prep", "after_claim@00001", "after_claim@final"])
def test_a_full_disk_is_waited_for(point: str, tmp_path: Path, video: Path, undisturbed: bytes, disk) -> None:
    small = disk("size=24m")
    with run(tmp_path, video) as job:
        job.stops_at(point)
        small.fill()
        job.goes_on()
        job.says("no space left", "since", "free space; work resumes by itself")
        assert "no space left" in command(job.spool, "status")
        assert "no space left" in command(job.spool, "explain", "last")
        assert "no space left" in json.loads(command(job.spool, "--json", "status"))["troubles"][0]
        time.sleep(5)  # several tries
        small.free()
        assert job.finished() == undisturbed


def test_lost_inodes_are_waited_for(tmp_path: Path, video: Path, undisturbed: bytes, disk) -> None:
    small = disk("size=64m,nr_inodes=400")
    with run(tmp_path, video) as job:
        job.stops_at("after_claim@00001")
        small.take_inodes()
        job.goes_on()
        job.says("no inodes left (too many files)", "remove files")
        time.sleep(3)
        small.free()
        assert job.finished() == undisturbed


def faults(folder: Path, *rules: dict[str, object]) -> tuple[dict[str, str], Path]:
    """An environment whose processes meet these faults, and the file that switches them on."""
    switch, plan = folder / "outage", folder / "plan.json"
    plan.write_text(json.dumps({"rules": [{**rule, "while_there": str(switch)} for rule in rules]}))
    return with_plan(plan), switch


@pytest.mark.parametrize(
    ("name", "words"),
    [("EDQUOT", "the quota is used up"), ("EIO", "input/output errors"), ("ESTALE", "stale file handles")],
)
def test_quota_and_errors_of_a_server_are_waited_for(
    name: str, words: str, tmp_path: Path, video: Path, undisturbed: bytes
) -> None:
    writes = ("write_new", "link", "mkdir")
    environment, switch = faults(tmp_path, *({"do": "fail", "op": op, "errno": name} for op in writes))
    with run(tmp_path, video, "spool") as job:
        switch.touch()
        job.start(**environment)
        job.says(words, "since", "work resumes by itself")
        switch.unlink()
        assert job.finished() == undisturbed


@pytest.mark.parametrize("name", ["EIO", "ENOTCONN"])
def test_a_worker_that_starts_while_the_mount_is_away_waits_for_it(
    name: str, tmp_path: Path, video: Path, undisturbed: bytes
) -> None:
    environment, switch = faults(tmp_path, {"do": "fail", "errno": name})
    with run(tmp_path, video, "spool") as job:
        switch.touch()
        job.start(**environment)
        wait_until(lambda: "the spool cannot be read" in job.errors.read_text(), "the worker says so")
        assert job.worker is not None and job.worker.poll() is None
        switch.unlink()
        assert job.finished() == undisturbed
        assert job.errors.read_text().count("cannot be read") == 1


def test_a_worker_whose_mount_stays_away_says_so_and_is_to_be_started_again(tmp_path: Path) -> None:
    environment, switch = faults(tmp_path, {"do": "fail", "errno": "ESTALE"})
    spool, _ = toy_job(tmp_path / "spool", tmp_path / "v.mp4")
    switch.touch()
    line = [sys.executable, "-m", "waterz_spool", "--spool", str(spool.root)]

    def said(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [*line, *arguments], env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr

    code, text = said("worker", "--idle-timeout", "1")
    what, where, todo = text.splitlines()[-3:]
    assert (code, what) == (75, "error: the spool cannot be read: Stale file handle")
    assert str(spool.root) in where and "start the worker again" in todo
    code, text = said("status")
    assert code == 6 and "look after the file server" in text


def test_run_shows_an_outage_of_20_seconds_once_and_goes_on(tmp_path: Path, video: Path, undisturbed: bytes) -> None:
    environment, switch = faults(tmp_path, {"do": "fail", "errno": "EIO"})
    settings = tmp_path / "settings.yaml"
    settings.write_text(json.dumps(OPTIONS))
    line = [sys.executable, "-m", "waterz_spool", "--spool", str(tmp_path / "spool"), "--config", str(settings), "run"]
    line += [str(video), "--box", "40,8,24,16", "--workers", "2", "-o", str(tmp_path / "result.mp4")]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(line, env={**os.environ, **environment}, stderr=said)
    try:
        jobs = tmp_path / "spool" / "jobs"
        wait_until(lambda: list(jobs.glob("*/log/prep.1")), "work has begun")
        switch.touch()
        time.sleep(20)
        switch.unlink()
        assert process.wait(timeout=90) == 0
    finally:
        process.kill()
        process.wait()
    lines = (tmp_path / "said").read_text().splitlines()
    late = [line for line in lines if "WARNING the spool cannot be read" in line]  # by a worker that had not begun yet
    assert len(late) <= 1
    text = "\n".join(line for line in lines if line not in late)
    assert text.count("the spool cannot be read: Input/output error; waiting until it can") == 1
    assert text.count("over: the spool cannot be read") == 1
    assert text.count("input/output errors in") <= 2  # what its workers still say when it can be read again, and over
    assert "WARNING" not in text
    assert (tmp_path / "result.mp4").read_bytes() == undisturbed
    (job,) = Spool.open(tmp_path / "spool").jobs()
    assert {(task.failed, task.lost) for task in job.state().tasks} == {(0, 0)}


# ---- without video: a disk cannot be remounted while a heartbeat is open, and root ignores permissions

SETTINGS = SpoolSettings(beat_s=0.5, lease_s=30.0, poll_s=0.1, idle_s=0.2, backoff_s=0.1, locks="off")


def toy_job(folder: Path, source: Path, mode: int | None = None) -> tuple[Spool, Job]:
    spool = Spool.create(folder, SETTINGS)
    source.write_bytes(b"not looked at")
    return spool, spool.submit(b"{}", source=source, job_id="job")


def toy_work(claim: Claim) -> None:
    """One segment, whose content is its name."""
    if claim.task == "prep":
        claim.job.put_plan(b"{}", 2)
        for index in range(2):
            claim.job.put_segment(index, b"%d" % index)
        claim.done()
        return
    path = claim.output(".bin")
    path.write_bytes(str(claim.task).encode())
    claim.done([path])


def toy_worker(session: Session) -> None:
    """Works until nothing is left, as the real loop does with errors of storage."""
    while not session.drained():
        claim = session.next()
        if claim is None:
            time.sleep(session.idle_s())
            continue
        try:
            toy_work(claim)
        except OSError as error:
            assert session.trouble.to_blame(error, claim.job, claim.task), error
            claim.released(str(error))


def check_toy(job: Job) -> None:
    state = job.state()
    assert state.state == "done"
    assert {(task.failed, task.lost) for task in state.tasks} == {(0, 0)}
    assert job.verify() == []


def test_a_disk_that_turns_read_only_is_waited_for(tmp_path: Path, disk) -> None:
    small = disk("size=8m")
    spool, job = toy_job(small.folder / "spool", tmp_path / "v.mp4")
    session = Session(spool, threads=False)
    session.start()
    toy_work(_claimed(session))
    claim = _claimed(session)
    session.heart.stop()  # its file is open for writing
    small.remount("ro")
    with pytest.raises(OSError, match="Read-only") as caught:
        toy_work(claim)
    assert session.trouble.to_blame(caught.value, job, claim.task)
    assert not claim.released("storage")
    for _ in range(5):
        assert session.next() is None
        time.sleep(0.3)
    assert any("read-only" in each.line for each in troubles(spool))
    small.remount("rw")
    toy_worker(session)
    session.close()
    check_toy(job)
    assert troubles(spool) == []


def _claimed(session: Session) -> Claim:
    claim = session.next()
    assert claim is not None
    return claim


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("lost", ["log", "segments", "."])
def test_a_lost_permission_is_waited_for(lost: str, disk, tmp_path: Path) -> None:
    small = disk("size=8m,mode=0777")
    for above in (small.folder, *small.folder.parents[:3]):  # pytest keeps its folders to itself
        above.chmod(above.stat().st_mode | 0o011)
    spool, job = toy_job(small.folder / "spool", tmp_path / "v.mp4")
    subprocess.run(["chown", "-R", str(NOBODY), str(spool.root)], check=True)
    folder = job.path / lost
    code = f"import sys; from {__name__} import as_nobody; sys.exit(as_nobody(sys.argv[1]))"
    child = subprocess.Popen([sys.executable, "-c", code, spool.root], cwd=Path(__file__).parents[3])
    try:
        wait_until((job.layout.log / "prep.1.done").exists, "prepare is done")
        folder.chmod(0o000)
        wait_until(lambda: any("permission denied" in each.line for each in troubles(spool)), "it is said")
        time.sleep(2)
        folder.chmod(0o770)
        assert child.wait(timeout=200) == 0
    finally:
        child.kill()
        child.wait()
    check_toy(job)


def as_nobody(root: str) -> int:
    """A worker without root's rights; slow enough that its permissions can be taken in the middle."""
    faulthandler.dump_traceback_later(180, exit=True)  # where it hangs
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)

    class Slow(FileOps):
        def link(self, source: Path, target: Path) -> None:
            time.sleep(0.5)
            super().link(source, target)

    with Session(Spool.open(Path(root), ops=Slow())) as session:
        toy_worker(session)
    return 0
