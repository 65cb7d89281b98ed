"""The attempt log as an explicit-state model; `exploration` walks through all of it.

What is modelled, in the words of the code: two segments and final, two workers, two attempts of each task;
`TokenSet.claim`, the output in two steps, `Ledger._record` (now, or later by `_settle`), `Claim.failed` and
`released`, `Recovery.revoke_stale`, `Session._adopt`, `FinalClaim.checked_results` with `put_void`, `Job.cancel` and
`JobLog.put_commit` competing for ``commit.end``, `Publisher.publish`. At every point a worker may die and come back as
a new one (whoever died is nobody: so deaths are not bounded); a listing may be old or torn (every set of records that
exist); a link may be done or not done while its answer is lost and its name reads as absent; a live worker may be
taken for dead; an output may rot after it was recorded; an output may seem absent to final. Time is not modelled:
whatever may happen at some moment may happen at any.

A step is *calm* when nothing of that is part of it: nobody dies, listings are whole, answers arrive, nobody alive is
suspected, nobody cancels or fails. Safety is checked in every state, whatever led there; that a result, a cancel or a
dead letter can be reached is checked by calm steps alone: neither a lucky death nor a wrong suspicion counts as help.

What is not modelled: prepare (segments are ready from the start), pause, grants, backoff, budgets that tell failed from
lost (here each task has so many attempts), new tokens at EMLINK, full disks, the copying inside `publish`, a final
result that rots, a worker with more than one outcome that it could not record, more than these sizes. It is a model of
the protocol; tests/spool/test_simulation.py holds the code itself against the same invariants.

A state is six strings: the attempts of segments a and b and of final, two workers, the job.

- An attempt: ``-`` not claimed, ``0`` ``1`` claimed by that worker, ``!`` claimed by a dead one, ``u`` ended and not
  done, ``d`` done, ``r`` done and rotten, ``v`` ``w`` the same and void, ``X`` done and not what its record says.
- A worker: what it works on (task, attempt, stage) and what it could not record yet (task, attempt, outcome). Stages:
  ``h`` holds the claim, ``w`` writes, ``o`` output durable, ``q`` hands back, ``W`` ``O`` the same as w and o from
  damaged inputs. ``z``: at work on an attempt that somebody else has ended, for nothing.
- The job: cancel asked for, how it ends (``1`` ``2`` that attempt of final, ``x`` cancelled), what is published.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

State = tuple[str, str, str, str, str, str]
Step = tuple[str, bool, State]  # what happened, whether calm, what then

TASKS = "abf"
FREE = "   "
IDLE = FREE + FREE

OVER = "uvw"  # ended, and another attempt may follow
DONE = "drX"
EVER_DONE = "drvwX"

MUTANTS = {
    "shared_output": "all attempts of a task write under one name",
    "end_overwritten": "an outcome is renamed into place instead of linked",
    "steal_without_end": "the next attempt is claimed although the last one has no outcome",
    "no_adoption": "nobody looks for claims of its own that it does not know of",
    "no_revocation": "nobody ends what a dead worker held",
    "finalize_on_stat": "final begins when the outputs exist",
    "marker_before_data": "done is recorded before the output is durable",
    "cancel_without_name": "cancel looks whether the job is decided instead of competing for its end",
    "no_check": "final does not compare the outputs with their records",
    "outcome_forgotten": "an outcome that could not be recorded is not recorded later",
    "delete_on_doubt": "whoever is not sure that its outcome counts deletes its output",
    "trust_errno": "no error in reply to a link is looked into (the code looks into all but `the name is taken`)",
}


@dataclass(frozen=True)
class Rules:
    """Which steps exist.

    Attributes:
        mutant: A key of MUTANTS: what is done wrongly.
        wrong_suspicion: Whether live workers may be taken for dead; without, a live owner is never revoked.
        negative_reads: Whether a name that exists may read as absent after a link whose answer was lost.
        attempts: How many each task has; their numbers.
        reduced: Whether states that differ only by names, or in what has no effect, are one.
        unchecked: Invariants that are not looked at.
    """

    mutant: str = ""
    wrong_suspicion: bool = True
    negative_reads: bool = True
    attempts: str = "12"
    reduced: bool = True
    unchecked: str = ""

    @property
    def start(self) -> State:
        """Nothing has happened."""
        log = "-" * len(self.attempts)
        return (log, log, log, IDLE, IDLE, "---")

    @property
    def zombies_matter(self) -> bool:
        """Whether work on an attempt that has ended can have an effect: it cannot, if the protocol is right."""
        return self.mutant in ("shared_output", "end_overwritten")


# ---- changes of a state


def with_attempt(state: State, task: str, attempt: str, mark: str) -> State:
    at, n = TASKS.index(task), int(attempt)
    log = state[at]
    return (*state[:at], log[: n - 1] + mark + log[n:], *state[at + 1 :])  # type: ignore[return-value]


def with_worker(state: State, me: str, text: str) -> State:
    return (*state[:3], text, state[4], state[5]) if me == "0" else (*state[:4], text, state[5])


def with_job(state: State, at: int, mark: str) -> State:
    job = state[5]
    return (*state[:5], job[:at] + mark + job[at + 1 :])


def mark_of(state: State, task: str, attempt: str) -> str:
    return state[TASKS.index(task)][int(attempt) - 1]


# ---- what a look shows


def failed(state: State) -> bool:
    """A dead letter: a task whose attempts are all over."""
    return any(all(mark in OVER for mark in log) for log in state[:3])


def final_done(state: State) -> str:
    """The attempt of final that is done, or ""."""
    return next((str(n) for n, mark in enumerate(state[2], 1) if mark in DONE), "")


def closed(state: State) -> bool:
    """Whether a whole listing shows that nothing is to be claimed any more."""
    return state[5][:2] != "--" or failed(state)


def claimable(state: State, rules: Rules) -> Iterator[tuple[str, str, bool]]:
    """Names that some listing, old or torn, shows as open: task, attempt, and whether a whole listing does."""
    over = closed(state)
    for task, log in zip(TASKS, state, strict=False):
        fresh = stale = True
        if task == "f":
            fresh = all(any(mark in DONE for mark in segment) for segment in state[:2])
            stale = _segments_seem_done(state, rules)
        for attempt, before, mark in zip(rules.attempts, "v" + log, log, strict=False):
            follows = before in OVER or (rules.mutant == "steal_without_end" and before != "-")
            if stale and follows:
                yield task, attempt, fresh and not over and mark == "-"


def _segments_seem_done(state: State, rules: Rules) -> bool:
    for task, segment in zip("ab", state, strict=False):
        written = rules.mutant == "finalize_on_stat" and any(
            text[0] == task and text[2] in "wo" for text in (state[3], state[4])
        )
        if not (written or any(mark in EVER_DONE for mark in segment)):
            return False
    return True


# ---- steps


def steps(state: State, rules: Rules) -> Iterator[Step]:
    """Everything that can happen next."""
    for me in "01":
        text = state[3] if me == "0" else state[4]
        act, pending = text[:3], text[3:]
        if act == FREE:
            yield from _claim(state, rules, me, pending)
            yield from _adopt(state, rules, me, pending)
            yield from _revoke(state, rules, me)
        elif act[0] == "z":
            yield "fenced", True, with_worker(state, me, FREE + pending)
        else:
            yield from _work(state, rules, me, act, pending)
        if pending != FREE and pending[2] != "?":
            task, attempt, outcome = pending
            yield "settle", True, with_worker(_ended(state, rules, me, task, attempt, outcome), me, act + FREE)
        yield from _die(state, me, text)
    yield from _rot(state, rules)
    yield from _end(state, rules)


def _claim(state: State, rules: Rules, me: str, pending: str) -> Iterator[Step]:
    for task, attempt, fresh in claimable(state, rules):
        mark = mark_of(state, task, attempt)
        if mark == "-":
            taken = with_attempt(state, task, attempt, me)
            yield "claim", fresh, with_worker(taken, me, f"{task}{attempt}h{pending}")
            if rules.negative_reads or rules.mutant == "trust_errno":
                yield "claim, unknowingly", False, taken
        elif mark == me and pending[:2] != task + attempt and rules.mutant != "trust_errno":
            yield "claim again, mine", False, with_worker(state, me, f"{task}{attempt}h{pending}")


def _adopt(state: State, rules: Rules, me: str, pending: str) -> Iterator[Step]:
    if rules.mutant == "no_adoption":
        return
    for task, attempt in product(TASKS, rules.attempts):
        if mark_of(state, task, attempt) == me and pending[:2] != task + attempt:
            yield "adopt", True, with_worker(state, me, f"{task}{attempt}h{pending}")


def _revoke(state: State, rules: Rules, me: str) -> Iterator[Step]:
    for task, attempt in product(TASKS, rules.attempts):
        mark = mark_of(state, task, attempt)
        if mark == "!" and rules.mutant != "no_revocation":
            yield "revoke", True, with_attempt(state, task, attempt, "u")
        elif mark in "01" and mark != me and rules.wrong_suspicion:
            yield "revoke the living", False, with_attempt(state, task, attempt, "u")
        elif mark in "dr" and rules.mutant == "end_overwritten" and rules.wrong_suspicion:
            yield "revoke after a look long ago", False, with_attempt(state, task, attempt, "u")


def _work(state: State, rules: Rules, me: str, act: str, pending: str) -> Iterator[Step]:
    task, attempt, stage = act
    if stage == "h":
        if task == "f":
            yield from _check(state, rules, me, act, pending)
        else:
            yield "write", True, with_worker(_clobbered(state, rules, task), me, f"{task}{attempt}w{pending}")
    elif stage in "wW":
        done = {"w": "o", "W": "O"}[stage]
        yield "output durable", True, with_worker(state, me, f"{task}{attempt}{done}{pending}")
        if rules.mutant == "marker_before_data":
            yield from _put_end(state, rules, me, "X")
    elif stage in "oO":
        yield from _put_end(state, rules, me, "d" if stage == "o" else "X")
    if stage == "q":
        yield from _put_end(state, rules, me, "u")
    else:
        yield from ((name, False, after) for name, _, after in _put_end(state, rules, me, "u"))


def _put_end(state: State, rules: Rules, me: str, outcome: str) -> Iterator[Step]:
    text = state[3] if me == "0" else state[4]
    act, pending = text[:3], text[3:]
    task, attempt, _ = act
    name = {"d": "done", "u": "failed or released", "X": "done"}[outcome]
    after = with_worker(_ended(state, rules, me, task, attempt, outcome), me, FREE + pending)
    yield name, True, after
    if rules.mutant == "delete_on_doubt" and outcome == "d" and mark_of(state, task, attempt) == me:
        yield f"{name}, unknowingly", False, with_attempt(after, task, attempt, "X")
    if pending == FREE and mark_of(state, task, attempt) == me:
        kept = "?" if rules.mutant == "outcome_forgotten" else outcome
        yield f"{name}, not recorded yet", False, with_worker(state, me, FREE + task + attempt + kept)


def _ended(state: State, rules: Rules, me: str, task: str, attempt: str, outcome: str) -> State:
    """An outcome linked: it counts if there was none."""
    if mark_of(state, task, attempt) == me or rules.mutant == "end_overwritten":
        return with_attempt(state, task, attempt, outcome)
    return state


def _clobbered(state: State, rules: Rules, task: str) -> State:
    """One name for all attempts: whoever begins to write empties what another has recorded."""
    if rules.mutant == "shared_output":
        for attempt in rules.attempts:
            if mark_of(state, task, attempt) == "d":
                return with_attempt(state, task, attempt, "X")
    return state


def _check(state: State, rules: Rules, me: str, act: str, pending: str) -> Iterator[Step]:
    """`FinalClaim.checked_results`: compare every segment's output with its record, as far as a listing shows them."""
    seen = [
        [(task, k, mark) for k, mark in zip(rules.attempts, log, strict=True) if mark in EVER_DONE]
        for task, log in zip("ab", state, strict=False)
    ]
    if not all(any(mark in DONE for *_, mark in options) for options in seen):
        yield "results not visible", True, next(_put_end(state, rules, me, "u"))[2]
    for chosen in product(*seen):
        calm = all(mark in DONE for *_, mark in chosen)
        bad = [(task, attempt) for task, attempt, mark in chosen if mark in "rw"]
        if rules.mutant == "no_check" or not bad:
            yield "inputs sound", calm, with_worker(state, me, f"{act[:2]}{'W' if bad else 'w'}{pending}")
        else:
            yield "void", calm, with_worker(_void(state, bad), me, f"{act[:2]}q{pending}")
        for task, attempt, mark in chosen:
            if mark == "d" and rules.mutant != "no_check":
                after = _void(state, [*bad, (task, attempt)])
                yield "void what seems gone", False, with_worker(after, me, f"{act[:2]}q{pending}")


