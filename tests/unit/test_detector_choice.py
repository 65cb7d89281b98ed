"""Which detector `auto` stands for."""

from __future__ import annotations

import pytest

from waterz_spool.config import DetectConfig
from waterz_spool.stages.detectors import kind_of


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, "static"),
        ({"weights": "w.pt"}, "both"),
        ({"weights": "w.pt", "classes": ["logo"]}, "yolo"),
        ({"weights": "w.pt", "detector": "static"}, "static"),
        ({"weights": "w.pt", "detector": "yolo"}, "yolo"),
        ({"detector": "none"}, "none"),
    ],
)
def test_auto_uses_all_there_is_unless_classes_are_named(given: dict[str, object], kind: str) -> None:
    assert kind_of(DetectConfig(**given)) == kind  # type: ignore[arg-type]
