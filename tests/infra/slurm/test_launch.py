"""Launching on a real Slurm: what is submitted, splitting, scaling up and down, GPUs, one video in a batch job."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.infra.slurm.conftest import ORDER, ROOT, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(400)]


def test_what_is_submitted_carries_the_configuration(lab):
    lab.submit()
    config = lab.folder / "config.yaml"
    config.write_text("slurm: {partition: low, time: '30', cpus: 1, mem: 100M, setup: ['export MINE=1']}\n")
    lab.cli("--spool", lab.root, "--config", config, "slurm", "up", 2, "--", "--hold", "--comment=x y")
    (file,) = (lab.folder / "state").glob("waterz-spool-slurm/*/*_submission.sh")
    assert {"#SBATCH --partition=low", "#SBATCH --requeue", "export MINE=1"} <= set(file.read_text().splitlines())
    (row, _) = lab.json("slurm", "status")["workers"]
    assert row["state"] == "pending" and row["reason"] == "JobHeldUser"
    assert "2 Slurm workers are queued (JobHeldUser)" in lab.spooled("explain")
    assert lab.spooled("slurm", "down").strip() == "cancelled 2 workers"
    wait_until(lambda: not lab.cluster.queue(), "all cancelled")
    assert "no worker is running" in lab.spooled("explain")


@pytest.mark.parametrize("count", [1, 2])
def test_sbatch_takes_the_printed_script_and_the_job_is_done(lab, count):
    lab.submit()
    config = lab.folder / "config.yaml"
    config.write_text("slurm: {partition: low, time: '30', cpus: 1, mem: 100M, setup: ['export MINE=1']}\n")
    printed = lab.cli("--spool", lab.root, "--config", config, "slurm", "script", count, "--", "--comment=x y")
    (lab.folder / "w.sh").write_text(printed)
    assert {"#SBATCH --partition=low", "export MINE=1", "#SBATCH '--comment=x y'"} <= set(printed.splitlines())
    array = lab.sbatch("w.sh")
    rows = wait_until(lambda: lab.json("slurm", "status")["workers"], "counted as workers of this spool")
    assert {row["worker"].partition("_")[0] for row in rows} == {array} and len(rows) == count
    lab.finish()
    wait_until(lambda: not lab.cluster.queue(), "they leave when nothing is left", 60)


def test_workers_of_the_printed_script_hand_back_and_return(lab):
    lab.submit()
    (lab.folder / "w.sh").write_text(lab.spooled("slurm", "script", 1, "--", "--partition=low", "--exclusive"))
    lab.sbatch("w.sh")
    lab.wait_done(1)
    lab.cluster.urgent(lab.cluster.running("low")[0][1])
    tasks = lab.finish()
    assert sum(task.released for task in tasks) >= 1 and all(task.lost == 0 for task in tasks)


def test_more_workers_than_an_array_may_have_are_split(lab):
    """MaxArraySize of this cluster is 5."""
    lab.submit()
    lab.spooled("slurm", "up", 7, "--", "--hold")
    arrays = {}
    for job, *_ in lab.cluster.queue():
        arrays.setdefault(job.partition("_")[0], []).append(job)
    assert sorted(len(tasks) for tasks in arrays.values()) == [2, 5]
    lab.spooled("slurm", "down")


def test_a_folder_that_others_may_write_is_refused(lab):
    lab.submit()
    lab.spooled("slurm", "up", 1, "--", "--hold")
    (folder,) = (lab.folder / "state" / "waterz-spool-slurm").iterdir()
    folder.chmod(0o770)
    lab.spooled("slurm", "up", 1, "--", "--hold", code=6)
    assert len(lab.cluster.queue()) == 1


def test_what_sbatch_refuses_is_an_error_with_its_reason(lab):
    lab.submit()
    process = lab.start("--spool", lab.root, "slurm", "up", "1", "--", "--partition=nowhere")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 6 and "invalid partition" in err and "Traceback" not in err


def test_scale_reaches_the_wanted_number_and_returns_to_zero(lab):
    lab.submit()
    scale = ("slurm", "scale", "--once", "--max", "3", "--target", "8", "--", "--exclusive")
    assert "would launch 1" in lab.spooled("slurm", "scale", "--dry-run", "--max", "3", "--target", "8")
    assert not lab.cluster.queue()
    assert lab.json(*scale)["launched"] == 1, "one worker prepares"
    lab.wait_done(1)
    most, looks = 0, []
    for _ in range(2):
        looks.append(lab.json(*scale))
        most = max(most, len(lab.cluster.queue()))
    assert looks[-1]["queued"] + looks[-1]["launched"] == looks[-1]["wanted"] >= 2, looks
    while not lab.job.state().published:
        looks.append(lab.json(*scale))
        most = max(most, len(lab.cluster.queue()))
        time.sleep(0.5)
    assert most <= 3
    assert lab.json(*scale)["wanted"] == 0
    wait_until(lambda: not lab.cluster.queue(), "no workers when there is no work", timeout_s=30)
    lab.finish()


def test_watch_scales_too(lab):
    config = lab.folder / "config.yaml"
    config.write_text(
        "slurm: {poll_s: 1, target_s: 30, max_workers: 2}\ninbox: {poll_s: 0.5}\nworker: {finalize_by: watch}\n"
    )
    lab.submit()
    process = lab.start("--spool", lab.root, "--config", config, "watch", "--scale", "--", "--exclusive")
    try:
        lab.finish()
        wait_until(lambda: not lab.cluster.queue(), "no workers when there is no work", timeout_s=30)
    finally:
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert process.returncode == 143, err
    assert "launched 1" in err
    finals = [line for line in lab.spooled("logs", "last/final").splitlines() if "attempt 1 of final" in line]
    assert len(finals) == 1 and "slurm" not in finals[0], "watch alone finalizes"


def test_each_gpu_of_a_node_gets_its_worker(lab):
    lab.submit("--slurm", 1, "--", "--gres=gpu:2")
    wait_until(lambda: len(lab.workers()) == 2, "two workers in one job")
    from waterz_spool.spool import Spool

    records = [record.info for record, _ in Spool.open(lab.root).workers()]
    assert sorted(info["gpus"] for info in records) == ["0", "1"]
    assert len({info["slurm"] for info in records}) == 1
    lab.finish()


def test_one_video_in_a_batch_job_survives_preemption(lab):
    job = lab.sbatch("-p", "low", "--exclusive", "-c", 2, ROOT / "slurm" / "run.sbatch", lab.video, *ORDER,
                     "-o", lab.folder / "out.mp4")  # fmt: skip
    out = lab.folder / "out.mp4"
    log = lab.folder / f"waterz-run-{job}.log"
    wait_until(lambda: lab.cluster.running("low"), "running")
    spool = lab.folder / "state" / "waterz-spool"
    wait_until(lambda: list(spool.glob("jobs/*/log/*.done")), "something done")
    lab.cluster.urgent(lab.cluster.running("low")[0][1])
    wait_until(out.exists, "result", 120)
    wait_until(lambda: not lab.cluster.queue(), "batch job over")
    assert "requeued by Slurm" in log.read_text()


def test_two_doctors_of_one_slurm_job_meet_through_the_spool(lab):
    command = (sys.executable, "-m", "waterz_spool", "--spool", lab.root, "doctor", "--two-node")
    done = subprocess.run(
        [str(part) for part in ("srun", "-N2", "-n2", "--label", *command)], cwd=lab.folder, env=lab.environment,
        check=False, capture_output=True, text=True, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout, done.stderr)
    said = {task: [line[3:] for line in done.stdout.splitlines() if line.startswith(task)] for task in ("0:", "1:")}
    pairs = [[line for line in lines if " pair" in line[:12]] for lines in said.values()]
    assert pairs[0] == pairs[1] and len(pairs[0]) == 8
    assert "one machine, one mount" in pairs[0][0], "these nodes share the machine"
