"""Toy stages: no video, deterministic bytes, the same steps in the same order as the real ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from waterz_spool.spool import FINAL, PREP, Claim, Job

Write = Callable[[Path, bytes], None]
Read = Callable[[Path], bytes]

OUT_BYTES = 2000


def segment_bytes(index: int, payload: bytes) -> bytes:
    """What a segment's output must be."""
    seed = hashlib.sha256(payload + b"/%d" % index).digest()
    return (seed * (OUT_BYTES // len(seed) + 1))[: OUT_BYTES + index % 7]


def payload_of(index: int) -> bytes:
    return msgspec.json.encode({"segment": index})


def expected(segments: int) -> bytes:
    """What the result must be, whatever happened."""
    return b"".join(segment_bytes(index, payload_of(index)) for index in range(segments))


def prepare(claim: Claim, segments: int) -> None:
    plan = msgspec.json.decode(claim.job.put_plan(msgspec.json.encode({"segments": segments}), segments))
    for index in range(plan["segments"]):
        claim.job.put_segment(index, payload_of(index))


def work(claim: Claim, segments: int, write: Write, read: Read) -> bool | None:
    """Do a claim's work and record it; None when final found damage and handed back."""
    if claim.task == PREP:
        prepare(claim, segments)
        return claim.done()
    if claim.task == FINAL:
        results = claim.checked_results()
        if results is None:
            return None
        layout = claim.job.layout
        data = b"".join(read(layout.output_file(i, end.outs[0].file)) for i, end in sorted(results.items()))
        path = claim.output(".bin")
        write(path, data)
        return claim.done([path], b'{"ok":true}')
    assert isinstance(claim.task, int)
    path = claim.output(".bin")
    write(path, segment_bytes(claim.task, claim.payload()))
    return claim.done([path])


def write_file(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)


def result_of(job: Job, read: Read) -> bytes:
    """The bytes that final's outcome names."""
    end = job.log.end(FINAL, job.snapshot().task(FINAL).done)
    assert end is not None
    return read(job.layout.output_file(FINAL, end.outs[0].file))
