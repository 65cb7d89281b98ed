"""What two hosts measured of the spool's file system decides who may open it, and whose locks are believed."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from waterz_spool.errors import SetupError
from waterz_spool.spool import DamagedRecordError, FileOps, Spool, SpoolSettings, World
from waterz_spool.spool.mount.verdict import Verdict, newest_verdict, put_verdict

TWO = {"hosts": ("a", "b"), "t": 0.0, "machines": 2}


def told(folder: Path, **found: object) -> Spool:
    """A spool with that verdict, opened after it."""
    spool = Spool.open(folder)
    put_verdict(spool.world, spool.layout, Verdict(**{**TWO, "n": spool.world.tokens(), **found}))
    return Spool.open(folder)


@pytest.mark.parametrize(
    ("before", "found", "after"),
    [
        ("off", {"locks": True}, "shared"),
        ("host", {"locks": True}, "shared"),
        ("host", {"locks": False}, "host"),
        ("shared", {"locks": False}, "off"),
        ("off", {"locks": True, "machines": 1}, "off"),
    ],
)
def test_locks_of_other_hosts_are_believed_where_two_hosts_proved_them(
    tmp_path: Path, before: str, found: dict[str, object], after: str
) -> None:
    Spool.create(tmp_path, SpoolSettings(lease_s=99, locks=before))
    spool = told(tmp_path, **found)
    assert (spool.settings.locks, spool.settings.lease_s) == (after, 99)


def test_an_unsafe_file_system_is_refused_until_found_safe(tmp_path: Path) -> None:
    Spool.create(tmp_path)
    with pytest.raises(SetupError, match=r"unsafe: two winners") as refused:
        told(tmp_path, unsafe="two winners")
    assert refused.value.exit_code == 6
    with pytest.raises(SetupError):
        Spool.create(tmp_path)
    layout = Spool.create(tmp_path / "other").layout.__class__(tmp_path)
    put_verdict(World.real(), layout, Verdict(**TWO, n="2"))
    assert Spool.open(tmp_path).settings == SpoolSettings()
    assert sorted(path.name for path in tmp_path.glob("doctor.*")) == ["doctor.1.json", "doctor.2.json"]


def test_verdicts_are_numbered_and_the_last_one_holds(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path)
    for number in range(1, 12):
        put_verdict(spool.world, spool.layout, Verdict(**TWO, n=str(number)))
    held = newest_verdict(spool.world.ops, spool.layout)
    assert held is not None
    assert held.n == "11"


def test_a_damaged_verdict_is_an_error_and_not_absent(tmp_path: Path) -> None:
    Spool.create(tmp_path)
    (tmp_path / "doctor.1.json").write_text("{")
    with pytest.raises(DamagedRecordError, match="Verdict"):
        Spool.open(tmp_path)


class NoLinks(FileOps):
    def link(self, source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted", str(target))


def test_without_hard_links_no_spool_is_made(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no hard links") as refused:
        Spool.create(tmp_path / "spool", ops=NoLinks())
    assert refused.value.exit_code == 6
