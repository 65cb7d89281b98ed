"""Workers: claims, hand-backs, losses, adoption, budgets, with time and names injected."""

from __future__ import annotations

import contextlib
import errno
import gc
import shutil
import weakref
from pathlib import Path
from typing import Literal

import pytest
from spoolscene import SETTINGS, TIGHT, Scene
from spooltoy import expected, result_of, write_file

from tests.faults import FaultPlan, FaultRule, FaultyOps
from waterz_spool.errors import JobFailedError, UsageError, WaterzError
from waterz_spool.spool import Budget, Claim, FileOps, Session, SpoolSettings
from waterz_spool.spool.disk.atomic import PAYLOAD_CAP_BYTES
from waterz_spool.spool.disk.machine import take_lock


def claim(session: Session) -> Claim:
    found = session.next()
    assert found is not None
    return found


def test_one_worker_does_a_whole_job(scene: Scene) -> None:
    job = scene.submit()
    assert job.state().state == "preparing"
    session = scene.session()
    scene.drain(session)
    assert session.drained()
    state = job.state()
    assert (state.state, state.segments, state.counts) == ("done", 3, {"done": 3})
    assert result_of(job, Path.read_bytes) == expected(3)
    assert session.unpublished() == [job]
    assert job.verify() == []


def test_two_workers_never_hold_the_same_attempt(scene: Scene) -> None:
    scene.prepared(4)
    one, two = scene.session(), scene.session()
    held = [claim(session).what for session in (one, two, one, two)]
    assert len(set(held)) == 4
    assert one.next() is None


def test_a_session_takes_only_its_stages_and_jobs(scene: Scene) -> None:
    scene.prepared()
    scene.submit("other")
    assert scene.session(tasks=["prep"], jobs=["job"]).next() is None
    assert claim(scene.session(tasks=["prep"])).job.id == "other"
    assert claim(scene.session(tasks=["segment"], accept=lambda job, task, attempt: task == 1)).task == 1
    with pytest.raises(UsageError, match="unknown stages"):
        scene.session(tasks=["segments"])


def test_age_orders_jobs(scene: Scene) -> None:
    for job_id in ("second", "first", "third"):
        scene.submit(job_id)
        scene.clock.advance(5 if job_id != "second" else -5)
    session = scene.session()
    assert [claim(session).job.id for _ in range(3)] == ["first", "second", "third"]


def test_a_job_whose_index_entry_is_missing_is_found(scene: Scene) -> None:
    scene.submit()
    for entry in scene.spool.layout.active.iterdir():
        entry.unlink()
    assert claim(scene.session()).task == "prep"


def test_a_released_attempt_is_free_and_open_at_once(scene: Scene) -> None:
    job = scene.prepared(1, budget=TIGHT)
    session = scene.session()
    for attempt in range(1, 12):
        held = claim(session)
        assert (held.task, held.attempt) == (0, attempt)
        assert held.released("walltime")
    assert job.state().tasks[1].released == 11
    assert scene.work(claim(session), 1)


def test_failures_wait_longer_each_time_and_end_in_a_dead_letter(scene: Scene) -> None:
    job = scene.prepared(1)
    session = scene.session()
    waits = []
    for attempt in (1, 2, 3):
        before = scene.clock.now
        held = scene.wait_for(session, 100)
        assert held is not None
        waits.append(scene.clock.now - before)
        assert held.failed(f"reason {attempt}", rc=4)
    assert waits[0] == 0
    assert 3 * SETTINGS.backoff_s <= waits[1] <= 6 * SETTINGS.backoff_s + 1  # on the same host: three times
    assert waits[2] > waits[1]
    assert scene.wait_for(session, 200) is None
    state = job.state()
    assert (state.state, state.terminal, session.drained()) == ("failed", True, True)
    assert [(reason.task, reason.attempt, reason.why, reason.rc) for reason in state.reasons] == [
        (0, 1, "reason 1", 4),
        (0, 2, "reason 2", 4),
        (0, 3, "reason 3", 4),
    ]


