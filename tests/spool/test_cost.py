"""Operations per segment, counted at the seam: flat in the number of segments and of workers."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest
from spoolsim import HostClock, Server, SimOps, VirtualClock
from spooltoy import work

from waterz_spool.spool import Budget, Session, Spool, SpoolSettings

ROOT = Path("/sim/spool")
PROTOCOL = ("listdir", "read", "link", "rename", "unlink", "write_new", "mkdir", "sync_folder")


def operations(segments: int, workers: int) -> tuple[float, float]:
    """Operations per segment of a whole job without faults: of claiming and finishing, and of all coordination."""
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
    ops.trace.clear()
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
    trace = [line for line in ops.trace if line.split()[0] in PROTOCOL]
    assert job.state().counts == {"done": segments}
    path = [line for line in trace if CLAIM_AND_FINISH.fullmatch(line)]
    return len(path) / segments, len(trace) / segments


# The claim, won or lost (who has it may be read later), the outcome under a temporary name, its name, that of its
# marker in place of the temporary one, the folder.
CLAIM_AND_FINISH = re.compile(
    r"link \d{5}\.1(\.end)?|rename \d{5}\.1\.done|read \d{5}\.1|(write_new|unlink) \.t\..*|sync_folder log"
)


class Tokens:
    def __init__(self, number: int) -> None:
        self.random = Random(number)

    def __call__(self) -> str:
        return f"{self.random.getrandbits(96):024x}"


@pytest.fixture(scope="module")
def costs() -> dict[tuple[int, int], tuple[float, float]]:
    cells = [(100, 1), (1000, 1), (300, 8), (1000, 8), (1000, 64)]
    found = {cell: operations(*cell) for cell in cells}
    for cell, (path, everything) in found.items():
        print(f"{cell[0]} segments, {cell[1]} workers: {path:.2f} to claim and finish, {everything:.2f} in all")
    return found


def test_claiming_and_finishing_is_cheap_and_flat(costs: dict[tuple[int, int], tuple[float, float]]) -> None:
    paths = [path for path, _ in costs.values()]
    assert max(paths) < 8
    assert max(paths) < 1.2 * min(paths)


def test_all_coordination_stays_in_bounds(costs: dict[tuple[int, int], tuple[float, float]]) -> None:
    assert max(everything for _, everything in costs.values()) < 13
