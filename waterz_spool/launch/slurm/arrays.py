"""Workers as Slurm array jobs: an array of N workers, never one task per segment.

submitit writes and submits the batch file; after that nothing depends on it, nor on Slurm's accounting: workers are
array tasks that know the spool, and where a job stands is read from the spool. Limit: which tasks are queued or
running is what squeue says at that moment; it is used to launch and to cancel, never to decide about a segment.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from waterz_spool.config import SlurmConfig
from waterz_spool.errors import SetupError, UsageError
from waterz_spool.launch.slurm.allocation import parse_time_s
from waterz_spool.launch.slurm.commands import SlurmError, ask, find
from waterz_spool.launch.slurm.task import ArrayTask
from waterz_spool.spool import Spool

SBATCH_TIMEOUT_S = 120
_SIGNAL_SHARE = 0.1
_REQUEUES = 1_000_000  # submitit counts preemptions as timeouts and would stop at three
_OURS = ("--array", "-a", "--wrap")
_LIMITS = re.compile(r"MaxSubmit|submit limit|SubmitJobLimit|accounting/QOS policy", re.IGNORECASE)
_GPUS = re.compile(r"(?:^|[,=\s])gpu(?::[A-Za-z][\w.-]*)?(?::(\d+))?(?=$|[,(])")


class Array(msgspec.Struct, frozen=True):
    """An array of workers as submitted; a single worker is a job without array."""

    id: str
    workers: int

    def __str__(self) -> str:
        return f"array {self.id}_[0-{self.workers - 1}]" if self.workers > 1 else f"job {self.id}"


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's array task as squeue shows it."""

    job: str  # 771204_3, or 771204 without array
    state: str
    node: str
    left_s: float | None
    reason: str

    @property
    def begun(self) -> bool:
        """Whether it runs, or has run and waits until Slurm lets it begin again."""
        return self.state != "PENDING" or self.reason == "BeginTime"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to launch.

    Attributes:
        spool: The workers' spool.
        slurm: Resources and site settings.
        config_file: Configuration to hand on, if any.
        jobs: Work on these jobs only; all when empty.
        drain: End when nothing is left, instead of waiting for new jobs until the idle timeout.
        sbatch: Further arguments of sbatch, passed as they are.
    """

    spool: Spool
    slurm: SlurmConfig
    config_file: Path | None = None
    jobs: tuple[str, ...] = ()
    drain: bool = False
    sbatch: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for argument in (*self.slurm.extra, *self.sbatch):
            if argument.split("=")[0] in _OURS or re.match(r"-a\d", argument):
                raise UsageError(
                    "the array is the number of workers", where=f"sbatch {argument}", todo="give --slurm N instead"
                )

    @property
    def worker(self) -> tuple[str, ...]:
        """Arguments of `waterz-spool` in each array task."""
        options = ["--spool", str(self.spool.root)]
        options += ["--config", str(self.config_file.absolute())] if self.config_file else []
        jobs = [part for job in self.jobs for part in ("--job", job)]
        limits = ["--requeue", "--idle-timeout", f"{self.slurm.idle_timeout_s:g}"]
        return (*options, "worker", *(["--drain"] if self.drain else []), *limits, *jobs)

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of sbatch beside the batch file, unchanged: they beat the file and the environment."""
        return (*self.slurm.extra, *self.sbatch)

    @property
    def gpus(self) -> int:
        """GPUs of one array task: as many workers run in it, one on each."""
        texts = [self.slurm.gres, *_values(self.arguments, "--gres")]
        texts += [f"gpu:{text.rpartition(':')[2]}" for text in _values(self.arguments, "--gpus-per-node")]
        counts = [int(match[1] or 1) for text in texts if (match := _GPUS.search(text))]
        return counts[-1] if counts else 0


def launch(order: Order, count: int) -> list[Array]:
    """Submit ``count`` workers, in as many arrays as the cluster's MaxArraySize asks for.

    Returns:
        The arrays; together fewer workers than asked for where the site's limit on submitted jobs is reached.

    Raises:
        SlurmError: Slurm took none.
    """
    return split(count, max_array_size(), lambda size: _submit(order, size))


