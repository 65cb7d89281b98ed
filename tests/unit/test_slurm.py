"""Rules of the Slurm launcher that need no Slurm: splitting, time limits, what fits, how many workers."""

import contextlib
import signal

import pytest

from waterz_spool.config import SlurmConfig
from waterz_spool.errors import JobFailedError, UsageError
from waterz_spool.launch import launcher
from waterz_spool.launch.scale import Backlog, ScaleLimits, limits_of, wanted
from waterz_spool.launch.slurm import allocation as place
from waterz_spool.launch.slurm.allocation import Allocation, parse_time_s
from waterz_spool.launch.slurm.arrays import Array, Order, split, time_limit_s
from waterz_spool.launch.slurm.batch import script
from waterz_spool.launch.slurm.commands import SlurmError
from waterz_spool.launch.walltime import Walltime
from waterz_spool.spool import Session, Spool, SpoolSettings
from waterz_spool.spool.disk.machine import succeeds

ARRAY_TASK = {
    "SLURM_JOB_ID": "771205",
    "SLURM_ARRAY_JOB_ID": "771204",
    "SLURM_ARRAY_TASK_ID": "3",
    "SLURM_RESTART_COUNT": "2",
    "SLURMD_NODENAME": "gpu03",
    "SLURM_CLUSTER_NAME": "big",
    "CUDA_VISIBLE_DEVICES": "1",
    "SECRET": "x",
}


def test_an_array_task_is_named_by_array_and_index():
    here = Allocation.of_this_process(ARRAY_TASK)
    assert (here.job, here.restarts, here.node, here.label) == ("771204_3", 2, "gpu03", "big/771204_3.2")
    assert here.info == {"slurm": "771204_3", "restarts": 2, "node": "gpu03", "gpus": "1"}
    assert Allocation.of_this_process({}) is None
    assert Allocation.of_this_process({"SLURM_JOB_ID": "5"}).label == "/5.0"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("59", None), ("0:59", 59), ("01:00:00", 3600), ("1-02:03:04", 93784), ("UNLIMITED", None), ("INVALID", None)],
)
def test_time_left_is_read_as_squeue_prints_it(text, seconds):
    assert parse_time_s(f" {text}\n") == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 5400), ("1:30", 90), ("01:30:00", 5400), ("1-12", 129600), ("1-0:30", 88200), ("2-00:00:05", 172805)],
)
def test_time_limits_are_read_as_sbatch_reads_them(text, seconds):
    assert time_limit_s(text) == seconds


def test_a_time_limit_that_is_none_is_a_usage_error():
    with pytest.raises(UsageError, match="not a time limit"):
        time_limit_s("an hour")


@pytest.mark.parametrize(
    ("mine", "theirs", "later"),
    [
        ("a/7_1.1", "a/7_1.0", True),
        ("a/7_1.10", "a/7_1.9", True),
        ("a/7_1.1", "a/7_1.1", False),
        ("a/7_1.0", "a/7_1.1", False),
        ("a/7_1.1", "a/7_2.0", False),
        ("a/7_1.1", "b/7_1.0", False),
        ("a/7_1.1", "", False),
        ("", "", False),
        ("", ".0", False),
        ("a/7.x", "a/7.0", False),
    ],
)
def test_only_the_same_job_started_again_succeeds_a_worker(mine, theirs, later):
    assert succeeds(mine, theirs) is later


@pytest.mark.parametrize(("successor", "freed"), [("c/7_1.1", True), ("c/7_1.0", False), ("c/7_2.1", False)])
def test_a_restarted_worker_frees_what_its_predecessor_held_at_once(tmp_path, successor, freed):
    video = tmp_path / "v.mp4"
    video.write_bytes(b"video")
    spool = Spool.create(tmp_path / "spool", SpoolSettings(lease_s=3600, locks="off"))
    spool.submit(b"{}", source=video, job_id="job")
    first = Session(spool, slurm="c/7_1.0", threads=False)
    first.start()
    assert first.next().attempt == 1  # and dies
    second = Session(spool, slurm=successor, threads=False)
    second.start()
    claim = second.next()
    assert (claim is not None and claim.attempt == 2) is freed
    second.close()


