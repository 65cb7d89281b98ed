"""Every option of the program with its default, unit and range; reading, checking and printing of config files.

Precedence: command line, then environment, then file, then default. The resolved configuration is stored in the job,
so that every worker, whenever and wherever it starts, uses the same one.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from waterz_spool.backends import DETECTORS, RESTORERS
from waterz_spool.configfile import read_file
from waterz_spool.errors import UsageError


def _opt(about: str, unit: str = "", names: Callable[[], tuple[str, ...]] = tuple, **limits: Any) -> Meta:
    return Meta(description=about, extra={"unit": unit, "names": names}, **limits)


def engines() -> tuple[str, ...]:
    """What ``restore.engine`` may be here."""
    return ("auto", *RESTORERS.names())


def detectors() -> tuple[str, ...]:
    """What ``detect.detector`` may be here; several detectors are joined by a plus sign."""
    return ("auto", *DETECTORS.names(), "none")


class SpoolConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The shared directory and how long a silent worker is believed."""

    dir: Annotated[str, _opt("shared directory; empty: WATERZ_SPOOL_DIR, else one in your state folder")] = ""
    lease_s: Annotated[
        float,
        _opt(
            "a worker silent this long loses its claim; 0: 20 on a local disk, 180 on a shared one",
            "s",
            ge=0,
            le=3600,
        ),
    ] = 0.0
    failed_budget: Annotated[int, _opt("failures of a segment before it is given up", "attempts", ge=1, le=100)] = 3
    lost_budget: Annotated[int, _opt("lost workers of a segment before it is given up", "attempts", ge=1, le=100)] = 6
    lost_hosts: Annotated[int, _opt("or this many different hosts lost on it", "hosts", ge=1, le=100)] = 3
    on_dead: Annotated[
        Literal["fail", "passthrough"],
        _opt("a segment that was given up fails the job, or passes through with the overlay left in"),
    ] = "fail"


class OutputConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the result goes."""

    template: Annotated[str, _opt("file, folder or template with {stem} and {ext}; relative to the input's folder")] = (
        "{stem}.clean.{ext}"
    )
    overwrite: Annotated[bool, _opt("replace an existing output file")] = False


class DetectConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Finding the overlay."""

    detector: Annotated[
        str,
        _opt(
            "used when neither box nor mask is given; auto: static, text if installed, yolo if there are weights; "
            "several: a+b",
            names=detectors,
        ),
    ] = "auto"
    dilation_px: Annotated[int, _opt("growth of detected masks", "px", ge=0, le=64)] = 3
    feather_px: Annotated[
        int, _opt("detected masks blend into the picture over this, within their growth", "px", ge=0, le=64)
    ] = 2
    weights: Annotated[
        str, _opt("your YOLO weights, at the same path on every machine that prepares; never inside the spool")
    ] = ""
    imgsz: Annotated[int, _opt("longer side of what the model sees", "px", ge=32, le=4096)] = 640
    conf: Annotated[float, _opt("confidence that makes an overlay", "", ge=0.01, le=0.99)] = 0.25
    classes: Annotated[list[str], _opt("names or numbers of the classes that count; empty: all")] = msgspec.field(
        default_factory=list
    )
    device: Annotated[str, _opt("where the model runs: auto, cpu, cuda:0")] = "auto"
    every: Annotated[
        int, _opt("look at every N-th frame, and by bisection where something changes", "frames", ge=1, le=300)
    ] = 1
    gap_frames: Annotated[int, _opt("longest gap in a track that is filled", "frames", ge=0, le=1000)] = 30
    fade_frames: Annotated[
        int, _opt("a track is prolonged by this on both sides, for fades", "frames", ge=0, le=300)
    ] = 4
    max_area: Annotated[float, _opt("largest share of the picture that is believed", "", ge=0.001, le=1)] = 0.25

    @property
    def named(self) -> tuple[str, ...]:
        """The detectors that ``detector`` names; none for auto and none."""
        return () if self.detector in ("auto", "none") else tuple(dict.fromkeys(self.detector.split("+")))


class PlanConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the video is cut into segments and crops."""

    segment_s: Annotated[
        float, _opt("target length of a segment, pauses not counted", "s of video", ge=0.2, le=600)
    ] = 10.0
    min_segment_frames: Annotated[int, _opt("shortest segment, except between two cuts", "frames", ge=1, le=1000)] = 10
    merge_gap_frames: Annotated[
        int, _opt("shorter spans without overlay stay in their segment", "frames", ge=0, le=1000)
    ] = 30
    context_frames: Annotated[
        int, _opt("extra frames read on both sides of a segment, never across a cut", "frames", ge=0, le=600)
    ] = 60
    margin_min_px: Annotated[int, _opt("least margin of a crop around its overlay", "px", ge=0, le=512)] = 32
    margin_max_px: Annotated[int, _opt("margin is half the overlay's short side, up to this", "px", ge=0, le=1024)] = 64
    clip_mib: Annotated[int, _opt("segments are shortened until the decoded crop fits", "MiB", ge=16, le=65536)] = 384
    scene_threshold: Annotated[
        float, _opt("content change that counts as a cut (scenedetect AdaptiveDetector)", "", ge=0.5, le=100)
    ] = 3.0


class RestoreConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filling the hidden pixels."""

    engine: Annotated[str, _opt("back end that fills hidden pixels", names=engines)] = "auto"
    texture: Annotated[
        Literal["auto", "off"],
        _opt("texture for what no frame shows on still shots; off: only what was seen, and smooth colour"),
    ] = "auto"
    weights_url: Annotated[
        str, _opt("where `models get` finds weight files by their names; empty: where their authors publish them")
    ] = ""
    torch_threads: Annotated[
        int, _opt("threads of a network on a CPU; fixed, because sums depend on it", "threads", ge=1, le=256)
    ] = 2


class EncodeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the result is encoded; the default is the source's codec family, depth, chroma and quality."""

    codec: Annotated[str, _opt("encoder name; empty: that of the source's codec family")] = ""
    crf: Annotated[
        Annotated[float, Meta(ge=0, le=63)] | None,
        _opt("constant rate factor of the encoder, 0 .. 63; null: as quality says"),
    ] = None
    quality: Annotated[
        Literal["source", "archive"],
        _opt("noise well under what the source's own coding left, as measured; or close to lossless, in large files"),
    ] = "source"
    preset: Annotated[str, _opt("encoder preset; empty: the default of this program for the codec")] = ""
    lossless: Annotated[bool, _opt("lossless encoding")] = False
    recode: Annotated[
        Literal["needed", "all"],
        _opt("frames without overlay keep their packets where these can be proven to fit, or are encoded again, too"),
    ] = "needed"
    drop_dynamic_hdr: Annotated[
        bool, _opt("go on without the Dolby Vision or HDR10+ metadata of every frame: what remains is HDR10 or HLG")
    ] = False
    threads: Annotated[
        int,
        _opt("encoder threads; fixed, so that output does not depend on the machine", "threads", ge=1, le=64),
    ] = 2
    options: Annotated[dict[str, str], _opt("further encoder options, name: value")] = msgspec.field(
        default_factory=dict
    )


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The loop that claims and works."""

    workers: Annotated[int, _opt("local workers of `run`; 0: one per GPU or two cores", "processes", ge=0, le=1024)] = 0
    idle_timeout_s: Annotated[float, _opt("an idle worker exits after this; 0: never", "s", ge=0, le=604800)] = 300.0
    finalize_by: Annotated[
        Literal["any", "watch"], _opt("who joins and publishes a finished job: any worker, or `watch` alone")
    ] = "any"
    restore_threads: Annotated[
        int,
        _opt("threads of a restorer; results do not depend on it; 0: cores / workers", "threads", ge=0, le=256),
    ] = 0


class SlurmConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Workers on a Slurm cluster; empty values leave the choice to the site."""

    partition: Annotated[str, _opt("partition, or several with commas")] = ""
    account: Annotated[str, _opt("account to charge")] = ""
    qos: Annotated[str, _opt("quality of service")] = ""
    time: Annotated[str, _opt("time limit of a worker: minutes, h:m:s or d-h:m:s")] = "01:00:00"
    mem: Annotated[str, _opt("memory of a worker's node share, for example 8G")] = ""
    cpus: Annotated[int, _opt("cores of a worker; 0: the site's default", "cores", ge=0, le=1024)] = 0
    gres: Annotated[str, _opt("for example gpu:1; with gpu:4 each array task runs four workers, one per GPU")] = ""
    constraint: Annotated[str, _opt("features that nodes must have")] = ""
    array_parallelism: Annotated[int, _opt("workers of an array that run at a time; 0: all", "", ge=0, le=100000)] = 0
    setup: Annotated[list[str], _opt("shell lines before the worker, for example module load")] = msgspec.field(
        default_factory=list
    )
    extra: Annotated[list[str], _opt("further arguments of sbatch, before those of the command line")] = msgspec.field(
        default_factory=list
    )
    python: Annotated[str, _opt("command that runs Python on a node; empty: the one that submits")] = ""
    folder: Annotated[str, _opt("private folder for submitit, shared with the nodes; empty: in your state folder")] = ""
    signal_s: Annotated[int, _opt("warning before the time limit, at most a tenth of it", "s", ge=1, le=3600)] = 120
    idle_timeout_s: Annotated[float, _opt("an idle Slurm worker exits after this; 0: never", "s", ge=0, le=604800)] = (
        600.0
    )
    min_workers: Annotated[int, _opt("scale: least workers while there is work", "workers", ge=0, le=100000)] = 0
    max_workers: Annotated[int, _opt("scale: most workers, ever", "workers", ge=0, le=100000)] = 16
    target_s: Annotated[float, _opt("scale: finish the backlog within this time", "s", ge=1, le=2592000)] = 1800.0
    segment_s: Annotated[float, _opt("scale: seconds per segment before any was measured", "s", ge=0.1, le=86400)] = (
        60.0
    )
    poll_s: Annotated[float, _opt("scale: time between looks", "s", ge=0.5, le=86400)] = 60.0


class InboxConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The watched folder."""

    poll_s: Annotated[float, _opt("time between looks", "s", ge=0.1, le=3600)] = 5.0
    settle_s: Annotated[
        float, _opt("a file is taken when unchanged this long, at three looks or more", "s", ge=0, le=3600)
    ] = 15.0


class IngestConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Videos that are submitted by their URL."""

    max_gib: Annotated[float, _opt("larger downloads are refused", "GiB", ge=0.001, le=1000000)] = 100.0


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All options."""

    spool: SpoolConfig = SpoolConfig()
    output: OutputConfig = OutputConfig()
    detect: DetectConfig = DetectConfig()
    plan: PlanConfig = PlanConfig()
    restore: RestoreConfig = RestoreConfig()
    encode: EncodeConfig = EncodeConfig()
    worker: WorkerConfig = WorkerConfig()
    inbox: InboxConfig = InboxConfig()
    ingest: IngestConfig = IngestConfig()
    slurm: SlurmConfig = SlurmConfig()


def sections() -> dict[str, type[msgspec.Struct]]:
    """The sections of a config file by name, in order."""
    hints = get_type_hints(Config)
    return {name: hints[name] for name in Config.__struct_fields__}


def load(
    path: Path | None = None, *, overrides: Mapping[str, Mapping[str, Any]] | None = None, origin: str = "options"
) -> Config:
    """The configuration from a file (else ``WATERZ_CONFIG``, else defaults) with overrides by section.

    Args:
        path: YAML file; None means the file that ``WATERZ_CONFIG`` names, if any.
        overrides: Values from elsewhere, ``{section: {key: value}}``; None values are ignored.
        origin: Where these come from: "command line" lets errors name the option, else they name the key.

    Raises:
        UsageError: Unreadable file, unknown key, wrong type or value out of range.
    """
    path = path or _environment_file()
    tree: dict[str, Any] = read_file(path, todo=_EXAMPLE) if path else {}
    if path:
        check(tree, where=str(path))  # before others join: an error must name who said it
    for section, values in (overrides or {}).items():
        given = {key: value for key, value in values.items() if value is not None}
        if given:
            tree[section] = {**(tree.get(section) or {}), **given}
    return check(tree, where=origin)


def check(tree: Mapping[str, Any], *, where: str) -> Config:
    """Build a configuration from plain data.

    Raises:
        UsageError: Unknown key (naming the nearest one), wrong type or value out of range.
    """
    known = sections()
    for section, values in tree.items():
        _known(section, list(known), where)
        if values is not None and not isinstance(values, dict):
            raise UsageError(f"config section {section!r} must hold keys and values", where=where, todo=_EXAMPLE)
        for key in values or {}:
            _known(key, list(known[section].__struct_fields__), where, prefix=f"{section}.")
    clean = {section: values for section, values in tree.items() if values is not None}
    try:
        config = msgspec.convert(clean, Config, strict=True)
    except msgspec.ValidationError as error:
        raise _bad_value(str(error), clean, where) from error
    _check_backends(config, clean, where)
    return config


def _check_backends(config: Config, tree: Mapping[str, Any], where: str) -> None:
    """Refuse restorers and detectors that are not installed; asked here, for a job may name what another host has."""
    if config.restore.engine != "auto" and not RESTORERS.has(config.restore.engine):
        raise _refused("restore", "engine", "no such restorer is installed", tree, where)
    if not all(map(DETECTORS.has, config.detect.named)):
        raise _refused("detect", "detector", "no such detector is installed", tree, where)


_EXAMPLE = "`waterz-spool config show --example` lists every key with its unit and range"
COMMAND_LINE = "command line"
_OPTIONS = {
    "idle_timeout_s": "idle-timeout",
    "restore_threads": "threads",
    "classes": "class",
    "options": "encoder-opt",
}


def _bad_value(said: str, tree: Mapping[str, Any], where: str) -> UsageError:
    """The error for a value of a wrong type or out of its range."""
    match = re.search(r"\$\.(\w+)\.(\w+)", said)
    if match is None or match[1] not in sections():
        return UsageError(f"bad config value: {said:.500}", where=where, todo=_EXAMPLE)
    why = said.partition(" - at")[0].replace("Expected", "expected").replace("`", "")[:200]
    return _refused(match[1], match[2], why, tree, where)


def _refused(section: str, key: str, why: str, tree: Mapping[str, Any], where: str) -> UsageError:
    """The error for a value: the key, the value, what it may be, and who gave it."""
    value = str((tree.get(section) or {}).get(key))[:100]
    about = _comment(get_type_hints(sections()[section], include_extras=True)[key])
    if where == COMMAND_LINE:
        where = f"--{_OPTIONS.get(key, key.replace('_', '-'))} {value}"
    return UsageError(f"{section}.{key} cannot be {value} ({why}); it is: {about}", where=where, todo=_EXAMPLE)


def _known(name: object, names: list[str], where: str, prefix: str = "") -> None:
    if name in names:
        return
    near = difflib.get_close_matches(str(name)[:100], names, n=1, cutoff=0.0)
    raise UsageError(
        f"unknown config key {prefix}{name!s:.100}",
        where=where,
        todo=f"did you mean {prefix}{near[0]}?" if near else "",
    )


def _environment_file() -> Path | None:
    name = os.environ.get("WATERZ_CONFIG", "")
    return Path(name) if name else None


def to_yaml(config: Config, *, comments: bool = False) -> str:
    """The configuration as YAML; with comments it is the text of ``config.example.yaml``."""
    lines = [_HEADER] if comments else []
    for section, kind in sections().items():
        if comments:
            lines.append(f"\n# {(kind.__doc__ or '').splitlines()[0]}")
        lines.append(f"{section}:")
        hints = get_type_hints(kind, include_extras=True)
        for key in kind.__struct_fields__:
            if comments:
                lines.append(f"  # {_comment(hints[key])}")
            lines.append(f"  {key}: {_scalar(getattr(getattr(config, section), key))}")
    return "\n".join(lines) + "\n"


_HEADER = "# Every option of waterz-spool with its default. Copy what you change; the rest may be left out."


def _comment(hint: Any) -> str:
    base, meta = get_args(hint)
    about = meta.description
    names = get_args(base) if get_origin(base) is Literal else meta.extra["names"]()
    if names:
        return f"{about}: {' | '.join(names)}"
    span = f"{meta.ge} .. {meta.le}" if meta.ge is not None else ""
    unit = meta.extra["unit"]
    facts = ", ".join(fact for fact in (unit, span) if fact)
    return f"{about} [{facts}]" if facts else about


def _scalar(value: Any) -> str:
    return msgspec.json.encode(value).decode()
