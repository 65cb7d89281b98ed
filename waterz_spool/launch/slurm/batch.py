"""The batch file of workers for people who would rather call sbatch themselves: plain lines, nothing of submitit."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator

from waterz_spool.launch.slurm.arrays import SRUN_CPUS, Order, job_name, signal_s, time_limit_s


def script(order: Order, count: int) -> str:
    """A batch file that sbatch takes as it is: ``count`` workers that drain the spool and are queued again if stopped.

    Args:
        order: The spool, the site's settings, and further arguments of sbatch, which become lines of the file.
        count: Workers; more than one become an array.

    Raises:
        UsageError: The configured time limit is none.
    """
    return "\n".join(["#!/bin/bash", *_about(order, count), *_directives(order, count), "", *_body(order), ""])


def _about(order: Order, count: int) -> Iterator[str]:
    what = "One worker" if count == 1 else f"{count} workers"
    yield f"# {what} for {shlex.quote(str(order.spool.root))}; submit this file with sbatch, as often as you like."
    yield "# Each takes what is open and leaves when nothing is left."


def _directives(order: Order, count: int) -> Iterator[str]:
    """The lines for sbatch; those of the command line come last, as the last one holds."""
    slurm, several = order.slurm, max(1, order.gpus)
    limit = f"%{slurm.array_parallelism}" if slurm.array_parallelism else ""
    options = {
        "job-name": job_name(order.spool),
        "array": f"0-{count - 1}{limit}" if count > 1 else "",
        "output": "%x-%A_%a.log" if count > 1 else "%x-%j.log",
        "open-mode": "append",
        "time": slurm.time,
        "partition": slurm.partition,
        "account": slurm.account,
        "qos": slurm.qos,
        "mem": slurm.mem,
        "cpus-per-task": str(slurm.cpus or ""),
        "gres": slurm.gres,
        "constraint": slurm.constraint,
        "ntasks-per-node": str(several) if several > 1 else "",
        # B: is the batch shell itself, which exec replaces by the worker; srun hands a warning on by itself.
        "signal": f"{'B:' if several == 1 else ''}USR1@{signal_s(order, time_limit_s(slurm.time))}",
    }
    yield from (f"#SBATCH --{name}={shlex.quote(value)}" for name, value in options.items() if value)
    yield "#SBATCH --requeue"
    if order.arguments:
        yield f"#SBATCH {shlex.join(order.arguments)}"


def _body(order: Order) -> Iterator[str]:
    yield SRUN_CPUS
    yield from order.slurm.setup
    python = order.slurm.python or shlex.quote(sys.executable)
    launcher = "srun --open-mode=append --gpus-per-task=1 " if order.gpus > 1 else ""
    yield f"exec {launcher}{python} -u -m waterz_spool {shlex.join(order.worker)}"
