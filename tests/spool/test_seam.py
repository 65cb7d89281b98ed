"""The spool touches files through one seam alone."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from spoolscene import Scene
from spooltoy import expected, result_of

from tests.faults import FaultPlan, FaultRule, FaultyOps
from waterz_spool.spool import FileOps


def test_submit_work_publish_and_clean_touch_the_spool_through_the_seam_alone(tmp_path: Path) -> None:
    """With the seam shut, no step gets by it."""
    scene = Scene(tmp_path, ops=(ops := FaultyOps(FileOps(), FaultPlan())))
    job = scene.prepared(2)
    scene.drain(scene.session(), 2)
    (tmp_path / "out").mkdir()
    path = job.publish(tmp_path / "out" / "result.bin")
    assert path.read_bytes() == expected(2) == result_of(job, Path.read_bytes)
    ops.use([FaultRule(do="fail", errno="ENOTCONN")])
    steps = [
        lambda: scene.submit("other"),
        scene.spool.job_ids,
        lambda: job.publish(tmp_path / "out" / "again.bin"),
        job.cancel,
        job.state,
    ]
    for step in steps:
        with pytest.raises(OSError) as caught:
            step()
        assert caught.value.errno == errno.ENOTCONN
    ops.use(())
