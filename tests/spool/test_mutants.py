"""The simulation bites: each dangerous change of the protocol, made here on purpose, turns it red."""

from __future__ import annotations

import errno
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from spoolscene import Scene
from spoolsim import SimOps
from test_simulation import SpoolMachine

from waterz_spool.spool import Claim, FileOps, FinalClaim, Session
from waterz_spool.spool.log.joblog import JobLog
from waterz_spool.spool.log.snapshot import Snapshot
from waterz_spool.spool.worker.recovery import Recovery

SEARCH = settings(
    max_examples=1500,
    derandomize=True,
    stateful_step_count=40,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


def link_that_replaces(self: SimOps, source: Path, target: Path) -> None:
    """Rename instead of link: the last outcome wins."""
    if target.name.endswith(".end") and target in self.server.files and source in self.server.files:
        self._enter("link", target)
        self.server.files[target] = self.server.files[source]
        return
    ORIGINAL_LINK(self, source, target)


def claims_without_outcome(self: Snapshot):
    """Steal a claim that has no outcome: two owners of one task."""
    for task, attempt in ORIGINAL_CLAIMABLE(self):
        yield task, attempt
    for task, attempt in self.running():
        yield task, attempt + 1


def one_name_for_all(self: Claim, suffix: str, *, stem: str | None = None) -> Path:
    """One output name for all attempts."""
    return self.job.layout.outputs(self.task) / f"out.shared{suffix}"


def no_name_check(self: Claim, path: Path) -> Path:
    return path


def done_by_marker(self: Snapshot) -> bool:
    """Final as soon as the segments exist, whatever their outcome."""
    return self.segments is not None and len(self.view.ready) == self.segments


ORIGINAL_LINK = SimOps.link
ORIGINAL_CLAIMABLE = Snapshot.claimable

MUTANTS = {
    "outcome replaced": [(SimOps, "link", link_that_replaces)],
    "claim stolen without outcome": [(Snapshot, "claimable", claims_without_outcome)],
    "no revocation": [(Recovery, "revoke_stale", lambda self, snapshots, wait_s: False)],
    "final before all are done": [(Snapshot, "complete", done_by_marker)],
    "damage not noticed": [(FinalClaim, "_unsound", lambda self, index, end: "")],
    "cancel not decided": [(JobLog, "put_commit", lambda self, record: record)],
    "outcome forgotten": [(Session, "_settle", lambda self: None)],
}


def test_a_shared_output_name_is_caught(scene: Scene) -> None:
    """Directed: a worker stops while it writes, another succeeds it, the first one goes on writing."""

    def late_write(job_id: str) -> list[str]:
        job = scene.prepared(1, job_id=job_id)
        zombie, other = scene.session("h1", jobs=[job_id]), scene.session("h2", jobs=[job_id])
        claim = zombie.next()
        assert claim is not None
        path = claim.output(".bin")
        scene.work(scene.wait_for(other, 20), 1)
        path.write_bytes(b"late")
        return [found.code for found in job.verify()]

    assert late_write("sound") == []
    with mock.patch.object(Claim, "output", one_name_for_all), mock.patch.object(Claim, "_own", no_name_check):
        assert late_write("mutant") == ["I4"]


def test_a_claim_that_is_never_adopted_is_caught(scene: Scene) -> None:
    """Directed: the link is done, its answer lost, and the name not readable at once. The model has this, too."""

    def found_again(job_id: str) -> bool:
        job = scene.prepared(1, job_id=job_id)
        ops = Forgetful()
        session = scene.session(jobs=[job_id], ops=ops)
        assert session.next() is None
        ops.lost = False
        claims = [session.next() for _ in range(5)]
        assert job.snapshot().kind(0) == "running"
        return any(claims)

    assert found_again("sound")
    with mock.patch.object(Session, "_adopt", lambda self: None):
        assert not found_again("mutant")


class Forgetful(FileOps):
    """Loses the answer to links of claims, and remembers their absence."""

    lost = True

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        if self.lost and target.name == "00000.1":
            raise OSError(errno.EIO, "no answer", str(target))

    def read(self, path: Path, cap_bytes: int) -> bytes:
        if self.lost and path.name == "00000.1":
            raise FileNotFoundError(errno.ENOENT, "remembered absence", str(path))
        return super().read(path, cap_bytes)


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(name: str) -> None:
    patches = [
        mock.patch(f"{target}.{attribute}", new)
        if isinstance(target, str)
        else mock.patch.object(target, attribute, new)
        for target, attribute, new in MUTANTS[name]
    ]
    for patch in patches:
        patch.start()
    try:
        with pytest.raises(Exception) as caught:
            run_state_machine_as_test(SpoolMachine, settings=SEARCH)
        print(f"{name}: {str(caught.value).splitlines()[0]}")
    finally:
        for patch in patches:
            patch.stop()