def test_another_host_is_first_after_a_failure(scene: Scene) -> None:
    scene.prepared(1)
    one, two = scene.session("h1"), scene.session("h2")
    claim(one).failed("no")
    assert one.next() is None
    assert two.next() is None
    scene.pass_time(2 * SETTINGS.backoff_s)
    assert one.next() is None
    assert claim(two).attempt == 2


def test_where_there_is_no_other_host_the_wait_is_bounded(tmp_path: Path) -> None:
    settings = SETTINGS.__class__(**{**_fields(), "backoff_s": 100.0})
    scene = Scene(tmp_path, settings)
    scene.prepared(1)
    session = scene.session("h1")
    claim(session).failed("no")
    before = scene.clock.now
    assert scene.wait_for(session, 400) is not None
    assert 160 <= scene.clock.now - before <= 261
    scene.close()


def test_a_host_that_failed_before_the_last_attempt_waits_too(scene: Scene) -> None:
    scene.prepared(1)
    one, two = scene.session("h1"), scene.session("h2")
    claim(one).failed("no")
    held = scene.wait_for(two, 60, alive=(one,))
    assert held is not None
    held.released("preempted")
    assert one.next() is None
    assert claim(two).attempt == 3


def test_what_can_never_succeed_is_dead_at_once_and_retry_revives_it(scene: Scene) -> None:
    job = scene.submit()
    session = scene.session()
    claim(session).failed("no overlay found", rc=3, retry=False)
    assert job.state().state == "failed"
    assert job.state().reasons[0].rc == 3
    assert session.next() is None
    job.retry()
    assert scene.wait_for(session, 60).attempt == 2  # type: ignore[union-attr]


def test_retry_of_one_task_leaves_the_others_dead(scene: Scene) -> None:
    job = scene.prepared(2)
    session = scene.session()
    for _ in range(2):
        claim(session).failed("no", retry=False)
        session = scene.session()
        job.retry(0)
    assert [task.kind for task in job.state().tasks[1:3]].count("dead") <= 1


# ---- losses


def test_a_silent_worker_is_revoked_after_a_lease_and_not_before(scene: Scene) -> None:
    job = scene.prepared(1)
    dead, other = scene.session("h1"), scene.session("h2")
    claim(dead)
    assert scene.wait_for(other, SETTINGS.lease_s - 1) is None
    held = scene.wait_for(other, 3)
    assert held is not None
    assert (held.task, held.attempt) == (0, 2)
    assert job.state().tasks[1].lost == 1
    end = job.log.end(0, 1)
    assert end is not None
    assert (end.kind, end.host, end.w) == ("lost", "h1", other.wid)


def test_a_beating_worker_is_never_revoked(scene: Scene) -> None:
    scene.prepared(1)
    slow, other = scene.session("h1"), scene.session("h2")
    claim(slow)
    assert scene.wait_for(other, 10 * SETTINGS.lease_s, alive=(slow,)) is None


def test_an_observer_that_slept_itself_starts_counting_anew(scene: Scene) -> None:
    scene.prepared(1)
    stopped, other = scene.session("h1"), scene.session("h2")
    claim(stopped)
    for _ in range(3):
        assert other.next() is None
        scene.pass_time(0.5)
    scene.clock.advance(100)  # both were stopped, or the machine slept
    assert other.next() is None
    scene.pass_time(1, alive=(stopped, other))
    assert other.next() is None


def test_a_zombie_is_fenced_by_the_outcome_and_keeps_its_file(scene: Scene) -> None:
    job = scene.prepared(1)
    zombie, other = scene.session("h1"), scene.session("h2")
    old = claim(zombie)
    scene.work(scene.wait_for(other, 20), 1)
    assert old.must_stop() == "fenced"
    zombie.heart.beat()
    assert old.must_stop() == "fenced"  # it beats again, but others may have concluded
    path = old.output(".bin")
    write_file(path, b"late and wrong")
    assert old.done([path]) is False
    assert path.exists()
    assert job.state().tasks[1].kind == "done"
    scene.drain(other, 1)
    assert result_of(job, Path.read_bytes) == expected(1)
    assert job.verify() == []


