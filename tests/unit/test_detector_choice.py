"""Which detectors `auto` stands for, and several that are named."""

from __future__ import annotations

import pytest

from waterz_spool.config import DetectConfig
from waterz_spool.detect import chosen
from waterz_spool.detect.text import files


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ["static"]),
        ({"weights": "w.pt"}, ["yolo", "static"]),
        ({"weights": "w.pt", "classes": ["logo"]}, ["yolo"]),
        ({"weights": "w.pt", "detector": "static"}, ["static"]),
        ({"weights": "w.pt", "detector": "yolo"}, ["yolo"]),
        ({"detector": "static+yolo"}, ["static", "yolo"]),
        ({"detector": "static+static"}, ["static"]),
        ({"detector": "none"}, []),
    ],
)
def test_auto_uses_all_there_is_unless_classes_are_named(
    given: dict[str, object], names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "installed", lambda: False)
    assert [kind.name for kind in chosen(DetectConfig(**given))] == names  # type: ignore[arg-type]


def test_text_is_looked_for_where_its_network_is_installed() -> None:
    def names(**given: object) -> list[str]:
        return [kind.name for kind in chosen(DetectConfig(**given))]  # type: ignore[arg-type]

    assert names() == ["text", "static"]
    assert names(weights="w.pt") == ["text", "yolo", "static"]
    assert names(weights="w.pt", classes=["logo"]) == ["yolo"]
