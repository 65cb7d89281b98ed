"""A kill storm across two mounts that lie, whose workers meet errors, lost answers, full disks and delays by plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults import FaultPlan, FaultRule, with_plan
from tests.infra.sharedfs.clients import Nfsish
from tests.infra.sharedfs.conftest import available
from tests.infra.sharedfs.storms import Size, alone, run_storm

pytestmark = [pytest.mark.sharedfs, pytest.mark.storm]

SIZE = Size(40, 6, 2, 0.8, 200)
PLAN = FaultPlan(
    rules=(
        FaultRule(do="fail", errno="EIO", chance=0.01),
        FaultRule(do="fail", errno="ESTALE", chance=0.01),
        *(FaultRule(do="lose", op=op, chance=0.02) for op in ("link", "unlink", "rename")),
        *(FaultRule(do="duplicate", op=op, chance=0.02) for op in ("link", "unlink", "rename")),
        FaultRule(do="torn", op="write_new", errno="ENOSPC", chance=0.01),
        FaultRule(do="fail", op="write_new", errno="EDQUOT", chance=0.01),
        FaultRule(do="drop", op="sync_folder", chance=0.2),
        FaultRule(do="drop", op="beat", chance=0.1),
        FaultRule(do="delay", delay_s=1.0, chance=0.005),
    )
)


def test_a_storm_with_faults_by_plan_leaves_every_task_done_once(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"rules": [_as_dict(rule) for rule in PLAN.rules]}))
    with available(Nfsish)() as system:
        expected = alone(tmp_path, SIZE.segments)
        wrong, text = run_storm(system, SIZE, expected, environment=with_plan(plan))
    print(text)
    assert wrong == []


def _as_dict(rule: FaultRule) -> dict[str, object]:
    return {name: getattr(rule, name) for name in rule.__struct_fields__}
