"""A page replaces a page of this program, and never anything else."""

from __future__ import annotations

import os

import pytest

from tests.integration.conftest import as_json, box_option


@pytest.fixture
def precious(tmp_path, video):
    """A copy of the video, and a file of the user's own that looks like a page."""
    copy, page = tmp_path / "precious.mp4", tmp_path / "mine.html"
    copy.write_bytes(video.read_bytes())
    page.write_text("<!doctype html><p>mine")
    return copy, page


@pytest.mark.parametrize(
    "command",
    [("pick", "{video}", "--detector", "none", "-o"), ("preview", "{video}", *box_option(), "--page")],
    ids=lambda command: command[0],
)
def test_pick_and_preview_replace_only_their_own_pages(command, video, precious, cli, tmp_path):
    command = tuple(word.format(video=video) for word in command)
    for path in precious:
        before = path.read_bytes()
        done = cli(*command, path, check=False)
        assert done.returncode == 2 and path.name in done.stderr
        assert path.read_bytes() == before
    if command[0] == "pick":
        for _ in range(2):
            cli(*command, tmp_path / "page.html")
        assert b"waterz-spool" in (tmp_path / "page.html").read_bytes()


def test_report_replaces_only_its_own_page(video, precious, cli, tmp_path):
    cli("run", video, *box_option(), "--preset", "ultrafast", "--keep", "-o", "out.mp4")
    for path in precious:
        before = path.read_bytes()
        assert cli("report", "last", "-o", path, check=False).returncode == 2
        assert path.read_bytes() == before
    for _ in range(2):
        cli("report", "last", "-o", tmp_path / "page.html")


def test_the_input_by_another_name_is_the_input(video, cli, tmp_path):
    os.link(video, tmp_path / "hard.mp4")
    before = video.read_bytes()
    done = cli("run", "hard.mp4", *box_option(), "-o", video, "--overwrite", check=False)
    assert done.returncode == 2 and "would replace the input" in done.stderr and "to do" in done.stderr
    assert video.read_bytes() == before
    assert not as_json(cli("--json", "status"))["jobs"]


def test_a_name_that_is_not_utf8_is_refused_by_pick_too(video, cli, tmp_path):
    name = os.fsencode(tmp_path) + b"/bad\xff.mp4"
    os.link(video, name)
    done = cli("pick", os.fsdecode(name), "--detector", "none", check=False)
    assert done.returncode == 4 and "not UTF-8" in done.stderr