@pytest.mark.parametrize(("queue", "raises"), [([], True), (["7_1"], False), (SlurmError("down"), False)])
def test_waiting_ends_when_the_last_worker_has_gone(tmp_path, monkeypatch, queue, raises):
    class Workers:
        what, again = "Slurm workers", "waterz-spool slurm up N"

        def present(self):
            if isinstance(queue, SlurmError):
                raise queue
            return queue

    video = tmp_path / "v.mp4"
    video.write_bytes(b"video")
    spool = Spool.create(tmp_path / "spool")
    job = spool.submit(b"{}", source=video, job_id="job")
    monkeypatch.setattr(launcher, "EVERY_S", 0.0)
    left = launcher.WorkersLeft(Workers())
    left.check(job)
    with pytest.raises(JobFailedError, match="all Slurm workers") if raises else contextlib.nullcontext():
        left.check(job)


class Site:
    """Takes arrays until a limit on submitted jobs is reached, as sbatch does."""

    def __init__(self, room, message="sbatch: error: AssocMaxSubmitJobLimit"):
        self.room, self.message, self.sizes = room, message, []

    def __call__(self, size):
        if size > self.room:
            raise SlurmError(self.message)
        self.room -= size
        self.sizes.append(size)
        return str(len(self.sizes))


@pytest.mark.parametrize(
    ("count", "largest", "room", "sizes"),
    [
        (3, 1001, 100, [3]),
        (6, 5, 100, [5, 1]),
        (12, 5, 100, [5, 5, 2]),
        (3, 0, 100, [1, 1, 1]),
        (8, 1001, 5, [4, 1]),
        (8, 4, 6, [4, 2]),
    ],
)
def test_workers_are_split_into_arrays_that_the_site_takes(count, largest, room, sizes):
    site = Site(room)
    arrays = split(count, largest, site)
    assert site.sizes == sizes == [array.workers for array in arrays]
    assert arrays[0] == Array("1", sizes[0])


@pytest.mark.parametrize("message", ["sbatch: error: AssocMaxSubmitJobLimit", "sbatch: error: invalid partition"])
def test_when_the_site_takes_none_its_reason_is_the_error(message):
    with pytest.raises(SlurmError, match=message.split()[-1]):
        split(4, 1001, Site(0, message))


@pytest.fixture
def order(tmp_path):
    spool = Spool.create(tmp_path / "spool")
    return lambda *sbatch, **slurm: Order(spool=spool, slurm=SlurmConfig(**slurm), sbatch=sbatch, drain=True)


@pytest.mark.parametrize(
    ("config", "arguments", "gpus"),
    [
        ("", (), 0),
        ("gpu:1", (), 1),
        ("gpu", (), 1),
        ("gpu:a100:4", (), 4),
        ("lscratch:10,gpu:2", (), 2),
        ("shard:4", (), 0),
        ("", ("--gres=gpu:2",), 2),
        ("gpu:1", ("--gres", "gpu:h200:8"), 8),
        ("", ("--gpus-per-node=3",), 3),
        ("", ("--gpus-per-node", "h200:2"), 2),
    ],
)
def test_there_is_a_worker_for_each_gpu_of_a_node(order, config, arguments, gpus):
    assert order(*arguments, gres=config).gpus == gpus


@pytest.mark.parametrize("argument", ["--array=0-3", "--array", "-a0-3", "-a", "--wrap=true"])
def test_the_array_is_not_the_users(order, argument):
    with pytest.raises(UsageError, match="number of workers"):
        order(argument)


def test_a_worker_gets_strings_that_name_everything_absolutely(order):
    worker = order().worker
    assert worker[0] == "--spool" and worker[1].startswith("/")
    assert {"worker", "--drain", "--requeue", "--idle-timeout"} <= set(worker)


class Now:
    def __init__(self):
        self.s = 0.0

    def __call__(self):
        return self.s


