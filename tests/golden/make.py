"""Makes the golden spools; run it with the code of the version whose records are to be kept: ``make.py FOLDER``.

Each is a tar file, because hard links, empty folders and times belong to what is kept. The paths in it begin with
``/golden``; the test puts its own folder in their place.
"""

from __future__ import annotations

import io
import os
import socket
import sys
import tarfile
import tempfile
from pathlib import Path
from unittest import mock

import av
import numpy as np

from waterz_spool.__main__ import main
from waterz_spool.spool import Session, Spool
from waterz_spool.stages.loop.worker import Limits, StopFlag, Worker

HOST = "golden"
SUBMIT = (*("--box", "16,8,8,8"), *("--engine", "membrane"), *("--segment-s", "0.8"), "--lossless")


def cli(root: Path, *arguments: str) -> None:
    """The command line, in this process."""
    environment = {"XDG_STATE_HOME": str(root / "state"), "HOME": str(root)}
    with mock.patch.dict(os.environ, environment), mock.patch.object(socket, "gethostname", lambda: HOST):
        try:
            main(list(arguments))
        except SystemExit as ended:
            assert not ended.code, (arguments, ended.code)


def clip_of(path: Path) -> Path:
    """A plain picture that grows brighter from the left, with a white box: little to store."""
    frame = np.repeat(np.arange(0, 128, 4, np.uint8)[None], 36, 0)
    frame[8:16, 16:24] = 255
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "18", "g": "20"})
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for _ in range(60):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "yuv420p")))
        out.mux(stream.encode(None))
    return path


def submitted(root: Path) -> Spool:
    """A spool with one job of a tiny clip; paused and resumed, so that control/ holds something."""
    clip = clip_of(root / "clip.mp4")
    spool = ("--spool", str(root / "spool"))
    cli(root, "submit", str(clip), *SUBMIT, "-o", str(root / "clean.mp4"), *spool)
    cli(root, "pause", "last", *spool)
    cli(root, "resume", "last", *spool)
    return Spool.open(root / "spool")


def work(spool: Spool, max_segments: int | None = None) -> None:
    """One worker until nothing is left, or so many segments are done."""
    with Session(spool, host=HOST, threads=False) as session:
        Worker(session, StopFlag(), Limits(max_segments=max_segments)).work_off()


def pack(root: Path, target: Path) -> None:
    """Everything under a folder, its own path spelled ``/golden``."""
    with tarfile.open(target, "w:xz") as tar:
        for path in sorted([*(root / "spool").rglob("*"), *root.glob("clean*")]):
            info = tar.gettarinfo(path, str(path.relative_to(root)))
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            data = path.read_bytes().replace(str(root).encode(), b"/golden") if info.isreg() else b""
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def make(folder: Path) -> None:
    """Both of them."""
    for name, segments in (("finished", None), ("begun", 1)):
        with tempfile.TemporaryDirectory() as temp:
            spool = submitted(Path(temp))
            work(spool, segments)
            pack(Path(temp), folder / f"{name}.tar.xz")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
