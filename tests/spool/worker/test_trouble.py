"""Storage that refuses: the worker waits, says so in its heartbeat, burns no attempt, and goes on when it heals."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from spoolscene import TIGHT, Scene
from spooltoy import expected, result_of

from tests.faults import FaultPlan, FaultRule, FaultyOps
from waterz_spool.errors import InputError
from waterz_spool.spool import Beat, Claim, FileOps, Job, Session, Spool
from waterz_spool.spool.worker.trouble import storage_error

REFUSALS = ["ENOSPC", "EDQUOT", "EIO", "ESTALE", "EROFS", "EACCES", "ENOTCONN"]
WRITES = ("write_new", "link", "mkdir", "unlink", "rename", "seal")


def outage(name: str, *, writes_only: bool = False) -> list[FaultRule]:
    if writes_only:
        return [FaultRule(do="fail", op=op, errno=name) for op in WRITES]
    return [FaultRule(do="fail", errno=name)]


class Broken:
    """A spool whose worker meets what the test says."""

    def __init__(self, scene: Scene, segments: int = 2) -> None:
        self.scene = scene
        self.job = scene.prepared(segments, budget=TIGHT)
        self.ops = FaultyOps(FileOps(), FaultPlan())
        self.session = scene.session(ops=self.ops)

    def beat(self) -> Beat:
        self.session.heart.beat()
        beats = {record.w: beat for record, beat in self.scene.spool.workers()}
        beat = beats[self.session.wid]
        assert beat is not None
        return beat

    def finish(self, seconds: int = 120) -> None:
        for _ in range(seconds):
            while (claim := self.session.next()) is not None:
                self.scene.work(claim, 2)
            if self.session.drained():
                break
            self.scene.pass_time(1.0, alive=(self.session,))
        assert result_of(self.job, Path.read_bytes) == expected(2)
        assert self.job.verify() == []

    def costs(self) -> set[tuple[int, int]]:
        return {(task.failed, task.lost) for task in self.job.state().tasks}


@pytest.fixture
def broken(scene: Scene) -> Broken:
    return Broken(scene)


@pytest.mark.parametrize("name", REFUSALS)
def test_a_worker_waits_while_nothing_can_be_written_and_goes_on_by_itself(broken: Broken, name: str) -> None:
    broken.ops.use(outage(name, writes_only=True))
    for _ in range(40):
        assert broken.session.next() is None
        broken.scene.pass_time(0.5)
    beat = broken.beat()
    assert (beat.trouble, 19 <= beat.trouble_s <= 20) == (name, True)
    broken.ops.use(())
    broken.finish()
    assert broken.costs() == {(0, 0)}
    assert broken.beat().trouble == ""


@pytest.mark.parametrize("name", REFUSALS)
def test_an_outage_in_the_middle_of_work_hands_back_and_costs_nothing(broken: Broken, name: str) -> None:
    claim = broken.session.next()
    assert claim is not None
    broken.ops.use(outage(name))
    error = OSError(getattr(errno, name), "in the middle of work")
    assert broken.session.trouble.to_blame(error, claim.job, claim.task)
    assert not claim.released("storage")  # not known to be recorded
    for _ in range(20):
        assert broken.session.next() is None
        broken.scene.pass_time(1.0)
    broken.ops.use(())
    broken.finish()
    assert broken.costs() == {(0, 0)}


def test_attempts_do_not_pile_up_while_it_lasts(broken: Broken) -> None:
    """A disk with room for names but not for outputs: each new try waits longer."""
    tries = 0
    for _ in range(600):
        claim = broken.session.next()
        if claim is not None:
            tries += 1
            assert broken.session.trouble.to_blame(OSError(errno.ENOSPC, "encoder"), claim.job, claim.task)
            claim.released("storage")
        broken.scene.pass_time(1.0, alive=(broken.session,))
    assert 20 <= tries <= 40  # ten minutes
    assert broken.beat().trouble_s > 500
    broken.finish()


def test_a_look_again_writes_more_than_a_name(broken: Broken) -> None:
    """Links go on working on a full disk, so only writing proves that it has healed."""
    broken.ops.use([FaultRule(do="torn", op="write_new", errno="ENOSPC")])
    broken.session.trouble.note(OSError(errno.ENOSPC, "met"))
    for _ in range(10):
        broken.scene.pass_time(10.0, alive=(broken.session,))
        assert broken.session.next() is None
    assert list(broken.scene.spool.layout.workers.glob(".t.*")) == []


def test_a_rotten_file_is_the_tasks_own_fault_in_the_end(broken: Broken) -> None:
    claim = broken.session.next()
    assert claim is not None
    trouble = broken.session.trouble
    verdicts = [trouble.to_blame(OSError(errno.EIO, "rotten"), claim.job, claim.task) for _ in range(3)]
    assert verdicts == [True, True, False]
    assert not trouble.to_blame(ValueError("a bug"), claim.job, claim.task)


def test_a_lost_permission_on_the_job_is_storages_fault_however_often(broken: Broken) -> None:
    claim = broken.session.next()
    assert claim is not None
    broken.ops.use([FaultRule(do="fail", op="facts", errno="EACCES", path="*/source/*")])
    for _ in range(5):
        assert broken.session.trouble.to_blame(PermissionError(errno.EACCES, "no"), claim.job, claim.task)
    broken.ops.use(())
    claim.released()
    broken.finish()


def caused(error: Exception, cause: BaseException | None) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.EIO, "x"), errno.EIO),
        (caused(InputError("cannot read"), OSError(errno.ESTALE, "x")), errno.ESTALE),
        (FileNotFoundError(errno.ENOENT, "x"), 0),
        (InputError("cannot read"), 0),
        (ValueError("x"), 0),
    ],
    ids=["system", "cause", "absent", "input", "bug"],
)
def test_storage_is_found_in_an_error_or_its_causes(error: Exception, number: int) -> None:
    assert storage_error(error) == number


def test_a_worker_that_comes_to_a_full_disk_waits_and_introduces_itself_later(scene: Scene) -> None:
    job = scene.prepared(2)
    ops = FaultyOps(FileOps(), FaultPlan())
    spool = Spool.open(scene.spool.root, ops=ops, clock=scene.spool.world.clock, tokens=scene.token)
    ops.use([FaultRule(do="fail", op="write_new", errno="ENOSPC")])
    session = Session(spool, host="h1", threads=False)
    session.start()
    scene.sessions.append(session)
    assert session.next() is None
    assert scene.spool.worker(session.wid) is None
    ops.use(())
    scene.pass_time(60.0, alive=(session,))
    scene.drain(session, 2)
    assert scene.spool.worker(session.wid) is not None
    assert job.state().state == "done"


@pytest.mark.parametrize("name", ["EACCES", "EROFS"])
def test_a_worker_that_may_not_write_at_all_says_so_at_once(scene: Scene, name: str) -> None:
    ops = FaultyOps(FileOps(), FaultPlan())
    spool = Spool.open(scene.spool.root, ops=ops, clock=scene.spool.world.clock, tokens=scene.token)
    ops.use([FaultRule(do="fail", op="write_new", errno=name)])
    session = Session(spool, threads=False)
    with pytest.raises(OSError):
        session.start()
    session.heart.stop()


@pytest.mark.parametrize("op", ["listdir", "read"])
def test_a_spool_that_cannot_be_read_is_waited_for(broken: Broken, op: str) -> None:
    broken.ops.use([FaultRule(do="fail", op=op, errno="EIO")])
    assert broken.session.next() is None
    assert not broken.session.drained()
    assert broken.session.idle_s() <= 2
    assert broken.beat().trouble == "EIO"
    broken.ops.use(())
    broken.finish()


def test_a_worker_that_ends_during_an_outage_leaves_its_claim_to_the_lease(scene: Scene) -> None:
    broken = Broken(scene)
    assert broken.session.next() is not None
    broken.ops.use(outage("EIO"))
    broken.session.close()
    broken.session = scene.session("h2")
    broken.finish()
    assert broken.costs() == {(0, 0), (0, 1)}


def held(session: Session) -> Claim:
    claim = session.next()
    assert claim is not None
    return claim


def test_a_job_that_was_cleaned_away_during_an_outage_is_forgotten(broken: Broken) -> None:
    claim = held(broken.session)
    job: Job = broken.job
    FileOps().remove_tree(job.path)
    claim.released()
    broken.ops.use([FaultRule(do="fail", op="listdir", errno="EIO", times=1)])
    assert broken.session.next() is None
    broken.scene.pass_time(5.0, alive=(broken.session,))
    assert broken.session.next() is None
    assert broken.session.drained()
