"""A video from start to finish, from Python: the same as `run`."""

import pytest

from tests.integration.test_video_is_the_users import BOX
from tests.media import make
from waterz_spool import config
from waterz_spool.errors import NoOverlayError
from waterz_spool.intake.spools import private_spool
from waterz_spool.intake.submit import Order
from waterz_spool.launch.here import run
from waterz_spool.spool import Spool


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return make.video(tmp_path / "tiny.mp4", frames=12)


def test_a_video_is_processed_and_its_job_goes(tiny, tmp_path):
    resolved = config.load(overrides={"restore": {"engine": "membrane"}})
    ran = run(tiny, Order(boxes=(BOX,)), resolved, report=True)
    assert (ran.output, ran.result.output) == (tmp_path / "tiny.clean.mp4", str(tmp_path / "tiny.clean.mp4"))
    assert [path.name for path in ran.files] == ["tiny.clean.json", "tiny.clean.html"]
    assert all(path.exists() for path in (ran.output, *ran.files))
    assert ran.data["state"] == "done"
    assert Spool.open(private_spool()).jobs() == []


def test_a_video_that_cannot_be_processed_leaves_no_copy_and_is_named(tiny):
    resolved = config.load(overrides={"restore": {"engine": "membrane"}})
    with pytest.raises(NoOverlayError) as caught:
        run(tiny, Order(), resolved)
    assert str(tiny) in str(caught.value)
    assert Spool.open(private_spool()).jobs() == []
