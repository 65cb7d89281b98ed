"""Workers on a real Slurm, undisturbed and disturbed: every segment done exactly once, the same bytes as `run`."""

from __future__ import annotations

import os
import random
import re
import time

import pytest

from tests.infra.slurm.conftest import NODES, ORDER, ROOT, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(400)]
ALONE = "--exclusive"  # one worker on a node


def array_tasks(lab):
    return {task["worker"]: task for task in lab.json("slurm", "status")["workers"]}


def restarts(lab):
    """How often each Slurm job was started again, from its log."""
    text = lab.spooled("logs", "last")
    return [int(count) for count in re.findall(r"SLURM_RESTART_COUNT=(\d+)", text)]


def test_submit_slurm_wait_gives_what_run_gives(lab):
    process = lab.start("--spool", lab.root, "submit", lab.video, *ORDER, "-o", lab.folder / "out.mp4",
                        "--slurm", NODES, "--wait", "--", ALONE, "--comment=a 'b' \"c\" #d")  # fmt: skip
    wait_until(lambda: lab.submitted and lab.done(), "first segment")
    wait_until(lambda: len({w["host"] for w in lab.workers()}) == NODES, "a worker at work on each node")
    shown = lab.spooled("status", "last")
    (array,) = {name.partition("_")[0] for name in array_tasks(lab)}
    named = re.findall(rf"(n\d):{array}_(\d)", shown)
    assert {node for node, _ in named} == {"n1", "n2", "n3"} and {task for _, task in named} == {"0", "1", "2"}, shown
    comment = lab.cluster.ask("squeue", "-h", "-j", array, "-O", "Comment:60").splitlines()[0].strip()
    assert comment == "a 'b' \"c\" #d"
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert f"array {array}_[0-2], 3 workers" in err
    tasks = lab.finish()
    assert all(task.attempt == 1 for task in tasks)
    logs = lab.spooled("logs", "last")
    assert all(f"slurm test/{array}_{index}.0" in logs for index in range(NODES))
    wait_until(lambda: not lab.cluster.queue(), "workers gone when nothing is left")
    assert "disabled" in lab.cluster.ask("sh", "-c", "sacct 2>&1", check=False), "this cluster has no accounting"
    folders = list((lab.folder / "state" / "waterz-spool-slurm").iterdir())
    assert [oct(folder.stat().st_mode & 0o777) for folder in folders] == ["0o700"]


def test_three_batch_jobs_by_hand_give_the_same(lab):
    lab.submit()
    for _ in range(3):
        lab.sbatch(ALONE, ROOT / "slurm" / "worker.sbatch", "--spool", lab.root)
    wait_until(lambda: len({w["slurm"] for w in lab.workers()}) == 3, "three workers at work")
    lab.finish()
    wait_until(lambda: not lab.cluster.queue(), "workers gone when nothing is left")
    assert len(list(lab.folder.glob("waterz-worker-*.log"))) == 3


def test_a_power_cut_costs_what_the_node_had_in_hand(lab):
    lab.submit("--slurm", NODES, "--", ALONE)
    lab.wait_done(3)
    victim = wait_until(
        lambda: next((w for w in lab.workers() if isinstance(w["task"], int)), None), "a segment at work"
    )
    lab.cluster.script("cut", victim["host"][1:])
    tasks = lab.finish()
    assert sum(task.lost for task in tasks) >= 1
    assert next(t for t in tasks if t.task == victim["task"]).attempt == 2


def test_requeue_by_hand_goes_on(lab):
    lab.submit("--slurm", NODES, "--", ALONE)
    lab.wait_done(3)
    job, _ = lab.cluster.running()[0]
    lab.cluster.ask("scontrol", "requeue", job)
    tasks = lab.finish()
    wait_until(lambda: max(restarts(lab)) == 1, "it is back")
    assert sum(task.lost for task in tasks) == 0, "it was told, and handed back"


def test_preemption_hands_back_and_goes_on(lab):
    lab.submit("--slurm", NODES, "--", ALONE, "-p", "low")
    lab.wait_done(3)
    hosts = {w["host"] for w in lab.workers()}
    for node in sorted(hosts)[:2]:
        lab.cluster.urgent(node)
    tasks = lab.finish()
    assert sum(task.released for task in tasks) >= 1
    assert sum(task.lost for task in tasks) == 0
    logs = lab.spooled("logs", "last")
    assert logs.count("requeued, to go on as restart 1") >= min(2, len(hosts))
    wait_until(lambda: max(restarts(lab)) == 1, "they are back")


