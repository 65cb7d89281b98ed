"""All states of the attempt log by breadth-first search, its invariants, and what differs by names alone."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter

from attemptlog import DONE, EVER_DONE, FREE, IDLE, OVER, Rules, State, failed, final_done, mark_of, steps, with_worker

# ---- equal states


class Normal:
    """One of all states that differ only in which worker and which segment is which, or in what has no effect."""

    def __init__(self, rules: Rules) -> None:
        self._off = not rules.reduced
        self._zombies_matter = rules.zombies_matter
        self._other_worker: dict[str, str] = {}
        self._other_segment: dict[str, str] = {}

    def __call__(self, state: State) -> State:
        if self._off:
            return state
        if not self._zombies_matter:
            state = self._without_zombies(state)
        a, b, f, first, second, job = state
        workers, segments = self._other_worker, self._other_segment
        for text in (a, b, f):
            if text not in workers:
                workers[text] = text.translate(_WORKERS)
        for text in (first, second):
            if text not in segments:
                segments[text] = text.translate(_SEGMENTS)
        c, d, g = workers[a], workers[b], workers[f]
        third, fourth = segments[first], segments[second]
        return min(state, (c, d, g, second, first, job), (b, a, f, third, fourth, job), (d, c, g, fourth, third, job))

    def _without_zombies(self, state: State) -> State:
        for me, text in (("0", state[3]), ("1", state[4])):
            if text == IDLE:
                continue
            act, pending = text[:3], text[3:]
            if act not in (FREE, "z  ") and act[::2] != "fh" and mark_of(state, act[0], act[1]) != me:
                act = "z  "
            if pending != FREE and mark_of(state, pending[0], pending[1]) != me:
                pending = FREE
            if act + pending != text:
                state = with_worker(state, me, act + pending)
        return state


_WORKERS = str.maketrans("01", "10")
_SEGMENTS = str.maketrans("ab", "ba")


# ---- invariants


def violation(state: State) -> str:
    """The invariant that a state breaks, or ""."""
    a, b, f, _, _, (asked, commit, published) = state
    for log in (a, b, f):
        found = _log_violation(log)
        if found:
            return found
    if f[0] != "-" and not all(any(mark in EVER_DONE for mark in log) for log in (a, b)):
        return "I2"
    if published == "X":
        return "I4"
    if published != "-" and (commit != published or f[int(published) - 1] != "d" or asked == "x"):
        return "I3"
    return ""


_VERDICTS: dict[str, str] = {}


def _log_violation(log: str) -> str:
    verdict = _VERDICTS.get(log)
    if verdict is None:
        verdict = ""
        if "X" in log:
            verdict = "I4"
        elif sum(mark in DONE for mark in log) > 1:
            verdict = "I1"
        elif any(after != "-" and before not in OVER for before, after in pairwise(log)):
            verdict = "I6"
        _VERDICTS[log] = verdict
    return verdict


def ended(state: State) -> bool:
    """A result, a cancel, or a dead letter (which counts only while no final is done)."""
    return state[5][2] != "-" or state[5][1] == "x" or state[5][0] == "x" or (failed(state) and not final_done(state))


# ---- exploration


@dataclass
class Report:
    """What an exploration found.

    Attributes:
        states: Different states reached.
        transitions: Steps taken between them.
        violated: The first invariant found broken, with ``trace``; I5 means that calm steps lead to no end.
        trace: Shortest way there.
        steps: How often each step was taken.
    """

    states: int = 0
    transitions: int = 0
    violated: str = ""
    trace: list[str] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=dict)


class Explorer:
    """Breadth-first search over all states."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.report = Report()
        self._normal = Normal(rules)
        self._index = {rules.start: 0}
        self._order = [rules.start]
        self._from = array("q", [-1])
        self._by = [""]
        self._calm: tuple[array[int], array[int]] = array("q"), array("q")

    def run(self) -> Report:
        """Explore until the first broken invariant or the last state."""
        at = 0
        while at < len(self._order) and not self.report.violated:
            self._expand(at)
            at += 1
        self.report.states = len(self._order)
        if not self.report.violated:
            self._check_ends()
        return self.report

    def _expand(self, at: int) -> None:
        report, counts, (source, target) = self.report, self.report.steps, self._calm
        for name, calm, after in steps(self._order[at], self.rules):
            state = self._normal(after)
            number = self._index.get(state)
            if number is None:
                number = self._add(state, at, name)
            report.transitions += 1
            counts[name] = counts.get(name, 0) + 1
            if calm and number != at:
                source.append(at)
                target.append(number)

    def _add(self, state: State, before: int, name: str) -> int:
        number = self._index[state] = len(self._order)
        self._order.append(state)
        self._from.append(before)
        self._by.append(name)
        broken = violation(state)
        if broken and broken not in self.rules.unchecked and not self.report.violated:
            self.report.violated = broken
            self.report.trace = self._trace(number)
        return number

    def _check_ends(self) -> None:
        """Which states reach an end by calm steps: what reaches one that does is one, until nothing changes."""
        good = bytearray(map(ended, self._order))
        edges = sorted(zip(*self._calm, strict=True), key=itemgetter(0), reverse=True)
        changed = True
        while changed:
            changed = False
            for source, target in edges:
                if good[target] and not good[source]:
                    good[source] = changed = True
        stuck = good.find(0)
        if stuck >= 0 and "I5" not in self.rules.unchecked:
            self.report.violated = "I5"
            self.report.trace = self._trace(stuck)

    def _trace(self, number: int) -> list[str]:
        lines: list[str] = []
        while number >= 0:
            lines.append(f"{self._by[number]:30} {' '.join(text.replace(' ', '.') for text in self._order[number])}")
            number = self._from[number]
        return lines[::-1]


def explore(rules: Rules) -> Report:
    """All that can happen under these rules."""
    return Explorer(rules).run()
