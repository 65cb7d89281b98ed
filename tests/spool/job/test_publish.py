"""Publication: once, whole, replacing nothing."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from spoolscene import Scene
from spooltoy import expected

from waterz_spool.errors import JobFailedError, UsageError, VerificationError
from waterz_spool.spool import FileOps, Job, Spool


@pytest.fixture
def done(scene: Scene) -> Job:
    job = scene.submit()
    scene.drain(scene.session())
    (scene.folder / "out").mkdir()
    return job


@pytest.fixture
def target(scene: Scene) -> Path:
    return scene.folder / "out" / "talk.clean.mp4"


class OtherFileSystem(FileOps):
    """The target's file system: no link into it from here, and (``links=False``) none within it."""

    def __init__(self, links: bool = True) -> None:
        self.links = links

    def link(self, source: Path, target: Path) -> None:
        if source.parent.name == "result" and target.parent.name == "out":
            raise OSError(errno.EXDEV, "other file system")
        if target.parent.name == "out" and not self.links:
            raise OSError(errno.EPERM, "no links here")
        super().link(source, target)


ON_ALL = pytest.mark.parametrize(
    "ops", [FileOps(), OtherFileSystem(), OtherFileSystem(links=False)], ids=["same", "other", "fat"]
)


def files(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


@pytest.mark.parametrize(
    "ops", [FileOps(), OtherFileSystem(), OtherFileSystem(links=False)], ids=["same", "other", "fat"]
)
def test_the_result_appears_once(scene: Scene, done: Job, target: Path, ops: FileOps) -> None:
    job = Spool.open(scene.spool.root, ops=ops).by_id("job")
    assert not job.state().published
    assert [job.publish(target) for _ in range(3)] == [target] * 3
    assert target.read_bytes() == expected(3)
    assert files(target) == [target.name]
    assert job.state().published
    record = job.published()
    assert record is not None
    assert record.path == str(target)
    assert done.verify() == []


@pytest.mark.parametrize(
    "ops", [FileOps(), OtherFileSystem(), OtherFileSystem(links=False)], ids=["same", "other", "fat"]
)
def test_a_different_file_is_left_alone(scene: Scene, done: Job, target: Path, ops: FileOps) -> None:
    target.write_bytes(b"precious")
    job = Spool.open(scene.spool.root, ops=ops).by_id("job")
    assert job.publish(target).name == "talk.clean (2).mp4"
    assert job.publish(target).name == "talk.clean (2).mp4"
    assert target.read_bytes() == b"precious"
    assert len(files(target)) == 2
    assert done.verify() == []


def test_overwrite_replaces_whole(done: Job, target: Path) -> None:
    target.write_bytes(b"old")
    assert done.publish(target, overwrite=True) == target
    assert target.read_bytes() == expected(3)
    assert files(target) == [target.name]
    assert done.publish(target, overwrite=True) == target


def test_the_input_is_never_replaced(scene: Scene, done: Job) -> None:
    with pytest.raises(UsageError, match="replace the input"):
        done.publish(scene.source, overwrite=True)
    assert scene.source.read_bytes() == b"the video"


def test_a_folder_in_the_way_is_left_alone(done: Job, target: Path) -> None:
    target.mkdir()
    assert done.publish(target).name == "talk.clean (2).mp4"


def test_an_output_folder_must_exist(done: Job, target: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        done.publish(target.parent / "absent" / "x.mp4")


def test_a_damaged_result_is_not_published(done: Job, target: Path) -> None:
    (path,) = done.layout.result.iterdir()
    path.write_bytes(b"rot")
    with pytest.raises(VerificationError):
        done.publish(target)
    assert files(target) == []


def test_nothing_is_published_before_final(scene: Scene) -> None:
    job = scene.prepared()
    with pytest.raises(JobFailedError, match="final is not done"):
        job.publish(scene.folder / "x.mp4")


def test_verify_sees_a_changed_or_missing_publication(done: Job, target: Path) -> None:
    done.publish(target)
    target.write_bytes(b"edited")  # the result in the spool is the same file
    assert {found.code for found in done.verify()} == {"I3", "I4"}
    target.unlink()
    assert "I3" in {found.code for found in done.verify()}


def test_a_published_job_leaves_the_index_and_stays_found(scene: Scene, done: Job, target: Path) -> None:
    done.publish(target)
    assert scene.session().next() is None
    assert list(scene.spool.layout.active.iterdir()) == []
    assert scene.spool.job("job").state().state == "done"


class Overtaken(FileOps):
    """Another publishes the job just before one operation of this publisher."""

    def __init__(self, job: Job, target: Path, at: str, **how: bool) -> None:
        self.at = at
        self.other = lambda: job.publish(target, **how)

    def overtake(self, operation: str, path: Path) -> None:
        if operation == self.at and path.name.endswith(".part"):
            self.at = ""
            self.other()

    def link(self, source: Path, target: Path) -> None:
        self.overtake("link", source)
        super().link(source, target)

    def rename(self, source: Path, target: Path) -> None:
        self.overtake("rename", source)
        super().rename(source, target)

    def copy(self, source: Path, target: Path) -> None:
        super().copy(source, target)
        self.overtake("copy", target)


class OvertakenElsewhere(Overtaken, OtherFileSystem):
    links = True


@pytest.mark.parametrize(
    ("kind", "at", "overwrite"),
    [
        (Overtaken, "link", False),
        (OvertakenElsewhere, "link", False),
        (OvertakenElsewhere, "copy", False),
        (Overtaken, "rename", True),
        (OvertakenElsewhere, "copy", True),
    ],
)
def test_two_publishers_at_once_make_one_result_and_leave_nothing_beside_it(
    scene: Scene, done: Job, target: Path, kind: type[Overtaken], at: str, overwrite: bool
) -> None:
    if overwrite:
        target.write_bytes(b"old")
    ops = kind(done, target, at, overwrite=overwrite)
    job = Spool.open(scene.spool.root, ops=ops).by_id("job")
    assert job.publish(target, overwrite=overwrite) == target
    assert ops.at == ""
    assert target.read_bytes() == expected(3)
    assert files(target) == [target.name]
    assert done.verify() == []


def test_hidden_files_of_others_beside_the_result_are_left_alone(done: Job, target: Path) -> None:
    token = "0" * 24
    others = [f".{target.name}.part", f".{target.name}.{token}.part", f".{target.name}.{token}.{token}.part"]
    for name in others:
        target.with_name(name).touch()
    done.publish(target)
    assert files(target) == sorted([*others, target.name])


def test_what_two_dead_publishers_left_goes_at_the_next_try(scene: Scene, done: Job, target: Path) -> None:
    """The second dies, too, after its record, which says that all is done."""

    class Dies(OtherFileSystem):
        def unlink(self, path: Path) -> None:
            raise OSError(errno.EIO, "dead", str(path))

    job = Spool.open(scene.spool.root, ops=Dies()).by_id("job")
    assert job.publish(target) == target
    assert len(files(target)) == 2
    assert done.publish(target) == target
    assert files(target) == [target.name]


@pytest.mark.parametrize("length", [20, 100, 143])
def test_names_may_be_limited_to_143_bytes(scene: Scene, target: Path, length: int) -> None:
    class Short(OtherFileSystem):
        def copy(self, source: Path, target: Path) -> None:
            if len(target.name.encode()) > 143:
                raise OSError(errno.ENAMETOOLONG, "too long", str(target))
            super().copy(source, target)

    target.parent.mkdir()
    job_id = "j" * 64
    scene.submit(job_id)
    scene.drain(scene.session())
    named = target.with_name("v" * (length - 4) + ".mp4")
    assert Spool.open(scene.spool.root, ops=Short()).by_id(job_id).publish(named) == named


def test_a_stale_handle_is_the_work_of_another_publisher(scene: Scene, done: Job, target: Path) -> None:
    class Stale(OvertakenElsewhere):
        def copy(self, source: Path, target: Path) -> None:
            super().copy(source, target)
            raise OSError(errno.ESTALE, "stale", str(target))

    job = Spool.open(scene.spool.root, ops=Stale(done, target, "copy")).by_id("job")
    assert job.publish(target) == target
    assert files(target) == [target.name]


class LostReplies(FileOps):
    """Every link is made, and answered as a retransmission is."""

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        raise FileExistsError(errno.EEXIST, "answered twice", str(target))


def test_a_link_whose_answer_was_lost_publishes_all_the_same(scene: Scene, done: Job, target: Path) -> None:
    job = Spool.open(scene.spool.root, ops=LostReplies()).by_id("job")
    assert job.publish(target) == target
    assert target.read_bytes() == expected(3)
    assert files(target) == [target.name]
    assert done.verify() == []
