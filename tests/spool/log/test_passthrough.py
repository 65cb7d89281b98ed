"""A job whose dead segments pass through: the budget is spent first, then the source's pixels are let through."""

from __future__ import annotations

import pytest
from spoolscene import TIGHT, Scene

from waterz_spool.spool import Budget, Claim, FinalClaim, Job, Session
from waterz_spool.spool.log.layout import FINAL
from waterz_spool.spool.log.states import Allowance, TaskLog, spent_at, task_kind


def next_claim(scene: Scene, session: Session) -> Claim:
    claim = scene.wait_for(session, 700)
    assert claim is not None
    return claim


def spend(scene: Scene, session: Session, kinds: str) -> None:
    """End attempts of segment 0 as failed (f), dead (d) or released (r)."""
    for kind in kinds:
        claim = next_claim(scene, session)
        assert not claim.passing()
        if kind == "r":
            claim.released("why")
        else:
            claim.failed("why", retry=kind == "f")


def passing_job(scene: Scene, **options: object) -> Job:
    return scene.prepared(1, budget=TIGHT, on_dead="passthrough", **options)


@pytest.mark.parametrize("kinds", ["ff", "frf", "d", "rrd"])
def test_a_segment_passes_when_its_budget_is_spent_and_not_before(scene: Scene, kinds: str) -> None:
    job = passing_job(scene)
    session = scene.session()
    spend(scene, session, kinds)
    assert job.state().state == "running"
    claim = next_claim(scene, session)
    assert claim.passing()
    path = claim.output(".bin")
    path.write_bytes(b"as it was")
    assert claim.done([path], passed=True)
    assert job.state().passed == (0,)
    final = next_claim(scene, session)
    assert final.task == FINAL
    assert isinstance(final, FinalClaim)  # which cannot pass
    assert scene.work(final, 1)
    assert (job.state().state, job.state().passed) == ("done", (0,))
    assert job.verify() == []


def test_a_job_that_does_not_say_so_fails(scene: Scene) -> None:
    job = scene.prepared(1, budget=TIGHT)
    spend(scene, scene.session(), "ff")
    assert job.state().state == "failed"
    assert job.state().passed == ()


def test_prepare_and_final_never_pass(scene: Scene) -> None:
    job = scene.submit(budget=TIGHT, on_dead="passthrough")
    session = scene.session()
    next_claim(scene, session).failed("why", retry=False)
    assert job.state().state == "failed"


def test_passing_has_a_budget_of_its_own_and_then_the_job_fails(scene: Scene) -> None:
    job = passing_job(scene)
    session = scene.session()
    spend(scene, session, "ff")
    for left in (True, False):
        claim = next_claim(scene, session)
        assert claim.passing()
        claim.failed("cannot be decoded")
        assert (job.state().state == "running") is left
    assert job.state().state == "failed"
    job.retry()
    assert next_claim(scene, session).attempt == 5


def test_lost_workers_spend_it_too(scene: Scene) -> None:
    job = passing_job(scene)
    for number in range(2):  # two hosts
        dead = scene.session(f"h{number}")
        assert not next_claim(scene, dead).passing()
        janitor = scene.session("h9", accept=lambda *_: False)
        assert scene.wait_for(janitor, 20) is None
    assert next_claim(scene, scene.session("h3")).passing()
    assert job.state().state == "running"


def test_a_damaged_output_that_had_passed_is_made_again(scene: Scene) -> None:
    job = passing_job(scene)
    session = scene.session()
    spend(scene, session, "ff")
    for _ in range(2):
        claim = next_claim(scene, session)
        assert claim.passing()
        path = claim.output(".bin")
        path.write_bytes(b"as it was")
        claim.done([path], passed=True)
        if claim.attempt == 3:
            path.write_bytes(b"rotten")
            assert scene.work(next_claim(scene, session), 1) is None
    assert scene.work(next_claim(scene, session), 1)
    assert job.state().passed == (0,)


@pytest.mark.parametrize(
    ("kinds", "at"),
    [({}, 0), ({1: "failed"}, 0), ({1: "failed", 2: "failed"}, 2), ({1: "dead", 2: "failed"}, 1), ({1: "released"}, 0)],
)
def test_the_attempt_that_spent_the_budget(kinds: dict[int, str], at: int) -> None:
    log = TaskLog()
    log.kinds, log.top, log.ended = kinds, len(kinds), set(kinds)
    allowance = Allowance(Budget(failed=2), 2)
    assert spent_at(log, allowance, len) == at
    passes = Allowance(Budget(failed=2), 2, passes=True)
    assert task_kind(log, passes, len) == "open"
    assert task_kind(log, allowance, len) == ("dead" if at else "open")
