"""A worker process for storms: ``stormworker.py KIND ROOT SEGMENTS WORK_S HOST``; it dies with its parent.

What it notes down for the storm goes into the folder STORM_SIDE, in files of its own (STORM_NAME).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from spooltoy import work

PR_SET_PDEATHSIG = 1
SIDE, NAME = Path(os.environ["STORM_SIDE"]), os.environ["STORM_NAME"]


def slow_writer(work_s: float):
    busy = SIDE / f"busy.{NAME}"

    def write(path: Path, data: bytes) -> None:
        """Like an encoder: truncates first, then writes piece by piece."""
        pieces = 5
        busy.touch()
        with path.open("wb") as file:
            for number in range(pieces):
                time.sleep(work_s / pieces)
                if number == 2 and os.environ.get("DIE_IN_OUTPUT", "nowhere:") in str(path):
                    os.kill(os.getpid(), signal.SIGKILL)
                start, stop = (len(data) * number // pieces, len(data) * (number + 1) // pieces)
                file.write(data[start:stop])
                file.flush()
        busy.unlink()

    return write


def journal(line: str) -> None:
    """One write: a whole line."""
    fd = os.open(SIDE / f"journal.{NAME}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, f"{line}\n".encode())
    os.close(fd)


def started(root: Path, host: str):
    """A session; whoever starts workers tries again when the file server is away, and so does this."""
    from waterz_spool.spool import Session, Spool

    for attempt in range(30):
        try:
            session = Session(Spool.open(root), host=host)
            session.start()
            return session
        except OSError:
            if attempt == 29:
                raise
            time.sleep(1)
    raise AssertionError


def run_spool(root: Path, segments: int, work_s: float, host: str) -> None:
    from waterz_spool.spool import label

    with contextlib.closing(started(root, host)) as session:
        while True:
            claim = session.next()
            if claim is None:
                for job in session.unpublished():
                    with contextlib.suppress(OSError):  # the next look tries again
                        job.publish(Path(os.environ.get("RESULT", root.parent / "result.bin")))
                if session.drained():
                    return
                time.sleep(session.idle_s())
                continue
            try:
                won = work(claim, segments, slow_writer(work_s), Path.read_bytes)
            except OSError as error:
                if not claim.ended:
                    claim.released(str(error))
                continue
            if won:
                journal(f"{claim.job.id}/{label(claim.task)}")


def run_submit(root: Path, segments: int, work_s: float, host: str) -> None:
    from waterz_spool.spool import Spool

    Spool.open(root).submit(b"{}", source=root.parent / "v.mp4", job_id="job")


def run_naive(root: Path, segments: int, work_s: float, host: str) -> None:
    from naive import NaiveSpool

    NaiveSpool(root, segments).run(slow_writer(work_s), journal)


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    kind, root, segments, work_s, host = sys.argv[1:]
    {"spool": run_spool, "submit": run_submit, "naive": run_naive}[kind](Path(root), int(segments), float(work_s), host)
