"""What `run` says when a job has failed is what its worker recorded, all of it."""

from types import SimpleNamespace

import pytest

from waterz_spool.errors import NoOverlayError
from waterz_spool.report.ending import raise_if_failed
from waterz_spool.spool import JobState
from waterz_spool.spool.log.snapshot import Reason


def test_advice_of_several_lines_is_said_whole():
    said = NoOverlayError(
        "no overlay found", where="v.mp4", todo="look at these\n    frames 0 to 9  1,2,3,4\n    otherwise pick"
    )
    reason = Reason(task="prep", attempt=1, kind="failed", why=str(said), rc=3, host="h")
    state = JobState(id="j", state="failed", segments=None, counts={}, tasks=(), reasons=(reason,))
    with pytest.raises(NoOverlayError) as caught:
        raise_if_failed(SimpleNamespace(id="j"), state)
    assert str(caught.value) == str(said)
