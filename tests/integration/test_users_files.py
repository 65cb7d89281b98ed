"""The user's own files: what errors call them, where results appear beside them, and who may read those."""

from __future__ import annotations

import stat

import pytest

from tests.integration.test_video_is_the_users import BOX
from tests.media import make

FAST = ("--box-exact", ",".join(map(str, BOX)), "--engine", "membrane", "--preset", "ultrafast")


def twice(path):
    """A recording put behind itself: its times go back in the middle."""
    make.video(path, frames=10)
    path.write_bytes(path.read_bytes() * 2)
    return path


def cut_short(path):
    """A file whose last quarter is gone, in a container that can be read up to there."""
    make.video(path, frames=40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    return path


@pytest.mark.parametrize(("make_it", "name"), [(twice, "my show.ts"), (cut_short, "my show.mkv")])
def test_what_prepare_finds_wrong_names_the_users_file(make_it, name, cli, tmp_path):
    make_it(tmp_path / name)
    for spool in ([], ["--spool", "spool"]):
        done = cli(*spool, "run", name, *FAST, "-o", "out.mkv", check=False)
        assert done.returncode == 4, done.stderr
        assert f"{name}\n" in done.stderr and "/jobs/" not in done.stderr
    if name.endswith(".ts"):
        assert f"'{tmp_path / name}'" in done.stderr, "and a command that a shell understands"


def test_the_result_of_a_link_is_beside_the_link(cli, tmp_path):
    store, here = tmp_path / "store", tmp_path / "here"
    store.mkdir()
    here.mkdir()
    make.video(store / "0f3a.mp4", frames=5)
    (here / "talk.mp4").symlink_to("../store/0f3a.mp4")
    (tmp_path / "linked").symlink_to("here")
    for given in ("here/talk.mp4", "linked/talk.mp4"):
        cli("run", given, *FAST)
        result = here / "talk.clean.mp4"
        assert result.is_file()
        result.unlink()
    assert [path.name for path in store.iterdir()] == ["0f3a.mp4"]
    done = cli("run", "here/talk.mp4", *FAST, "-o", "store/0f3a.mp4", "--overwrite", check=False)
    assert done.returncode == 2 and "replace the input" in done.stderr


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o002])
@pytest.mark.parametrize("spool", [[], ["--spool", "spool"]])
def test_the_users_umask_decides_who_may_read_the_result(umask, spool, cli, tmp_path):
    make.video(tmp_path / "v.mp4", frames=5)
    cli(*spool, "run", "v.mp4", *FAST, umask=umask)
    assert stat.S_IMODE((tmp_path / "v.clean.mp4").stat().st_mode) == 0o666 & ~umask
