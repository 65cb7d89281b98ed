"""Hosts that fail at what works elsewhere stop claiming, say so, and go on when somebody lets them."""

from __future__ import annotations

import pytest
from spoolscene import Scene

from tests.faults import FaultPlan, FaultRule, FaultyOps
from waterz_spool.errors import UsageError
from waterz_spool.spool import Budget, FileOps, Session
from waterz_spool.spool.hosts import Hosts, spelled
from waterz_spool.spool.log.layout import parse_host_record

GENEROUS = Budget(failed=20, lost_hosts=20, lost=20)


def fails(scene: Scene, session: Session, times: int) -> list[object]:
    """Claims and fails so often."""
    tasks = []
    for _ in range(times):
        claim = session.next()
        assert claim is not None
        claim.failed("no GPU")
        tasks.append(claim.task)
    return tasks


def does_all(scene: Scene, session: Session, *, alive: tuple[Session, ...] = (), but_final: bool = True) -> None:
    for _ in range(60):
        while (claim := session.next()) is not None:
            scene.work(claim, 6)
        if all(task.kind == "done" for task in scene.spool.job("job").state().tasks[1:-1]):
            return
        scene.pass_time(1.0, alive=(session, *alive))


def test_a_host_that_fails_three_times_in_a_row_at_what_works_elsewhere_stops(scene: Scene) -> None:
    scene.prepared(6, budget=GENEROUS)
    bad, good = scene.session("bad"), scene.session("good", tasks=["segment"])
    fails(scene, bad, 3)
    does_all(scene, good, alive=(bad,))
    scene.submit("next", budget=GENEROUS)
    assert bad.next() is None
    assert bad.stopped
    stopped = scene.spool.hosts.stopped()
    assert list(stopped) == ["bad"]
    assert "3 failures in a row of what works elsewhere: job/" in scene.spool.hosts.why("bad", stopped["bad"])
    assert scene.session("bad").next() is None  # another worker of the host
    assert good.next() is None
    assert scene.session("good").next() is not None


def test_resume_lets_it_claim_and_it_can_stop_again(scene: Scene) -> None:
    hosts = scene.spool.hosts
    scene.submit()
    session = scene.session("node1.cluster")
    for number in (1, 2):
        hosts.stop("node1.cluster", "why")
        assert hosts.stopped() == {"node1.cluster": number}
        assert session.next() is None
        scene.pass_time(3.0, alive=(session,))
        assert hosts.resume("node1.cluster")
        assert not hosts.resume("node1.cluster")
        assert hosts.stopped() == {}
    assert session.next() is not None
    assert not session.stopped


def test_failures_that_fail_everywhere_are_no_hosts_fault(scene: Scene) -> None:
    scene.prepared(6, budget=GENEROUS)
    one, two = scene.session("one"), scene.session("two")
    fails(scene, one, 3)
    fails(scene, two, 3)
    assert scene.wait_for(one, 60, alive=(two,)) is not None
    assert scene.spool.hosts.stopped() == {}


def test_a_single_host_never_stops_itself(scene: Scene) -> None:
    scene.prepared(4, budget=GENEROUS)
    one, two = scene.session("one"), scene.session("one")
    fails(scene, one, 3)
    does_all(scene, two, alive=(one,))
    scene.submit("next")
    assert one.next() is not None


def test_a_success_between_begins_the_count_anew(scene: Scene) -> None:
    scene.prepared(6, budget=GENEROUS)
    mixed, good = scene.session("mixed"), scene.session("good", tasks=["segment"])
    fails(scene, mixed, 2)
    scene.work(mixed.next(), 6)
    fails(scene, mixed, 1)
    does_all(scene, good, alive=(mixed,))
    scene.submit("next")
    assert mixed.next() is not None
    assert not mixed.stopped


def test_what_passed_through_elsewhere_did_not_work_there(scene: Scene) -> None:
    scene.prepared(3, budget=Budget(failed=1), on_dead="passthrough")
    bad, other = scene.session("bad"), scene.session("other", tasks=["segment"])
    fails(scene, bad, 3)
    for _ in range(3):
        claim = scene.wait_for(other, 60, alive=(bad,))
        assert claim is not None and claim.passing()
        path = claim.output(".bin")
        path.write_bytes(b"as it was")
        claim.done([path], passed=True)
    scene.submit("next")
    scene.pass_time(5.0, alive=(bad,))
    assert bad.next() is not None
    assert scene.spool.hosts.stopped() == {}


def test_a_host_stops_later_when_it_cannot_be_written_now(scene: Scene) -> None:
    scene.prepared(6, budget=GENEROUS)
    ops = FaultyOps(FileOps(), FaultPlan())
    bad, good = scene.session("bad", ops=ops), scene.session("good", tasks=["segment"])
    fails(scene, bad, 3)
    does_all(scene, good, alive=(bad,))
    scene.submit("next")
    ops.use([FaultRule(do="fail", op="write_new", path="*/hosts/*", errno="EIO")])
    held = bad.next()
    assert held is not None  # cannot say so, goes on
    held.released()
    ops.use(())
    bad._survey.outdate()
    bad._candidates.refill()
    assert bad.next() is None
    assert bad.stopped


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("gpu03.1.quarantine", ("gpu03", 1, "quarantine")),
        ("node.cluster.org.12.resume", ("node.cluster.org", 12, "resume")),
        ("gpu03.quarantine", None),
        ("gpu03.x.quarantine", None),
        ("gpu03.1.party", None),
        (".t.0123", None),
        ("..1.quarantine", None),
        ("a b.1.quarantine", None),
    ],
)
def test_names_of_host_records(name: str, found: object) -> None:
    assert parse_host_record(name) == found


def test_strange_host_names_become_file_names(scene: Scene) -> None:
    assert spelled("../a b") == "a-b" or "/" not in spelled("../a b")
    assert spelled("...") == "host"
    hosts = scene.spool.hosts
    hosts.stop("my host/1", "why")
    assert hosts.is_stopped("my host/1")
    assert hosts.resume("my host/1")


def test_a_damaged_or_vanished_reason_is_no_reason(scene: Scene) -> None:
    hosts: Hosts = scene.spool.hosts
    assert hosts.why("nobody", 1) == ""
    (scene.spool.layout.hosts / "h.1.quarantine").write_bytes(b"garbage")
    assert hosts.stopped() == {"h": 1}
    assert hosts.why("h", 1) == ""


def test_hosts_that_cannot_be_listed_do_not_stop_anybody(scene: Scene) -> None:
    scene.submit()
    ops = FaultyOps(FileOps(), FaultPlan(rules=(FaultRule(do="fail", op="listdir", path="*/hosts"),)))
    assert scene.session("h", ops=ops).next() is not None


def test_a_job_decides_itself_what_becomes_of_dead_segments(scene: Scene) -> None:
    with pytest.raises(UsageError):
        scene.submit("odd", on_dead="explode")
