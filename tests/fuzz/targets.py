"""Every parser of what lies on disk, with sound inputs to start from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from waterz_spool import config
from waterz_spool.config import Config
from waterz_spool.intake.tracksfile import TrackLine, TracksFile, read_tracks, tracks_text
from waterz_spool.records import (
    CropSpec,
    EncodeSettings,
    FileRef,
    OverlayTrack,
    Plan,
    SegmentJob,
    SegmentSpec,
    VideoInfo,
)
from waterz_spool.spool.log import formats as f
from waterz_spool.spool.log.layout import parse_host_record
from waterz_spool.spool.log.states import allow, parse_control, parse_log, task_kind
from waterz_spool.stages.contract.payloads import plan_of, segment_job_of
from waterz_spool.stages.contract.request import JobRequest, decode_request, encode_request

WHERE = Path("fuzz")
WID = "0123456789abcdef01234567"
REF = FileRef(file="out.1.x.mkv", bytes=1, sha256="0" * 64)


@dataclass(frozen=True)
class Target:
    """A parser: it takes bytes or raises a WaterzError; ``seeds`` are what it takes."""

    parse: Callable[[bytes], object]
    seeds: list[bytes]


def record(kind: type, *seeds: msgspec.Struct) -> Target:
    def parse(data: bytes) -> object:
        found = f.decode(data, kind, WHERE)
        for value in numbers(found):
            assert math.isfinite(value)
        return found

    return Target(parse, [f.encode(seed) for seed in seeds])


def numbers(value: Any) -> list[float]:
    """All fractions in a record."""
    if isinstance(value, float):
        return [value]
    if isinstance(value, msgspec.Struct):
        return [x for name in value.__struct_fields__ for x in numbers(getattr(value, name))]
    return [x for each in value for x in numbers(each)] if isinstance(value, tuple | list) else []


def spool_file(data: bytes) -> object:
    found = f.decode_spool_file(data, WHERE)
    assert all(math.isfinite(value) and value > 0 for value in numbers(found.settings))
    return found


def names(data: bytes) -> object:
    """A listing of log/, control/ and hosts/, and all that is computed from it without reading anything."""
    listing = data.decode("utf-8", "surrogateescape").split("\n")
    view, control = parse_log(listing), parse_control(listing)
    list(view.unknown())
    control.unknown()
    assert control.paused in (True, False)
    for host in listing:
        parse_host_record(host)
    allowance = allow(f.Budget(), "00000", [(None, f.Budget())])
    return [task_kind(log, allowance, len) for log in view.tasks.values()]


def yaml_config(folder: Path) -> Callable[[bytes], object]:
    path = folder / "config.yaml"

    def parse(data: bytes) -> object:
        path.write_bytes(data)
        found = config.load(path)
        for section in config.sections():
            assert all(map(math.isfinite, numbers(getattr(found, section)))), section
        return config.to_yaml(found)

    return parse


def tracks(folder: Path) -> Callable[[bytes], object]:
    path = folder / "tracks.json"

    def parse(data: bytes) -> object:
        path.write_bytes(data)
        return read_tracks(path)

    return parse


def targets(folder: Path) -> dict[str, Target]:
    """All of them, by name."""
    source = f.SourceRef(file="v.mp4", bytes=9, sha256="0" * 64, mtime_ns=1)
    request = JobRequest(source_name="v.mp4", output="/out/v.mp4", boxes=((1, 2, 3, 4),), config=Config())
    raw = encode_request(request)
    job = f.JobFile(
        schema=1, id="job", name="v", submitted=1.5, uid=0, nonce="n", source=source, request=msgspec.Raw(raw)
    )
    info = VideoInfo(
        container="mp4",
        stream_index=0,
        codec="h264",
        pix_fmt="yuv420p",
        width=64,
        height=48,
        bits=8,
        time_base=(1, 25),
        average_rate=(25, 1),
        duration_s=1.0,
        frames_hint=None,
        rotation=0,
        sample_aspect=None,
        color_range=0,
        colorspace=2,
        color_primaries=2,
        color_trc=2,
        streams=(),
        chapters=0,
    )
    encode = EncodeSettings(codec="libx264", pix_fmt="yuv420p", options={"x264-params": "b=1"}, container="mp4")
    crop = CropSpec(box=(0, 0, 32, 32), hole=(8, 8, 16, 16), start=0, stop=5, context_start=0, context_stop=5)
    segment = SegmentSpec(index=0, start=0, stop=5, crops=(crop,))
    plan = Plan(
        video=info,
        encode=encode,
        pts=(0, 1, 2, 3, 4),
        last_duration=1,
        cuts=(2,),
        tracks=(OverlayTrack(start=0, stop=5, box=(8, 8, 16, 16)),),
        segments=(segment,),
        overlay_source="box",
    )
    work = SegmentJob(
        segment=segment,
        video=info,
        encode=encode,
        pts=plan.pts,
        engine="propagate",
        engine_options={},
        frames=REF,
        masks=REF,
    )
    line = TrackLine(start=0, stop=5, box=(1, 2, 3, 4), score=0.5, label="logo")
    found = TracksFile(schema=1, video="v.mp4", frames=9, size=(64, 48), detector="static", tracks=(line, line))
    end = f.EndRecord(kind="done", w=WID, n="n", task="00000", k=1, t=1.5, outs=(REF,), info=msgspec.Raw(b"{}"))
    listing = "00000.0\n00000.1\n00000.1.end\n00000.1.lost\nfinal.1\nplan.0\n1.ctl\n1.pause\ngrant.1\nh.1.quarantine"
    worker = f.WorkerRecord(w=WID, host="h", pid=1, boot="b", uid=0, tasks=("prep",), locked=True, started=1.5)
    return {
        "job.json": record(f.JobFile, job),
        "request": Target(decode_request, [raw]),
        "plan.0": record(f.PlanRecord, f.PlanRecord(segments=3, plan=REF, n="n")),
        "plan.json": Target(lambda data: plan_of(data, "fuzz"), [msgspec.json.encode(plan)]),
        "segment job": Target(lambda data: segment_job_of(data, "fuzz"), [msgspec.json.encode(work)]),
        "end": record(f.EndRecord, end, f.EndRecord(kind="failed", w=WID, n="n", why="no", rc=4)),
        "token": record(f.Token, f.Token(v=1, w=WID, n="n", host="h", pid=1, boot="b", slurm="c/1.0")),
        "commit": record(f.CommitRecord, f.CommitRecord(kind="publish", n="n", attempt=1)),
        "published": record(f.PublishedRecord, f.PublishedRecord(target="/o", path="/o", bytes=1, sha256="0", n="n")),
        "void": record(f.VoidRecord, f.VoidRecord(w=WID, n="n", why="gone")),
        "control": record(f.ControlRecord, f.ControlRecord(verb="pause", host="h", uid=0, t=1.5, n="n")),
        "grant": record(f.GrantRecord, f.GrantRecord(task="00000", extra=f.Budget(), n="n")),
        "worker": record(f.WorkerRecord, worker),
        "beat": record(f.Beat, f.Beat(beat=1, progress=2, job="job", task="prep", k=1, fraction=0.5)),
        "spool.json": Target(spool_file, [f.encode(f.SpoolFile(version=1, uuid="u", settings=f.SpoolSettings()))]),
        "names": Target(names, [listing.encode()]),
        "tracks.json": Target(tracks(folder), [tracks_text(found).encode()]),
        "config": Target(yaml_config(folder), [config.to_yaml(Config()).encode(), b"encode:\n  options: {a: b}\n"]),
    }
