"""Operations per segment, counted at the seam: flat in the number of segments and of workers."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from spoolsim import HostClock, Server, SimOps, VirtualClock
from spooltoy import work

from waterz_spool.spool import Budget, Session, Spool, SpoolSettings

ROOT = Path("/sim/spool")
PROTOCOL = ("listdir", "read", "link", "unlink", "write_new", "mkdir")


def operations(segments: int, workers: int) -> float:
    """Coordination operations per segment of a whole job without faults."""
    clock = VirtualClock()
    server = Server(clock)
    server.folders[ROOT.parent] = {}
    ops = SimOps(server)
    spool = Spool.create(ROOT, SpoolSettings(locks="off"), ops=ops, clock=HostClock(clock))
    job = spool.submit(b"{}", source=Path("/sim/v.mp4"), job_id="job", budget=Budget())
    sessions = []
    for number in range(workers):
        client = Spool.open(ROOT, ops=ops, clock=HostClock(clock), tokens=Tokens(number))
        sessions.append(Session(client, host=f"h{number}", threads=False))
        sessions[-1].start()
    prep = sessions[0].next()
    work(prep, segments, ops.scribble, lambda path: server.files[path].data)  # type: ignore[arg-type]
    server.counts.clear()
    random = Random(1)
    held = {session: session.next() for session in sessions}
    while any(held.values()):
        session = random.choice([session for session, claim in held.items() if claim])
        claim = held[session]
        if claim is not None and claim.task == "final":
            break
        work(claim, segments, ops.scribble, lambda path: server.files[path].data)  # type: ignore[arg-type]
        held[session] = session.next()
        clock.advance(0.01)
    assert job.state().counts == {"done": segments}
    return sum(server.counts[name] for name in PROTOCOL) / segments


class Tokens:
    def __init__(self, number: int) -> None:
        self.random = Random(number)

    def __call__(self) -> str:
        return f"{self.random.getrandbits(96):024x}"


@pytest.mark.parametrize(("segments", "workers"), [(100, 1), (1000, 1), (300, 8), (300, 32)])
def test_operations_per_segment_are_few_and_flat(segments: int, workers: int) -> None:
    count = operations(segments, workers)
    print(f"{segments} segments, {workers} workers: {count:.1f} operations per segment")
    assert count < 26
