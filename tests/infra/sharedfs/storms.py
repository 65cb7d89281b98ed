"""Kill storms across two clients of a real shared file system, and what must hold afterwards.

``python -m tests.infra.sharedfs.storms nfs`` is one of full size; ``moosefs``, ``sshfs`` and ``nfsish`` are the others,
``--small`` is what the test suite runs, ``--naive`` puts a FileLock with marker files in the place of the spool.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.infra.sharedfs.clients import Moosefs, Nfs, Nfsish, SharedFolder, Sshfs
from waterz_spool.spool import Budget, Job, Session, Spool, SpoolSettings, label

from storm import Storm, outcomes  # isort: skip  (clients puts tests/spool on the path)
from spooltoy import work, write_file  # isort: skip

SYSTEMS = {system.name: system for system in (Nfs, Moosefs, Sshfs, Nfsish)}
# What `doctor --two-node` finds: locks mean something on NFS and MooseFS. The lease outlasts what the clients cache.
SETTINGS = {
    "nfs": SpoolSettings(beat_s=0.5, lease_s=5, poll_s=0.3, idle_s=1, backoff_s=0.2, locks="shared"),
    "moosefs": SpoolSettings(beat_s=0.5, lease_s=5, poll_s=0.3, idle_s=1, backoff_s=0.2, locks="shared"),
    "sshfs": SpoolSettings(beat_s=0.5, lease_s=5, poll_s=0.3, idle_s=1, backoff_s=0.2, locks="off"),
    "nfsish": SpoolSettings(beat_s=0.5, lease_s=5, poll_s=0.3, idle_s=1, backoff_s=0.2, locks="off"),
}


@dataclass(frozen=True)
class Size:
    """How much work and how much harm."""

    segments: int
    kills: int
    stops: int
    work_s: float  # long enough that work is left when all blows have fallen
    limit_s: float


FULL = Size(300, 60, 20, 1.0, 900)
SMALL = Size(60, 10, 4, 1.5, 400)  # half a minute where nothing else runs


def storm_on(system: SharedFolder, size: Size, seed: int, kind: str = "spool") -> Storm:
    """A storm that has not begun: with one power cut of a client and, where there is a server, one restart of it."""
    storm = Storm(
        kind, Path("spool"), size.segments, seed, workers=8, kills=size.kills, stops=size.stops, stop_s=8.0,
        work_s=size.work_s, limit_s=size.limit_s, machines=system.machines, side=system.side,
    )  # fmt: skip
    storm.disasters = [
        (size.kills // 3, lambda: storm.power_cut(system.machines[0])),
        (size.kills * 2 // 3, system.restart_server),
    ][: 2 if system.restarts else 1]
    return storm


def submit(system: SharedFolder, settings: SpoolSettings) -> Job:
    """A job made through the server's side."""
    source = system.export / "v.mp4"
    source.write_bytes(b"not looked at")
    spool = Spool.create(system.export / "spool", settings)
    return spool.submit(b"{}", source=source, job_id="storm", budget=Budget(failed=3, lost=200, lost_hosts=200))


def alone(folder: Path, segments: int) -> bytes:
    """What one worker on a local disk makes of the same job."""
    source = folder / "v.mp4"
    source.write_bytes(b"not looked at")
    job = Spool.create(folder / "spool").submit(b"{}", source=source, job_id="storm")
    with Session(Spool.open(folder / "spool")) as session:
        while (claim := session.next()) is not None:
            work(claim, segments, write_file, Path.read_bytes)
    job.publish(folder / "result.bin")
    return (folder / "result.bin").read_bytes()


def judge(job: Job, segments: int, expected: bytes, result: Path) -> list[str]:
    """What is wrong, read from the server's own files (where the result's path is not what clients call it)."""
    wrong = []
    ends = outcomes(job.layout.log)
    tasks = [*map(label, range(segments)), "final", "prep"]
    if sorted(ends) != tasks:
        wrong.append(f"tasks: {sorted(ends)}")
    for task, records in ends.items():
        done = [record for record in records if record["kind"] == "done"]
        if len(done) != 1:
            wrong.append(f"{task} done {len(done)} times")
        folder = job.layout.result if task == "final" else job.layout.segments / task
        for out in (out for record in done for out in record.get("outs", [])):
            data = (folder / out["file"]).read_bytes()
            if (len(data), hashlib.sha256(data).hexdigest()) != (out["bytes"], out["sha256"]):
                wrong.append(f"{task}: {out['file']} is not what its outcome says")
    if not result.exists() or result.read_bytes() != expected:
        wrong.append("the result is not that of a single worker")
    return [*wrong, *(str(found) for found in job.verify() if "published file" not in found.what)]


def run_storm(
    system: SharedFolder, size: Size, expected: bytes, seed: int = 7, environment: Mapping[str, str] | None = None
) -> tuple[list[str], str]:
    """A whole storm: what is wrong, and what happened in one line."""
    began = time.monotonic()
    job = submit(system, SETTINGS[system.name])
    storm = storm_on(system, size, seed)
    storm.environment = environment or {}
    storm.run()
    ends = outcomes(job.layout.log)
    wrong = judge(job, size.segments, expected, system.export / "result.bin")
    if storm.stuck:
        wrong.append(f"not done after {size.limit_s} s")
    if (storm.killed, storm.stopped, storm.disasters) != (size.kills, size.stops, []):
        wrong.append(f"the storm was weaker: {storm.killed} kills, {storm.stopped} stops, left {len(storm.disasters)}")
    twice = {task: count for task, count in storm.commits().items() if count > 1}
    if twice:
        wrong.append(f"committed twice: {twice}")
    if storm.errors():
        wrong.append(storm.errors()[-2000:])
    kinds = Counter(record["kind"] for records in ends.values() for record in records)
    text = f"{system.name}: {size.segments} segments, {len(storm.team)} workers started, {storm.killed} kills, "
    text += f"{storm.stopped} stops, 1 power cut, {int(system.restarts)} server restarts, "
    text += f"{time.monotonic() - began:.0f} s, outcomes {dict(kinds)}"
    return wrong, text


def run_naive(system: SharedFolder, size: Size, expected: bytes, seed: int = 7) -> str:
    """The same storm over the spool that everybody writes first."""
    (system.export / "spool").mkdir()
    storm = storm_on(system, size, seed, "naive")
    storm.run()
    twice = sum(count > 1 for count in storm.commits().values())
    result = system.export / "spool" / "result.out"
    right = result.exists() and result.read_bytes() == expected
    end = "never finished" if storm.stuck else "finished"
    return f"naive on {system.name}: {twice} committed twice, {end}, bytes {'right' if right else 'wrong'}"


def main() -> None:
    """Run one storm and say what came of it; exit code 1 when something is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--naive", action="store_true")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    size = SMALL if given.small else FULL
    if missing := SYSTEMS[given.system].missing():
        sys.exit(missing)
    with SYSTEMS[given.system]() as system:
        folder = system.folder / "alone"
        folder.mkdir()
        expected = alone(folder, size.segments)
        if given.naive:
            print(run_naive(system, size, expected, given.seed))
            return
        wrong, text = run_storm(system, size, expected, given.seed)
    print(text)
    print("\n".join(wrong) or "every task done exactly once, the result identical to that of a single worker")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
