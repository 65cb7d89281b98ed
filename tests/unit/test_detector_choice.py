"""Which detector `auto` stands for."""

from __future__ import annotations

import pytest

from waterz_spool.config import DetectConfig
from waterz_spool.detect.text import files
from waterz_spool.stages.detectors import kinds_of


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        ({}, ("static",)),
        ({"weights": "w.pt"}, ("yolo", "static")),
        ({"weights": "w.pt", "classes": ["logo"]}, ("yolo",)),
        ({"weights": "w.pt", "detector": "static"}, ("static",)),
        ({"weights": "w.pt", "detector": "yolo"}, ("yolo",)),
        ({"detector": "none"}, ("none",)),
    ],
)
def test_auto_uses_all_there_is_unless_classes_are_named(
    given: dict[str, object], kinds: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "installed", lambda: False)
    assert kinds_of(DetectConfig(**given)) == kinds  # type: ignore[arg-type]


def test_text_is_looked_for_where_its_network_is_installed() -> None:
    assert kinds_of(DetectConfig()) == ("text", "static")
    assert kinds_of(DetectConfig(weights="w.pt")) == ("text", "yolo", "static")
    assert kinds_of(DetectConfig(weights="w.pt", classes=["logo"])) == ("yolo",)
