"""The README's commands, run as they stand; every command, option and file that the documents name exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import cv2
import pytest
from click.testing import CliRunner

from tests.integration.conftest import as_json
from waterz_spool.cli import commands

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(document.read_text() for document in DOCUMENTS)
# options of other programs
FOREIGN = {"--partition", "--gres", "--force-reinstall", "--no-deps", "--me", "--array", "--nfs"}


def console_lines():
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_the_commands_of_the_readme_work_in_order(clip, cli, tmp_path):
    (tmp_path / "video.mp4").write_bytes(clip.video.read_bytes())
    cv2.imwrite(str(tmp_path / "mask.png"), clip.mask)
    script = "\n".join(["set -eux", *console_lines()]).replace("/shared/spool", str(tmp_path / "shared" / "spool"))
    folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "XDG_STATE_HOME": str(tmp_path / "state")}
    environment.pop("WATERZ_SPOOL_DIR", None)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in ("video.clean.mp4", "boxed.mp4", "masked.mp4", "cluster.mp4"):
        assert (tmp_path / name).stat().st_size > 1000
    (job,) = as_json(cli("--spool", tmp_path / "shared" / "spool", "--json", "status"))["jobs"]
    assert job["state"] == "done"


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`waterz-spool ([a-z]+)", TEXT))))
def test_every_command_the_documents_name_exists(command):
    assert CliRunner().invoke(commands, [command, "--help"]).exit_code == 0


def help_texts(command, words=()):
    yield CliRunner().invoke(commands, [*words, "--help"]).output
    if isinstance(command, click.Group):
        for name in command.list_commands(None):  # type: ignore[arg-type]
            yield from help_texts(command.get_command(None, name), (*words, name))  # type: ignore[arg-type]


def test_every_option_the_documents_name_exists():
    helps = "".join(help_texts(commands))
    named = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", re.sub(r"`python -m .*?`", "", TEXT))) - FOREIGN
    assert {option for option in named if option not in helps} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_a_document_links_exist(document):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_the_readme_is_read_in_one_sitting():
    assert len(README.splitlines()) <= 150
