"""Two users of one group share a spool, whatever their umask; a third sees nothing. Needs root, to become them."""

from __future__ import annotations

import faulthandler
import importlib
import os
import pkgutil
import shutil
import stat
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock  # noqa: F401 - whoever a child becomes may not be able to import
import pytest
from spooltoy import expected, work

import waterz_spool.report
import waterz_spool.spool
from waterz_spool.errors import TryAgainError
from waterz_spool.records import FileRef
from waterz_spool.spool import Budget, EndRecord, Job, Session, Spool, SpoolSettings
from waterz_spool.spool.log.formats import encode
from waterz_spool.stages import finalize

pytestmark = pytest.mark.timeout(200)

ALICE, BOB, CAROL = 61001, 61002, 61003
GROUP = 61100
SEGMENTS = 4
SETTINGS = SpoolSettings(beat_s=0.2, lease_s=1.5, poll_s=0.1, idle_s=0.3, backoff_s=0.1)
UMASKS = pytest.mark.parametrize("umask", [0o022, 0o077], ids=["umask 022", "umask 077"])


def import_all() -> None:
    for package in (waterz_spool.spool, waterz_spool.report):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)


import_all()


def become(user: int, umask: int) -> None:
    """This process is another user from here on: own primary group, and the shared one unless it is Carol."""
    os.setgroups([] if user == CAROL else [GROUP])
    os.setgid(user)
    os.setuid(user)
    os.umask(umask)
    os.environ["HOME"] = "/nonexistent"


def as_user(user: int, umask: int, act: Callable[[], object]) -> str:
    """What a function returns (as text) or raises, run by another user in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            faulthandler.cancel_dump_traceback_later()
            become(user, umask)
            text = str(act())
        except BaseException as error:
            traceback.print_exc(file=sys.__stderr__)
            text = f"{type(error).__name__}: {error}"
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that all can enter, with a home for each user and one for the spool."""
    if os.geteuid() != 0:
        refuse = pytest.fail if os.environ.get("WATERZ_REQUIRE_ALL") == "1" else pytest.skip
        refuse("only root can become other users")
    folder = Path(tempfile.mkdtemp(prefix="waterz-users-"))
    folder.chmod(0o755)
    for name, user in (("alice", ALICE), ("bob", BOB)):
        (folder / name).mkdir(0o755)
        os.chown(folder / name, user, user)
    (folder / "shared").mkdir()
    os.chown(folder / "shared", 0, GROUP)
    (folder / "shared").chmod(0o2770)
    yield folder
    shutil.rmtree(folder)


def create(place: Path) -> str:
    return repr(Spool.create(place / "shared" / "spool", SETTINGS))


def submit(place: Path, mode: int = 0o600) -> str:
    """Alice's video, which nobody else may read where it lies."""
    source = place / "alice" / "v.mp4"
    source.write_bytes(b"the video")
    source.chmod(mode)
    budget = Budget(failed=3, lost=9, lost_hosts=9)
    return Spool.open(place / "shared" / "spool").submit(b"{}", source=source, job_id="job", budget=budget).id


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def drain(place: Path, *, most: int = 99, **options: bool) -> int:
    """Work until nothing is left for this user; returns how many tasks it did."""
    done = 0
    with Session(Spool.open(place / "shared" / "spool"), **options) as session:  # type: ignore[arg-type]
        while not session.drained() and done < most:
            claim = session.next()
            if claim is None:
                time.sleep(session.idle_s())
                continue
            claim.job.source().read_bytes()
            assert work(claim, SEGMENTS, write, Path.read_bytes) is not False
            done += 1
    return done


def opened(place: Path) -> Job:
    return Spool.open(place / "shared" / "spool").by_id("job")


@UMASKS
def test_a_job_of_one_user_is_worked_by_another_only_when_told(place: Path, umask: int) -> None:
    hardlinks = Path("/proc/sys/fs/protected_hardlinks").read_text().strip()
    print(f"protected_hardlinks={hardlinks}")
    assert as_user(ALICE, umask, lambda: create(place)).startswith("Spool(")
    assert as_user(ALICE, umask, lambda: submit(place)) == "job"
    assert as_user(BOB, umask, lambda: drain(place)) == "0"
    assert as_user(BOB, umask, lambda: opened(place).state().state) == "preparing"
    assert as_user(BOB, umask, lambda: drain(place, serve_group=True)) == str(SEGMENTS + 2)
    target = place / "alice" / "out.mp4"
    assert as_user(ALICE, umask, lambda: opened(place).publish(target)) == str(target)
    assert target.read_bytes() == expected(SEGMENTS)
    assert target.stat().st_uid in (ALICE, BOB)
    assert as_user(ALICE, umask, lambda: opened(place).verify()) == "[]"


@UMASKS
def test_both_users_work_on_one_job_and_finish_each_others_work(place: Path, umask: int) -> None:
    """Prepare by one, two segments by the other, the rest and final by the first: every file is readable to both."""
    as_user(BOB, umask, lambda: create(place))
    as_user(ALICE, umask, lambda: submit(place))
    assert as_user(ALICE, umask, lambda: drain(place, most=1)) == "1"
    assert as_user(BOB, umask, lambda: drain(place, most=2, serve_group=True)) == "2"
    assert as_user(ALICE, umask, lambda: drain(place)) == str(SEGMENTS - 1)
    state = as_user(BOB, umask, lambda: (opened(place).state().state, opened(place).verify()))
    assert state == "('done', [])"
    assert as_user(ALICE, umask, lambda: opened(place).publish(place / "alice" / "o.mp4")).endswith("o.mp4")
    cleaned = lambda: Spool.open(place / "shared" / "spool").clean(older_than_s=0.0, dry_run=False)  # noqa: E731
    assert "name='job'" in as_user(BOB, umask, cleaned)
    assert not opened(place).path.exists()