def test_a_suspected_worker_that_is_first_keeps_its_work(scene: Scene) -> None:
    scene.prepared(1)
    slow = scene.session("h1")
    held = claim(slow)
    scene.pass_time(5 * SETTINGS.lease_s)
    assert held.must_stop() == "fenced"
    assert scene.work(held, 1)  # nobody revoked it: the link decides


def test_losses_on_distinct_hosts_are_counted_apart_from_their_number(scene: Scene) -> None:
    job = scene.prepared(1, budget=TIGHT)
    for host, state in (("h1", "running"), ("h1", "running"), ("h2", "failed")):
        dead = scene.session(host)
        assert scene.wait_for(dead, 60) is not None
        janitor = scene.session("h9", accept=lambda *_: False)
        assert scene.wait_for(janitor, 20) is None
        assert job.state().state == state


def test_the_worker_lock_makes_recovery_fast(tmp_path: Path) -> None:
    settings = SETTINGS.__class__(**{**_fields(), "locks": "host"})
    scene = Scene(tmp_path, settings)
    scene.prepared(1)
    dead, other = scene.session(), scene.session()
    claim(dead)
    assert scene.wait_for(other, 6) is None  # its process lives and holds the lock
    assert dead._presence._lock is not None
    dead._presence._lock.release()
    assert scene.wait_for(other, 3) is not None
    other._presence._lock.release()  # type: ignore[union-attr]
    scene.close()


def _fields() -> dict[str, object]:
    return {name: getattr(SETTINGS, name) for name in SETTINGS.__struct_fields__}


# ---- lost replies, full disks


class Faulty(FileOps):
    """Fails on demand: ``link`` after it was done and with the name unreadable, or writes for want of space."""

    def __init__(self) -> None:
        self.lose: set[str] = set()
        self.full = self.broken = False

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        if target.name in self.lose:
            raise OSError(errno.EIO, "lost reply", str(target))

    def read(self, path: Path, cap_bytes: int) -> bytes:
        if path.name in self.lose:
            raise FileNotFoundError(errno.ENOENT, "negative entry", str(path))
        return super().read(path, cap_bytes)

    def write_new(self, path: Path, data: bytes) -> None:
        if self.full or self.broken:
            raise OSError(errno.ENOSPC if self.full else errno.EIO, "injected", str(path))
        super().write_new(path, data)


def test_a_claim_whose_reply_was_lost_is_adopted(scene: Scene) -> None:
    scene.prepared(1)
    ops = Faulty()
    session = scene.session(ops=ops)
    ops.lose.add("00000.1")
    assert session.next() is None  # it holds the claim and does not know
    ops.lose.clear()
    held = claim(session)
    assert (held.task, held.attempt) == (0, 1)
    assert scene.work(held, 1)