def split(count: int, largest: int, submit: Callable[[int], str]) -> list[Array]:
    """Submit arrays of at most ``largest`` workers until there are ``count`` or the site's limits are reached.

    Args:
        count: Workers in all.
        largest: Tasks that one array may have.
        submit: Submits an array of a size and returns its id; raises SlurmError.
    """
    arrays: list[Array] = []
    left, size = count, max(1, largest)
    while left:
        size = min(size, left)
        try:
            arrays.append(Array(submit(size), size))
            left -= size
        except SlurmError as error:
            if not _LIMITS.search(str(error)) or (size == 1 and not arrays):
                raise
            if size == 1:
                break
            size //= 2
    return arrays


def max_array_size() -> int:
    """How many tasks an array may have here."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"), re.MULTILINE)
    return max(1, int(match[1])) if match else 1


def queued(spool: Spool, slurm: SlurmConfig, *, timeout_s: float = 30.0) -> list[Queued]:
    """This user's array tasks for this spool that are pending or running, by one squeue of at most ``timeout_s``.

    Raises:
        SlurmError: Slurm does not answer: then nothing is known.
    """
    folder = folder_of(spool, slurm)
    ids = {path.name.partition("_")[0] for path in folder.glob("*_submission.sh")} if folder.is_dir() else set()
    lines = ask("squeue", "-h", "--me", "-r", "-o", "%F|%K|%T|%N|%L|%j|%r", timeout_s=timeout_s).splitlines()
    rows = [line.split("|", 6) for line in lines if line.count("|") >= 6]
    return [
        Queued(
            job=f"{array}_{index}" if index.isdecimal() else array,
            state=state,
            node=node,
            left_s=parse_time_s(left),
            reason=reason,
        )
        for array, index, state, node, left, name, reason in rows
        if array in ids or name == job_name(spool)
    ]


def cancel(tasks: Sequence[Queued]) -> None:
    """Cancel array tasks; workers that run hand their claims back first."""
    for start in range(0, len(tasks), 500):
        with contextlib.suppress(SlurmError):  # tasks that have ended meanwhile are an error of scancel
            ask("scancel", *(task.job for task in tasks[start : start + 500]))


def job_name(spool: Spool) -> str:
    """The name under which workers of this spool stand in squeue."""
    return f"waterz-{spool.uuid[:8]}"


def folder_of(spool: Spool, slurm: SlurmConfig) -> Path:
    """Where submitit keeps its files for this spool."""
    state = Path(os.environ.get("XDG_STATE_HOME", "") or Path.home() / ".local" / "state")
    base = Path(slurm.folder).expanduser() if slurm.folder else state / "waterz-spool-slurm"
    return base.absolute() / spool.uuid[:8]


def _folder(order: Order) -> Path:
    """The same, made, and checked to be private: whoever can write there runs code as this user.

    Raises:
        SetupError: It belongs to somebody else, others may use it, or it lies in the spool.
    """
    folder = folder_of(order.spool, order.slurm)
    todo = "give slurm.folder a private place that the nodes can read"
    if folder.resolve().is_relative_to(order.spool.root.resolve()):
        raise SetupError("submitit's folder must not lie in the spool", where=str(folder), todo=todo)
    for path in (folder.parent, folder):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise SetupError("submitit's folder is not private to you", where=str(folder), todo=f"chmod 700, or {todo}")
    return folder


def _submit(order: Order, size: int) -> str:
    """Submit one array; its id."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    said = io.StringIO()
    folder = _folder(order)
    try:
        with _sbatch_with(order.arguments, folder), contextlib.redirect_stderr(said):
            executor = _executor(order, folder)
            with executor.batch():
                jobs = [executor.submit(ArrayTask(), *order.worker) for _ in range(size)]
    except (FailedJobError, FailedSubmissionError) as error:
        reason = " ".join((str(error) or said.getvalue() or "no reason given").split())
        raise SlurmError(f"sbatch refused: {reason}", where=shlex.join(("sbatch", *order.arguments))) from error
    return str(jobs[0].job_id).partition("_")[0]


