"""The real classes over a simulated directory that lies, with workers that die between any two operations."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from spoolsim import Faults, HostClock, Server, SimCrash, SimOps, VirtualClock
from spooltoy import expected, result_of, work

from tests.faults import FaultPlan, FaultRule, FaultyOps
from waterz_spool.spool import FINAL, Budget, Claim, Session, Spool, SpoolSettings

ROOT = Path("/sim/spool")
SETTINGS = SpoolSettings(beat_s=1, lease_s=5, poll_s=0.5, idle_s=1, backoff_s=0.5, locks="off")
GENEROUS = Budget(failed=50, lost_hosts=50, lost=50)


def rules(*, error: float = 0.0, lost: float = 0.0, full: float = 0.0, slow: float = 0.0, forgets: float = 0.0):
    """What goes wrong by plan, by probability of each operation."""
    everywhere = [("fail", "*", "EIO", error / 2), ("fail", "*", "ESTALE", error / 2)]
    writes = [
        ("torn", "write_new", "EIO", error),
        ("torn", "write_new", "ENOSPC", full),
        ("fail", "write_new", "EDQUOT", full / 2),
    ]
    answers = [(do, op, "EIO", lost / 2) for do in ("lose", "duplicate") for op in ("link", "unlink", "rename")]
    rest = [("delay", "*", "EIO", slow), *(("drop", op, "EIO", forgets) for op in ("sync_*", "unlink", "beat"))]
    return tuple(
        FaultRule(do=do, op=op, errno=name, chance=chance, delay_s=6.0)
        for do, op, name, chance in (*everywhere, *writes, *answers, *rest)
        if chance
    )


LEVELS = {  # how stale caches are, and what goes wrong by plan
    "calm": (0.0, ()),
    "stale": (0.5, ()),
    "lossy": (0.7, rules(lost=0.2, error=0.02)),
    "broken": (0.3, rules(error=0.1, lost=0.07, full=0.1)),
    "slow": (0.3, rules(slow=0.02, forgets=0.3)),
}
faults = st.builds(
    lambda level, seed, crash, interleave: (level, seed, crash, interleave),
    st.sampled_from(sorted(LEVELS)),
    st.integers(0, 2**32),
    st.one_of(st.just(-1), st.integers(1, 60)),
    st.one_of(st.just(-1), st.integers(1, 40)),
)


class Worker:
    """A process on some host: alive, frozen or dead, with at most one claim."""

    def __init__(self, server: Server, clock: VirtualClock, number: int, random: Random, session=Session) -> None:
        self.sim = SimOps(server)
        self.ops = FaultyOps(self.sim, FaultPlan(), sleep=clock.advance)
        host_clock = HostClock(clock, random.uniform(0, 1e6), random.uniform(-3600, 3600))
        counter = iter(range(10**6))
        tokens = lambda: f"{number:08x}{next(counter):016x}"  # noqa: E731
        self.spool = Spool.open(ROOT, ops=self.ops, clock=host_clock, tokens=tokens)
        self.session = session(self.spool, host=f"host{number % 3}", threads=False)
        self.session.start()
        self.claim: Claim | None = None
        self.frozen = False

    @property
    def alive(self) -> bool:
        return not self.sim.dead

    def step(self, segments: int, *, hasty: bool = False) -> None:
        """Acquire, or work on what is held; a hasty worker has just asked whether to stop and does not ask again."""
        if self.claim is None:
            self.claim = self.session.next()
            return
        claim, self.claim = self.claim, None
        if not hasty and claim.must_stop():
            claim.released("asked to stop")
            return
        try:
            work(claim, segments, self.sim.scribble, lambda path: self.sim.server.files[path].data)
        except OSError:
            if not claim.ended:
                claim.released("I/O error")

    def beat(self) -> None:
        if self.alive and not self.frozen:
            self.session.heart.beat()


class SpoolMachine(RuleBasedStateMachine):
    session_class: type[Session] = Session

    @initialize(segments=st.integers(1, 4), seed=st.integers(0, 2**32))
    def begin(self, segments: int, seed: int) -> None:
        self.random = Random(seed)
        self.clock = VirtualClock()
        self.server = Server(self.clock)
        self.server.folders[ROOT.parent] = {}
        self.segments = segments
        self.number = 0
        self.workers: list[Worker] = []
        self.cancelled = self.rotten = False
        self.user = SimOps(self.server)
        self.spool = Spool.create(ROOT, SETTINGS, ops=self.user, clock=HostClock(self.clock))
        self.job = self.spool.submit(b"{}", source=Path("/sim/v.mp4"), job_id="job", budget=GENEROUS)
        self.spawn()

    def spawn(self) -> Worker:
        self.number += 1
        worker = Worker(self.server, self.clock, self.number, self.random, self.session_class)
        self.workers.append(worker)
        return worker

    def living(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.alive]

    @rule()
    @precondition(lambda self: len(self.living()) < 4)
    def a_worker_comes(self) -> None:
        self.spawn()

    @rule(who=st.integers(0, 3), fault=faults)
    def a_worker_steps(self, who: int, fault: tuple[str, int, int, int]) -> None:
        living = self.living()
        if living:
            self.step(living[who % len(living)], fault)

    @rule(plan=st.lists(st.tuples(st.integers(0, 3), faults), min_size=2, max_size=8))
    def workers_step(self, plan: list[tuple[int, tuple[str, int, int, int]]]) -> None:
        for who, fault in plan:
            self.a_worker_steps(who, fault)

    def step(self, worker: Worker, fault: tuple[str, int, int, int], *, hasty: bool = False) -> None:
        level, seed, crash, interleave = fault
        random = Random(seed)
        others = [other for other in self.living() if other is not worker]
        other = (lambda: self.plain_step(random.choice(others))) if others else None
        stale, wrong = LEVELS[level]
        worker.sim.begin(Faults(random, stale=stale, crash_at=crash, interleave_at=interleave, other=other))
        worker.ops.use(wrong, random)
        self.plain_step(worker, hasty=hasty)
        worker.sim.begin(Faults())
        worker.ops.use(())

    def plain_step(self, worker: Worker, *, hasty: bool = False) -> None:
        try:
            worker.step(self.segments, hasty=hasty)
        except SimCrash:
            assert worker.sim.dead

    @rule(who=st.integers(0, 3))
    def a_worker_dies(self, who: int) -> None:
        living = self.living()
        if living:
            living[who % len(living)].sim.dead = True

    @rule(who=st.integers(0, 3))
    def a_worker_freezes_or_thaws(self, who: int) -> None:
        living = self.living()
        if living:
            worker = living[who % len(living)]
            worker.frozen = not worker.frozen

    @rule(who=st.integers(0, 3), steps=st.integers(0, 30), fault=faults)
    def a_zombie_returns(self, who: int, steps: int, fault: tuple[str, int, int, int]) -> None:
        """A worker stops in the middle of its work, others go on for longer than a lease, it wakes and goes on."""
        holders = [worker for worker in self.living() if worker.claim is not None]
        if not holders:
            return
        zombie = holders[who % len(holders)]
        zombie.frozen = True
        others = [worker for worker in self.living() if worker is not zombie] or [self.spawn()]
        for number in range(steps):
            self.plain_step(others[number % len(others)])
            self.time_passes(1)
        zombie.frozen = False
        self.step(zombie, fault, hasty=True)

    @rule(seconds=st.integers(1, 8))
    def time_passes(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            for worker in self.workers:
                worker.beat()

    @rule(which=st.integers(0, 3))
    def an_output_rots(self, which: int) -> None:
        """Only where a void can still cure it: before final is claimed."""
        snapshot = self.job.snapshot()
        if "final" in snapshot.view.tasks or which >= self.segments or not snapshot.task(which).done:
            return
        end = self.job.log.end(which, snapshot.task(which).done)
        path = self.job.layout.output_file(which, end.outs[0].file)
        self.server.files[path].data = b"rotten"
        self.rotten = True

    @rule(verb=st.sampled_from(["pause", "resume", "retry", "cancel"]), dice=st.integers(0, 9))
    def somebody_controls(self, verb: str, dice: int) -> None:
        if verb == "cancel" and dice:
            return
        if verb == "cancel":
            self.cancelled |= self.job.cancel()
        elif verb != "retry" or not self.job.committed():
            getattr(self.job, verb)()

    @rule()
    def somebody_publishes(self) -> None:
        if self.job.snapshot().task(FINAL).done and not self.cancelled:
            self.server.folders.setdefault(Path("/sim/out"), {})
            self.job.publish(Path("/sim/out/result.bin"))

    @invariant()
    def records_never_change(self) -> None:
        assert not self.server.audit()

    def teardown(self) -> None:
        if not hasattr(self, "job"):
            return
        self.settle()
        assert not self.server.audit()
        state = self.job.state()
        if self.cancelled:
            assert (state.state, state.commit) == ("cancelled", "cancelled"), state
        else:
            assert state.state == "done", state
            self.server.folders.setdefault(Path("/sim/out"), {})
            path = self.job.publish(Path("/sim/out/result.bin"))
            want = expected(self.segments)
            assert result_of(self.job, lambda p: self.server.files[p].data) == want
            assert self.server.files[path].data == want
        known = {"I4"} if self.cancelled and self.rotten else set()  # nobody was to cure that any more
        assert [str(found) for found in self.job.verify() if found.code not in known] == []

    def settle(self) -> None:
        """Liveness: with faults off, whoever lives, and one who comes new, bring the job to its end."""
        if not self.cancelled:
            self.job.resume()
        for worker in self.living():
            worker.sim.calm()
            worker.frozen = False
        self.clock.advance(5)
        self.spawn()
        for _ in range(400):
            for worker in self.living():
                self.plain_step(worker)
            self.clock.advance(0.7)
            for worker in self.workers:
                worker.beat()
            if all(worker.claim is None and worker.session.drained() for worker in self.living()):
                return
        raise AssertionError(f"never finished: {self.job.state()}")


EXAMPLES = int(os.environ.get("WATERZ_SIM_EXAMPLES", "100"))
SpoolMachine.TestCase.settings = settings(
    max_examples=EXAMPLES,
    derandomize=EXAMPLES <= 100,  # the same runs in every build; a longer search is a new one each time
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.generate] if os.environ.get("WATERZ_SIM_FAST") else list(Phase),
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
TestSpoolMachine = SpoolMachine.TestCase
