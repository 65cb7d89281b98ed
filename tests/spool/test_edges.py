"""What is rarely met: failpoints armed, sources that change or cannot be read, answers that never come."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest
from spoolscene import Scene

from tests.faults import FaultPlan, FaultRule, FaultyOps
from waterz_spool.errors import InputError, JobFailedError, UsageError
from waterz_spool.spool import DamagedRecordError, FileOps, Session
from waterz_spool.spool.disk import failpoints, fileops


@pytest.fixture
def ops() -> FaultyOps:
    return FaultyOps(FileOps(), FaultPlan())


@pytest.fixture
def scene(tmp_path: Path, ops: FaultyOps):
    scene = Scene(tmp_path, ops=ops)
    yield scene
    ops.use(())
    scene.close()


def fault(op: str, number: str = "EIO", **more: object) -> FaultRule:
    return FaultRule(do="fail", op=op, errno=number, **more)  # type: ignore[arg-type]


# ---- failpoints


def test_a_failpoint_strikes_at_its_pass_and_task(monkeypatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    monkeypatch.setattr(failpoints, "_ARMED", failpoints._Armed("after_claim@final:stop:2"))
    failpoints.hit("after_claim", "00001")
    failpoints.hit("after_end", "final")
    failpoints.hit("after_claim", "final")
    assert sent == []
    failpoints.hit("after_claim", "final")
    failpoints.hit("after_claim", "final")
    assert sent == [(os.getpid(), signal.SIGSTOP)]


def test_a_failpoint_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown failpoint"):
        failpoints._Armed("after_lunch:kill")


# ---- submit


@pytest.mark.parametrize("number", ["ENOENT", "EACCES", "EISDIR"])
def test_a_source_that_cannot_be_read_is_the_users(scene: Scene, ops: FaultyOps, number: str) -> None:
    ops.use([fault("pin", number)])
    with pytest.raises(InputError, match="cannot read the source"):
        scene.submit()


@pytest.mark.parametrize("op", ["pin", "write_new", "rename", "mkdir"])
def test_a_submit_that_meets_a_full_disk_leaves_no_job(scene: Scene, ops: FaultyOps, op: str) -> None:
    ops.use([fault(op, "ENOSPC")])
    with pytest.raises(OSError) as caught:
        scene.submit()
    assert caught.value.errno == errno.ENOSPC
    ops.use(())
    assert scene.spool.jobs() == []


def test_a_source_that_changes_while_it_is_read_is_refused(scene: Scene, ops: FaultyOps, monkeypatch) -> None:
    digest = ops.ops.digest

    def grows(path: Path) -> tuple[int, str]:
        found = digest(path)
        with path.open("ab") as file:
            file.write(b"more")
        return found

    monkeypatch.setattr(ops.ops, "digest", grows)
    with pytest.raises(InputError, match="changed while it was read"):
        scene.submit()


def test_a_lost_reply_to_the_appearance_of_a_job_is_no_failure(scene: Scene, ops: FaultyOps) -> None:
    ops.use([FaultRule(do="lose", op="rename", times=1)])
    assert scene.submit().state().state == "preparing"


@pytest.mark.parametrize("hidden", [False, True], ids=["linked", "copied"])
def test_a_source_that_is_pinned_twice_by_a_doubled_request_is_pinned(
    scene: Scene, ops: FaultyOps, monkeypatch: pytest.MonkeyPatch, hidden: bool
) -> None:
    monkeypatch.setattr(fileops, "_hidden_from_group", lambda source, folder: hidden)
    ops.use([FaultRule(do="duplicate", op="pin", times=1)])
    source = scene.submit().source()
    assert source.read_bytes() == b"the video"
    assert source.samefile(scene.source) is not hidden


@pytest.mark.parametrize("number", [errno.EEXIST, errno.EIO])
def test_a_pin_whose_link_was_done_and_not_answered_is_done(tmp_path: Path, number: int) -> None:
    class Unanswered(FileOps):
        def link(self, source: Path, target: Path) -> None:
            super().link(source, target)
            raise OSError(number, os.strerror(number), str(target))

    (tmp_path / "a").write_bytes(b"the video")
    Unanswered().pin(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").samefile(tmp_path / "a")


def test_two_submits_of_one_id_leave_the_first(scene: Scene, ops: FaultyOps) -> None:
    scene.submit("one", on_dead="passthrough")
    ops.use([FaultRule(do="fail", op="listdir", path="*/jobs", errno="EIO", times=1)])
    with pytest.raises(OSError):
        scene.submit("one")
    assert scene.submit("one").file.on_dead == "passthrough"


# ---- claims and jobs


def test_claims_are_asked_for_what_they_do_not_have(scene: Scene, ops: FaultyOps) -> None:
    job = scene.prepared(2)
    session = scene.session(tasks=["segment"])
    claim = session.next()
    assert claim is not None
    assert repr(claim) == f"Claim(job/{claim.task:05d}.1)"
    assert repr(job) == "Job('job')"
    claim.progress(0.5)
    claim.released()
    final = scene.session(tasks=["prep", "final"])
    assert final.next() is None
    scene.drain(session, 2)
    last = final.next()
    assert last is not None
    ops.use([fault("read", path="*/00000.*.end")])
    job.log._ends.clear()
    with pytest.raises(OSError):
        last.results()


def test_prepare_needs_a_plan_and_all_its_segments(scene: Scene) -> None:
    job = scene.submit()
    session = scene.session()
    claim = session.next()
    assert claim is not None
    with pytest.raises(JobFailedError, match="without a plan"):
        claim.done()
    with pytest.raises(UsageError, match="segments, possible are"):
        job.put_plan(b"{}", 0)
    job.put_plan(b"{}", 2)
    with pytest.raises(JobFailedError, match=r"left out segments \[0, 1\]"):
        claim.done()
    with pytest.raises(UsageError, match="at most"):
        job.put_segment(0, b"x" * 10**6)
    with pytest.raises(UsageError, match="no attachment"):
        job.attachment("mask.png")


def test_an_outcome_that_is_too_long_is_refused(scene: Scene) -> None:
    scene.prepared(1)
    claim = scene.session().next()
    assert claim is not None
    with pytest.raises(UsageError, match="an outcome of more than"):
        claim.done([], b'"' + b"x" * 20_000 + b'"')


def test_workers_are_listed_with_their_heartbeats(scene: Scene) -> None:
    session: Session = scene.session("h1")
    (scene.spool.layout.workers / ("f" * 24 + ".hb")).write_bytes(b"garbage")
    (scene.spool.layout.workers / "strange.hb").write_bytes(b"{}")
    assert [(record.host, beat is not None) for record, beat in scene.spool.workers()] == [("h1", True)]
    assert scene.spool.complaints() == []
    session.trouble.note(OSError(errno.ENOSPC, "x"))
    session.heart.beat()
    assert [beat.host for _, beat in scene.spool.complaints()] == ["h1"]


def test_a_heart_that_cannot_beat_says_so_and_begins_again(scene: Scene, ops: FaultyOps) -> None:
    session = scene.session()
    ops.use([fault("beat")])
    assert not session.heart.beat()
    ops.use([fault("beat_file")])
    assert not session.heart.beat()
    ops.use(())
    assert session.heart.beat()


# ---- the end


def test_publishing_survives_a_lost_reply_and_a_copy(scene: Scene, ops: FaultyOps, tmp_path: Path) -> None:
    job = scene.prepared(1)
    scene.drain(scene.session(), 1)
    ops.use([FaultRule(do="lose", op="link", path="*.bin*", times=1)])
    path = job.publish(tmp_path / "result.bin")
    assert path.exists()
    assert job.publish(tmp_path / "result.bin") == path
    ops.use([fault("link", "EXDEV", path="*.part")])  # another file system
    copied = job.publish(tmp_path / "copy.bin")
    assert copied.read_bytes() == path.read_bytes()
    ops.use([fault("link", "EPERM", path="*/nolinks.bin")])
    assert job.publish(tmp_path / "nolinks.bin").read_bytes() == path.read_bytes()
    ops.use([fault("link", "ENOSPC", path="*/full.bin")])
    with pytest.raises(OSError):
        job.publish(tmp_path / "full.bin")
    assert not list(tmp_path.glob(".*.part"))


def test_control_waits_for_what_it_cannot_see_yet(scene: Scene, ops: FaultyOps) -> None:
    job = scene.prepared(1)
    job.pause()
    (marker,) = job.layout.control.glob("*.pause")
    marker.unlink()
    ops.use([fault("read", "ENOENT", path="*.ctl")])
    assert not job.control.scan().paused
    ops.use(())
    assert job.control.scan().paused
    job.resume()
    job.retry()
    ops.use([fault("read", "ENOENT", path="*/grant.1")])
    scene.spool._jobs.clear()
    assert scene.spool.by_id("job").control.grants(job.control.scan()) == []


# ---- what final and segments find


def done_segments(scene: Scene, job_id: str = "job"):
    """A claim of final of a job of one segment, and the segment's output."""
    job = scene.prepared(1, job_id=job_id)
    scene.drain(scene.session(tasks=["segment"], jobs=[job_id]), 1)
    claim = scene.session(tasks=["final"], jobs=[job_id]).next()
    assert claim is not None
    (out,) = job.layout.segment(0).glob("out.*")
    return claim, out


