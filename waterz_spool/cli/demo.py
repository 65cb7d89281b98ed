"""`demo`: the whole thing on a clip made on the spot, with the result measured."""

from __future__ import annotations

import time
from pathlib import Path

import click

from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.cli.options import Command
from waterz_spool.errors import UsageError


@click.command("demo", cls=Command, examples="waterz-spool demo\nwaterz-spool demo /tmp/demo")
@click.argument("folder", type=click.Path(path_type=Path), default="demo")
@shared_options
def demo_command(settings: Settings, folder: Path) -> None:
    """Show it on a clip made on the spot, with the result measured.

    A clip with a burnt-in logo is made; two workers find and remove the logo, which takes about a minute.
    """
    from waterz_spool.intake.spools import open_or_create
    from waterz_spool.intake.submit import Order, submit
    from waterz_spool.launch.follow import run_local
    from waterz_spool.launch.local import LocalWorkers
    from waterz_spool.report.ending import result_path
    from waterz_spool.tools import demo

    if folder.exists() and not (folder / "demo.mp4").exists() and any(folder.iterdir()):
        raise UsageError("the folder holds other things", where=str(folder), todo="name a new folder")
    begun = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    clip = demo.make_clip(folder)
    config = settings.config({"plan": {"segment_s": 2.0}, "output": {"overwrite": True}})
    spool = open_or_create(folder / "spool", config)
    job = submit(spool, clip.video, Order(), config)
    run_local(job, LocalWorkers(spool.root, [job.id], threads=1), 2, settings.progress())
    result = result_path(job)
    assert result is not None
    before, after = demo.read_frames(clip.video), demo.read_frames(result)
    picture = folder / "before-after.png"
    demo.before_after(picture, before[len(before) // 2], after[len(after) // 2])
    facts = {
        "input": str(clip.video),
        "result": str(result),
        "picture": str(picture),
        "psnr_before_db": round(demo.psnr_in_mask(before, clip.truth, clip.mask), 1),
        "psnr_after_db": round(demo.psnr_in_mask(after, clip.truth, clip.mask), 1),
        "seconds": round(time.monotonic() - begun),
    }
    settings.emit(facts, _TEXT.format(**facts))


_TEXT = """\
input    {input}
result   {result}
picture  {picture}
PSNR inside the logo, against the same clip without it: {psnr_before_db} dB before, {psnr_after_db} dB after
took     {seconds} s"""
