"""Where the text network's weights lie: inside the installed package rapidocr, which is not imported for that."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

NAME = "PP-OCRv6_det_small.onnx"


def network_file() -> Path | None:
    """The file of weights; None where the package is missing."""
    spec = find_spec("rapidocr")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "models" / NAME
        if path.is_file():
            return path
    return None


def installed() -> bool:
    """Whether the network and what runs it are there."""
    return find_spec("onnxruntime") is not None and network_file() is not None


def listing() -> dict[str, str]:
    """What the file is, and whether it is there, as plain data."""
    path = network_file()
    return {
        "file": NAME,
        "licence": "Apache-2.0",
        "what": "finds text",
        "source": "inside the package rapidocr (waterz-spool[text])",
        "present": "yes" if path else "no",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest() if path else "-",
    }
