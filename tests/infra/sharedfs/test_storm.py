"""Kill storms across two clients: with kernels of their own over NFS, over two sshfs mounts, over two that lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.infra.sharedfs.clients import SharedFolder
from tests.infra.sharedfs.storms import SMALL, alone, run_storm

pytestmark = [pytest.mark.sharedfs, pytest.mark.storm, pytest.mark.timeout(600)]


def test_a_storm_leaves_every_task_done_once_and_the_bytes_of_one_worker(system: SharedFolder, tmp_path: Path) -> None:
    wrong, text = run_storm(system, SMALL, alone(tmp_path, SMALL.segments))
    print(text)
    assert wrong == []