class Resent(FileOps):
    """A client that had no answer to its link and sent it again: the name is taken, by itself."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.reads: list[str] = []

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        if target.name in self.names:
            super().link(source, target)

    def read(self, path: Path, cap_bytes: int) -> bytes:
        self.reads.append(path.name)
        return super().read(path, cap_bytes)


def test_a_claim_that_seemed_taken_by_another_is_adopted_after_a_lease(scene: Scene) -> None:
    """Its name is not read before, its owner never seems dead to others, and new work does not come first."""
    scene.prepared(1)
    ops = Resent("00000.1")
    session, other = scene.session(ops=ops), scene.session("h2", tasks=["final"])
    for _ in range(3):
        assert session.next() is None  # it holds the claim and does not know
    assert other.next() is None
    assert "00000.1" not in ops.reads
    scene.pass_time(SETTINGS.lease_s - 1, alive=(session, other))
    assert session.next() is None
    ops.names = ()
    scene.prepared(1, job_id="newer")
    scene.pass_time(2, alive=(session, other))
    held = claim(session)
    assert held.what == ("job", 0, 1)
    assert scene.work(held, 1)
    assert claim(session).what == ("newer", 0, 1)
    assert claim(other).what == ("job", "final", 1)


def test_the_name_of_an_attempt_that_another_has_is_not_read(scene: Scene) -> None:
    scene.prepared(2)
    ops = Resent()
    mine, other = scene.session(ops=ops), scene.session("h2")
    mine._look()  # both were open
    held = [claim(other), claim(other)]
    assert mine.next() is None
    for claimed in held:
        scene.work(claimed, 2)
    assert claim(mine).task == "final"
    assert not [name for name in ops.reads if name.endswith(".1")]


@pytest.mark.parametrize("do", ["fail", "lose", "duplicate"])
def test_a_marker_that_seems_to_fail_leaves_no_temporary_name_and_is_there_after_two_looks(
    scene: Scene, do: Literal["fail", "lose", "duplicate"]
) -> None:
    job = scene.prepared(2)
    faulty = FaultyOps(FileOps(), FaultPlan(rules=(FaultRule(do=do, op="rename", path="*.done"),)))
    assert scene.work(claim(scene.session(ops=faulty)), 2)
    assert not list(job.layout.log.glob(".t.*"))
    markers = job.layout.log.glob
    assert len(list(markers("0*.done"))) == (do != "fail")
    other = scene.session("h2")
    assert scene.work(claim(other), 2)
    assert len(list(markers("0*.done"))) == 1 + (do != "fail")  # its writer may still be about to add it
    assert claim(other).task == "final"
    assert len(list(markers("0*.done"))) == 2


def test_a_marker_of_an_outcome_that_was_recorded_twice_is_not_replaced(scene: Scene) -> None:
    """The first time without an answer, and somebody has repaired the marker since: one inode, for ever."""
    job = scene.prepared(1)
    ops = Faulty()
    session = scene.session(ops=ops)
    ops.lose |= {"00000.1.end"}
    assert scene.work(claim(session), 1) is False
    ops.lose.clear()
    job.log.scan(repair=True)
    assert claim(session).task == "final"
    assert (job.layout.log / "00000.1.done").samefile(job.layout.log / "00000.1.end")
    assert not list(job.layout.log.glob(".t.*"))


def test_a_marker_that_somebody_repairs_first_is_the_same(scene: Scene) -> None:
    job = scene.prepared(1)

    class Repaired(FileOps):
        def rename(self, source: Path, target: Path) -> None:
            job.log.scan(repair=True)
            super().rename(source, target)

    assert scene.work(claim(scene.session(ops=Repaired())), 1)
    assert (job.layout.log / "00000.1.done").samefile(job.layout.log / "00000.1.end")
    assert job.state().counts == {"done": 1}


def test_an_outcome_whose_reply_was_lost_is_not_worked_on_again(scene: Scene) -> None:
    job = scene.prepared(1)
    ops = Faulty()
    session = scene.session(ops=ops)
    held = claim(session)
    ops.lose |= {"00000.1.end"}
    assert scene.work(held, 1) is False  # not known
    assert not session.drained()
    ops.lose.clear()
    assert claim(session).task == "final"
    assert job.verify() == []


def test_an_outcome_that_cannot_be_written_now_is_written_later(scene: Scene) -> None:
    scene.prepared(1)
    ops = Faulty()
    session = scene.session(ops=ops)
    held = claim(session)
    ops.broken = True
    assert scene.work(held, 1) is False
    assert session.next() is None
    ops.broken = False
    assert claim(session).task == "final"


@pytest.mark.parametrize("outcome", ["done", "failed", "released"])
def test_on_a_full_disk_the_outcome_is_a_prewritten_one(scene: Scene, outcome: str) -> None:
    job = scene.prepared(1, budget=TIGHT)
    ops = Faulty()
    session = scene.session(ops=ops)
    held = claim(session)
    path = held.output(".bin")
    write_file(path, b"x")
    ops.full = True
    if outcome == "done":
        assert held.done([path]) is False
    else:
        getattr(held, outcome)("why")
    task = job.state().tasks[1]
    assert (task.released, task.failed, task.lost) == ((0, 1, 0) if outcome == "failed" else (1, 0, 0))
    assert session.next() is None  # claims nothing for a while
    ops.full = False
    assert scene.wait_for(session, 60) is not None
    assert job.verify() == []


def test_more_claims_than_a_file_can_have_names_rotate_the_token(scene: Scene) -> None:
    class FewLinks(FileOps):
        def link(self, source: Path, target: Path) -> None:
            if source.name.startswith(".w.") and source.stat().st_nlink > 2:
                raise OSError(errno.EMLINK, "too many links", str(target))
            super().link(source, target)

    job = scene.prepared(5)
    session = scene.session(ops=FewLinks())
    scene.drain(session, 5)
    assert job.state().state == "done"
    assert len(list(job.layout.log.glob(".w.*"))) > 2


# ---- control


def test_pause_stops_claims_and_running_work_until_resume(scene: Scene) -> None:
    job = scene.prepared(2)
    session = scene.session()
    held = claim(session)
    assert held.must_stop() is None
    job.pause("lunch")
    assert held.must_stop() is None  # asked at most once a beat
    scene.pass_time(1, alive=(session,))
    assert held.must_stop() == "paused"
    held.released("paused")
    assert scene.wait_for(session, 3) is None
    assert (job.state().state, session.drained()) == ("paused", False)
    job.resume()
    assert scene.wait_for(session, 3) is not None


def test_a_paused_spool_gives_out_nothing(scene: Scene) -> None:
    scene.prepared()
    scene.spool.pause()
    session = scene.session()
    assert scene.spool.paused
    assert session.next() is None
    scene.spool.resume()
    assert session.next() is not None


def test_cancel_ends_the_job_and_tells_who_works_on_it(scene: Scene) -> None:
    job = scene.prepared()
    session = scene.session()
    held = claim(session)
    assert job.cancel("changed my mind")
    assert held.must_stop() == "cancelled"
    assert session.next() is None
    held.released("cancelled")
    assert session.drained()
    assert (job.state().state, job.committed()) == ("cancelled", "cancelled")
    with pytest.raises(JobFailedError):
        job.retry()


def test_cancel_is_too_late_when_the_result_is_decided(scene: Scene) -> None:
    job = scene.submit()
    scene.drain(scene.session())
    assert job.cancel() is False
    assert job.state().state == "done"


# ---- prepare, final, claims


def test_the_first_plan_wins(scene: Scene) -> None:
    job = scene.submit()
    assert job.plan() is None
    assert job.put_plan(b'{"n":2}', 2) == b'{"n":2}'
    assert scene.spool.by_id("job").put_plan(b'{"n":3}', 3) == b'{"n":2}'
    assert job.state().segments == 2
    assert job.layout.plan_link.read_bytes() == b'{"n":2}'


def test_the_first_segment_job_wins(scene: Scene) -> None:
    job = scene.submit()
    job.put_plan(b"{}", 1)
    assert job.segment(0) is None
    job.put_segment(0, b"one")
    job.put_segment(0, b"two")
    assert job.segment(0) == b"one" == job.layout.segment_job(0).read_bytes()
    with pytest.raises(UsageError, match="at most"):
        job.put_segment(0, b"x" * (PAYLOAD_CAP_BYTES + 1))


def test_segments_start_while_prepare_still_runs(scene: Scene) -> None:
    job = scene.submit()
    prep = claim(scene.session())
    job.put_plan(b"{}", 2)
    job.put_segment(1, b"{}")
    worker = scene.session()
    assert claim(worker).task == 1
    with pytest.raises(JobFailedError, match="left out"):
        prep.done()


def test_a_damaged_output_is_made_again_before_final(scene: Scene) -> None:
    job = scene.prepared(3)
    session = scene.session(tasks=["segment"])
    scene.drain(session)
    end = job.log.end(1, 1)
    assert end is not None
    job.layout.output_file(1, end.outs[0].file).write_bytes(b"rot")
    assert [found.code for found in job.verify()] == ["I4"]
    final = scene.session()
    assert scene.work(claim(final)) is None
    scene.drain(final)
    assert result_of(job, Path.read_bytes) == expected(3)
    task = job.state().tasks[2]
    assert (task.attempt, task.lost) == (2, 1)
    assert job.verify() == []


def test_outputs_have_names_of_their_own(scene: Scene) -> None:
    scene.prepared(1)
    session = scene.session()
    first = claim(session)
    first.released()
    second = claim(session)
    assert first.output(".mkv").name == f"out.1.{session.wid}.mkv"
    assert second.output(".mkv") != first.output(".mkv")
    with pytest.raises(UsageError, match="where `output` says"):
        second.done([first.output(".mkv")])
    with pytest.raises(ValueError, match="file name"):
        second.output("/../x")


def test_a_claim_has_one_outcome(scene: Scene) -> None:
    scene.prepared(1)
    held = claim(scene.session())
    assert held.released()
    with pytest.raises(UsageError, match="ended already"):
        held.failed("no")


def test_closing_hands_back_and_leaves_no_heartbeat(scene: Scene) -> None:
    job = scene.prepared(1)
    with Session(scene.spool, host="h1") as session:
        claim(session).progress(0.5)
        ((worker, beat),) = [(w, b) for w, b in scene.spool.workers() if w.w == session.wid]
        session.heart.beat()
        assert (worker.host, beat is not None) == ("h1", True)
    assert job.state().tasks[1].released == 1
    assert not scene.spool.layout.heartbeat(session.wid).exists()


def test_a_damaged_job_does_not_stop_the_others(scene: Scene) -> None:
    scene.prepared(1)
    scene.clock.advance(-5)
    bad = scene.submit("bad")
    scene.clock.advance(5)
    (bad.layout.log / "prep.1").write_bytes(b"{")
    (bad.layout.log / "prep.1.end").write_bytes(b"not json")
    session = scene.session()
    assert claim(session).job.id == "job"
    assert bad.verify()[0].code == "I7"


def test_looks_become_rarer_while_there_is_nothing(scene: Scene) -> None:
    session = scene.session()
    waits = []
    for _ in range(6):
        assert session.next() is None
        waits.append(session.idle_s())
    assert waits[0] <= 1.25 * SETTINGS.poll_s
    assert max(waits) <= 1.25 * SETTINGS.idle_s


def test_a_worker_forgets_a_job_that_is_over(scene: Scene) -> None:
    scene.submit()
    session = scene.session(ops=FileOps())
    held = claim(session)
    kept = weakref.ref(held.job)
    scene.work(held)
    del held
    scene.drain(session)
    session.unpublished()[0].publish(scene.folder / "result.bin")
    assert session.next() is None  # sees it published
    assert session.next() is None
    gc.collect()
    assert kept() is None


def remembered(thing: object, seen: set[int]) -> set[str]:
    """All strings that an object of the spool, or what it holds, keeps."""
    if isinstance(thing, str):
        return {thing}
    if id(thing) in seen:
        return set()
    seen.add(id(thing))
    if isinstance(thing, dict):
        inner = [*thing, *thing.values()]
    elif isinstance(thing, list | tuple | set | frozenset):
        inner = list(thing)
    elif type(thing).__module__.startswith("waterz_spool."):
        inner = [*getattr(thing, "__dict__", {}).values()]
    else:
        return set()
    return set().union(*(remembered(one, seen) for one in inner))


@pytest.mark.parametrize("end", ["done", "cancelled"])
def test_a_worker_forgets_even_the_names_of_jobs_that_were_cleaned_away(end: str, scene: Scene) -> None:
    session = scene.session(ops=FileOps())
    job = scene.submit("gone")
    scene.submit("stays")
    if end == "cancelled":
        job.cancel()
    scene.drain(session)
    for ended in session.unpublished():
        ended.publish(scene.folder / f"{ended.id}.bin")
    assert session.next() is None
    assert {"gone", "stays"} <= remembered(session, set())
    scene.spool.clean(older_than_s=-1, jobs=["gone"], dry_run=False)
    scene.pass_time(61, alive=(session,))
    assert session.next() is None
    assert [word for word in remembered(session, set()) if "gone" in word] == []
    assert "stays" in remembered(session, set())


def test_a_worker_forgets_a_job_that_was_cancelled_and_cleaned_away_under_its_hands(scene: Scene) -> None:
    session = scene.session(ops=FileOps())
    job = scene.submit("gone")
    held = claim(session)
    job.cancel()
    scene.pass_time(61, alive=(session,))
    assert session.next() is None
    shutil.rmtree(job.layout.root)
    scene.pass_time(61, alive=(session,))
    assert session.next() is None
    with contextlib.suppress(OSError, WaterzError):
        held.released("gone")
    scene.pass_time(61, alive=(session,))
    assert session.next() is None
    assert [word for word in remembered(session, set()) if "gone" in word] == []


@pytest.mark.parametrize("end", ["done", "cancelled", "failed"])
def test_a_job_that_was_cleaned_away_and_submitted_again_is_worked_on(end: str, scene: Scene) -> None:
    session = scene.session()
    job = scene.submit("again", budget=Budget(failed=1))
    if end == "cancelled":
        job.cancel()
    elif end == "failed":
        claim(session).failed("bad")
    else:
        scene.drain(session)
        session.unpublished()[0].publish(scene.folder / "result.bin")
    assert session.next() is None
    assert scene.spool.by_id("again").state().state == end
    scene.spool.clean(older_than_s=-1, states=["done", "cancelled", "failed"], jobs=["again"], dry_run=False)
    scene.pass_time(3, alive=(session,))
    scene.submit("again")
    assert claim(session).what == ("again", "prep", 1)


# ---- locks that tell of a death at once


def shared_locks(folder: Path) -> Scene:
    """As on a network file system: heartbeats are rare, locks mean something."""
    settings = SpoolSettings(beat_s=30, lease_s=180, poll_s=2, idle_s=30, backoff_s=5, locks="shared")
    return Scene(folder, settings)


def revoked_after_s(scene: Scene, watcher: Session, most_s: float) -> float | None:
    """Let a worker look for work as often as it wants to; when it gets some, if it does."""
    began = scene.clock.now
    while scene.clock.now - began <= most_s:
        if watcher.next() is not None:
            return scene.clock.now - began
        scene.clock.advance(watcher.idle_s())
    return None


def test_a_free_lock_is_believed_long_before_a_beat_is_missed(tmp_path: Path) -> None:
    scene = shared_locks(tmp_path)
    scene.prepared(1)
    dead, other = scene.session("h1"), scene.session("h2")
    claim(dead)
    assert revoked_after_s(scene, other, 20) is None
    dead._presence._lock.release()  # type: ignore[union-attr]
    waited_s = revoked_after_s(scene, other, 20)
    assert waited_s is not None
    assert waited_s < 3
    scene.close()


def test_who_never_had_a_lock_is_not_taken_for_dead_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = shared_locks(tmp_path)
    scene.prepared(1)
    with monkeypatch.context() as patch:
        patch.setattr("waterz_spool.spool.worker.presence.take_lock", lambda path: path.touch())
        lockless = scene.session("h1")
    claim(lockless)
    assert revoked_after_s(scene, scene.session("h2"), 100) is None
    scene.close()


def test_who_was_taken_for_dead_takes_its_lock_anew(tmp_path: Path) -> None:
    scene = shared_locks(tmp_path)
    scene.prepared(1)
    alive, other = scene.session("h1"), scene.session("h2")
    held = claim(alive)
    alive._presence._lock.release()  # type: ignore[union-attr]  # as in an outage of the server
    revoked_after_s(scene, other, 20)
    path = scene.spool.layout.lock(alive.wid)
    lock = take_lock(path)
    assert lock is not None
    lock.release()
    assert held.released("told to stop") is False
    assert take_lock(path) is None
    scene.close()
