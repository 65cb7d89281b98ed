"""What two doctors find through each shared file system, and what follows for the spool."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest

from tests.infra.sharedfs.clients import SharedFolder, Sshfs
from tests.infra.sharedfs.conftest import available
from waterz_spool.spool import Spool, SpoolSettings

pytestmark = [pytest.mark.sharedfs, pytest.mark.timeout(600)]
PROGRAM = (sys.executable, "-m", "waterz_spool")
HERE = {"PYTHONPATH": str(Path(__file__).parents[3])}
# Between two mounts of one machine locks may exclude; they are believed between two hosts only.
EXPECTED = {"nfs": ("ok", "shared"), "moosefs": ("ok", "off"), "sshfs": ("warn", "off"), "nfsish": ("warn", "off")}


def on_both(system: SharedFolder, *arguments: str) -> list[dict[str, dict[str, str]]]:
    """The checks by name that the program prints on two clients at the same time."""
    said: list[dict[str, dict[str, str]]] = [{}, {}]

    def run(number: int) -> None:
        machine = system.machines[number]
        command = [*PROGRAM, "--json", *arguments, "--spool", machine.folder / "spool"]
        done = machine.run(*command, limit_s=240, environment=HERE)
        assert done.code == 0, (done.out, done.err)
        said[number] = {check["name"]: check for check in json.loads(done.out)["checks"]}

    threads = [threading.Thread(target=run, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def test_two_doctors_agree_and_the_spool_takes_it_up(system: SharedFolder) -> None:
    one, two = on_both(system, "doctor", "--two-node")
    names = [name for name in one if name.startswith("pair")]
    assert len(names) == 8
    for name in names:
        assert one[name] == two[name]
        print(one[name]["state"], name, one[name]["what"])
    state, locks = EXPECTED[system.name]
    assert one["pair: links"]["state"] == "ok"
    assert one["pair: locks"]["state"] == state
    assert all(check["state"] != "fail" for check in one.values())
    assert ("verdict" in one) != ("verdict" in two), "one of them records it"
    root = system.export / "spool"
    assert sorted(path.name for path in root.iterdir()) == ["doctor", "doctor.1.json"]
    assert list((root / "doctor").iterdir()) == [], "what they met for is gone"
    assert Spool.create(root, SpoolSettings(locks="off")).settings.locks == locks


def test_without_hard_links_the_folder_is_refused() -> None:
    with available(Sshfs)(SSHFS_OPTIONS="disable_hardlink") as system:
        machine = system.machines[0]
        done = machine.run(*PROGRAM, "doctor", "--spool", machine.folder / "spool", environment=HERE)
        assert (done.code, "hard links: the file system has none" in done.err) == (6, True), done.err
        done = machine.run(*PROGRAM, "watch", "--once", "--spool", machine.folder / "spool", environment=HERE)
        assert (done.code, "no hard links" in done.err) == (6, True), done.err