@UMASKS
def test_what_a_dead_worker_of_another_user_held_is_revoked(place: Path, umask: int) -> None:
    def die() -> None:
        session = Session(Spool.open(place / "shared" / "spool"))
        session.start()
        assert session.next() is not None
        os._exit(0)

    as_user(ALICE, umask, lambda: create(place))
    as_user(ALICE, umask, lambda: submit(place))
    as_user(ALICE, umask, die)
    assert as_user(BOB, umask, lambda: drain(place, serve_group=True)) == str(SEGMENTS + 2)
    assert opened(place).log.end("prep", 1).kind == "lost"  # type: ignore[union-attr]


@UMASKS
def test_a_third_user_reads_nothing(place: Path, umask: int) -> None:
    as_user(ALICE, umask, lambda: create(place))
    as_user(ALICE, umask, lambda: submit(place, 0o600))
    as_user(ALICE, umask, lambda: drain(place))
    root = place / "shared" / "spool"
    assert as_user(CAROL, umask, lambda: Spool.open(root)).startswith("PermissionError")
    (place / "shared").chmod(0o2775)  # the spool holds by itself, wherever it lies
    assert as_user(CAROL, umask, lambda: Spool.open(root)).startswith("PermissionError")
    for path in [root, *root.rglob("*")]:
        info = path.lstat()
        assert not (stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_IRWXO), (path, oct(info.st_mode))
        assert info.st_gid == GROUP, path


def test_a_source_that_the_group_may_read_is_linked_and_another_copied(place: Path) -> None:
    as_user(ALICE, 0o022, lambda: create(place))
    as_user(ALICE, 0o022, lambda: submit(place, 0o600))
    pinned = place / "shared" / "spool" / "jobs" / "job" / "source" / "v.mp4"
    assert (pinned.stat().st_nlink, pinned.stat().st_gid, oct(pinned.stat().st_mode & 0o777)) == (1, GROUP, "0o660")
    assert (place / "alice" / "v.mp4").stat().st_mode & 0o777 == 0o600
    shutil.rmtree(pinned.parents[1])
    as_user(ALICE, 0o022, lambda: submit(place, 0o644))
    assert pinned.stat().st_nlink == 2


def test_an_outcome_forged_by_another_user_is_void_and_made_again(place: Path) -> None:
    """Bob records as done, with an output of his own, what Alice's worker holds: her final does not take it."""

    def forge() -> None:
        job = opened(place)
        out = job.layout.segment(0) / "out.1.forged.bin"
        out.write_bytes(b"something else")
        size, sha256 = job.log.world.ops.digest(out)
        ref = FileRef(file=out.name, bytes=size, sha256=sha256)
        end = EndRecord(kind="done", w="0" * 24, n="n", task="00000", k=1, outs=(ref,))
        (job.layout.log / "00000.1.end").write_bytes(encode(end))
        out.chmod(0o660)
        (job.layout.log / "00000.1.end").chmod(0o660)

    def hold() -> None:
        session = Session(Spool.open(place / "shared" / "spool"), accept=lambda job, task, attempt: task == 0)
        session.start()
        assert session.next() is not None
        os._exit(0)

    as_user(ALICE, 0o022, lambda: create(place))
    as_user(ALICE, 0o022, lambda: submit(place))
    as_user(ALICE, 0o022, lambda: drain(place, most=1))
    as_user(ALICE, 0o022, hold)
    as_user(BOB, 0o022, forge)
    assert "another user" in as_user(ALICE, 0o022, lambda: opened(place).verify())
    as_user(ALICE, 0o022, lambda: drain(place))
    target = place / "alice" / "out.mp4"
    as_user(ALICE, 0o022, lambda: opened(place).publish(target))
    assert target.read_bytes() == expected(SEGMENTS)
    assert (opened(place).layout.log / "00000.1.void").exists()


@pytest.mark.parametrize(
    ("folder", "overwrite", "allowed"),
    [("alice", False, True), ("alice", True, False), ("bob", False, False), ("link", False, False)],
    ids=["into its owner's folder", "never replacing", "not into the worker's own", "nor through a link to it"],
)
def test_who_serves_others_does_not_write_where_only_he_may(
    place: Path, folder: str, overwrite: bool, allowed: bool
) -> None:
    as_user(ALICE, 0o022, lambda: create(place))
    as_user(ALICE, 0o022, lambda: submit(place))
    as_user(ALICE, 0o022, lambda: (place / "alice" / "link").symlink_to(place / "bob"))
    target = place / ("alice/link" if folder == "link" else folder) / "out.mp4"
    check = lambda: finalize._check_foreign(opened(place), target, overwrite=overwrite)  # noqa: E731
    assert as_user(BOB, 0o022, check).startswith("None" if allowed else TryAgainError.__name__)
