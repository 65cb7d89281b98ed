"""A neighbour who can write the spool: clear errors, nothing outside the job touched, no hang, memory bounded."""

from __future__ import annotations

import errno
import json
import os
import resource
from pathlib import Path

import pytest
from spoolscene import Scene

from waterz_spool.errors import SetupError, WaterzError
from waterz_spool.records import FileRef
from waterz_spool.spool import DamagedRecordError, FileOps, Session, Spool
from waterz_spool.spool.log.formats import EndRecord, PlanRecord, SpoolFile, SpoolSettings, Token, encode

pytestmark = pytest.mark.timeout(30)
WID = "0" * 24


def put(path: Path, what: str) -> None:
    """Something else in place of a file."""
    if path.exists():
        path.unlink()
    if what == "symlink":
        path.symlink_to("/etc/passwd")
    elif what == "dangling":
        path.symlink_to("nowhere")
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 30)
    elif what == "types":
        path.write_bytes(json.dumps({"kind": 1, "w": [], "schema": "x", "version": {}}).encode())
    elif what == "nesting":
        path.write_bytes(b"[" * 15_000)
    elif what == "numbers":
        path.write_bytes(b'{"version":' + b"9" * 5000 + b"}")
    else:
        path.write_bytes(os.urandom(5000))


def newcomer(scene: Scene) -> Session:
    """A worker that has not looked at any job yet."""
    return scene.session(ops=FileOps())


THINGS = ["symlink", "dangling", "fifo", "folder", "huge", "types", "nesting", "numbers", "noise"]
PLACES = ["job.json", "log/plan.0", "log/00000.1.end", "log/commit.end", "control/1.ctl", "control/grant.1"]


