"""File operations that go wrong by plan: what each way of going wrong leaves behind, when and where it strikes."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import msgspec
import pytest

from tests.faults import CHANGES, READS, FaultPlan, FaultRule, FaultyOps, ops_by_plan, with_plan
from waterz_spool.spool import FileOps, Spool


class Seconds:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now


def faulty(*rules: FaultRule, clock: Seconds | None = None) -> FaultyOps:
    clock = clock or Seconds()
    return FaultyOps(FileOps(), FaultPlan(rules=rules), clock=clock, sleep=clock.slept.append)


def every_operation(ops: FileOps, folder: Path) -> dict[str, object]:
    """Each operation by name, on things that exist where it needs them."""
    for name in ("file", "beaten", "doomed", "old"):
        (folder / name).write_bytes(b"data")
    (folder / "tree").mkdir()
    beat = FaultyOps(FileOps(), FaultPlan()).beat_file(folder / "beaten")
    acts = {
        "listdir": lambda: ops.listdir(folder),
        "read": lambda: ops.read(folder / "file", 10),
        "digest": lambda: ops.digest(folder / "file"),
        "facts": lambda: ops.facts(folder / "file"),
        "look": lambda: ops.look(folder / "file"),
        "same_file": lambda: ops.same_file(folder / "file", folder / "file"),
        "write_new": lambda: ops.write_new(folder / "new", b"data"),
        "link": lambda: ops.link(folder / "file", folder / "linked"),
        "unlink": lambda: ops.unlink(folder / "doomed"),
        "mkdir": lambda: ops.mkdir(folder / "made"),
        "make_parents": lambda: ops.make_parents(folder / "above" / "x"),
        "rename": lambda: ops.rename(folder / "old", folder / "renamed"),
        "remove_tree": lambda: ops.remove_tree(folder / "tree"),
        "pin": lambda: ops.pin(folder / "file", folder / "pinned"),
        "copy": lambda: ops.copy(folder / "file", folder / "copied"),
        "copy_mode": lambda: ops.copy_mode(folder / "file", folder / "beaten"),
        "set_mode": lambda: ops.set_mode(folder / "file", 0o600),
        "seal": lambda: ops.seal(folder / "file"),
        "sync_folder": lambda: ops.sync_folder(folder),
        "beat_file": lambda: ops.beat_file(folder / "beaten").close(),
        "beat": lambda: ops.beat(beat, folder / "beaten", b"beat") if isinstance(ops, FaultyOps) else None,
    }
    assert set(acts) == {*READS, *CHANGES}
    return acts


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_without_a_plan_everything_is_as_without_the_layer(tmp_path: Path) -> None:
    for act in every_operation(faulty(), tmp_path).values():
        act()
    assert {"new", "linked", "made", "above", "renamed", "pinned", "copied"} <= names(tmp_path)
    assert not {"doomed", "old", "tree"} & names(tmp_path)


@pytest.mark.parametrize("op", [*READS, *CHANGES])
def test_what_fails_is_not_done(tmp_path: Path, op: str) -> None:
    act = every_operation(faulty(FaultRule(do="fail", op=op, errno="ESTALE")), tmp_path)[op]
    before = names(tmp_path)
    with pytest.raises(OSError) as caught:
        act()
    assert caught.value.errno == errno.ESTALE
    assert names(tmp_path) == before


@pytest.mark.parametrize("op", [op for op in CHANGES if op not in ("beat_file", "pin", "copy")])
def test_what_is_dropped_is_acknowledged_and_not_done(tmp_path: Path, op: str) -> None:
    act = every_operation(faulty(FaultRule(do="drop", op=op)), tmp_path)[op]
    before = names(tmp_path)
    act()
    assert names(tmp_path) == before


def test_a_lost_answer_comes_after_the_deed(tmp_path: Path) -> None:
    act = every_operation(faulty(FaultRule(do="lose", op="link")), tmp_path)["link"]
    with pytest.raises(OSError, match="by plan"):
        act()
    assert "linked" in names(tmp_path)


@pytest.mark.parametrize(
    ("op", "number"), [("link", errno.EEXIST), ("unlink", errno.ENOENT), ("rename", errno.ENOENT), ("mkdir", 0)]
)
def test_a_doubled_request_answers_what_the_second_one_met(tmp_path: Path, op: str, number: int) -> None:
    act = every_operation(faulty(FaultRule(do="duplicate", op=op)), tmp_path)[op]
    if not number:
        act()
        return
    with pytest.raises(OSError) as caught:
        act()
    assert caught.value.errno == number


def test_a_torn_write_leaves_half_a_file(tmp_path: Path) -> None:
    ops = faulty(FaultRule(do="torn", op="write_new", errno="ENOSPC"))
    with pytest.raises(OSError) as caught:
        ops.write_new(tmp_path / "new", b"12345678")
    assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "new").read_bytes() == b"1234"


def test_a_delay_passes_before_the_deed(tmp_path: Path) -> None:
    clock = Seconds()
    faulty(FaultRule(do="delay", op="mkdir", delay_s=7), clock=clock).mkdir(tmp_path / "made")
    assert clock.slept == [7]
    assert names(tmp_path) == {"made"}


def struck(ops: FaultyOps, folder: Path, times: int) -> list[bool]:
    results = []
    for _ in range(times):
        try:
            ops.listdir(folder)
            results.append(False)
        except OSError:
            results.append(True)
    return results


def test_a_rule_skips_then_strikes_so_often(tmp_path: Path) -> None:
    ops = faulty(FaultRule(do="fail", op="listdir", skip=1, times=2))
    assert struck(ops, tmp_path, 5) == [False, True, True, False, False]


def test_a_rule_strikes_by_path_and_the_first_that_fits_decides(tmp_path: Path) -> None:
    rules = FaultRule(do="fail", path="*/a", errno="EIO"), FaultRule(do="fail", op="mkdir", errno="EROFS")
    ops = faulty(*rules)
    for name, number in (("a", errno.EIO), ("b", errno.EROFS)):
        with pytest.raises(OSError) as caught:
            ops.mkdir(tmp_path / name)
        assert caught.value.errno == number


def test_chances_come_from_the_seed(tmp_path: Path) -> None:
    rule = FaultRule(do="fail", op="listdir", chance=0.5)
    first, second = (struck(FaultyOps(FileOps(), FaultPlan(rules=(rule,), seed=seed)), tmp_path, 40) for seed in (1, 1))
    assert first == second
    assert 5 < sum(first) < 35


def test_an_outage_has_a_beginning_and_an_end(tmp_path: Path) -> None:
    clock = Seconds()
    ops = faulty(FaultRule(do="fail", from_s=5, for_s=20), clock=clock)
    seen = []
    for clock.now in (100.0, 105.0, 124.9, 125.0):
        seen += struck(ops, tmp_path, 1)
    assert seen == [False, True, True, False]


def test_a_file_switches_an_outage(tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    ops = faulty(FaultRule(do="fail", while_there=str(switch)))
    assert struck(ops, tmp_path, 1) == [False]
    switch.touch()
    assert struck(ops, tmp_path, 1) == [True]
    switch.unlink()
    assert struck(ops, tmp_path, 1) == [False]


@pytest.mark.parametrize(
    "plan",
    [
        {"rules": [{"do": "drop", "op": "read"}]},
        {"rules": [{"do": "fail", "op": "lnik"}]},
        {"rules": [{"do": "fail", "errno": "ENOTHING"}]},
        {"rules": [{"do": "explode"}]},
        {"rules": [{"do": "fail", "tims": 1}]},
        [],
    ],
    ids=["a read cannot be dropped", "operation", "errno", "kind", "field", "shape"],
)
def test_a_plan_that_makes_no_sense_is_refused(tmp_path: Path, monkeypatch, plan: object) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan))
    monkeypatch.setenv("WATERZ_FAULTS", str(path))
    with pytest.raises(msgspec.ValidationError):
        ops_by_plan()


def test_the_environment_names_a_plan_for_a_process(tmp_path: Path) -> None:
    Spool.create(tmp_path / "spool")
    path = tmp_path / "plan.json"
    path.write_text('{"rules": [{"do": "fail", "op": "listdir", "errno": "ENOTCONN"}]}')
    code = "import sys; from waterz_spool.spool import Spool; print(Spool.open(sys.argv[1]).job_ids())"
    command = [sys.executable, "-c", code, str(tmp_path / "spool")]
    sound = subprocess.run(command, check=True, capture_output=True, text=True)
    assert sound.stdout == "[]\n"
    struck = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **with_plan(path)})
    assert struck.returncode and "by plan" in struck.stderr


def test_two_processes_have_different_chances(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "plan.json"
    path.write_text('{"rules": [{"do": "fail", "op": "listdir", "chance": 0.5}]}')
    monkeypatch.setenv("WATERZ_FAULTS", str(path))
    mine = struck(ops_by_plan(), tmp_path, 40)  # type: ignore[arg-type]
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert struck(ops_by_plan(), tmp_path, 40) != mine  # type: ignore[arg-type]
    assert Random("0.1").random() != Random("0.2").random()