def _executor(order: Order, folder: Path) -> Any:
    import submitit

    slurm = order.slurm
    find("srun")
    options = {"slurm_python": slurm.python} if slurm.python else {}
    executor = submitit.AutoExecutor(folder=folder, cluster="slurm", slurm_max_num_timeout=_REQUEUES, **options)
    limit_s = time_limit_s(slurm.time)
    workers = max(1, order.gpus)
    executor.update_parameters(
        name=job_name(order.spool),
        timeout_min=max(1, round(limit_s / 60)),
        tasks_per_node=workers,
        cpus_per_task=slurm.cpus or None,
        slurm_partition=slurm.partition or None,
        slurm_account=slurm.account or None,
        slurm_qos=slurm.qos or None,
        slurm_gres=slurm.gres or None,
        slurm_constraint=slurm.constraint or None,
        slurm_array_parallelism=slurm.array_parallelism or 100_000,
        slurm_signal_delay_s=signal_s(order, limit_s),
        slurm_setup=[SRUN_CPUS, *slurm.setup],
        slurm_srun_args=["--open-mode=append", *(["--gpus-per-task=1"] if workers > 1 else [])],
        slurm_additional_parameters={
            "requeue": True,
            "open-mode": "append",
            **({"mem": slurm.mem} if slurm.mem else {}),
        },
    )
    return executor


# From 22.05 on srun does not take this from sbatch by itself.
SRUN_CPUS = '[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"'


def signal_s(order: Order, limit_s: float) -> int:
    """Seconds of warning; more than the time limit would warn every worker at its start."""
    given = _values(order.arguments, "--time", "-t")
    shortest_s = time_limit_s(given[-1]) if given else limit_s
    return max(1, min(order.slurm.signal_s, int(shortest_s * _SIGNAL_SHARE)))


def _values(arguments: tuple[str, ...], *names: str) -> list[str]:
    """Values of an option among sbatch's arguments, in each of its spellings."""
    found = []
    for position, argument in enumerate(arguments):
        name, sign, value = argument.partition("=")
        if argument in names and position + 1 < len(arguments):
            found.append(arguments[position + 1])
        elif name in names and sign:
            found.append(value)
        elif not argument.startswith("--") and argument[:2] in names and len(argument) > 2:
            found.append(argument[2:])
    return found


def time_limit_s(text: str) -> float:
    """Seconds of a time limit in sbatch's spelling: minutes, m:s, h:m:s, d-h, d-h:m, d-h:m:s.

    Raises:
        UsageError: It is none of these.
    """
    match = re.fullmatch(r"(?:(\d+)-(\d+)(?::(\d+))?(?::(\d+))?|(\d+)|(\d+):(\d+)|(\d+):(\d+):(\d+))", text.strip())
    if match is None:
        raise UsageError("not a time limit", where=text, todo="for example 90, 01:30:00 or 1-12:00:00")
    d, dh, dm, ds, minutes, m, s, h, hm, hs = (int(group or 0) for group in match.groups())
    return float(d * 86400 + (dh + h) * 3600 + (dm + minutes + m + hm) * 60 + ds + s + hs)


@contextlib.contextmanager
def _sbatch_with(arguments: tuple[str, ...], folder: Path) -> Iterator[None]:
    """Let submitit's call of sbatch carry further arguments, by absolute path and with a time limit.

    submitit names sbatch by its bare name and passes the file alone, so for the time of the call the first sbatch on
    the path is a two-line script. Jobs inherit the path, so the script puts the old one back.
    """
    before = os.environ.get("PATH", "")
    with tempfile.TemporaryDirectory(prefix="sbatch-", dir=folder) as place:
        shim = Path(place) / "sbatch"
        command = ["timeout", str(SBATCH_TIMEOUT_S), find("sbatch"), *arguments]
        shim.write_text(f'#!/bin/sh\nPATH={shlex.quote(before)} exec {shlex.join(command)} "$@"\n', encoding="utf-8")
        shim.chmod(0o700)
        os.environ["PATH"] = f"{place}{os.pathsep}{before}"
        try:
            yield
        finally:
            os.environ["PATH"] = before
