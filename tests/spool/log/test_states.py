"""States as a pure function of names."""

from __future__ import annotations

import pytest

from waterz_spool.spool.log.formats import Budget
from waterz_spool.spool.log.states import (
    Allowance,
    TaskLog,
    allow,
    backoff_exponent,
    parse_control,
    parse_log,
    task_kind,
)

USUAL = Allowance(Budget(), 3)


def log_of(*names: str) -> TaskLog:
    return parse_log(f"00000.{name}" for name in names).task(0)


def ended(*kinds: str) -> TaskLog:
    return log_of(*(f"{k}{rest}" for k, kind in enumerate(kinds, 1) for rest in ("", ".end", f".{kind}")))


@pytest.mark.parametrize(
    ("log", "kind"),
    [
        (log_of("0"), "open"),
        (log_of("0", "1"), "running"),
        (log_of("0", "1", "1.end", "1.done"), "done"),
        (log_of("0", "1", "1.end"), "unclear"),
        (log_of("0", "1", "1.end", "1.lost", "2"), "running"),
        (log_of("0", "2"), "running"),  # a torn listing
        (log_of("0", "1.done"), "done"),
        (log_of("0", "1", "1.end", "1.done", "1.void"), "open"),
        (ended("failed", "failed"), "open"),
        (ended("failed", "failed", "failed"), "dead"),
        (ended("dead"), "dead"),
        (ended(*["released"] * 50), "open"),
        (ended("failed", *["released"] * 9, "failed", "lost", "lost"), "open"),
        (ended(*["lost"] * 5), "open"),
        (ended(*["lost"] * 6), "dead"),
        (ended("failed", "failed", "done"), "done"),
    ],
)
def test_kind_of_a_task(log: TaskLog, kind: str) -> None:
    assert task_kind(log, USUAL, lambda attempts: 1) == kind


def test_three_hosts_that_lost_it_are_enough() -> None:
    assert task_kind(ended("lost", "lost", "lost"), USUAL, lambda attempts: 3) == "dead"
    assert task_kind(ended("lost", "lost", "lost"), USUAL, lambda attempts: 2) == "open"


def test_a_void_counts_as_lost() -> None:
    log = parse_log([f"00000.{k}.{what}" for k in range(1, 7) for what in ("end", "done", "void")]).task(0)
    assert task_kind(log, USUAL, lambda attempts: 1) == "dead"


def test_grants_raise_the_budget_of_whom_they_name() -> None:
    grants = [("00000", Budget()), (None, Budget())]
    assert allow(Budget(), "00000", grants).budget == Budget(failed=9, lost_hosts=9, lost=18)
    assert allow(Budget(), "final", grants).budget == Budget(failed=6, lost_hosts=6, lost=12)
    assert task_kind(ended("dead"), allow(Budget(), "00000", grants), lambda attempts: 1) == "open"


def test_backoff_counts_what_hurt() -> None:
    assert backoff_exponent(ended("released", "released")) is None
    assert backoff_exponent(ended("lost")) is None  # the first loss is the worker's, not the segment's
    assert backoff_exponent(ended("failed")) == 0
    assert backoff_exponent(ended("failed", "failed", "lost", "lost")) == 2


def test_names_that_the_protocol_does_not_spell_are_kept_aside() -> None:
    strange = ["x", "00000", "0.1", "00000.x", "00000.1.bad", "prep.0", "00000.0.end", "00000.-1", "a\nb", "00000.٣"]
    view = parse_log([*strange, ".t.hidden", "00000.0", "plan.0", "commit.end", "published.0"])
    assert view.strange == strange
    assert (view.ready, view.planned, view.committed, view.published) == ({0}, True, True, True)


def test_control_is_one_order() -> None:
    view = parse_control(["1.ctl", "1.pause", "2.ctl", "2.resume", "3.ctl", "grant.2", "grant.1", "x"])
    assert (view.paused, view.cancel, view.last, view.unknown()) == (False, False, 3, [3])
    assert sorted(view.grants) == [1, 2]
    view.verbs[3] = "pause"
    assert view.paused
    view.verbs[4] = "cancel"
    assert view.cancel
