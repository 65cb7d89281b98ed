"""Where results go when the video's own container is none for them, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.media import make
from waterz_spool import config, media
from waterz_spool.errors import InputError, UsageError
from waterz_spool.intake.spools import open_or_create
from waterz_spool.intake.submit import Order, submit
from waterz_spool.stages.contract.request import decode_request

KINDS = {
    "show.ts": ({"audio": [make.Audio()]}, "mkv"),
    "old.AVI": ({"codec": "mpeg4", "audio": [make.Audio("libmp3lame")], "format": "avi"}, "mkv"),
    "phone.3gp": ({"audio": [make.Audio()]}, "mp4"),
    "camera.qt": ({"audio": [make.Audio("pcm_s24le")], "format": "mov"}, "mov"),
    "action.lrv": ({"audio": [make.Audio()], "data": "bin_data", "format": "mp4"}, "mp4"),
    "nothing": ({"audio": [make.Audio()], "format": "matroska"}, "mkv"),
}


def output_of(folder: Path, video: Path, order: Order) -> Path:
    """The output of a new job."""
    resolved = config.load(overrides={"encode": {"preset": "ultrafast"}})
    job = submit(open_or_create(folder / "spool", resolved), video, order, resolved, base=folder)
    return Path(decode_request(job.request()).output)


@pytest.mark.parametrize("name", KINDS)
def test_a_container_that_holds_everything_is_chosen(name, tmp_path, caplog):
    spec, wanted = KINDS[name]
    video = make.video(tmp_path / name, frames=5, **spec)
    stem = name.split(".")[0]
    assert output_of(tmp_path, video, Order()) == tmp_path / f"{stem}.clean.{wanted}"
    assert ("results are not written as" in caplog.text) == ("." in name)
    (tmp_path / "results").mkdir()
    for given, expected in {"results/": f"results/{stem}.clean.{wanted}", "other": f"other.{wanted}"}.items():
        assert output_of(tmp_path, video, Order(output=given)) == tmp_path / expected


def test_the_name_that_was_given_counts(tmp_path, caplog):
    video = make.video(tmp_path / "show.ts", frames=5)
    assert output_of(tmp_path, video, Order(output="show.mp4")) == tmp_path / "show.mp4"
    assert not caplog.text


def test_run_says_which_container_it_chose(video, cli, tmp_path):
    show = make.video(tmp_path / "show.ts", frames=5, audio=[make.Audio()])
    done = cli("run", show, "--box-exact", "8,8,16,16", "--preset", "ultrafast")
    assert done.stdout.strip() == str(tmp_path / "show.clean.mkv")
    assert "results are not written as .ts: that of show.ts is in .mkv" in done.stderr
    assert [s.kind for s in media.probe(tmp_path / "show.clean.mkv").streams] == ["video", "audio"]


@pytest.mark.parametrize("name", ["out.ts", "clips.2024/out.avi", "out.GIF"])
def test_an_output_that_no_result_can_have_is_named_as_it_was_given(name, tmp_path):
    video = make.video(tmp_path / "a.mp4", frames=5)
    with pytest.raises(UsageError, match="results cannot be written as") as caught:
        output_of(tmp_path, video, Order(output=name))
    assert caught.value.where == str(tmp_path / name)
    assert "-o out.mkv" in caught.value.todo


@pytest.mark.parametrize("name", ["a.ts", "a.avi", "a"])
def test_a_file_that_is_no_video_is_named(name, tmp_path):
    (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a video") as caught:
        output_of(tmp_path, tmp_path / name, Order())
    assert caught.value.where == str(tmp_path / name)


def test_what_no_container_holds_is_refused_with_the_streams_to_leave_out(tmp_path):
    video = make.video(tmp_path / "air.ts", frames=5, data="klv", audio=[make.Audio()])
    with pytest.raises(InputError, match="data klv") as caught:
        output_of(tmp_path, video, Order())
    assert str(video) in caught.value.where and "--drop" in caught.value.todo
    number = int(caught.value.todo.split("--drop ")[1].split(";")[0])
    assert output_of(tmp_path, video, Order(drop=(number,))) == tmp_path / "air.clean.mkv"