@pytest.mark.parametrize(
    ("left_s", "after_s", "pace_s", "task", "fits"),
    [
        (3600, 0, 1000, 3, True),
        (3600, 0, 2800, 3, False),  # 2800 x 1.3 and a minute
        (3600, 2300, 1000, 3, False),
        (3600, 2200, 1000, 3, True),
        (3600, 3500, None, 3, True),  # nothing measured yet
        (3600, 3541, None, 3, False),
        (60, 50, None, "final", True),  # of a short limit the margin is a tenth
        (60, 55, None, "final", False),
        (3600, 3000, 3600, "prep", True),  # what segments take says nothing about prepare
    ],
)
def test_a_segment_is_taken_only_if_it_fits(left_s, after_s, pace_s, task, fits):
    now, late = Now(), []
    walltime = Walltime(left_s, lambda job: pace_s, when_late=lambda: late.append(1), clock=now)
    now.s = after_s
    assert walltime.accept(None, task, 1) is fits
    assert bool(late) is not fits


@pytest.mark.parametrize(
    ("state", "preempt", "number", "useful", "back"),
    [
        ("RUNNING", "None", signal.SIGUSR2, True, True),  # time limit, something was done
        ("RUNNING", "None", None, True, True),
        ("RUNNING", "None", signal.SIGUSR2, False, False),  # time limit: would never get further
        ("RUNNING", "2026-11-22T15:07:31", signal.SIGUSR2, False, True),  # preempted
        ("RUNNING", "None", signal.SIGTERM, False, True),  # the node goes down
        ("COMPLETING", "None", signal.SIGTERM, True, False),  # cancelled, or requeued by somebody else
        ("CANCELLED", "None", signal.SIGTERM, True, False),
    ],
)
def test_a_stopped_worker_comes_back_unless_somebody_wants_it_gone(monkeypatch, state, preempt, number, useful, back):
    asked = []

    def ask(*command, timeout_s=0):
        asked.append(command)
        return f"JobId=771205 JobState={state} Comment=a b PreemptEligibleTime=2026 PreemptTime={preempt} End=1\n"

    monkeypatch.setattr(place, "ask", ask)
    here = Allocation.of_this_process(ARRAY_TASK)
    assert here.come_back(number, useful=useful) is back
    assert (("scontrol", "requeue", "771204_3") in asked) is back


def test_without_an_answer_from_slurm_nobody_comes_back(monkeypatch):
    def ask(*command, timeout_s=0):
        raise SlurmError("Slurm did not answer")

    monkeypatch.setattr(place, "ask", ask)
    here = Allocation.of_this_process(ARRAY_TASK)
    assert here.come_back(signal.SIGTERM, useful=True) is False
    assert here.time_left_s({}) is None


LIMITS = ScaleLimits(least=0, most=10, target_s=600, segment_s=60)


@pytest.mark.parametrize(
    ("backlog", "least", "count"),
    [
        (Backlog(), 0, 0),
        (Backlog(), 3, 0),  # least holds while there is work
        (Backlog(0, 0, 1), 0, 1),  # prepare or final
        (Backlog(40, 2400, 0), 0, 4),
        (Backlog(40, 2401, 0), 0, 5),
        (Backlog(400, 24000, 0), 0, 10),  # never more than the most
        (Backlog(3, 6000, 0), 0, 3),  # nor than there are tasks
        (Backlog(40, 60, 0), 0, 1),
        (Backlog(40, 60, 0), 3, 3),
    ],
)
def test_wanted_workers_follow_the_backlog(backlog, least, count):
    assert wanted(backlog, ScaleLimits(least=least, most=10, target_s=600, segment_s=60)) == count


def test_more_least_than_most_is_a_usage_error():
    with pytest.raises(UsageError, match="no such number"):
        limits_of(SlurmConfig(), least=5, most=2, target_s=None)
    assert limits_of(SlurmConfig(), least=None, most=None, target_s=600.0).target_s == 600


def test_the_printed_script_begins_as_sbatch_wants_it_and_calls_the_worker(order):
    lines = script(order("--comment=x y", partition="main", time="1:00:00"), 3).splitlines()
    assert lines[0] == "#!/bin/bash"
    assert {"#SBATCH --array=0-2", "#SBATCH --partition=main", "#SBATCH --signal=B:USR1@120"} <= set(lines)
    assert "#SBATCH '--comment=x y'" in lines and not any("submitit" in line for line in lines)
    assert lines[-1].startswith("exec ") and "-m waterz_spool --spool" in lines[-1]
    assert "worker --drain --requeue" in lines[-1]
    four = script(order(gres="gpu:4"), 1)
    assert "--ntasks-per-node=4" in four and "--signal=USR1@" in four and "exec srun " in four
