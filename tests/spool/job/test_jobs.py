"""Spools and jobs: making, submitting, finding, pinning."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from spoolscene import Scene

from waterz_spool.errors import InputError, SetupError, UsageError
from waterz_spool.spool import DamagedRecordError, FileOps, Spool, SpoolSettings


def test_create_is_idempotent_and_the_first_decides_the_settings(tmp_path: Path) -> None:
    first = Spool.create(tmp_path / "deep" / "spool", SpoolSettings(lease_s=7))
    again = Spool.create(tmp_path / "deep" / "spool", SpoolSettings(lease_s=8))
    assert (again.uuid, again.settings.lease_s) == (first.uuid, 7)
    assert (again.inbox.is_dir(), again.outbox.is_dir()) == (True, True)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "not a spool"), ("{", "damaged"), ('{"version":1}', "damaged"), ('{"version":99,"new":1}', "format 99")],
)
def test_what_is_no_spool_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "spool.json").write_text(content)
    with pytest.raises(SetupError, match=message):
        Spool.open(tmp_path)


def test_a_submitted_job_says_what_was_asked(scene: Scene) -> None:
    job = scene.submit()
    assert json.loads(job.request()) == {"a": 1}
    assert (job.name, job.file.uid) == ("my talk.mp4", os.getuid())
    source = job.source()
    assert (source.name, source.read_bytes()) == ("my-talk.mp4", b"the video")
    assert source.samefile(scene.source)
    assert job.verify() == []


def test_an_explicit_id_makes_submit_idempotent(scene: Scene) -> None:
    scene.submit("one")
    scene.source.unlink()
    assert scene.submit("one").file.nonce == scene.spool.job("one").file.nonce
    assert scene.spool.job_ids() == ["one"]


def test_two_submits_of_one_id_leave_one_job(scene: Scene) -> None:
    class Blind(FileOps):
        def listdir(self, folder: Path) -> list[str]:
            return [] if folder.name == "jobs" else super().listdir(folder)

    first = scene.submit("one").file.nonce
    blind = Spool.open(scene.spool.root, ops=Blind(), clock=scene.spool.world.clock, tokens=scene.token)
    assert blind.submit(b"{}", source=scene.source, job_id="one").file.nonce == first
    assert [path.name for path in scene.spool.layout.jobs.iterdir()] == ["one"]


@pytest.mark.parametrize("what", ["missing", "folder", "fifo"])
def test_a_source_that_is_no_file_is_an_input_error(scene: Scene, what: str) -> None:
    path = scene.folder / "source"
    if what == "folder":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    with pytest.raises((InputError, OSError)):
        scene.spool.submit(b"{}", source=path, job_id="one")
    assert list(scene.spool.layout.jobs.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [{"job_id": "No"}, {"job_id": "../x"}, {"job_id": "x" * 65}, {"request": b"{"}],
    ids=["capitals", "path", "long", "request"],
)
def test_what_cannot_be_submitted_is_a_usage_error(scene: Scene, options: dict[str, object]) -> None:
    request = options.pop("request", b"{}")
    with pytest.raises(UsageError):
        scene.spool.submit(request, source=scene.source, **{"job_id": "one", **options})  # type: ignore[arg-type]


def test_a_source_that_cannot_be_linked_is_copied(scene: Scene) -> None:
    class NoLinks(FileOps):
        def pin(self, source: Path, target: Path) -> None:
            self.copy(source, target)

    spool = Spool.open(scene.spool.root, ops=NoLinks(), clock=scene.spool.world.clock)
    source = spool.submit(b"{}", source=scene.source, job_id="one").source()
    assert source.read_bytes() == b"the video"
    assert not source.samefile(scene.source)


def test_a_changed_source_is_noticed_and_a_touched_one_is_not(scene: Scene) -> None:
    job = scene.submit()
    os.utime(job.source(), ns=(1, 1))
    assert scene.spool.by_id("job").source()
    with scene.source.open("r+b") as file:
        file.write(b"THE")
    with pytest.raises(InputError, match="changed"):
        job.source()
    (job.layout.source / "my-talk.mp4").unlink()
    with pytest.raises(InputError, match="gone"):
        job.source()


def test_a_symlink_to_a_source_pins_what_it_points_to(scene: Scene) -> None:
    link = scene.folder / "link.mp4"
    link.symlink_to(scene.source)
    source = scene.spool.submit(b"{}", source=link, job_id="one").source()
    assert not source.is_symlink()
    assert source.read_bytes() == b"the video"


def test_jobs_are_found_by_id_prefix_and_last(scene: Scene) -> None:
    for job_id in ("aa-1", "aa-2", "bb-1"):
        scene.clock.advance(1)
        scene.submit(job_id)
    spool = scene.spool
    assert [spool.job(ref).id for ref in ("aa-1", "bb", "last")] == ["aa-1", "bb-1", "bb-1"]
    assert [job.id for job in spool.jobs()] == ["aa-1", "aa-2", "bb-1"]
    with pytest.raises(UsageError, match="several jobs: aa-1, aa-2"):
        spool.job("aa")
    with pytest.raises(UsageError, match="no job"):
        spool.job("")
    with pytest.raises(UsageError, match="no such job"):
        _ = spool.by_id("absent").file


def test_a_job_file_of_another_job_is_refused(scene: Scene) -> None:
    scene.submit("one")
    scene.submit("two")
    data = (scene.spool.layout.jobs / "one" / "job.json").read_bytes()
    (scene.spool.layout.jobs / "two" / "job.json").write_bytes(data)
    fresh = Spool.open(scene.spool.root)
    with pytest.raises(DamagedRecordError, match="that of 'one'"):
        _ = fresh.by_id("two").file


def test_attachments_are_pinned_beside_the_source(scene: Scene) -> None:
    mask = scene.folder / "m.png"
    mask.write_bytes(b"mask")
    job = scene.submit(attachments={"mask.png": mask})
    assert job.attachment("mask.png").read_bytes() == b"mask"
    with pytest.raises(UsageError):
        job.attachment("other.png")
