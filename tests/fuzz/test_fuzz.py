"""Parsers of what lies on disk, fed with damaged and hostile input: a value or a WaterzError, soon, in little memory.

Every build tries the same inputs: some, or with ``WATERZ_FUZZ_S=20`` as many as 20 s in all allow.
``WATERZ_FUZZ_SEED=N`` tries others.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from random import Random

import pytest
from mutator import Mutator
from targets import Target, targets

from waterz_spool.errors import WaterzError

SECONDS = float(os.environ.get("WATERZ_FUZZ_S", "0"))
SEED = int(os.environ.get("WATERZ_FUZZ_SEED", "1"))
INPUTS = 400
SLOW_S = 5.0
MEMORY_KIB = 300 << 10
NAMES = sorted(targets(Path("unused")))


def survives(target: Target, data: bytes) -> None:
    """One input: parsed or refused, within seconds of this process's own time."""
    before = time.process_time()
    try:
        target.parse(data)
    except WaterzError as error:
        assert str(error)
    took = time.process_time() - before
    assert took < SLOW_S, f"{took:.1f} s for {data[:200]!r}"


@pytest.mark.parametrize("name", NAMES)
def test_a_parser_survives_anything(name: str, tmp_path: Path) -> None:
    target = targets(tmp_path)[name]
    for seed in target.seeds:
        target.parse(seed)
    until = time.monotonic() + SECONDS / len(NAMES)
    make, count = Mutator(target.seeds, Random(SEED)), 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while count < INPUTS or time.monotonic() < until:
        data = make()
        count += 1
        try:
            survives(target, data)
        except Exception as error:
            raise AssertionError(f"{name}, seed {SEED}, input {count}: {data[:2000]!r}") from error
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    print(f"{name}: {count} inputs, {grown >> 10} MiB more")
    assert grown < MEMORY_KIB


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        "plan: {segment_s: " + "9" * 5000 + "}",
        "plan: {segment_s: 2026-99-99}",
        "plan: {segment_s: !!timestamp x}",
        "plan: {segment_s: !!bool maybe}",
        'plan: {segment_s: !!int ""}',
        "plan: {segment_s: .nan}",
        "plan: {segment_s: .inf}",
        "[" * 20_000,
        "? [a]\n: b",
        "x" * 500_000 + ": 1",
        "plan: &p\n  <<: *p\n  x: 1",
        "!!python/object/apply:os.system ['true']",
    ],
    ids=["laughs", "digits", "date", "stamp", "bool", "int", "nan", "inf", "deep", "key", "long", "merge", "code"],
)
@pytest.mark.timeout(30)
def test_a_hostile_config_is_a_usage_error(text: str, tmp_path: Path) -> None:
    target = targets(tmp_path)["config"]
    with pytest.raises(WaterzError) as caught:
        target.parse(text.encode())
    assert caught.value.exit_code == 2
    assert len(str(caught.value)) < 5000
