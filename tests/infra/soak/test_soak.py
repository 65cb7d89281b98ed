"""The soak in small: twenty seconds of it."""

from __future__ import annotations

from pathlib import Path

from tests.infra.soak.soak import Soak


def test_a_short_soak_leaves_nothing_behind(tmp_path: Path) -> None:
    soak = Soak(tmp_path, 20.0, blow_every_s=4.0).run()
    print(soak.story())
    assert soak.wrong == []
    assert len(soak.judged) >= 3
    assert sum(soak.blows.values()) >= 2
