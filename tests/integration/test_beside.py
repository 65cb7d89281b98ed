"""Reading and encoding in threads beside a restorer that works on a device of its own."""

from __future__ import annotations

import hashlib
import itertools
import threading

import pytest

from tests.integration.conftest import BOX
from waterz_spool import api, media, restore
from waterz_spool.errors import InputError
from waterz_spool.restore.base import no_check
from waterz_spool.restore.membrane import MembraneRestorer
from waterz_spool.spool import Session, Spool
from waterz_spool.stages.loop.worker import Limits, StopFlag, Worker

OPTIONS = {
    "plan": {"segment_s": 1, "min_segment_frames": 8, "context_frames": 2},
    "encode": {"preset": "ultrafast"},
    "restore": {"engine": "membrane"},
}
PATIENCE_S = 30


class OnDevice(MembraneRestorer):
    """A membrane that streams: it takes each frame as it comes, and tells when it is at work."""

    streams = True

    def __init__(self):
        super().__init__()
        self.begun = 0
        self.news = threading.Condition()

    def restore(self, clip, *, check=no_check):
        with self.news:
            self.begun += 1
            self.news.notify_all()
        for count in range(1, len(clip.frames) + 1):
            clip.wait(count)
        return super().restore(clip, check=check)

    def wait_for(self, count):
        with self.news:
            return self.news.wait_for(lambda: self.begun >= count, PATIENCE_S)


@pytest.fixture
def engine(monkeypatch):
    made = OnDevice()
    monkeypatch.setattr(restore, "create", lambda name, options=None: made)
    return made


def submitted(tmp_path, video):
    spool = api.Spool(tmp_path / "spool", OPTIONS)
    return spool.submit(video, boxes=[BOX], output=tmp_path / "out.mp4")


def work(tmp_path, stop):
    with Session(Spool.open(tmp_path / "spool")) as session:
        worker = Worker(session, stop, Limits(drain=True))
        worker.run()
        return worker.finished


def test_one_segment_is_encoded_while_the_next_is_restored(tmp_path, video, engine, monkeypatch):
    """The first segment's encoder waits until the second segment is being restored: one after the other, it fails."""
    late = []
    write = media.SegmentEncoder.write

    def patient(self, frame, planes=None):
        if engine.begun == 1 and not engine.wait_for(2):
            late.append(frame.index)
        write(self, frame, planes)

    monkeypatch.setattr(media.SegmentEncoder, "write", patient)
    job = submitted(tmp_path, video)
    finished = work(tmp_path, StopFlag())
    assert not late
    assert job.state == "done"
    assert finished == 4 + 2  # segments, prepare, final
    assert engine.begun == 4


def test_the_bytes_are_those_of_one_after_the_other(tmp_path, video, engine):
    for streams in (True, False):
        engine.streams = streams
        folder = tmp_path / str(streams)
        folder.mkdir()
        assert submitted(folder, video).id
        work(folder, StopFlag())
    digests = {
        hashlib.sha256((tmp_path / str(streams) / "out.mp4").read_bytes()).hexdigest() for streams in (True, False)
    }
    assert len(digests) == 1


def test_a_signal_hands_both_segments_back(tmp_path, video, engine, monkeypatch):
    stop = StopFlag()
    write = media.SegmentEncoder.write

    def stopping(self, frame, planes=None):
        if engine.begun and engine.wait_for(2):
            stop.set(15)
        write(self, frame, planes)

    monkeypatch.setattr(media.SegmentEncoder, "write", stopping)
    job = submitted(tmp_path, video)
    work(tmp_path, stop)
    log = {path.name for path in (tmp_path / "spool" / "jobs" / job.id / "log").glob("0*")}
    released = {name for name in log if name.endswith(".released")}
    assert len(released) == 2
    assert not [name for name in log if name.endswith((".failed", ".lost"))]
    monkeypatch.setattr(media.SegmentEncoder, "write", write)
    work(tmp_path, StopFlag())
    assert job.state == "done"


def test_an_error_beside_becomes_the_outcome_of_its_own_segment(tmp_path, video, engine, monkeypatch):
    write = media.SegmentEncoder.write
    failed = []

    def failing(self, frame, planes=None):
        if frame.index == 30 and not failed:
            failed.append(frame.index)
            raise RuntimeError("the encoder broke")
        write(self, frame, planes)

    monkeypatch.setattr(media.SegmentEncoder, "write", failing)
    job = submitted(tmp_path, video)
    work(tmp_path, StopFlag())
    assert job.state == "done"
    folder = tmp_path / "spool" / "jobs" / job.id
    assert [path.name for path in (folder / "log").glob("0*.failed")] == ["00001.1.failed"]
    texts = [path.read_text() for path in (folder / "logs").glob("00001.1*")]
    assert any("the encoder broke" in text for text in texts)
    assert not any("the encoder broke" in path.read_text() for path in (folder / "logs").glob("0000[023]*"))


def test_an_input_damaged_at_its_end_is_an_error_beside_too(tmp_path, video, engine, monkeypatch):
    frames = media.CropReader.read

    def short(self, crop):
        yield from itertools.islice(frames(self, crop), 10)

    monkeypatch.setattr(media.CropReader, "read", short)
    job = submitted(tmp_path, video)
    work(tmp_path, StopFlag())
    assert job.state == "failed"
    with pytest.raises(InputError, match="10 frames, the job file says"):
        job.wait(timeout_s=5)
