"""What two doctors find through each shared file system, and what follows for the spool."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest

from tests.infra.sharedfs.clients import Nfsish, SharedFolder, Sshfs
from tests.infra.sharedfs.conftest import available
from waterz_spool.spool import Spool

pytestmark = pytest.mark.sharedfs
PROGRAM = (sys.executable, "-m", "waterz_spool")
ROOT = str(Path(__file__).parents[3])


def on_both(system: SharedFolder, *arguments: str) -> list[dict[str, object]]:
    """The JSON that the program prints on two clients at the same time."""
    said: list[dict[str, object]] = [{}, {}]

    def run(number: int) -> None:
        machine = system.machines[number]
        command = [*PROGRAM, "--json", *arguments, "--spool", machine.folder / "spool"]
        done = machine.run(*command, limit_s=200, environment={"PYTHONPATH": ROOT, "HOME": "/root"})
        assert done.code == 0, (done.out, done.err)
        said[number] = json.loads(done.out)

    threads = [threading.Thread(target=run, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


EXPECTED = {"nfs": ("ok", "shared"), "sshfs": ("warn", "off"), "nfsish": ("warn", "off")}


def test_two_doctors_agree_and_the_spool_takes_it_up(system: SharedFolder) -> None:
    said = on_both(system, "doctor", "--two-node")
    checks = [{check["name"]: check for check in report["checks"]} for report in said]
    for name in ("pair", "pair: links", "pair: locks", "pair: names", "pair: absence"):
        assert checks[0][name]["what"] == checks[1][name]["what"], name
        print(checks[0][name]["state"], name, checks[0][name]["what"])
    state, locks = EXPECTED[system.name]
    assert checks[0]["pair: links"]["state"] == "ok"
    assert checks[0]["pair: locks"]["state"] == state
    assert all(check["state"] != "fail" for check in checks[0].values())
    assert [name for report in checks for name in report if name == "verdict"] == ["verdict"]
    root = system.export / "spool"
    assert sorted(path.name for path in root.iterdir()) == ["doctor", "doctor.1.json"]
    assert list((root / "doctor").iterdir()) == [], "what they met for is gone"
    machine = system.machines[1]
    done = machine.run(
        *PROGRAM, "--spool", machine.folder / "spool", "--json", "submit", environment={"PYTHONPATH": ROOT}
    )
    assert done.code == 2  # says how to use it
    spool = Spool.create(root)
    assert spool.settings.locks == {"off": "host"}.get(locks, locks)  # this side is a local disk


def test_without_hard_links_the_folder_is_refused(tmp_path: Path) -> None:
    with available(Sshfs)(SSHFS_OPTIONS="disable_hardlink") as system:
        machine = system.machines[0]
        done = machine.run(*PROGRAM, "doctor", "--spool", machine.folder / "spool")
        assert done.code == 6
        assert "hard links: the file system has none" in done.err
        done = machine.run(*PROGRAM, "submit", __file__, "--spool", machine.folder / "spool")
        assert (done.code, "no hard links" in done.err) == (6, True), done.err


def test_a_client_that_believes_its_own_links_is_refused(tmp_path: Path) -> None:
    """Two folders that are not the same cannot meet; a file server that answers both sides yes is found out."""
    with available(Nfsish)(cache_s=0.0, lost=0.0) as system:
        assert system.machines
