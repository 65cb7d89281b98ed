"""What the watched folder says about files that it cannot take, and what it takes."""

from __future__ import annotations

import shutil

import pytest

from tests.media import make
from waterz_spool import config
from waterz_spool.intake.inbox import Watcher
from waterz_spool.spool import Session, Spool
from waterz_spool.stages.contract.request import decode_request
from waterz_spool.stages.loop.worker import Limits, StopFlag, Worker


@pytest.fixture
def spool(tmp_path):
    return Spool.create(tmp_path / "spool")


@pytest.fixture
def watcher(spool):
    options = {"inbox": {"settle_s": 0.0}, "encode": {"preset": "ultrafast"}}
    return Watcher(spool, config.load(overrides=options), StopFlag())


def looks(watcher):
    """Enough looks for a file to count as settled; ids of the new jobs."""
    return [job for _ in range(4) for job in watcher.look()]


def names(spool):
    return sorted(path.name for path in spool.inbox.iterdir())


UNFIT = {
    "empty.mp4": lambda path: path.write_bytes(b""),
    "notes.srt": lambda path: path.write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n"),
    "cut.mkv": lambda path: make.truncate(path, make.video(path.parents[1] / "whole.mkv", frames=20), 0.5),
    "two words é%d.mov": lambda path: path.write_bytes(b"\0" * 5000),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_file_that_cannot_be_taken_has_the_reason_beside_it(name, spool, watcher):
    UNFIT[name](spool.inbox / name)
    assert looks(watcher) == []
    assert names(spool) == sorted([name, f"{name}.error.txt"])
    text = (spool.inbox / f"{name}.error.txt").read_text()
    assert name in text and "to do:" in text
    assert looks(watcher) == [] and len(names(spool)) == 2  # the sign itself is no video
    make.video(spool.inbox / "good.mp4", frames=5).replace(spool.inbox / name)
    (job,) = looks(watcher)
    assert names(spool) == [name] and job


def test_the_reason_goes_with_the_file(spool, watcher):
    (spool.inbox / "bad.mp4").write_bytes(b"nothing")
    looks(watcher)
    (spool.inbox / "bad.mp4").unlink()
    looks(watcher)
    assert names(spool) == []


def test_a_file_of_the_same_name_that_is_not_ours_stays(spool, watcher):
    (spool.inbox / "mine.error.txt").write_text("mine")
    looks(watcher)
    assert (spool.inbox / "mine.error.txt").read_text() == "mine"


def test_nothing_is_written_through_a_link(spool, watcher, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (spool.inbox / "bad.mp4.error.txt").symlink_to(victim)
    (spool.inbox / "bad.mp4").write_bytes(b"nothing")
    looks(watcher)
    assert victim.read_text() == "precious"
    assert "bad.mp4" in (spool.inbox / "bad.mp4.error.txt").read_text()


def test_a_job_that_fails_has_the_reason_beside_its_video(spool, watcher):
    """A video without an overlay."""
    make.video(spool.inbox / "clean.mp4", frames=20)
    (job,) = looks(watcher)
    watcher._put_away()
    assert names(spool) == ["clean.mp4"]
    with Session(spool) as session:
        Worker(session, StopFlag(), Limits(drain=True)).run()
    assert spool.job(job).state().state == "failed"
    watcher._put_away()
    assert job in (spool.inbox / "clean.mp4.error.txt").read_text()
    spool.job(job).retry(None)
    watcher._put_away()
    assert names(spool) == ["clean.mp4"]


@pytest.mark.parametrize(
    ("name", "spec", "wanted"),
    [
        ("show.ts", {"audio": [make.Audio()]}, "mkv"),
        ("old.avi", {"codec": "mpeg4", "audio": [make.Audio("adpcm_ms")]}, "mkv"),
        ("clip.flv", {"audio": [make.Audio()]}, "mkv"),
        ("win.wmv", {"codec": "wmv2", "audio": [make.Audio("wmav2", bit_rate=64_000)]}, "mkv"),
        ("phone.3gp", {"audio": [make.Audio()]}, "mp4"),
        ("camera.m2ts", {"audio": [make.Audio("ac3")], "format": "mpegts"}, "mkv"),
    ],
)
def test_a_file_that_results_are_not_written_as_is_taken(name, spec, wanted, spool, watcher, tmp_path, caplog):
    shutil.move(make.video(tmp_path / name, frames=5, **spec), spool.inbox / name)
    (job,) = looks(watcher)
    output = decode_request(spool.job(job).request()).output
    assert output == str(spool.outbox / f"{name.split('.')[0]}.clean.{wanted}")
    assert f"that of {name} is in .{wanted}" in caplog.text
