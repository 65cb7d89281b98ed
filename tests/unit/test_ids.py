"""Ids of jobs."""

import re
from pathlib import Path

from waterz_spool.intake.submit import new_job_id
from waterz_spool.spool import Spool


def test_ids_tell_date_and_name(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path / "spool")
    assert re.fullmatch(r"\d{8}-my-talk-7f3a", new_job_id(spool, "My talk!", "7f3a"))
    assert re.fullmatch(r"\d{8}-video-7f3a", new_job_id(spool, "視頻", "7f3a"))
