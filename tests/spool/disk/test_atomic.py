"""Put-if-absent, and what it does when the reply lies."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from waterz_spool.spool.disk.atomic import UndecidedError, link_if_absent, put_if_absent, read_settled
from waterz_spool.spool.disk.fileops import FileOps


class Lying(FileOps):
    """Link is answered by an error, before or after it was done; reads may see nothing."""

    def __init__(self, number: int, *, done: bool, blind: int = 0) -> None:
        self.number, self.done, self.blind = number, done, blind

    def link(self, source: Path, target: Path) -> None:
        if self.done:
            super().link(source, target)
        raise OSError(self.number, "lied", str(target))

    def read(self, path: Path, cap_bytes: int) -> bytes:
        if self.blind:
            self.blind -= 1
            raise FileNotFoundError(errno.ENOENT, "negative entry", str(path))
        return super().read(path, cap_bytes)


def test_the_first_put_wins_for_ever(tmp_path: Path) -> None:
    ops, target = FileOps(), tmp_path / "name"
    assert put_if_absent(ops, target, b"one", "a")
    assert not put_if_absent(ops, target, b"two", "b")
    assert put_if_absent(ops, target, b"one", "c")  # again: still mine
    assert target.read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


@pytest.mark.parametrize("number", [errno.EIO, errno.EEXIST, errno.EPERM, errno.ESTALE])
def test_a_lost_reply_is_settled_by_content(tmp_path: Path, number: int) -> None:
    assert put_if_absent(Lying(number, done=True), tmp_path / "name", b"mine", "a")


def test_a_taken_name_is_not_mine_whatever_the_error(tmp_path: Path) -> None:
    (tmp_path / "name").write_bytes(b"theirs")
    assert not put_if_absent(Lying(errno.EIO, done=False), tmp_path / "name", b"mine", "a")


def test_an_error_without_a_visible_name_is_undecided(tmp_path: Path) -> None:
    with pytest.raises(UndecidedError) as caught:
        put_if_absent(Lying(errno.ENOSPC, done=False), tmp_path / "name", b"mine", "a")
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(UndecidedError):
        put_if_absent(Lying(errno.EIO, done=True, blind=99), tmp_path / "other", b"mine", "b")
    assert (tmp_path / "other").read_bytes() == b"mine"  # it was done: undecided means just that


def test_a_short_blindness_is_waited_out(tmp_path: Path) -> None:
    assert put_if_absent(Lying(errno.EIO, done=True, blind=1), tmp_path / "name", b"mine", "a")


def test_of_many_threads_one_wins(tmp_path: Path) -> None:
    won: list[int] = []
    gate = threading.Barrier(8)

    def run(number: int) -> None:
        gate.wait()
        if put_if_absent(FileOps(), tmp_path / "name", b"%d" % number, f"n{number}"):
            won.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert (tmp_path / "name").read_bytes() == b"%d" % won[0]


def test_link_does_not_follow_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "token").symlink_to(tmp_path / "secret")
    assert not link_if_absent(FileOps(), tmp_path / "token", tmp_path / "secret", b"x")
    FileOps().link(tmp_path / "token", tmp_path / "claim")
    assert (tmp_path / "claim").is_symlink()


@pytest.mark.timeout(10)
@pytest.mark.parametrize("make", ["symlink", "fifo", "folder", "huge"])
def test_what_is_no_small_regular_file_is_an_error_and_no_hang(tmp_path: Path, make: str) -> None:
    path = tmp_path / "record"
    if make == "symlink":
        (tmp_path / "real").write_bytes(b"{}")
        path.symlink_to(tmp_path / "real")
    elif make == "fifo":
        os.mkfifo(path)
    elif make == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(1 << 30)
    with pytest.raises(OSError, match=r"."):
        read_settled(FileOps(), path)


def test_an_absent_record_is_none(tmp_path: Path) -> None:
    assert read_settled(FileOps(), tmp_path / "record") is None


def test_new_files_are_exclusive_and_shared_with_the_group(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        FileOps().write_new(tmp_path / "file", b"x")
        FileOps().mkdir(tmp_path / "folder")
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o660
    assert (tmp_path / "folder").stat().st_mode & 0o7777 == 0o2770
    with pytest.raises(FileExistsError):
        FileOps().write_new(tmp_path / "file", b"y")


def test_a_folder_goes_as_a_whole_though_replies_are_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    for number in range(9):
        (folder / "below" / str(number)).touch()
    unlink = os.unlink

    def answered_twice(path: str, **options: int) -> None:
        unlink(path, **options)
        raise FileNotFoundError(errno.ENOENT, "answered twice", path)

    monkeypatch.setattr(os, "unlink", answered_twice)
    FileOps().remove_tree(folder)
    assert list(tmp_path.iterdir()) == []
    FileOps().remove_tree(folder)