def _void(state: State, bad: list[tuple[str, str]]) -> State:
    for task, attempt in bad:
        mark = mark_of(state, task, attempt)
        state = with_attempt(state, task, attempt, {"d": "v", "r": "w"}.get(mark, mark))
    return state


def _die(state: State, me: str, text: str) -> Iterator[Step]:
    if text == IDLE and not any(me in log for log in state[:3]):
        return
    a, b, f = (log.replace(me, "!") for log in state[:3])
    yield "die", False, with_worker((a, b, f, *state[3:]), me, IDLE)


def _rot(state: State, rules: Rules) -> Iterator[Step]:
    if state[5][1] == "-":
        for task, attempt in product("ab", rules.attempts):
            if mark_of(state, task, attempt) == "d":
                yield "rot", False, with_attempt(state, task, attempt, "r")


def _end(state: State, rules: Rules) -> Iterator[Step]:
    """How the job ends: cancel, and `Session._help`, which any worker does for those who died before they could."""
    asked, commit, published = state[5]
    final = final_done(state)
    if asked == "-" and published == "-":
        yield "cancel", False, with_job(state, 0, "c")
    if commit == "-":
        if final:
            yield "decide publish", True, with_job(state, 1, final)
        if asked == "c" and rules.mutant != "cancel_without_name":
            yield "decide cancelled", True, with_job(state, 1, "x")
    if rules.mutant == "cancel_without_name" and asked == "c" and commit == "-":
        yield "cancel sees no decision", False, with_job(state, 0, "k")
    if asked == "k":
        yield "cancelled", True, with_job(state, 0, "x")
    if commit.isdigit() and published == "-":
        right = mark_of(state, "f", commit) == "d"
        yield "publish", True, with_job(state, 2, commit if right else "X")
