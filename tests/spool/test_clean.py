"""Making room: only what has ended, whole, and nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from spoolscene import Scene

from waterz_spool.errors import UsageError
from waterz_spool.spool import Job


def finished(scene: Scene, job_id: str = "job") -> Job:
    job = scene.submit(job_id)
    scene.drain(scene.session())
    (scene.folder / "out").mkdir(exist_ok=True)
    job.publish(scene.folder / "out" / f"{job_id}.mp4")
    return job


def gone(scene: Scene, **options: object) -> list[tuple[str, str]]:
    found = scene.spool.clean(**{"older_than_s": 0.0, "dry_run": False, **options})  # type: ignore[arg-type]
    return [(item.what, item.name) for item in found]


def test_dry_run_says_what_a_real_run_does(scene: Scene) -> None:
    job = finished(scene)
    assert gone(scene, dry_run=True) == [("job", "job")]
    assert job.path.is_dir()
    assert gone(scene) == [("job", "job")]
    assert not job.path.exists()
    assert list(scene.spool.layout.trash.iterdir()) == []
    assert (scene.folder / "out" / "job.mp4").exists()
    assert scene.source.read_bytes() == b"the video"


def test_live_young_unpublished_and_failed_jobs_stay(scene: Scene) -> None:
    scene.prepared(job_id="live")
    finished(scene, "young")
    failed = scene.submit("failed")
    claim = scene.session(jobs=["failed"]).next()
    assert claim is not None
    claim.failed("no", retry=False)
    unpublished = scene.submit("unpublished")
    scene.drain(scene.session(jobs=["unpublished"]))
    assert gone(scene, older_than_s=3600.0) == []
    assert gone(scene) == [("job", "young")]
    assert gone(scene, states=["failed"]) == [("job", "failed")]
    assert (failed.path.exists(), unpublished.path.exists()) == (False, True)
    with pytest.raises(UsageError, match="only ended jobs"):
        scene.spool.clean(states=["running"])


def test_a_job_somebody_still_works_on_stays(scene: Scene) -> None:
    job = scene.prepared()
    session = scene.session()
    claim = session.next()
    job.cancel()
    session.heart.beat()
    assert gone(scene) == []
    assert claim is not None
    claim.released()
    assert gone(scene) == [("job", "job")]


def test_a_worker_whose_job_is_cleaned_away_drops_it(scene: Scene) -> None:
    job = scene.prepared()
    session = scene.session()
    claim = session.next()
    assert claim is not None
    job.cancel()
    os.utime(scene.spool.layout.heartbeat(session.wid), (1, 1))
    assert gone(scene)[0] == ("job", "job")
    assert claim.must_stop() == "cancelled"
    assert claim.released("cancelled") is False
    assert session.next() is None
    assert session.drained()


def test_a_grant_in_the_last_moment_brings_the_job_back(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    job = scene.submit()
    claim = scene.session().next()
    assert claim is not None
    claim.failed("no", retry=False)
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        if self == job.path:
            job.retry()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    assert gone(scene, states=["failed"]) == []
    assert job.state().state == "preparing"


def test_a_symlink_in_place_of_a_job_is_not_followed(scene: Scene) -> None:
    job = finished(scene)
    outside = scene.folder / "outside"
    job.path.rename(outside)
    (scene.spool.layout.jobs / "job").symlink_to(outside)
    assert gone(scene) == []
    assert outside.is_dir()


def test_leftovers_go_after_a_day(scene: Scene) -> None:
    layout = scene.spool.layout
    (layout.jobs / ".job.0.tmp").mkdir()
    (layout.outbox / ".x.0.part").write_bytes(b"x")
    (layout.outbox / "x.mp4").write_bytes(b"x")
    (layout.workers / f"{'0' * 24}.hb").write_bytes(b"x")
    (layout.trash / "old.0").mkdir()
    assert gone(scene) == [("trash", "old.0")]
    old = time.time() - 3 * 86400
    for path in (layout.jobs / ".job.0.tmp", layout.outbox / ".x.0.part", layout.outbox / "x.mp4"):
        os.utime(path, (old, old))
    os.utime(layout.workers / f"{'0' * 24}.hb", (old, old))
    assert gone(scene) == [("submit", ".job.0.tmp"), ("part", ".x.0.part"), ("worker", f"{'0' * 24}.hb")]
    assert (layout.outbox / "x.mp4").exists()
