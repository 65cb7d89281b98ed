"""What holds for all tests."""

import logging

import pytest


@pytest.fixture(autouse=True)
def logging_as_before():
    """A command that ran in this process leaves no level and no handler behind."""
    root, own = logging.getLogger(), logging.getLogger("waterz_spool")
    before = root.handlers[:], root.level, own.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    own.setLevel(before[2])
