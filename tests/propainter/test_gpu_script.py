"""The script for GPUs, in its tiny size on a CPU: that it runs, measures and says when a part failed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.neural, pytest.mark.slow]


def script(folder, *arguments):
    command = [sys.executable, "-m", "benchmarks.gpu", *arguments, "--out", str(folder / "gpu")]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)


def test_the_tiny_run_measures(tmp_path):
    done = script(tmp_path, "golden", "ladder", "table", "--tiny", "--device", "cpu")
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["golden"]["flow_px"] < 1e-4 and found["ladder"]["passed"]
    rows = found["table"]["rows"]
    assert [row["mode"] for row in rows] == ["reference", "default"]
    assert all(row["ms_per_frame"] > 0 and row["peak_mib"] > 100 for row in rows)
    assert "| 128x128 | 4 | default |" in (tmp_path / "gpu.md").read_text()


def test_without_time_it_says_so(tmp_path):
    done = script(tmp_path, "golden", "--tiny", "--device", "cpu", "--minutes", "0.05")
    assert done.returncode == 1 and "failed: golden" in done.stderr
    assert json.loads((tmp_path / "gpu.json").read_text())["golden"] == {"failed": "no time left"}
