"""What a doctor says of a folder, alone and with another one; file systems that lie are made of the real one."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from waterz_spool.errors import TryAgainError
from waterz_spool.spool import FileOps, SpoolSettings, SystemClock, World
from waterz_spool.spool.disk.clock import random_token
from waterz_spool.spool.mount.meeting import Meeting, Side
from waterz_spool.spool.mount.pair import RACES, Found, PairProbe, explain, judge
from waterz_spool.spool.mount.probe import NameProbe, probe_access


def alone(root: Path, ops: FileOps | None = None) -> dict[str, tuple[str, str]]:
    """State and text by name."""
    checks = NameProbe(root, World(ops or FileOps(), SystemClock(), random_token)).run()
    return {check.name: (check.state, check.what) for check in checks}


def test_a_local_disk_is_fit_and_nothing_is_left(tmp_path: Path) -> None:
    assert {state for state, _ in alone(tmp_path).values()} == {"ok"}
    assert list((tmp_path / "doctor").iterdir()) == []


class NoLinks(FileOps):
    def link(self, source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")


class ReplacingLinks(FileOps):
    def link(self, source: Path, target: Path) -> None:
        target.unlink(missing_ok=True)
        super().link(source, target)


class RenamedLate(FileOps):
    def rename(self, source: Path, target: Path) -> None:
        """Acknowledged only."""


@pytest.mark.parametrize(
    ("ops", "name", "said"),
    [
        (NoLinks(), "hard links", "has none"),
        (ReplacingLinks(), "hard links", "replaced"),
        (ReplacingLinks(), "link race", "had two winners"),
        (RenamedLate(), "rename", "old name"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_would_make_results_wrong_is_a_failure(tmp_path: Path, ops: FileOps, name: str, said: str) -> None:
    state, what = alone(tmp_path, ops)[name]
    assert (state, said in what) == ("fail", True), what


@pytest.mark.parametrize(
    ("mode", "state"), [(0o2770, "ok"), (0o700, "ok"), (0o1777, "warn"), (0o777, "fail"), (0o770, "warn")]
)
def test_a_folder_in_which_everybody_may_remove_files_is_refused(tmp_path: Path, mode: int, state: str) -> None:
    root = tmp_path / "spool"
    root.mkdir()
    root.chmod(mode)
    (check,) = probe_access(root, FileOps())
    assert check.state == state, check


def together(root: Path, act, *ops: FileOps, limit_s: float = 20.0) -> list[object]:
    """What each of several gives that come at the same time, or its error."""
    given: list[object] = [None] * len(ops)

    def run(number: int) -> None:
        try:
            side = Meeting(root / "doctor", World(ops[number], SystemClock(), random_token)).find(limit_s)
            try:
                given[number] = act(side)
            finally:
                side.part()
        except TryAgainError as error:
            given[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(ops))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return given


def test_of_many_two_sit_at_a_table_and_hear_each_other(tmp_path: Path) -> None:
    def talk(side: Side) -> tuple[str, list[object]]:
        return side.seat, [side.exchange([side.seat, number]) for number in range(20)]

    given = together(tmp_path, talk, *[FileOps()] * 4)
    assert sorted(given) == [
        *[("a", [["b", number] for number in range(20)])] * 2,
        *[("b", [["a", number] for number in range(20)])] * 2,
    ]
    assert list((tmp_path / "doctor").iterdir()) == []


def test_one_who_comes_alone_goes_with_a_clear_word(tmp_path: Path) -> None:
    (given,) = together(tmp_path, lambda side: None, FileOps(), limit_s=0.3)
    assert "no other doctor came" in str(given)
    assert list((tmp_path / "doctor").iterdir()) == []


def test_what_killed_doctors_left_is_cleared_after_a_day(tmp_path: Path) -> None:
    for name, age_s in (("old", 90_000), ("young", 80_000)):
        folder = tmp_path / "doctor" / name
        folder.mkdir(parents=True)
        (folder / "a.box").touch()
        os.utime(folder, times=(1, time.time() - age_s))
    together(tmp_path, lambda side: None, FileOps(), limit_s=0.1)
    assert [path.name for path in (tmp_path / "doctor").iterdir()] == ["young"]


def examine(side: Side) -> tuple[Found, Found]:
    return PairProbe(side, side.seat).run()


def test_two_find_the_same_and_say_so(tmp_path: Path) -> None:
    one, two = together(tmp_path, examine, FileOps(), FileOps())
    assert one == two
    a, b = one
    verdict = judge(a, b, "n", 0.0)
    assert (verdict.unsafe, verdict.locks, verdict.machines, verdict.shared_locks) == ("", True, 1, False)
    assert verdict.hosts == ("a", "b")
    checks = {check.name: check for check in explain(verdict, a, b, None)}
    assert [check.name for check in checks.values() if check.state != "ok"] == ["pair"]
    assert "one machine, one mount" in checks["pair"].what


class BelievesItself(FileOps):
    """A client that answers links by itself: both sides win."""

    def link(self, source: Path, target: Path) -> None:
        if target.name.startswith("link."):
            return
        super().link(source, target)


def test_a_client_that_decides_links_by_itself_is_unsafe(tmp_path: Path) -> None:
    one, _ = together(tmp_path, examine, FileOps(), BelievesItself())
    verdict = judge(*one, "n", 0.0)
    assert "had two winners" in verdict.unsafe
    checks = {check.name: check.state for check in explain(verdict, *one, None)}
    assert checks["pair: links"] == "fail"


ALL = list(range(RACES))
GOOD = {"device": 1, "excluded": True, "late_s": 0.2}


@pytest.mark.parametrize(
    ("b", "name", "state"),
    [
        ({}, "pair: locks", "ok"),
        ({"excluded": False}, "pair: locks", "warn"),
        ({"freed": False}, "pair: locks", "warn"),
        ({"ahead_s": -9.0}, "pair: clocks", "warn"),
        ({"late_s": 5.0}, "pair: beats", "warn"),
        ({"files": [7]}, "pair: O_EXCL", "warn"),
        ({"links": [7]}, "pair: links", "fail"),
    ],
)
def test_each_weakness_is_named(b: dict[str, object], name: str, state: str) -> None:
    one = Found(host="x", boot="1", **GOOD, links=ALL, files=ALL)
    two = Found(host="y", boot="2", **{**GOOD, **b})
    verdict = judge(one, two, "n", 0.0)
    checks = {check.name: check for check in explain(verdict, one, two, SpoolSettings())}
    assert checks[name].state == state
    assert [other for other, check in checks.items() if check.state != "ok" and other != name] == []
    assert all(check.todo for check in checks.values() if check.state == "fail")


def test_a_name_that_nobody_won_is_unsafe() -> None:
    one = Found(host="x", boot="1", **GOOD, links=ALL[:-1], files=ALL)
    verdict = judge(one, Found(host="y", boot="2", **GOOD), "n", 0.0)
    assert "had no winner" in verdict.unsafe
