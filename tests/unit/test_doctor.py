"""The doctor's command: one line per check, exit code 6 when unfit, and no check that hangs it."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from waterz_spool.__main__ import main
from waterz_spool.errors import SetupError
from waterz_spool.intake.spools import settings_for
from waterz_spool.spool import SpoolLayout, World
from waterz_spool.spool.mount.probe import ok
from waterz_spool.spool.mount.verdict import Verdict, put_verdict
from waterz_spool.tools import doctor


def run(*arguments: object) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def test_a_fit_machine_and_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", "--spool", tmp_path / "spool") == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[1] for line in lines]
    assert {"python", "codecs", "gpu", "weights", "text", "folder", "space", "locks", "clock"} <= set(names)
    assert all(line.split()[0] in ("ok", "warn") for line in lines)


def test_json_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json", "doctor", "--spool", tmp_path / "spool") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["spool"] == str(tmp_path / "spool")
    assert {"name", "state", "what", "todo"} == set(said["checks"][0])


def test_a_folder_open_to_everybody_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool").chmod(0o777)
    assert run("doctor", "--spool", tmp_path / "spool") == 6
    said = capsys.readouterr()
    assert "chmod 2770" in said.err
    assert "hard links" not in said.out, "nothing is tried in such a folder"


def test_a_check_that_hangs_is_given_up() -> None:
    forever = threading.Event()

    def hangs():
        yield ok("one", "fine")
        forever.wait()

    one, two = doctor.limited("name", hangs, 0.05)
    forever.set()
    assert (one.name, two.name, two.state, "no answer" in two.what) == ("one", "name", "fail", True)


def test_an_error_of_the_system_is_a_failed_check_and_a_bug_is_not_hidden() -> None:
    def refused():
        yield ok("one", "fine")
        raise SetupError("unsafe", todo="move it")

    *_, failed = doctor.limited("name", refused)
    assert (failed.state, failed.what, failed.todo) == ("fail", "unsafe", "move it")

    def broken():
        yield ok("one", "fine")
        raise AssertionError("bug")

    with pytest.raises(AssertionError, match="bug"):
        list(doctor.limited("name", broken))


@pytest.mark.parametrize(("missing", "state"), [(["prores_ks"], "warn"), (["libx264"], "fail")])
def test_a_codec_that_libav_lacks(missing: list[str], state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from waterz_spool import media

    monkeypatch.setattr(media, "missing_codecs", lambda: {"encoders": missing, "decoders": []}, raising=False)
    (check,) = doctor.codec_checks()
    assert (check.state, missing[0] in check.what) == (state, True)


@pytest.mark.parametrize(("late_s", "lease_s"), [(0.2, 180.0), (50.0, 300.0)])
def test_a_new_spool_that_two_hosts_share_is_patient(tmp_path: Path, late_s: float, lease_s: float) -> None:
    assert settings_for(tmp_path).lease_s == 20.0
    verdict = Verdict(n="n", hosts=("a", "b"), t=0.0, machines=2, late_s=late_s)
    put_verdict(World.real(), SpoolLayout(tmp_path), verdict)
    settings = settings_for(tmp_path)
    assert (settings.lease_s, settings.locks) == (lease_s, "off")