def test_a_preempted_batch_job_by_hand_goes_on(lab):
    lab.submit()
    lab.sbatch("-p", "low", ALONE, ROOT / "slurm" / "worker.sbatch", "--spool", lab.root)
    lab.wait_done(3)
    lab.cluster.urgent(lab.cluster.running("low")[0][1])
    tasks = lab.finish()
    assert sum(task.lost for task in tasks) == 0
    (log,) = lab.folder.glob("waterz-worker-*.log")
    assert "requeued" in log.read_text() and "SLURM_RESTART_COUNT=1" in log.read_text()


def test_cancelling_the_array_and_a_new_one(lab):
    lab.submit("--slurm", NODES, "--", ALONE)
    lab.wait_done(3)
    array = lab.cluster.running()[0][0].partition("_")[0]
    lab.cluster.ask("scancel", array)
    wait_until(lambda: not lab.cluster.queue(), "cancelled workers stay away")
    state = lab.job.state()
    assert not state.terminal and "running" not in state.counts, "what they held was handed back"
    before = {task.task: task.attempt for task in state.tasks if task.kind == "done"}
    lab.spooled("slurm", "up", NODES, "--drain", "--", ALONE)
    tasks = lab.finish()
    assert {t.task: t.attempt for t in tasks if t.task in before} == before, "finished work was done again"
    assert sum(task.lost for task in tasks) == 0


@pytest.mark.parametrize("lab", [40], indirect=True)
def test_a_time_limit_of_one_minute_is_no_obstacle(lab):
    """One worker, more work than fits into its minute: it leaves before the end, and comes back for the rest."""
    lab.frame_s(0.125)
    config = lab.folder / "config.yaml"
    config.write_text("slurm: {time: '1'}\n")
    lab.cli("--spool", lab.root, "--config", config, "submit", lab.video, *ORDER, "-o", lab.folder / "out.mp4",
            "--slurm", 1, "--", ALONE)  # fmt: skip
    tasks = lab.finish(timeout_s=240)
    assert sum(task.lost for task in tasks) == 0
    assert max(restarts(lab)) >= 1, "it all fitted into one minute: the test shows nothing"


def at_work(job):
    """Tokens of the workers that hold a task."""
    running = [task for task in job.state().tasks if task.kind == "running"]
    return [owner for task in running if (owner := job.log.owner(task.task, task.attempt))]


@pytest.mark.parametrize("lab", [40], indirect=True)
def test_a_storm_of_preemptions_and_requeues(lab):
    """Ten of them at random moments over forty segments."""
    seed = int(os.environ.get("WATERZ_STORM_SEED", "1"))
    dice = random.Random(seed)
    lab.frame_s(0.1)
    lab.submit("--slurm", NODES, "--", ALONE, "-p", "low")
    lab.wait_done(1)
    strikes = 0
    while strikes < 10:
        victims = wait_until(lambda: at_work(lab.job) or lab.job.state().published, "a worker at work")
        assert victims is not True, f"over after {strikes} strikes, seed {seed}"
        victim = dice.choice(victims)
        job, node = victim.slurm.removeprefix("test/").rpartition(".")[0], victim.host
        if dice.random() < 0.5:
            lab.cluster.urgent(node, seconds=1)
        else:
            lab.cluster.ask("scontrol", "requeue", job, check=False)
        strikes += 1
        time.sleep(dice.uniform(0.5, 2.5))
    tasks = lab.finish(timeout_s=200)
    assert len([t for t in tasks if isinstance(t.task, int)]) == 40
    assert sum(task.lost for task in tasks) == 0, f"seed {seed}"
    wait_until(lambda: not lab.cluster.queue(), "all back, and gone as nothing is left")
    counted = {}
    for task, count in re.findall(r"slurm test/(\d+_\d)\.(\d+)", lab.spooled("logs", "last")):
        counted[task] = max(int(count), counted.get(task, 0))
    assert sum(counted.values()) >= 8, counted
