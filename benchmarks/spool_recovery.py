"""How soon work goes on after a worker is killed, and how soon it is handed back after a signal.

    python benchmarks/spool_recovery.py               (this machine)
    python benchmarks/spool_recovery.py --nfs         (two kernels on NFS; needs root, see tests/infra)

Kills: one worker holds the only segment, another one has nothing to do; the first is killed (-9). Measured from the
kill to the moment when the other's claim stands in the server's own folder. Signals: real workers restore a real video
and are told to end by SIGTERM or SIGUSR2; measured to the moment when the released outcome stands there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "spool")]

from waterz_spool.spool import Session, Spool, SpoolSettings  # noqa: E402

SETTINGS = {
    "one machine, locks of this host (the default)": SpoolSettings(),
    "one machine, no locks believed": SpoolSettings(lease_s=5, locks="off"),
}
NFS_SETTINGS = {
    "NFS, two kernels, locks verified": SpoolSettings(beat_s=30, lease_s=180, poll_s=2, idle_s=30, locks="shared"),
    "NFS, two kernels, no locks believed": SpoolSettings(beat_s=2, lease_s=12, poll_s=1, idle_s=4, locks="off"),
}


@dataclass(frozen=True)
class Place:
    """A spool's folder as the two workers see it, and as the server does."""

    seen: Path
    truth: Path
    start: Callable[[int, list[str]], Any]  # which machine, command -> something with signal() and wait()


# ---- the worker under test: takes a segment and keeps it


def hold(root: Path, host: str) -> None:
    with Session(Spool.open(root), tasks=["segment"], host=host) as session:
        while True:
            claim = session.next()
            time.sleep(1e6 if claim else session.idle_s())


# ---- kills


def after_kills(settings: SpoolSettings, place: Place, times: int) -> list[float]:
    """Seconds from each kill to the next claim."""
    found = []
    for number in range(times):
        name = f"spool-{settings.locks}-{settings.beat_s:g}-{number}"
        job = prepared(place.truth / name, settings)
        command = [sys.executable, str(HERE), "--hold", str(place.seen / name)]
        with ExitStack() as stack:
            victim = stack.enter_context(running(place, 0, [*command, "first"]))
            appears(job.layout.log / "00000.1")
            stack.enter_context(running(place, 1, [*command, "second"]))
            time.sleep(random.uniform(1.5, 2.5) * max(settings.poll_s, 1.0) * 2)  # it has seen the claim, and waits
            began = time.monotonic()
            victim.signal(signal.SIGKILL)
            found.append(appears(job.layout.log / "00000.2") - began)
    return found


def prepared(root: Path, settings: SpoolSettings) -> Any:
    """A job with one segment, ready."""
    root.parent.mkdir(exist_ok=True)
    (root.parent / "v.mp4").write_bytes(b"not looked at")
    spool = Spool.create(root, settings)
    job = spool.submit(b"{}", source=root.parent / "v.mp4", job_id="job")
    with Session(spool, tasks=["prep"]) as session:
        claim = session.next()
        assert claim is not None
        job.put_plan(b"{}", 1)
        job.put_segment(0, b"{}")
        claim.done()
    return job


@contextmanager
def running(place: Place, machine: int, command: list[str]) -> Iterator[Any]:
    process = place.start(machine, command)
    try:
        yield process
    finally:
        process.signal(signal.SIGKILL)
        process.wait()


def appears(path: Path, limit_s: float = 300.0) -> float:
    """When a name stands in the server's folder."""
    end = time.monotonic() + limit_s
    while not any(found.name == path.name for found in path.parent.iterdir()):
        if time.monotonic() > end:
            raise TimeoutError(f"no {path}")
        time.sleep(0.01)
    return time.monotonic()


class Process(subprocess.Popen[bytes]):
    """A process of this machine in a group of its own."""

    def __init__(self, command: list[str]) -> None:
        super().__init__(command, start_new_session=True, env={**os.environ, "PYTHONPATH": str(ROOT)})

    def signal(self, number: int) -> None:
        if self.poll() is None:
            os.killpg(self.pid, number)


# ---- signals


def after_signals(folder: Path, times: int) -> dict[str, list[float]]:
    """Seconds from each signal to the released outcome, and to the end of the process."""
    import waterz_spool

    video = clip(folder / "clip.mp4")
    found: dict[str, list[float]] = {"handed back": [], "process ended": []}
    for number in range(times):
        root = folder / f"signals-{number}"
        job_id = waterz_spool.Spool(root).submit(video, boxes=[(500, 20, 120, 60)], output=folder / "out.mp4").id
        log = Spool.open(root).by_id(job_id).layout.log
        command = [sys.executable, "-m", "waterz_spool", "worker", "--quiet", "--threads", "1", "--spool", str(root)]
        worker = Process(command)
        appears(log / "00000.1")
        time.sleep(random.uniform(0.3, 3.0))
        began = time.monotonic()
        worker.signal(random.choice((signal.SIGTERM, signal.SIGUSR2)))
        released = appears(log / "00000.1.end")
        assert json.loads((log / "00000.1.end").read_bytes())["kind"] == "released"
        worker.wait()
        found["handed back"].append(released - began)
        found["process ended"].append(time.monotonic() - began)
    return found


def clip(path: Path) -> Path:
    """Ten seconds of 640x360 under a moving camera, with a rectangle burnt in."""
    import av
    import numpy as np

    coarse = np.random.default_rng(3).integers(0, 255, (60, 160, 3), np.uint8)
    picture = coarse.repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "18", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for index in range(240):
            frame = picture[40 : 40 + 360, 2 * index : 2 * index + 640].copy()
            frame[20:80, 500:620] = 230
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        container.mux(stream.encode(None))
    return path


# ---- the tables


def line(what: str, seconds: list[float], promised: str) -> None:
    middle = statistics.median(seconds)
    print(f"| {what} | {len(seconds)} | {middle:.2f} | {max(seconds):.2f} | {promised} |", flush=True)


def promise(settings: SpoolSettings) -> str:
    if settings.locks != "off":
        return "3 s"
    return f"lease {settings.lease_s:g} s + 2 polls of {settings.idle_s:g} s at most"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nfs", action="store_true")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--hold", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.hold:
        hold(Path(args.hold[0]), args.hold[1])
        return
    print("| | times | median s | longest s | promised |\n|---|---|---|---|---|")
    if args.nfs:
        from tests.infra.sharedfs.clients import Nfs

        with Nfs(2) as nfs:
            environment = {"PYTHONPATH": str(ROOT)}
            errors = nfs.side / "errors"
            place = Place(
                nfs.machines[0].folder,
                nfs.export,
                lambda machine, command: nfs.machines[machine].start(command, environment, errors),
            )
            for what, settings in NFS_SETTINGS.items():
                line(what, after_kills(settings, place, args.times), promise(settings))
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), Path(folder), lambda machine, command: Process(command))
        for what, settings in SETTINGS.items():
            line(what, after_kills(settings, place, args.times), promise(settings))
        for what, seconds in after_signals(Path(folder), args.times).items():
            line(f"SIGTERM or SIGUSR2 while restoring: {what}", seconds, "1 s and one window")


if __name__ == "__main__":
    main()
