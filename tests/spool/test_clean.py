"""Making room: only what has ended, whole, and nothing else."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spoolscene import Scene

from tests.faults import FaultPlan, FaultRule, FaultyOps
from waterz_spool.__main__ import main
from waterz_spool.errors import SetupError, UsageError
from waterz_spool.spool import FileOps, Job, Spool
from waterz_spool.spool import clean as cleaning


def finished(scene: Scene, job_id: str = "job") -> Job:
    job = scene.submit(job_id)
    scene.drain(scene.session())
    (scene.folder / "out").mkdir(exist_ok=True)
    job.publish(scene.folder / "out" / f"{job_id}.mp4")
    return job


def gone(scene: Scene, **options: object) -> list[tuple[str, str]]:
    found = scene.spool.clean(**{"older_than_s": 0.0, "dry_run": False, **options})  # type: ignore[arg-type]
    return [(item.what, item.name) for item in found]


def failed_job(scene: Scene) -> Job:
    """A job whose prepare failed for good."""
    job = scene.submit()
    claim = scene.session().next()
    assert claim is not None
    claim.failed("no", retry=False)
    return job


class GrantsLate(FileOps):
    """A job is granted more in the last moment before its folder gets another name."""

    def __init__(self, job: Job, *, then: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self._job, self._then = job, then

    def rename(self, source: Path, target: Path) -> None:
        if source == self._job.path:
            self._job.retry()
        super().rename(source, target)
        if source == self._job.path:
            self._then()


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


def test_a_grant_in_the_last_moment_brings_the_job_back(scene: Scene) -> None:
    job = failed_job(scene)
    scene.spool.world = replace(scene.spool.world, ops=GrantsLate(job))
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


@pytest.mark.parametrize("folder", ["trash", "jobs"])
def test_a_symlink_in_place_of_the_trash_empties_no_other_folder(scene: Scene, folder: str) -> None:
    finished(scene)
    outside, inside = scene.folder / "outside", scene.spool.root / folder
    inside.rename(outside)
    (outside / "precious").mkdir()
    inside.symlink_to(outside)
    before = sorted(outside.rglob("*"))
    with pytest.raises(SetupError, match="not a folder of the spool"):
        gone(scene)
    assert sorted(outside.rglob("*")) == before


@pytest.mark.parametrize("folder", ["outbox", "workers", "fetched"])
def test_a_symlink_in_place_of_another_folder_is_not_followed(scene: Scene, folder: str) -> None:
    outside, inside = scene.folder / "outside", scene.spool.root / folder
    outside.mkdir()
    old = time.time() - 9 * 86400
    for name in (".x.part", f"{'0' * 24}.json", "old"):
        (outside / name).write_bytes(b"precious")
        os.utime(outside / name, (old, old))
    if inside.exists():
        inside.rmdir()
    inside.symlink_to(outside)
    assert gone(scene) == []
    assert len(list(outside.iterdir())) == 3


def test_symlinks_inside_a_job_take_nothing_with_them(scene: Scene) -> None:
    job = finished(scene)
    outside = scene.folder / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"x")
    (job.layout.segment(0) / "link").symlink_to(outside)
    (scene.spool.layout.trash / "link").symlink_to(outside)
    assert gone(scene) == [("job", "job"), ("trash", "link")]
    assert (outside / "precious").exists()


def test_a_worker_that_lives_for_days_keeps_its_lock_and_record(scene: Scene) -> None:
    session, layout = scene.session(), scene.spool.layout
    layout.lock(session.wid).write_bytes(b"")
    old = time.time() - 3 * 86400
    for path in (layout.lock(session.wid), layout.worker_record(session.wid)):
        os.utime(path, (old, old))
    assert gone(scene) == []
    os.utime(layout.heartbeat(session.wid), (old, old))
    assert {what for what, _ in gone(scene)} == {"worker"}
    assert list(layout.workers.iterdir()) == []


def test_what_a_cleaner_sets_aside_is_not_taken_by_another(scene: Scene) -> None:
    """The grant comes while the job lies in the trash, not looked at again yet, and a second cleaner passes."""
    job = failed_job(scene)
    passed = []
    scene.spool.world = replace(
        scene.spool.world, ops=GrantsLate(job, then=lambda: passed.append(gone(scene, states=["failed"])))
    )
    assert gone(scene, states=["failed"]) == []
    assert passed == [[]]
    assert job.state().state == "preparing"


def test_what_a_dead_cleaner_had_set_aside_is_decided_later(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    done, live = finished(scene, "done"), scene.prepared(job_id="live")
    for job in (done, live):
        job.path.rename(scene.spool.layout.trash / f".{job.id}.{'0' * 24}")
    assert gone(scene) == []
    monkeypatch.setattr(cleaning, "_ASIDE_S", 0.0)
    assert [name for what, name in gone(scene) if what == "aside"] == [f".done.{'0' * 24}"]
    assert (done.path.exists(), live.path.is_dir()) == (False, True)
    assert list(scene.spool.layout.trash.iterdir()) == []


def records(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): data for path, data in contents(folder).items()}


class NameByName(FaultyOps):
    """Removes a tree as systems do, so that it can be stopped half way."""

    def remove_tree(self, path: Path) -> None:
        for each in sorted(path.rglob("*"), reverse=True):
            if each.is_dir():
                each.rmdir()
            else:
                self.unlink(each)
        path.rmdir()


def interrupted(folder: Path, do: Literal["fail", "lose"], operation: int, times: int) -> tuple[bool, bool]:
    """Clean a done and a live job with one operation (times 1), or all from it on (0), going wrong.

    Returns:
        Whether that operation exists, and whether the done job was left whole.
    """
    scene = Scene(folder)
    done, live = finished(scene, "done"), scene.prepared(job_id="live")
    held = scene.session(jobs=["live"]).next()
    whole, other = records(done.path), records(live.path)
    ops = NameByName(FileOps(), FaultPlan(rules=(FaultRule(do=do, skip=operation, times=times),)))
    spool = Spool.open(scene.spool.root, clock=scene.spool.world.clock, tokens=scene.token)
    spool.world = replace(spool.world, ops=ops)
    with contextlib.suppress(OSError):
        spool.clean(older_than_s=0.0, dry_run=False)
    struck = ops._rules[0]._left != (times or -1)
    trash = {path.name: path for path in scene.spool.layout.trash.iterdir()}
    aside = [path for name, path in trash.items() if name.startswith(".done.")]
    left = done.path.exists()
    if left or aside:
        assert records(done.path if left else aside[0]) == whole  # else it is decided: trash, or gone
    assert len(trash) + left <= 1
    assert records(live.path) == other
    gone(scene)  # in trash/ under a hidden name it is another cleaner's for an hour
    assert [path.name for path in scene.spool.layout.trash.iterdir()] == [path.name for path in aside if not left]
    assert not done.path.exists()
    assert scene.work(held) and (scene.folder / "out" / "done.mp4").exists()
    scene.close()
    return struck, left


@pytest.mark.parametrize(("do", "times"), [("fail", 1), ("lose", 1), ("fail", 0)], ids=["failed", "lost", "died"])
def test_a_cleaner_stopped_anywhere_leaves_a_job_whole_or_in_the_trash(
    tmp_path: Path, do: Literal["fail", "lose"], times: int
) -> None:
    lefts = []
    for operation in itertools.count():
        folder = tmp_path / str(operation)
        folder.mkdir()
        struck, left = interrupted(folder, do, operation, times)
        if not struck:
            break
        lefts.append(left)
    assert len(lefts) > 15
    assert {True, False} == set(lefts)


@pytest.mark.parametrize("op", ["look", "facts"])
def test_a_heartbeat_that_cannot_be_looked_at_is_no_death(scene: Scene, op: str) -> None:
    job = scene.prepared()
    session = scene.session()
    assert session.next() is not None
    session.heart.beat()
    job.cancel()
    rule = FaultRule(do="fail", op=op, path=f"*/{session.wid}.hb")
    scene.spool.world = replace(scene.spool.world, ops=FaultyOps(FileOps(), FaultPlan(rules=(rule,))))
    with contextlib.suppress(OSError):
        assert gone(scene) == []
    assert job.path.exists()


STATES = ["live", "idle", "done", "unpublished", "cancelled", "failed"]


def job_in(scene: Scene, job_id: str, state: str) -> None:
    """A job in a state, as its records say."""
    if state in ("live", "idle", "cancelled"):
        job = scene.prepared(job_id=job_id)
        if state == "live":
            assert scene.session(jobs=[job_id]).next() is not None
        if state == "cancelled":
            job.cancel()
    elif state == "failed":
        scene.submit(job_id)
        claim = scene.session(jobs=[job_id]).next()
        assert claim is not None
        claim.failed("no", retry=False)
    else:
        job = scene.submit(job_id)
        scene.drain(scene.session(jobs=[job_id]))
        (scene.folder / "out").mkdir(exist_ok=True)
        if state == "done":
            job.publish(scene.folder / "out" / f"{job_id}.mp4")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    jobs=st.lists(st.tuples(st.sampled_from(STATES), st.floats(0, 20)), max_size=4),
    older=st.floats(0, 20),
    wanted=st.sets(st.sampled_from(cleaning.ENDED), min_size=1),
)
def test_whatever_lies_there_only_what_was_asked_for_goes(
    tmp_path_factory: pytest.TempPathFactory, jobs: list[tuple[str, float]], older: float, wanted: set[str]
) -> None:
    scene = Scene(tmp_path_factory.mktemp("clean"))
    for number, (state, age_h) in enumerate(jobs):
        job_in(scene, f"job-{number}", state)
        at = time.time() - age_h * 3600
        os.utime(scene.spool.by_id(f"job-{number}").layout.log, (at, at))
    outside = {path: data for path, data in contents(scene.folder).items() if scene.spool.root not in path.parents}
    before = contents(scene.folder)
    dry = gone(scene, older_than_s=older * 3600, states=wanted, dry_run=True)
    assert contents(scene.folder) == before
    assert gone(scene, older_than_s=older * 3600, states=wanted) == dry
    kept = {f"job-{n}" for n, (state, age_h) in enumerate(jobs) if state not in wanted or age_h < older - 0.1}
    left = {path.name for path in scene.spool.layout.jobs.iterdir()}
    assert kept <= left
    assert left | {name for _, name in dry} == {f"job-{n}" for n in range(len(jobs))}
    now = contents(scene.folder)
    assert all(now[path] == data for path, data in outside.items())
    assert all(now[path] == data for path, data in before.items() if kept & set(path.parts))
    assert not any(scene.spool.layout.trash.iterdir())
    scene.close()


@pytest.mark.parametrize(("options", "goes"), [([], False), (["--dry-run"], False), (["--yes"], True)])
def test_the_command_shows_by_default_and_removes_when_told(
    scene: Scene, options: list[str], goes: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    job = finished(scene)
    with pytest.raises(SystemExit) as ended:
        main(["--spool", str(scene.spool.root), "clean", "--older", "0s", "--state", "done", *options])
    assert ended.value.code == 0
    assert ("removed job job done" if goes else "would remove job job done") in capfd.readouterr().out
    assert job.path.exists() is not goes
