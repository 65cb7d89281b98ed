"""A package of a few lines, outside of this one, adds a restorer and a detector."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.integration.conftest import BOX, as_json, read_bgr
from waterz_spool.backends import Registry
from waterz_spool.errors import SetupError

ROOT = Path(__file__).parents[2]
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "waterz-hello"
version = "1.2"
[project.entry-points."waterz_spool.restorers"]
hello = "waterz_hello:HelloRestorer"
broken = "waterz_hello:Nothing"
membrane = "waterz_hello:HelloRestorer"
[project.entry-points."waterz_spool.detectors"]
hello = "waterz_hello:HelloDetector"
[tool.setuptools]
py-modules = ["waterz_hello"]
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The package, built as users build it and unpacked as an installer does; the environment in which it is there."""
    source, site = tmp_path_factory.mktemp("hello"), tmp_path_factory.mktemp("site")
    (source / "pyproject.toml").write_text(PROJECT)
    shutil.copy(ROOT / "tests/integration/hello.py", source / "waterz_hello.py")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist"]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = (source / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    return {"PYTHONPATH": os.pathsep.join([str(ROOT), str(site)]), "PYTHONDONTWRITEBYTECODE": "1"}


def test_run_uses_them(installed, cli, video, clip, tmp_path):
    options = ("--detector", "hello", "--engine", "hello", "--lossless", "-o", "out.mkv")
    done = cli("run", video, *options, extra=installed)
    assert "by the hello detector" in done.stderr + done.stdout
    before, after = read_bgr(video), read_bgr(tmp_path / "out.mkv")
    x, y, w, h = BOX
    assert (before[40] != after[40])[y : y + h, x : x + w].mean() > 0.5
    assert cli("detect", video, "-o", "found", "--detector", "hello+static", extra=installed).returncode == 0


def test_they_are_known_everywhere(installed, cli, tmp_path):
    listed = as_json(cli("--json", "models", "list", extra=installed))["backends"]
    hello = [line for line in listed if line["name"] == "hello"]
    assert [(line["kind"], line["from"]) for line in hello] == [
        ("restorer", "waterz-hello 1.2"),
        ("detector", "waterz-hello 1.2"),
    ]
    told = cli("doctor", "--spool", tmp_path / "spool", extra=installed).stdout
    assert "hello" in told and "'broken' cannot be loaded" in told and "'membrane' is ignored" in told
    config = tmp_path / "c.yaml"
    config.write_text("restore: {engine: hello}\ndetect: {detector: hello+static}\n")
    cli("config", "check", config, extra=installed)
    refused = cli("config", "check", config, check=False)
    assert refused.returncode == 2 and "no such restorer is installed" in refused.stderr
    assert "|hello" in cli("run", "--help", extra=installed).stdout


def test_the_contract_suites_run_on_them(installed):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "hello"]
    suites = ["tests/restore/test_contract.py", "tests/detect/test_contract.py"]
    done = subprocess.run(
        [*command, *suites], cwd=ROOT, env={**os.environ, **installed}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.split(" passed")[0].split()[-1].lstrip("\n")) > 25


@pytest.mark.parametrize("target", ["json:JSONDecoder", "json:nothing", "no_such_module:Thing"])
def test_what_is_no_back_end_is_an_error_that_names_it(target):
    registry = Registry("restorer", "waterz_spool.none", "waterz_spool.restore.base:Restorer", {"odd": target})
    with pytest.raises(SetupError, match="'odd'") as caught:
        registry.load("odd")
    assert caught.value.where == target
    assert list(registry.usable()) == [] and len(list(registry.faults())) == 1
