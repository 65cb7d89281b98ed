"""Why a worker claims nothing, and why another one would not take a job."""

from __future__ import annotations

import os

import pytest
from spoolscene import Scene

from tests.faults import FaultPlan, FaultRule, FaultyOps
from waterz_spool.spool import FileOps, refusal


def nothing() -> None:
    pass


def test_a_pause_of_the_spool_is_the_reason(scene: Scene) -> None:
    gates = scene.session()._gates
    assert gates.closed(nothing) == ""
    scene.spool.pause()
    scene.pass_time(2)
    assert gates.closed(nothing) == "the spool is paused"
    scene.spool.resume()
    assert gates.closed(nothing) == ""


def test_what_storage_refuses_is_the_reason_as_long_as_it_lasts(scene: Scene) -> None:
    ops = FaultyOps(FileOps(), FaultPlan())
    session = scene.session(ops=ops)
    ops.use([FaultRule(do="fail", op="listdir", errno="EIO", path="*/ctl")])
    scene.pass_time(2)
    assert session._gates.closed(nothing) == "storage: EIO"
    ops.use(())
    scene.pass_time(60)
    assert session._gates.closed(nothing) == ""


@pytest.mark.parametrize(
    ("tasks", "info", "why"),
    [
        (["final"], {}, "takes only final"),
        (["segment"], {"jobs": ["other"]}, "works on other jobs only"),
        (["segment"], {"jobs": ["job"]}, ""),
        (["segment"], {}, ""),
    ],
    ids=["stage", "other jobs", "this job", "any"],
)
def test_what_a_worker_says_of_itself_tells_whether_it_would_take_a_job(
    scene: Scene, tasks: list[str], info: dict[str, object], why: str
) -> None:
    job = scene.submit()
    session = scene.session(tasks=tasks, info=info)
    worker = scene.spool.worker(session.wid)
    assert worker is not None
    assert refusal(scene.spool, worker, job, {"segment"}) == why


def test_another_users_job_is_refused_unless_the_worker_serves_its_group(scene: Scene, monkeypatch) -> None:
    job = scene.submit()
    worker = scene.spool.worker(scene.session().wid)
    serving = scene.spool.worker(scene.session(info={"serve_group": True}).wid)
    assert worker is not None and serving is not None
    monkeypatch.setattr(job, "owner", lambda: os.getuid() + 1)
    assert refusal(scene.spool, worker, job, {"prep"}) == "takes only the jobs of its own user"
    assert refusal(scene.spool, serving, job, {"prep"}) == ""
