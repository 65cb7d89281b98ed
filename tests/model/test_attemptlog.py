"""The attempt log explored to its last state: every invariant holds, and each dangerous change breaks one."""

from __future__ import annotations

import pytest
from attemptlog import MUTANTS, Rules
from exploration import Report, explore

LIVE_OWNERS = {"wrong_suspicion": False}


def told(name: str, report: Report) -> Report:
    print(f"{name}: {report.states:,} states, {report.transitions:,} transitions {report.violated}".rstrip())
    for line in report.trace:
        print("   ", line)
    return report


def test_whatever_happens_the_invariants_hold_and_an_end_can_be_reached() -> None:
    """Deaths, old listings, lost answers, wrong suspicions, rot, void, cancel: I1 to I4, I6 everywhere, and I5."""
    report = told("all faults", explore(Rules()))
    assert (report.violated, report.trace) == ("", [])
    assert report.states > 30_000
    assert {"claim", "adopt", "revoke the living", "void", "settle", "decide cancelled", "publish"} <= set(report.steps)


def test_owners_that_live_are_never_revoked_and_still_nothing_hangs() -> None:
    """The liveness variant: a claim whose owner does not know of it is only ever ended by that owner."""
    report = told("live owners", explore(Rules(**LIVE_OWNERS)))
    assert report.violated == ""
    assert report.steps["adopt"] > 0
    assert "revoke the living" not in report.steps


@pytest.mark.slow
def test_three_attempts_of_each_task_hold_too() -> None:
    report = told("live owners, three attempts", explore(Rules(attempts="123", **LIVE_OWNERS)))
    assert report.violated == ""
    assert report.states > 400_000


def test_equal_states_are_equal() -> None:
    """Without the normal form there are more states, and the same is found."""
    report = told("live owners, all states", explore(Rules(reduced=False, **LIVE_OWNERS)))
    assert report.violated == ""
    for mutant, broken in (("steal_without_end", "I6"), ("no_check", "I4"), ("cancel_without_name", "I3")):
        assert explore(Rules(mutant=mutant, reduced=False)).violated == broken


@pytest.mark.parametrize(
    ("mutant", "broken", "options"),
    [
        ("shared_output", "I4", {}),
        ("end_overwritten", "I6", {}),
        ("end_overwritten", "I1", {"unchecked": "I6"}),
        ("end_overwritten", "I2", {"unchecked": "I6 I1"}),
        ("steal_without_end", "I6", {}),
        ("steal_without_end", "I1", {"unchecked": "I6"}),
        ("finalize_on_stat", "I2", {}),
        ("marker_before_data", "I4", {}),
        ("cancel_without_name", "I3", {}),
        ("no_check", "I4", {}),
        ("delete_on_doubt", "I4", {}),
        ("no_adoption", "I5", LIVE_OWNERS),
        ("no_revocation", "I5", LIVE_OWNERS),
        ("outcome_forgotten", "I5", LIVE_OWNERS),
    ],
)
def test_a_mutant_breaks_an_invariant(mutant: str, broken: str, options: dict[str, bool | str]) -> None:
    report = told(f"{mutant} ({MUTANTS[mutant]})", explore(Rules(mutant=mutant, **options)))
    assert report.violated == broken
    assert report.trace[0].split()[-1] == "---"


def test_trusting_an_error_is_safe_and_only_wasteful() -> None:
    """Where names that exist can always be read, only who does not read them walks away from its own claims.

    So the code may leave a name that is taken unread: adoption, without which live owners break I5 (above), finds it.
    """
    careful = told("names are read", explore(Rules(negative_reads=False, **LIVE_OWNERS)))
    hasty = told("errors are trusted", explore(Rules(mutant="trust_errno", negative_reads=False, **LIVE_OWNERS)))
    assert careful.violated == hasty.violated == ""
    assert "claim, unknowingly" not in careful.steps
    assert hasty.steps["claim, unknowingly"] > 0
