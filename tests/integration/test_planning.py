"""`plan` tells what `run` then does, and leaves nothing behind."""

from __future__ import annotations

import msgspec

from tests.integration.conftest import as_json, box_option
from tests.integration.test_run import FAST
from waterz_spool.report.planned import Planned, lines_of
from waterz_spool.report.result import data_of, result_of
from waterz_spool.spool import Spool
from waterz_spool.stages.contract.payloads import plan_of


def files_of(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_plan_tells_what_run_does(video, cli, tmp_path):
    options = (video.name, *box_option(), *FAST, "-o", "new/{stem}.{ext}")
    told = as_json(cli("plan", *options, "--json"))
    assert files_of(tmp_path) == ["clip.mp4", "state"]
    cli("--spool", "spool", "run", *options)
    job = Spool.open(tmp_path / "spool").job("last")
    made = result_of(job)
    plan = plan_of(job.plan(), job.id)
    assert [(each["start"], each["stop"]) for each in told["segments"]] == [(s.start, s.stop) for s in plan.segments]
    assert told["kinds"] == {"restored": {"segments": len(plan.segments), "frames": 96}}
    assert (told["output"], told["engine"], told["source"]) == (made.output, "unblend", "box")
    assert told["tracks"] == [{**each, "box": list(each["box"])} for each in data_of(made)["tracks"]]
    assert abs(told["bytes"] / made.bytes - 1) < 0.15
    estimates = {each["workers"]: each["seconds"] for each in told["estimates"]}
    assert estimates.keys() >= {1, 4, 16} and estimates[1] >= estimates[4] >= estimates[16] > 0
    text = "\n".join(lines_of(msgspec.convert(told, Planned)))
    for words in (
        "clip.mp4: 96 frames",
        "to remove: ",
        "restored by unblend: 96 frames",
        "1 worker: about",
        "result: ",
    ):
        assert words in text


def test_plan_says_what_run_would_say_of_a_wrong_call(video, cli):
    assert cli("plan", "no.mp4", check=False).returncode == 4
    assert "the picture is" in cli("plan", video.name, "--box", "0,0,999,9", check=False).stderr
