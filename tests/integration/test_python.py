"""The program from Python: one call for one video, jobs that tell and can be awaited, arrays as boxes and masks."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import waterz_spool
from tests.integration.conftest import BOX
from tests.integration.test_failing import BOX as DESK_BOX
from tests.integration.test_failing import OPTIONS, Desk
from waterz_spool import (
    InputError,
    Job,
    JobFailedError,
    Moment,
    Result,
    SetupError,
    Spool,
    UsageError,
    WaterzError,
    as_completed,
    errors,
    run,
)
from waterz_spool.cli import commands
from waterz_spool.launch import notices
from waterz_spool.spool import Spool as Records

ROOT = Path(__file__).parents[2]


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, spool={"failed_budget": 1})


@pytest.fixture
def spool(desk):
    return Spool(desk.spool.root, {**OPTIONS, "spool": {"failed_budget": 1}})


def test_the_door_shows_what_there_is():
    assert set(waterz_spool.__all__) <= set(dir(waterz_spool))
    assert all(getattr(waterz_spool, name) is not None for name in waterz_spool.__all__)
    tree = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, WaterzError)}
    assert {name for name in waterz_spool.__all__ if name.endswith("Error")} == tree and "NoOverlayError" in tree
    with pytest.raises(AttributeError):
        waterz_spool.nonsense  # noqa: B018


def test_importing_does_no_work():
    code = (
        "import sys, waterz_spool; dir(waterz_spool); print([m for m in sys.modules if m.startswith('waterz_spool.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_reading_never_makes_a_spool(tmp_path):
    typo = Spool(tmp_path / "typo")
    for read in (typo.jobs, lambda: typo.job("last"), typo.work, typo.pause):
        with pytest.raises(SetupError, match="not a spool"):
            read()
    assert not (tmp_path / "typo").exists()
    assert typo.create().jobs() == [] and (tmp_path / "typo" / "spool.json").exists()


def test_a_job_is_itself(desk, spool):
    job, same = spool.job("last"), Spool(str(desk.spool.root)).jobs()[0]
    assert job == same and len({job, same}) == 1 and job != "job"
    assert repr(job) == f"Job({desk.job.id!r})" and repr(spool) == f"Spool({str(desk.spool.root)!r})"
    assert (job.name, job.state, job.done(), job.result, job.exception()) == ("clip.mkv", "waiting", False, None, None)


@pytest.mark.parametrize(
    "box",
    [DESK_BOX, list(DESK_BOX), np.array(DESK_BOX), tuple(map(np.int64, DESK_BOX)), tuple(map(np.uint16, DESK_BOX))],
    ids=["tuple", "list", "array", "int64", "uint16"],
)
def test_any_whole_numbers_make_a_box_and_the_same_job(box, desk, spool):
    assert spool.submit(desk.video, boxes=[box], output=desk.out).id == desk.job.id
    assert spool.submit(desk.video, boxes=np.array([DESK_BOX]), output=desk.out) == spool.job(desk.job.id)


@pytest.mark.parametrize(
    "boxes", [DESK_BOX, "1,2,3,4", [(1, 2, 3)], [(1.5, 2, 3, 4)], [None], 7, np.zeros((2, 3), int)]
)
@pytest.mark.parametrize("name", ["boxes", "exact_boxes", "limits"])
def test_what_is_no_box_is_named(boxes, name, desk, spool):
    with pytest.raises(UsageError, match="a box is four whole numbers") as caught:
        spool.submit(desk.video, **{name: boxes})
    assert caught.value.where.startswith(f"{name}=") and f"{name}=[(1600" in caught.value.todo


def test_masks_are_arrays_too(desk, spool):
    mask = np.zeros((64, 96), np.uint8)
    x, y, w, h = DESK_BOX
    mask[y : y + h, x : x + w] = 255
    one = spool.submit(desk.video, mask=mask, output="a.mkv")
    assert spool.submit(desk.video, mask=mask > 0, output="a.mkv") == one, "the same mask is the same job"
    assert spool.submit(desk.video, mask=np.repeat(mask[None], 30, 0), output="b.mkv") != one
    assert spool.submit(desk.video, mask=np.roll(mask, 3), output="a.mkv") != one
    pinned = one._job.attachment("mask.png").read_bytes()
    assert pinned.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "mask", [np.zeros((4, 4), np.float32), np.zeros((2, 2, 2, 2), np.uint8), np.zeros((0, 4), bool), [[1]]]
)
def test_what_is_no_mask_is_named(mask, desk, spool):
    with pytest.raises(UsageError, match="a mask is uint8 or bool"):
        spool.submit(desk.video, mask=mask)


def test_every_option_of_the_command_line_is_a_keyword(desk, tmp_path):
    """The same words on both sides make the same job."""
    options = {
        "exact_boxes": [DESK_BOX], "from_s": 0.4, "to_s": 1.0, "yes": True, "output": "o.mkv", "overwrite": True,
        "engine": "membrane", "detector": "none", "segment_s": 0.4, "on_dead": "passthrough", "crf": 20.0,
        "preset": "ultrafast", "codec": "libx264", "recode": "all", "drop_dynamic_hdr": True,
        "encoder_options": {"tune": "film"}, "review": True, "limits": (), "drop": (),
    }  # fmt: skip
    line = (
        "submit clip.mkv --box-exact 18,8,24,16 --from 0.4 --to 1s --yes -o o.mkv --overwrite --engine membrane "
        "--detector none --segment-s 0.4 --on-dead passthrough --crf 20 --preset ultrafast --codec libx264 "
        "--recode all --drop-dynamic-hdr --encoder-opt tune=film --review"
    )
    job = Spool(tmp_path / "spool").submit(desk.video, **options)
    said = desk.command(*line.split())
    assert said.stdout.strip() == job.id, said.stderr


def test_no_option_is_missing_in_python():
    names = {"from_": "from_s", "to": "to_s", "language": "captions_language"}
    words = {names.get(option.name, option.name) for option in commands.get_command(None, "submit").params}
    elsewhere = {"videos", "report", "as_lines", "workers", "wait", "on_done", *(o.name for o in commands.params)}
    assert words - elsewhere - {"help"} == set(waterz_spool.Asked.__annotations__)


def test_a_keyword_that_does_not_exist_is_refused(desk, spool):
    with pytest.raises(TypeError, match="unexpected keyword 'box'; possible are boxes"):
        spool.submit(desk.video, box=[DESK_BOX])
    with pytest.raises(UsageError, match=r"encode\.crf cannot be 99"):
        spool.submit(desk.video, crf=99)


def test_a_job_tells_how_it_goes_and_ends(desk, spool, caplog):
    job, seen = spool.job("last"), []
    worker = threading.Thread(target=spool.work, args=(1,))
    worker.start()
    assert job.wait(timeout_s=120, on_progress=seen.append) == desk.out
    worker.join(timeout=60)
    assert seen and all(isinstance(moment, Moment) for moment in seen) and job.progress().step == "done"
    assert job.state == "done" and job.done() and job.exception() is None and job.passed == ()
    assert [each.task for each in job.segments()] == [0, 1, 2] and all(each.frames == 10 for each in job.segments())
    assert isinstance(job.details, Result) and job.details.frames == 30
    assert any("segment 1" in line for line in job.logs(1)) and job.explain()[0].startswith("finished")
    assert job.explain(1) == ["done in attempt 1"] and not job.cancel()
    with pytest.raises(UsageError, match="no task 9"):
        job.explain(9)
    assert asyncio.run(_awaited(job)) == desk.out
    assert list(as_completed([job, job])) == [job]


async def _awaited(job: Job) -> Path:
    return await job


def test_a_failed_job_says_why_and_gets_another_round(desk, spool):
    desk.prepare()
    (frames,) = desk.job.layout.segment(1).glob("frames.*")
    frames.unlink()
    desk.work()
    job = spool.job("last")
    assert job.state == "failed" and job.done() and isinstance(job.exception(), WaterzError)
    with pytest.raises(WaterzError):
        job.wait(timeout_s=10)
    with pytest.raises(WaterzError):
        asyncio.run(_awaited(job))
    job.retry(1)
    assert job.state == "stopped" and not job.done() and job.exception() is None


def test_jobs_come_as_they_end(desk, spool):
    later = spool.submit(desk.video, exact_boxes=[DESK_BOX], output="later.mkv")
    first = spool.job(desk.job.id)
    ends = as_completed([later, first], timeout_s=60)
    desk.work()
    assert set(ends) == {first, later}
    third = spool.submit(desk.video, exact_boxes=[DESK_BOX], output="third.mkv")
    assert third.cancel()
    assert list(as_completed([third])) == [third] and isinstance(third.exception(), JobFailedError)
    with pytest.raises(TimeoutError):
        list(as_completed([spool.submit(desk.video, exact_boxes=[DESK_BOX], output="fourth.mkv")], timeout_s=0.1))


def test_waiting_says_once_that_nobody_works(desk, spool, caplog, monkeypatch):
    monkeypatch.setattr(notices, "_ALONE_S", 0.0)
    monkeypatch.setattr(notices, "_EVERY_S", 0.2)
    with pytest.raises(TimeoutError):
        spool.job("last").wait(timeout_s=1.5)
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "no worker is running" in said and f"worker --drain --spool {desk.spool.root}" in said
    caplog.clear()
    spool.job("last").pause()
    with pytest.raises(TimeoutError):
        spool.job("last").wait(timeout_s=1.5)
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "is paused: waterz-spool resume" in said
    spool.job("last").resume()
    assert spool.job("last").state == "waiting"


def test_run_is_one_call(desk, tmp_path):
    seen = []
    result = run(
        desk.video, boxes=[DESK_BOX], engine="membrane", preset="ultrafast", on_progress=seen.append, workers=1
    )
    assert isinstance(result, Result) and result.output == str(tmp_path / "clip.clean.mkv") and result.frames == 30
    assert result.guess and result.tracks[0].box == DESK_BOX and seen
    assert not Records.open(tmp_path / "state" / "waterz-spool").job_ids(), "nothing of it is left"
    with pytest.raises(InputError, match="no such video"):
        run("no.mkv")


def test_the_example_of_the_readme_ends(clip, tmp_path):
    """It is run as it stands, beside a video of that name."""
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert str(BOX) in block
    (tmp_path / "video.mp4").write_bytes(clip.video.read_bytes())
    script = tmp_path / "example.py"
    script.write_text(block.replace("/shared/spool", str(tmp_path / "spool")))
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path / "state")}
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "video.clean.mp4").exists() and (tmp_path / "other.mp4").exists()


def test_the_page_about_python_is_current():
    code = "import runpy; print(runpy.run_path('docs/make_api.py')['page']() == open('docs/api.md').read())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "True", "python docs/make_api.py writes it"