def test_an_output_that_is_gone_is_made_again(scene: Scene) -> None:
    claim, out = done_segments(scene)
    out.unlink()
    assert claim.checked_results() is None
    assert claim.job.log.end("final", 1).why.endswith("is gone")  # type: ignore[union-attr]


def test_an_output_that_is_no_file_is_made_again(scene: Scene) -> None:
    claim, out = done_segments(scene)
    out.unlink()
    out.mkdir()
    assert claim.checked_results() is None
    assert claim.job.log.end("final", 1).why.endswith("is no file")  # type: ignore[union-attr]


@pytest.mark.parametrize("number", ["ENOENT", "EIO"])
def test_an_output_that_cannot_be_read_now_says_nothing(scene: Scene, ops: FaultyOps, number: str) -> None:
    claim, _ = done_segments(scene)
    ops.use([fault("digest", number)])
    with pytest.raises(OSError) as caught:
        claim.checked_results()
    assert caught.value.errno == getattr(errno, number)
    ops.use(())
    assert claim.checked_results() is not None


def test_inputs_of_a_segment_are_checked(scene: Scene, ops: FaultyOps) -> None:
    job = scene.submit()
    prep = scene.session(tasks=["prep"]).next()
    assert prep is not None
    path = prep.segment_input(0, "frames", ".mkv")
    path.write_bytes(b"frames")
    ref = prep.sealed(path)
    job.put_plan(b"{}", 1)
    job.put_segment(0, b"{}")
    prep.done()
    claim = scene.session().next()
    assert claim is not None
    assert claim.opened_input(ref) == path
    path.write_bytes(b"rotten")
    with pytest.raises(DamagedRecordError, match="input is damaged"):
        claim.opened_input(ref)
    scene.spool._jobs.clear()
    ops.use([fault("read", "ENOENT", path="*/00000.0")])
    with pytest.raises(FileNotFoundError, match="not visible yet"):
        claim.payload()