@pytest.mark.parametrize("what", THINGS)
@pytest.mark.parametrize("place", PLACES)
def test_anything_in_place_of_a_record_stops_its_job_and_no_other(scene: Scene, what: str, place: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    job = scene.prepared(2, job_id="hostile")
    path = job.layout.root / place
    if place.startswith("log/00000"):
        (job.layout.log / "00000.1").write_bytes(b"{}")
    put(path, what)
    scene.submit("other")
    claim = newcomer(scene).next()
    assert claim is not None and claim.job.id == "other"
    fresh = Spool.open(scene.spool.root).by_id("hostile")
    assert [found.code for found in fresh.verify()] == ["I7"]
    with pytest.raises((WaterzError, OSError)):
        fresh.state()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


@pytest.mark.parametrize("what", THINGS)
def test_anything_in_place_of_spool_json_is_an_error(scene: Scene, what: str) -> None:
    put(scene.spool.layout.spool_file, what)
    with pytest.raises((SetupError, OSError)):
        Spool.open(scene.spool.root)


@pytest.mark.parametrize("what", THINGS)
def test_anything_in_place_of_a_heartbeat_is_silence(scene: Scene, what: str) -> None:
    """A dead worker's claim is revoked whatever lies where it beat, and a live one gets an error, not a hang."""
    job = scene.prepared(1)
    dead, other = scene.session("h1"), scene.session("h2")
    assert dead.next() is not None
    dead.heart.stop()
    put(scene.spool.layout.heartbeat(dead.wid), what)
    claim = scene.wait_for(other, 20)
    assert claim is not None and claim.attempt == 2
    assert job.log.end(0, 1).kind == "lost"  # type: ignore[union-attr]
    if what not in ("types", "nesting", "numbers", "noise", "huge", "dangling"):
        assert dead.heart.beat() is False


@pytest.mark.parametrize("folder", ["log", "control", "result", "source", "logs", "segments", "."])
def test_a_symlink_in_place_of_a_folder_leads_nowhere(scene: Scene, folder: str) -> None:
    job = scene.prepared(1, job_id="hostile")
    outside = scene.folder / "outside"
    inside = job.layout.root / folder
    inside.rename(outside)
    inside.symlink_to(outside)
    before = sorted(outside.rglob("*"))
    assert newcomer(scene).next() is None
    assert sorted(outside.rglob("*")) == before
    assert [found.code for found in Spool.open(scene.spool.root).by_id("hostile").verify()] == ["I7"]


def test_a_symlink_in_place_of_a_segments_folder_gets_no_output(scene: Scene) -> None:
    job = scene.prepared(1)
    outside = scene.folder / "outside"
    inside = job.layout.segment(0)
    inside.rename(outside)
    inside.symlink_to(outside)
    claim = scene.session().next()
    assert claim is not None
    with pytest.raises(DamagedRecordError, match="not a folder"):
        claim.output(".bin")
    with pytest.raises(NotADirectoryError):
        scene.spool.world.ops.mkdir(inside)


@pytest.mark.parametrize("kind", ["banana", "../../../escaped", "/../../../escaped", "", "done\n", "void"])
def test_an_outcome_of_an_unknown_kind_makes_no_name(scene: Scene, kind: str) -> None:
    job = scene.prepared(1)
    (job.layout.log / "00000.1.").mkdir()
    (job.layout.log / "00000.1").write_bytes(encode(Token(v=1, w=WID, n=WID, host="h", pid=1, boot="b")))
    (job.layout.log / "00000.1.end").write_bytes(encode(EndRecord(kind=kind, w=WID, n="n")))
    before = sorted(scene.folder.rglob("*"))
    with pytest.raises(DamagedRecordError, match="Invalid enum value"):
        job.snapshot(repair=True)
    assert sorted(scene.folder.rglob("*")) == before


@pytest.mark.parametrize("wid", ["../../../../tmp/x", "A" * 24, "", f"{WID}/..", f"{WID}\n"])
def test_a_claim_by_no_worker_opens_no_file(scene: Scene, wid: str) -> None:
    job = scene.prepared(1)
    (job.layout.log / "00000.1").write_bytes(encode(Token(v=1, w=wid, n="n", host="h", pid=1, boot="b")))
    with pytest.raises(DamagedRecordError, match="unknown worker"):
        job.log.owner(0, 1)
    assert scene.wait_for(scene.session(), 20) is None


@pytest.mark.parametrize("name", ["00000.999999", "final.123456.end", "prep.70000.lost"])
def test_a_number_that_nothing_leads_to_is_not_counted_up_to(scene: Scene, name: str) -> None:
    job = scene.prepared(1)
    (job.layout.log / name).write_bytes(b"{}")
    with pytest.raises(DamagedRecordError, match="not those before it"):
        job.state()
    assert scene.session().next() is None


@pytest.mark.parametrize("folder", ["ctl", "jobs/job/control"])
def test_a_control_number_that_nothing_leads_to_is_not_counted_up_to(scene: Scene, folder: str) -> None:
    job = scene.prepared(1)
    (scene.spool.root / folder / "999999999.pause").write_bytes(b"{}")
    with pytest.raises(DamagedRecordError, match="not those before it"):
        assert scene.spool.paused or job.state()
    (scene.spool.root / folder / f"{'9' * 200}.pause").write_bytes(b"{}")  # not even a number


@pytest.mark.parametrize("segments", [0, -1, 100_001, 10**12])
def test_a_plan_of_impossible_size_is_refused(scene: Scene, segments: int) -> None:
    job = scene.submit()
    plan = PlanRecord(segments=segments, plan=FileRef(file="p", bytes=1, sha256=""), n="n")
    (job.layout.log / "plan.0").write_bytes(encode(plan))
    with pytest.raises(DamagedRecordError, match="number of segments"):
        job.state()


@pytest.mark.parametrize(
    "changed",
    [{"poll_s": 0.0}, {"beat_s": -1.0}, {"lease_s": 1e300}, {"idle_s": 0.0}, {"locks": "please"}],
    ids=lambda changed: next(iter(changed)),
)
def test_settings_that_would_make_workers_spin_are_refused(tmp_path: Path, changed: dict[str, object]) -> None:
    root = tmp_path / "spool"
    root.mkdir()
    settings = SpoolSettings(**changed)  # type: ignore[arg-type]
    (root / "spool.json").write_bytes(encode(SpoolFile(version=1, uuid="u", settings=settings)))
    with pytest.raises(SetupError, match=next(iter(changed))):
        Spool.open(root)


@pytest.mark.parametrize(("change", "what"), [({"schema": 2}, "schema"), ({"id": "../x"}, "job id")])
def test_a_job_of_another_schema_is_refused(scene: Scene, change: dict[str, object], what: str) -> None:
    job = scene.submit()
    tree = json.loads(job.layout.job_file.read_bytes()) | change
    job.layout.job_file.write_text(json.dumps(tree))
    with pytest.raises(DamagedRecordError, match=f"unknown {what}"):
        Spool.open(scene.spool.root).by_id("job").state()


def test_a_heartbeat_is_never_written_through_a_link_or_into_a_pipe(tmp_path: Path, scene: Scene) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)  # so that it opens for writing
    for name in ("link", "pipe"):
        with pytest.raises(OSError) as caught:
            scene.spool.world.ops.beat_file(tmp_path / name)
        assert caught.value.errno in (errno.ELOOP, errno.EINVAL, errno.ENXIO)
    os.close(reader)
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_a_lock_is_not_taken_through_a_symlink(scene: Scene) -> None:
    from waterz_spool.spool.disk.machine import take_lock

    victim = scene.folder / "victim"
    victim.write_bytes(b"precious")
    path = scene.spool.layout.lock(WID)
    path.symlink_to(victim)
    assert take_lock(path) is None
    assert victim.read_bytes() == b"precious"
