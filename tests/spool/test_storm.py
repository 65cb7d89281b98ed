"""Kill storms with real processes: the spool survives what breaks the naive one."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest
from spooltoy import expected
from storm import Storm, outcomes

from waterz_spool.spool import Budget, Spool, SpoolSettings

SEGMENTS = 220
SETTINGS = SpoolSettings(beat_s=0.2, lease_s=1.2, poll_s=0.1, idle_s=0.4, backoff_s=0.1)


class Watcher(threading.Thread):
    """Remembers every record it ever saw in a log: none may change or go."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self.log = log
        self.seen: dict[str, tuple[int, bytes]] = {}
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.3):
            self.look()

    def look(self) -> None:
        for path in self.log.iterdir():
            if not path.name.startswith(".") and path.name not in self.seen:
                self.seen[path.name] = (path.stat().st_ino, path.read_bytes())

    def changed(self) -> list[str]:
        now = {path.name: path for path in self.log.iterdir()}
        return [
            name
            for name, (inode, data) in self.seen.items()
            if name not in now or now[name].stat().st_ino != inode or now[name].read_bytes() != data
        ]


@pytest.mark.storm
@pytest.mark.parametrize("locks", ["host", "off"])
def test_storm_leaves_every_invariant_and_the_same_bytes(tmp_path: Path, locks: str) -> None:
    root = tmp_path / "spool"
    source = tmp_path / "v.mp4"
    source.write_bytes(b"not looked at")
    spool = Spool.create(root, SpoolSettings(**{**_fields(SETTINGS), "locks": locks}))
    job = spool.submit(b"{}", source=source, job_id="storm", budget=Budget(failed=3, lost=60, lost_hosts=60))
    watcher = Watcher(job.layout.log)
    watcher.start()
    storm = Storm("spool", root, SEGMENTS, seed=7)
    try:
        storm.run()
    finally:
        watcher.stop.set()
        watcher.join()
    assert not storm.stuck, (job.state(), storm.errors())
    assert (storm.killed, storm.stopped) == (30, 10)
    assert storm.errors() == ""

    log = job.layout.log
    ends = outcomes(log)
    assert sorted(ends) == [*(f"{i:05d}" for i in range(SEGMENTS)), "final", "prep"]
    for task, records in ends.items():
        assert [record["kind"] for record in records].count("done") == 1, task
        (done,) = (record for record in records if record["kind"] == "done")
        for out in done.get("outs", []):
            folder = job.layout.result if task == "final" else job.layout.segments / task
            data = (folder / out["file"]).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (out["bytes"], out["sha256"])
    assert max(storm.commits().values()) == 1
    assert (tmp_path / "result.bin").read_bytes() == expected(SEGMENTS)
    assert [path.name for path in tmp_path.glob("result*")] == ["result.bin"]
    assert watcher.changed() == []
    assert job.verify() == []
    lost = sum(record["kind"] == "lost" for records in ends.values() for record in records)
    watched = len(watcher.seen)
    print(f"storm, locks {locks}: {storm.killed} kills, {storm.stopped} stops, {lost} lost, {watched} records watched")
    assert lost >= 15


def _fields(settings: SpoolSettings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


@pytest.mark.storm
def test_the_same_storm_breaks_the_naive_spool(tmp_path: Path) -> None:
    broken: list[str] = []
    for seed in (7, 8, 9):
        root = tmp_path / str(seed) / "spool"
        root.mkdir(parents=True)
        storm = Storm("naive", root, SEGMENTS, seed=seed)
        storm.run()
        twice = {name: n for name, n in storm.commits().items() if n > 1}
        result = root / "result.out"
        wrong = not result.exists() or result.read_bytes() != expected(SEGMENTS)
        print(f"naive seed {seed}: {len(twice)} committed twice, stuck {storm.stuck}, wrong bytes {wrong}")
        if twice or wrong or storm.stuck:
            broken.append(f"{seed}: {twice}")
            break
    assert broken, "the storm does not bite"
