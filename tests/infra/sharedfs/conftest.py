"""Shared file systems for tests; one that this machine cannot serve skips its tests, or fails them in CI."""

from __future__ import annotations

import os

import pytest

from tests.infra.sharedfs.clients import Moosefs, Nfs, Nfsish, SharedFolder, Sshfs


def available(kind: type[SharedFolder]) -> type[SharedFolder]:
    missing = kind.missing() or ("" if os.geteuid() == 0 or kind not in (Nfs, Moosefs) else f"{kind.name} needs root")
    if missing:
        if os.environ.get("WATERZ_REQUIRE_ALL") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return kind


@pytest.fixture(params=[Nfs, Moosefs, Sshfs, Nfsish], ids=lambda kind: kind.name)
def system(request: pytest.FixtureRequest):
    """Each shared file system, two clients, new for the test."""
    with available(request.param)() as system:
        yield system
