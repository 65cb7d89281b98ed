"""This process's place in Slurm: which job it is, how long it may run, and coming back after it was told to stop.

Guarantee: a worker that Slurm stops early, by preemption or at the end of its time, is in the queue again when it has
handed its claims back. Limit: Slurm must answer while it stops; where it does not, or gives no time at all, what
Slurm does by itself (``--requeue``) and the lease of the claim are what is left.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass

from waterz_spool.launch.slurm.commands import SlurmError, ask

log = logging.getLogger(__name__)

_TIME = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """One run of a Slurm job, or of one task of an array.

    Attributes:
        job: Its name in Slurm's commands: ``771204``, of an array task ``771204_3``.
        restarts: How often Slurm has restarted it.
        node: The node's name; several nodes may call themselves by one host name.
        cluster: The cluster's name.
        facts: What else others may want to know.
    """

    job: str
    restarts: int
    node: str
    cluster: str
    facts: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_this_process(cls, environment: Mapping[str, str] = os.environ) -> Allocation | None:
        """Where this process runs; None outside Slurm."""
        job, array = environment.get("SLURM_JOB_ID", ""), environment.get("SLURM_ARRAY_JOB_ID", "")
        if not job:
            return None
        named = {
            "partition": environment.get("SLURM_JOB_PARTITION", ""),
            "process": environment.get("SLURM_PROCID", ""),
            "gpus": environment.get("CUDA_VISIBLE_DEVICES", ""),
        }
        return cls(
            # Never the plain id of an array task: one task of each array has the array's own.
            job=f"{array}_{environment.get('SLURM_ARRAY_TASK_ID', '0')}" if array else job,
            restarts=_count(environment.get("SLURM_RESTART_COUNT", "")),
            node=environment.get("SLURMD_NODENAME", ""),
            cluster=environment.get("SLURM_CLUSTER_NAME", ""),
            facts=tuple((key, value) for key, value in named.items() if value),
        )

    @property
    def label(self) -> str:
        """The form in which claims carry it: ``cluster/job.restarts``."""
        return f"{self.cluster}/{self.job}.{self.restarts}"

    @property
    def info(self) -> dict[str, str | int]:
        """What the worker's record says."""
        return {"slurm": self.job, "restarts": self.restarts, "node": self.node, **dict(self.facts)}

    def time_left_s(self, environment: Mapping[str, str] = os.environ) -> float | None:
        """Seconds until Slurm ends this job; None when it has no limit or none can be learnt.

        Asks Slurm once where the environment does not say it (before Slurm 23).
        """
        end = environment.get("SLURM_JOB_END_TIME", "")
        if end.isdecimal():
            return max(0.0, int(end) - time.time())
        try:
            return parse_time_s(ask("squeue", "-h", "-j", self.job, "-O", "TimeLeft:40"))
        except SlurmError as error:
            log.warning("the time limit is unknown: %s", error.what)
            return None

    def come_back(self, number: int | None, *, useful: bool) -> bool:
        """After everything is handed back: have Slurm queue this job again, unless somebody wants it gone.

        A job that leaves early while it is being preempted has failed for Slurm, which then restarts it no more; so
        it asks itself. A cancelled job is COMPLETING by the time it is told, and stays so.

        Args:
            number: The signal that stopped it; None when its own look at the clock did.
            useful: Whether this run finished anything. One that reached its time limit without having done so would
                never get further, and stays away.

        Returns:
            Whether it will run again.
        """
        try:
            facts = _facts(ask("scontrol", "show", "job", "-o", self.job, timeout_s=10))
            if facts.get("JobState") != "RUNNING":
                log.info("Slurm says %s: not asking to be requeued", facts.get("JobState", "nothing"))
                return False
            if not (useful or _preempted(facts) or number == signal.SIGTERM):
                log.error("the time limit ended this worker before it finished one task; raise --time")
                return False
            ask("scontrol", "requeue", self.job, timeout_s=10)
        except SlurmError as error:
            log.warning("not requeued: %s", error)
            return False
        log.info("requeued, to go on as restart %d", self.restarts + 1)
        return True


def parse_time_s(text: str) -> float | None:
    """Seconds from Slurm's ``[days-][hours:]minutes:seconds``; None for UNLIMITED, INVALID and the like."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(group or 0) for group in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _count(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _facts(line: str) -> dict[str, str]:
    """Key and value of ``scontrol show job -o``; values with spaces are cut, none of those is needed."""
    return dict(part.split("=", 1) for part in line.split() if "=" in part)


def _preempted(facts: Mapping[str, str]) -> bool:
    return facts.get("PreemptTime", "None") not in ("None", "N/A", "Unknown", "")
