"""`verify` finds each thing that must never be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from spoolscene import Scene

from waterz_spool.spool import FileOps, Job, Spool
from waterz_spool.spool.log.formats import CommitRecord, EndRecord, encode


def put(job: Job, name: str, data: bytes) -> None:
    (job.layout.log / name).unlink(missing_ok=True)
    (job.layout.log / name).write_bytes(data)


def token(job: Job) -> bytes:
    return (job.layout.log / "00000.1").read_bytes()


def end(kind: str, task: str = "", k: int = 0) -> bytes:
    return encode(EndRecord(kind=kind, w="w", n="n", task=task, k=k))


def second_done(job: Job) -> None:
    put(job, "00000.2", token(job))
    put(job, "00000.2.end", end("done"))


def early_final(job: Job) -> None:
    put(job, "00001.1.end", end("lost"))
    put(job, "00001.1.done", end("lost"))
    (job.layout.log / "00001.1.done").unlink()


def other_plan(job: Job) -> None:
    (job.layout.root / job.log.plan().plan.file).write_bytes(b"{}")  # type: ignore[union-attr]


def output_gone(job: Job) -> None:
    (job.layout.segment(0) / job.log.end(0, 1).outs[0].file).unlink()  # type: ignore[union-attr]


def void_of_nothing(job: Job) -> None:
    early_final(job)
    put(job, "00001.1.void", b"{}")


def wrong_commit(job: Job) -> None:
    put(job, "commit.end", encode(CommitRecord(kind="publish", n="n", attempt=9)))


def stuck(job: Job) -> None:
    for path in job.layout.log.iterdir():
        if not path.name.startswith(("prep", "plan")):
            path.unlink()


def put_shown(job: Job) -> None:
    job.layout.segment_job(0).unlink()
    job.layout.segment_job(0).write_bytes(b"{}")


CASES: dict[str, tuple[str, Callable[[Job], object]]] = {
    "done twice": ("I1", second_done),
    "final before a segment": ("I2", early_final),
    "wrong commit": ("I3", wrong_commit),
    "output gone": ("I4", output_gone),
    "plan changed": ("I4", other_plan),
    "stuck": ("I5", stuck),
    "attempt after done": ("I6", lambda job: put(job, "00000.2", token(job))),
    "attempt after nothing": ("I6", lambda job: put(job, "00000.3", token(job))),
    "claim removed": ("I6", lambda job: (job.layout.log / "00000.1").unlink()),
    "unready segment": ("I6", lambda job: (job.layout.log / "00000.0").unlink()),
    "beyond the plan": ("I6", lambda job: put(job, "00009.0", b"{}")),
    "marker lies": ("I7", lambda job: put(job, "00000.1.lost", end("lost"))),
    "outcome of another": ("I7", lambda job: put(job, "00000.1.end", end("done", "00001", 1))),
    "damaged claim": ("I7", lambda job: put(job, "00000.1", b"{")),
    "damaged outcome": ("I7", lambda job: put(job, "00000.1.end", b"{")),
    "unknown name": ("I7", lambda job: put(job, "00000.1.fine", b"{}")),
    "void of nothing": ("I7", void_of_nothing),
    "job shown differs": ("I7", put_shown),
}


@pytest.mark.parametrize("case", CASES)
def test_verify_names_the_violation(scene: Scene, case: str) -> None:
    job = scene.submit()
    scene.drain(scene.session())
    assert job.verify() == []
    code, breaks = CASES[case]
    if case == "stuck":
        (job.layout.log / "commit.end").unlink()
    breaks(job)
    assert code in {found.code for found in scene.spool.__class__.open(scene.spool.root).by_id("job").verify()}


def test_verify_changes_nothing_and_reads_again_each_time(scene: Scene) -> None:
    job = scene.submit()
    scene.drain(scene.session())
    before = sorted(os.walk(job.path))
    assert job.verify() == []
    assert job.verify(deep=False) == []
    assert sorted(os.walk(job.path)) == before
    path = next(job.layout.segment(1).glob("out*"))
    data = bytearray(Path(path).read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    assert job.verify(deep=False) == []
    assert [found.code for found in job.verify()] == ["I4"]


class RemembersAbsence(FileOps):
    """An NFS client that looked for the result before it was there: until it lists the folder."""

    def __init__(self) -> None:
        self.listed: list[Path] = []

    def listdir(self, folder: Path) -> list[str]:
        self.listed.append(folder)
        return super().listdir(folder)

    def digest(self, path: Path) -> tuple[int, str]:
        if path.parent.name == "out" and path.parent not in self.listed:
            raise FileNotFoundError(path)
        return super().digest(path)


def test_a_remembered_absence_is_no_violation(scene: Scene) -> None:
    scene.submit()
    scene.drain(scene.session())
    (scene.folder / "out").mkdir()
    job = Spool.open(scene.spool.root, ops=RemembersAbsence()).by_id("job")
    scene.spool.by_id("job").publish(scene.folder / "out" / "x.bin")
    assert job.verify() == []
    (scene.folder / "out" / "x.bin").unlink()
    assert [found.code for found in job.verify()] == ["I3"]
