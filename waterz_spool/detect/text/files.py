"""Where the text network's weights lie: inside the installed package rapidocr, which is not imported for that."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from waterz_spool.errors import SetupError

FINDER, READER = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"


def network_file(name: str = FINDER) -> Path | None:
    """A file of weights; None where the package is missing."""
    spec = find_spec("rapidocr")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "models" / name
        if path.is_file():
            return path
    return None


def installed() -> bool:
    """Whether the network and what runs it are there."""
    return find_spec("onnxruntime") is not None and network_file() is not None


def check_reader() -> None:
    """Make sure that text can be read here.

    Raises:
        SetupError: The extra is not installed.
    """
    if not installed() or network_file(READER) is None:
        raise missing()


def missing() -> SetupError:
    """The error for an extra that is not installed."""
    return SetupError("finding and reading text needs its networks", todo='pip install "waterz-spool[text]"')


def session(name: str) -> Any:
    """A network on one thread of the CPU.

    Raises:
        SetupError: The extra is not installed.
    """
    path = network_file(name)
    try:
        import onnxruntime
    except ImportError:
        path = None
    if path is None:
        raise missing()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would keep the largest picture's memory
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def listing(name: str = FINDER) -> dict[str, str]:
    """What a file is, and whether it is there, as plain data."""
    path = network_file(name)
    return {
        "file": name,
        "licence": "Apache-2.0",
        "what": "finds text" if name == FINDER else "reads text, for --captions",
        "source": "inside the package rapidocr (waterz-spool[text])",
        "present": "yes" if path else "no",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest() if path else "-",
    }