def test_outcomes_that_are_not_visible_yet_are_no_results(scene: Scene, ops: FaultyOps) -> None:
    claim, _ = done_segments(scene)
    claim.job.log._ends.clear()
    ops.use([fault("read", "ENOENT", path="*/00000.1.end")])
    with pytest.raises(FileNotFoundError, match="not visible yet"):
        claim.results()


def test_a_restarted_slurm_job_ends_what_its_earlier_run_held(scene: Scene) -> None:
    job = scene.prepared(1)
    assert scene.session(slurm="cluster/7.0").next() is not None
    again = scene.session(slurm="cluster/7.1")
    for _ in range(30):
        if again.next() is not None:
            break
        scene.pass_time(0.2, alive=(again,))
    assert scene.clock.now < 1010  # no lease was waited for
    assert job.state().tasks[1].lost == 1


@pytest.mark.parametrize(
    ("room", "words"),
    [
        ((100 * 2**20, 10**6, 10**6), ["ok", "ok"]),
        ((2**18, 10**6, 5000), ["warn", "warn"]),
        ((1, 10**6, 5), ["fail", "fail"]),
        ((100 * 2**20, 0, 0), ["ok", "ok"]),
    ],
    ids=["plenty", "little", "none", "no inodes"],
)
def test_room_is_judged(monkeypatch, tmp_path: Path, room: tuple[int, int, int], words: list[str]) -> None:
    from types import SimpleNamespace

    from waterz_spool.spool.mount.probe import probe_space

    bytes_, files, free = room
    facts = SimpleNamespace(f_bavail=bytes_, f_frsize=4096, f_files=files, f_favail=free)
    monkeypatch.setattr(os, "statvfs", lambda path: facts)
    assert [check.state for check in probe_space(tmp_path)] == words
