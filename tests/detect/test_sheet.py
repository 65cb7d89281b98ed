"""The contact sheet speaks of places as a player shows them."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from tests.integration.conftest import write_video
from waterz_spool import media
from waterz_spool.detect.base import Findings, Rejected
from waterz_spool.stages.prepare.sheet import Looked, write_sheet


@pytest.mark.parametrize(("rotation", "place"), [(0, "10,5,40,15"), (90, "5,50,15,40"), (180, "50,40,40,15")])
def test_what_was_not_taken_has_its_place_as_tracks_have_theirs(tmp_path, rotation, place):
    path = write_video(tmp_path / "v.mp4", np.zeros((3, 60, 100, 3), np.uint8), audio=False)
    info = msgspec.structs.replace(media.probe(path), rotation=rotation)
    found = Findings((), "none", (Rejected((10, 5, 50, 20), "too few"),))
    pts = media.frame_times(path, info)
    write_sheet(tmp_path / "contact.html", Looked(path, "v", info, pts, "static", found=found))
    assert f"<li>{place}: too few" in (tmp_path / "contact.html").read_text()
